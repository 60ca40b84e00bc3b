"""Requests to a server: repeated while it is away, with a token that may be replaced meanwhile.

Whatever comes back is either a response that says something about MCP, or an error in words.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from mcpd.auth.client_token import VARIABLE, ClientToken
from mcpd.client.backoff import Backoff
from mcpd.client.errors import TokenRefused, Undeliverable
from mcpd.client.redirects import REDIRECTS, next_target
from mcpd.errors import McpdError
from mcpd.http.client import Broken, HttpClient, IncomingResponse, NotConnected, retry_after_s

log = logging.getLogger("mcpd.client")

MAX_ERROR_BYTES = 64 * 1024
MAX_SHOWN = 300  # characters of what a server says that is no MCP
BUSY = 429  # not now; the request was not carried out
AWAY = (502, 503, 504)  # a gateway does not know; 503 with Retry-After is an invitation
HIDDEN = "[hidden]"


class _Error(msgspec.Struct):
    message: str = ""


class _Explanation(msgspec.Struct):
    error: _Error | str | None = None
    error_description: str = ""


_explanation = msgspec.json.Decoder(_Explanation)


class HttpTransport:
    """The server behind one URL. ``trouble`` says what keeps requests waiting, if anything does.

    Args:
        url: of the endpoint. Its query may be a secret and is never shown.
        wait_s: seconds to wait for a server that is away or busy.
        socket: the Unix socket that is connected to.
        headers: sent with every request.
    """

    def __init__(
        self,
        client: HttpClient,
        target: str,
        credentials: ClientToken,
        *,
        url: str,
        wait_s: float,
        socket: Path | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self.target = target
        self.url = url.partition("?")[0]
        self.shown = self.url if socket is None else f"{self.url} on {socket}"
        self.trouble = ""  # what keeps requests waiting right now
        self._client = client
        self._credentials = credentials
        self.wait_s = wait_s
        self._headers = list(headers)
        self._secrets = [value.decode("latin-1") for _, value in headers]
        self._secrets += filter(None, [url.partition("?")[2]])
        self._told_redirect = False

    def url_of(self, target: str) -> str:
        """The URL of a target at this server; it is what relative references are relative to."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{target}"

    async def begin(
        self,
        method: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes = b"",
        *,
        target: str | None = None,
        repeatable: bool,
    ) -> IncomingResponse:
        """Send a request until the server has something to say to it, and where it says that the
        request has to go, as long as that is at the same origin. The caller closes what is
        returned.

        Args:
            repeatable: it does no harm to send it again when it is not known whether it arrived.

        Raises:
            Undeliverable: it cannot be delivered; the text says what was tried.
        """
        backoff = Backoff(self.wait_s, f"{method} {self.shown}")
        where, followed = self.target if target is None else target, 0
        while True:
            token = self._credentials.token
            sent = [*self._headers, *headers, *self._credentials.headers]
            try:
                response = await self._client.begin(method, where, sent, body)
            except NotConnected as error:
                await self._wait(backoff, str(error))
                continue
            except Broken as error:
                if not repeatable:
                    raise Undeliverable(
                        f"{method} {self.shown}: {error} before it answered. It is not known"
                        " whether the call was carried out.",
                        fix="See what it has changed before you call again.",
                    ) from error
                await self._wait(backoff, str(error))
                continue
            if response.status in REDIRECTS:
                where = await self._redirected(response, where, followed)
                followed += 1
            elif await self._settle(response, backoff, token, repeatable=repeatable):
                self.trouble = ""
                return response

    async def _redirected(self, response: IncomingResponse, where: str, followed: int) -> str:
        """The target to ask in the place of ``where``."""
        await self.explain(response)  # to its end: the connection is used again
        location = response.headers.joined(b"location")
        there = next_target(
            response.status,
            location,
            shown=self.shown,
            base=self.url_of(where),
            followed=followed,
        )
        if not self._told_redirect:
            self._told_redirect = True
            shown = there.partition("?")[0]
            log.info("%s is redirected to %s: that URL saves a round trip", self.shown, shown)
        return there

    async def _settle(
        self, response: IncomingResponse, backoff: Backoff, token: str, *, repeatable: bool
    ) -> bool:
        """Whether the response is for the caller; False: try again now."""
        status = response.status
        later_s = retry_after_s(response.headers)
        invited = status == BUSY or (status == 503 and later_s is not None)
        if invited or (status in AWAY and repeatable):
            reason = f"the server answers {status}: {await self.explain(response)}"
            await self._wait(backoff, reason, delay_s=later_s)
            return False
        if status == 401:
            words = await self.explain(response)
            self._credentials.read_again()
            if self._credentials.token != token:  # perhaps since another request's 401
                log.info("401: another token is in %s now", self._credentials.origin)
                return False
            raise self._unauthorized(words)
        return True

    async def _wait(self, backoff: Backoff, reason: str, *, delay_s: float | None = None) -> None:
        if backoff.tries == 0:
            log.info("waiting: %s", reason)
        self.trouble = f"{self.shown}: {reason}"
        await backoff.pause(reason, delay_s=delay_s)

    def _unauthorized(self, words: str) -> McpdError:
        origin = self._credentials.origin
        if not origin:
            return TokenRefused(
                f"{self.shown} wants a token (401), and none was given.",
                fix=f"Give --token-file FILE, or set {VARIABLE}.",
            )
        return TokenRefused(
            f"{self.shown} refuses the token from {origin} (401): {words}",
            fix="Put a valid token there; a file is read again with the next request.",
        )

    async def explain(self, response: IncomingResponse) -> str:
        """What a response that is no answer says, in one line; it is read and closed."""
        async with response:
            try:
                body = await response.read(MAX_ERROR_BYTES)
            except (Broken, McpdError):
                return "(its text cannot be read)"
        return self.words(body)

    def words(self, body: bytes) -> str:
        """A body that is no answer, in one line, without the secrets of the request."""
        text = _message(body) or body.decode("utf-8", "replace")
        for secret in filter(None, [self._credentials.token, *self._secrets]):
            text = text.replace(secret, HIDDEN)
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return line[:MAX_SHOWN] or "(without a word)"


def _message(body: bytes) -> str:
    try:
        told = _explanation.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if isinstance(told.error, _Error):
        return told.error.message
    return told.error_description or told.error or ""

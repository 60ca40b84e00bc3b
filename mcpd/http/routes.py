"""Requests to endpoints: guards, preflight, the table of paths and methods, errors as answers."""

import dataclasses
import difflib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from mcpd.errors import McpdError, MethodNotAllowed, NotFound, fault
from mcpd.http.answers import error_response
from mcpd.http.guards import Guard
from mcpd.http.messages import Answer, Endpoint, HeaderPairs, Request, Response

log = logging.getLogger("mcpd.http")


@dataclass(frozen=True, slots=True)
class Route:
    """One path. ``any_origin`` lets every page read its answers, without credentials."""

    path: str
    endpoints: Mapping[str, Endpoint]
    any_origin: bool = False

    @property
    def allow(self) -> bytes:
        """The value of Allow (RFC 9110, section 10.2.1)."""
        return ", ".join([*sorted(self.endpoints), "OPTIONS"]).encode("ascii")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Host, Origin, path and method of a head lead to; remembered with the head."""

    endpoint: Endpoint
    cors: HeaderPairs


class Router:
    """The endpoint of the whole server. Never raises but on cancellation."""

    def __init__(self, routes: Iterable[Route], guard: Guard, *, hint: str = "") -> None:
        self._routes = {route.path: route for route in routes}
        self._guard = guard
        self._hint = hint  # where to go from a path that is not served

    async def __call__(self, request: Request) -> Answer:
        """Guards, then the endpoint; whatever goes wrong becomes an answer."""
        cors: HeaderPairs = ()
        try:
            verdict: Verdict | None = request.memory.get(Verdict)
            if verdict is None:
                self._guard.check_peer(request.peer)
                self._guard.check_host(request.host)
                if request.peer.host is not None:
                    self._guard.check_host(request.peer.host)
                route = self._routes.get(request.path)
                if b"origin" in request.headers:
                    cors = self._check_origin(request, route)
                verdict = Verdict(self._endpoint(request, route), cors)
                request.memory[Verdict] = verdict
            cors = verdict.cors
            return _with_headers(await verdict.endpoint(request), cors)
        except McpdError as error:
            answer = error_response(error)
        except Exception:
            log.exception("request failed", extra={"fields": {"request": request.id}})
            answer = error_response(fault(request.id))
        return _with_headers(answer, cors)

    def _endpoint(self, request: Request, route: Route | None) -> Endpoint:
        if route is None:
            raise self._not_found(request.path)
        endpoint = route.endpoints.get(request.method)
        if endpoint is not None:
            return endpoint
        if request.method == "OPTIONS":
            return partial(self._options, route)
        raise MethodNotAllowed(
            f"{request.path} does not take {request.method}.",
            received=request.method,
            fix=f"It takes {route.allow.decode('ascii')}.",
            headers=((b"allow", route.allow),),
        )

    def _check_origin(self, request: Request, route: Route | None) -> HeaderPairs:
        origin = request.headers.one(b"origin") or ""
        if not self._guard.allows_origin(origin):
            if route is not None and route.any_origin:
                return self._guard.cors_headers(origin, credentials=False)
            self._guard.check_origin(origin)
        return self._guard.cors_headers(origin, credentials=True)

    async def _options(self, route: Route, request: Request) -> Response:
        headers: HeaderPairs = ((b"allow", route.allow),)
        if b"access-control-request-method" in request.headers and b"origin" in request.headers:
            headers += self._guard.preflight_headers(request, route.allow)
        return Response(204, headers=headers)

    def _not_found(self, path: str) -> NotFound:
        near = difflib.get_close_matches(path[:255], self._routes, n=1)
        return NotFound(
            "Nothing is served at this path.",
            received=path[:255],
            fix=f"Did you mean {near[0]}?" if near else self._hint,
        )


def _with_headers(answer: Answer, headers: HeaderPairs) -> Answer:
    if not headers:
        return answer
    if isinstance(answer, Response):
        return Response(answer.status, answer.body, answer.headers + headers)
    return dataclasses.replace(answer, headers=answer.headers + headers)

"""Questions to the client in 2026-07-28: the call ends with them, and comes again with answers.

Nothing is kept between rounds. What was answered so far travels with the client in
``requestState``, sealed, and bound to the principal, the method, the params and a short time
(2026-07-28, basic/patterns/mrtr).
"""

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from mcpd.app.containment import RunEnded
from mcpd.app.questions import BadAnswer, Question
from mcpd.auth.principals import Principal
from mcpd.auth.seal import BrokenSeal, Sealer
from mcpd.errors import InvalidParams
from mcpd.mcp.envelope.params import Params
from mcpd.rpc.messages import Call

STATE_TTL_S = 900.0  # for a person to answer
MAX_ROUNDS = 32


class InputRequired(RunEnded):
    """Ends a run of a tool: these questions come first. No tool should catch it."""

    def __init__(self, requests: dict[str, dict[str, Any]]) -> None:
        super().__init__("the client's input is required")
        self.requests = requests


class _State(msgspec.Struct):
    owner: str  # who, what and with which params: see _owner
    expires_at: float
    asked: list[str]
    answers: dict[str, msgspec.Raw]
    round: int


_responses_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_state_decoder = msgspec.json.Decoder(_State)


class InputRounds:
    """The rounds of one call, this one included; an ``Asker``.

    Raises (from the constructor):
        InvalidParams: the state or the answers are not acceptable.
    """

    def __init__(self, call: Call, params: Params, principal: Principal, sealer: Sealer) -> None:
        self._sealer = sealer
        self._call = call
        self._principal = principal
        self._seen: Counter[str] = Counter()
        self._answers: dict[str, msgspec.Raw] = {}
        self._round = 0
        asked: list[str] = []
        if params.request_state is not msgspec.UNSET:
            if not isinstance(params.request_state, str):
                raise InvalidParams("params.requestState must be a string.")
            state = self._open(params.request_state)
            self._answers, self._round, asked = dict(state.answers), state.round, state.asked
        for key, value in _responses(params).items():
            if bytes(value)[:1] != b"{":
                raise InvalidParams(f"inputResponses[{key[:64]!r}] is no object.")
            if key in asked:  # what was not asked is ignored
                self._answers[key] = value

    def _open(self, text: str) -> _State:
        try:
            state = _state_decoder.decode(self._sealer.open(text))
        except (BrokenSeal, msgspec.DecodeError):
            raise InvalidParams(
                "requestState was not made by this server, or was altered.",
                fix="Send it back exactly as it came.",
            ) from None
        if state.owner != self._owner():
            raise InvalidParams("requestState belongs to another request.")
        if state.expires_at <= time.time():
            raise InvalidParams("requestState has expired.", fix="Start the request again.")
        return state

    def _owner(self) -> str:
        params = _decode(self._call.params, "The params")
        for name in ("_meta", "inputResponses", "requestState"):
            params.pop(name, None)
        who = [self._principal.issuer, self._principal.subject]
        what = [who, self._call.method, params]
        return hashlib.sha256(msgspec.json.encode(what, order="sorted")).hexdigest()

    async def ask(self, questions: Sequence[Question]) -> list[Any]:
        """The answers, if all are there.

        Raises:
            InputRequired: with the questions that are not answered yet.
            InvalidParams: an answer does not fit its question.
        """
        answers, missing = [], {}
        for question in questions:
            request = {"method": question.method, "params": question.params}
            key = question.key or self._key(request)
            if key not in self._answers:
                missing[key] = request
                continue
            try:
                given = _decode(self._answers[key], f"inputResponses[{key[:64]!r}]")
                answers.append(question.read(given))
            except BadAnswer as error:
                raise InvalidParams(error.message) from error
        if missing:
            raise InputRequired(missing)
        return answers

    def _key(self, request: dict[str, Any]) -> str:
        """The same question has the same key in every run of the tool, however runs interleave."""
        digest = hashlib.sha256(msgspec.json.encode(request, order="sorted")).hexdigest()[:12]
        self._seen[digest] += 1
        return f"{request['method'].partition('/')[0]}-{digest}-{self._seen[digest]}"

    def result(self, required: InputRequired) -> dict[str, Any]:
        """MCP, InputRequiredResult.

        Raises:
            InvalidParams: the client has been asked too often.
        """
        if self._round >= MAX_ROUNDS:
            raise InvalidParams(f"The request took more than {MAX_ROUNDS} rounds.")
        state = _State(
            owner=self._owner(),
            expires_at=time.time() + STATE_TTL_S,
            asked=list(required.requests),
            answers=self._answers,
            round=self._round + 1,
        )
        return {
            "resultType": "input_required",
            "inputRequests": required.requests,
            "requestState": self._sealer.seal(msgspec.json.encode(state)),
        }


def _decode(raw: msgspec.Raw, what: str) -> Any:
    """The value of JSON that was passed on undecoded until here.

    Raises:
        InvalidParams: it has a number that nothing holds.
    """
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise InvalidParams(f"{what} cannot be read: {error}.") from error


def _responses(params: Params) -> dict[str, msgspec.Raw]:
    if isinstance(params.input_responses, msgspec.UnsetType):
        return {}
    try:
        return _responses_decoder.decode(params.input_responses)
    except msgspec.ValidationError as error:
        raise InvalidParams(f"params.inputResponses is wrong: {error}.") from error


def find_required(error: BaseException) -> InputRequired | None:
    """The questions in what a tool raised, those of several tasks together."""
    if isinstance(error, InputRequired):
        return error
    if not isinstance(error, BaseExceptionGroup):
        return None
    matched, _ = error.split(InputRequired)
    if matched is None:
        return None
    requests: dict[str, dict[str, Any]] = {}
    for leaf in _leaves(matched):
        requests.update(leaf.requests)
    return InputRequired(requests)


def _leaves(group: BaseExceptionGroup[InputRequired]) -> list[InputRequired]:
    leaves: list[InputRequired] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves

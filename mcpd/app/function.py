"""An author's function: its signature read once, its arguments decoded, its calls bounded."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import trio

from mcpd.app.containment import raise_contained
from mcpd.app.context import Context
from mcpd.app.explain import explain
from mcpd.app.schemas import JsonSchema, arguments_schema, arguments_type, type_hints
from mcpd.app.thread_calls import noted
from mcpd.errors import ToolError
from mcpd.limits.fair_limiter import FairLimiter


class WrongArguments(ToolError):
    """The arguments do not fit the schema; the message names the argument."""


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A function that clients can call by name with JSON arguments."""

    name: str
    schema: JsonSchema
    returns: Any
    context_name: str | None
    _call: Callable[..., Any]
    _is_async: bool
    _decoder: msgspec.json.Decoder[Any]

    @classmethod
    def of(cls, function: Callable[..., Any], name: str) -> "Function":
        """Read the signature.

        Raises:
            DeclarationError: it cannot be served.
        """
        hints = type_hints(function, name)
        context_name = next((key for key, hint in hints.items() if hint is Context), None)
        arguments = arguments_type(name, function, hints, context_name)
        return cls(
            name=name,
            schema=arguments_schema(arguments, name),
            returns=hints.get("return", inspect.Parameter.empty),
            context_name=context_name,
            _call=function,
            _is_async=is_async(function),
            _decoder=msgspec.json.Decoder(arguments),
        )

    @property
    def wants_context(self) -> bool:
        """Whether the function takes the request."""
        return self.context_name is not None

    def decode(self, arguments: msgspec.Raw) -> dict[str, Any]:
        """JSON to the values of the parameters.

        Raises:
            WrongArguments: naming the argument and what was expected.
        """
        try:
            return self._values(self._decoder.decode(arguments))
        except msgspec.ValidationError as error:
            return self._decode_leniently(arguments, error)

    def _decode_leniently(
        self, arguments: msgspec.Raw, error: msgspec.ValidationError
    ) -> dict[str, Any]:
        """JSON Schema counts 1.0 as an integer; the strict decoder does not."""
        try:
            values = _whole(msgspec.json.decode(arguments))
            return self._values(msgspec.convert(values, self._decoder.type, str_keys=True))
        except msgspec.ValidationError as still:
            raise WrongArguments(explain(still, self.schema)) from error

    def decode_texts(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Texts, as prompts and URI templates have them, to the values of the parameters.

        Raises:
            WrongArguments: naming the argument and what was expected.
        """
        try:
            return self._values(msgspec.convert(dict(texts), self._decoder.type, strict=False))
        except msgspec.ValidationError as error:
            raise WrongArguments(explain(error, self.schema)) from error

    def _values(self, arguments: Any) -> dict[str, Any]:
        values = msgspec.structs.asdict(arguments)
        if "$defs" in self.schema:  # there may be dataclasses among them
            for value in values.values():
                _fill_defaults(value)
        return values

    async def call(
        self, values: dict[str, Any], context: Context | None, threads: FairLimiter
    ) -> Any:
        """Call it: on Trio if it is async, else in a thread.

        Args:
            context: given to the function if it wants one.
            threads: bounds how many plain functions run at once.

        Raises:
            Exception: whatever the function raises; what is no Exception: see ``raise_contained``.

        Cancellation: reaches an async function at its next checkpoint; a plain one goes on in
        its thread, unheeded.
        """
        if self.context_name is not None:
            values[self.context_name] = context
        try:
            if self._is_async:
                return await self._call(**values)
            return await _in_thread(self.name, functools.partial(self._call, **values), threads)
        except Exception:
            raise
        except BaseException as error:
            raise_contained(self.name, error)


async def call_contained(
    name: str, call: Callable[[], Any], threads: FairLimiter, *, is_async: bool
) -> Any:
    """Call an author's function where its kind belongs; see Function.call.

    Raises:
        Exception: whatever the function raises.
    """
    try:
        return await (call() if is_async else _in_thread(name, call, threads))
    except Exception:
        raise
    except BaseException as error:
        raise_contained(name, error)


async def _in_thread(name: str, call: Callable[[], Any], threads: FairLimiter) -> Any:
    limiter: Any = threads  # it is like the CapacityLimiter that the annotation names
    return await trio.to_thread.run_sync(noted, name, call, abandon_on_cancel=True, limiter=limiter)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives something to await, through decorators and callable objects."""
    looks = (
        function,
        inspect.unwrap(function),
        getattr(function, "__call__", None),  # noqa: B004 - an object with async __call__
    )
    return any(inspect.iscoroutinefunction(look) for look in looks)


def _fill_defaults(value: Any) -> None:
    """Give decoded dataclasses the attributes that msgspec leaves to their class, without which
    they do not encode whole.
    """
    if isinstance(value, list | tuple | set | frozenset):
        for item in value:
            _fill_defaults(item)
    elif isinstance(value, dict):
        for item in value.values():
            _fill_defaults(item)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _fill_defaults(getattr(value, name))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for part in dataclasses.fields(value):
            item = getattr(value, part.name)
            object.__setattr__(value, part.name, item)
            _fill_defaults(item)


def _whole(value: Any) -> Any:
    """Floats without a fraction as integers, all the way down."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return value

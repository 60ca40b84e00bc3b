"""Resources and resource templates (MCP, server/resources)."""

import base64
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import msgspec

from mcpd.app.content import Annotations, Icon, ResourceContents
from mcpd.app.context import Context
from mcpd.app.function import Function
from mcpd.app.options import check_options, read_scopes
from mcpd.app.uri_template import UriTemplate
from mcpd.errors import DeclarationError
from mcpd.limits.fair_limiter import FairLimiter

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")  # RFC 3986, section 3


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """A declared resource. With ``template`` it stands for every URI of that form."""

    uri: str
    template: UriTemplate | None
    name: str
    title: str | None
    description: str | None
    mime_type: str | None
    size: int | None
    annotations: Annotations | None
    icons: list[Icon]
    meta: dict[str, Any] | None
    scopes: tuple[str, ...]  # that its caller must have
    function: Function

    @property
    def wants_context(self) -> bool:
        """Whether it may speak to the client before it returns."""
        return self.function.wants_context

    @property
    def is_template(self) -> bool:
        """Whether it stands for many URIs."""
        return self.template is not None

    def match(self, uri: str) -> dict[str, str] | None:
        """The arguments that this URI stands for; None: it is not this resource."""
        if self.template is None:
            return {} if uri == self.uri else None
        return self.template.match(uri)

    async def read(
        self,
        uri: str,
        arguments: dict[str, str],
        context: Context | None,
        threads: FairLimiter,
    ) -> list[ResourceContents]:
        """Call the function; what it returns is the contents.

        Raises:
            WrongArguments: a part of the URI is not of the declared type.
            Exception: whatever the function raises.
        """
        values = self.function.decode_texts(arguments)
        return self._contents(uri, await self.function.call(values, context, threads))

    def _contents(self, uri: str, value: Any) -> list[ResourceContents]:
        if isinstance(value, list) and all(isinstance(item, ResourceContents) for item in value):
            return value
        if isinstance(value, ResourceContents):
            return [value]
        if isinstance(value, str):
            return [ResourceContents(uri, self.mime_type or "text/plain", text=value)]
        if isinstance(value, bytes | bytearray):
            blob = base64.b64encode(value).decode("ascii")
            mime_type = self.mime_type or "application/octet-stream"
            return [ResourceContents(uri, mime_type, blob=blob)]
        text = msgspec.json.encode(value).decode()
        return [ResourceContents(uri, self.mime_type or "application/json", text=text)]


class ResourceOptions(TypedDict, total=False):
    """What can be said of a resource; see App.resource."""

    name: str | None
    title: str | None
    description: str | None
    mime_type: str | None
    size: int | None
    annotations: Annotations | None
    icons: Sequence[Icon]
    meta: dict[str, Any] | None
    scopes: Sequence[str]


def declare_resource(
    function: Callable[..., Any], uri: str, **options: Unpack[ResourceOptions]
) -> Resource:
    """Build a resource from a function; variables of the URI are its parameters.

    Raises:
        DeclarationError: the URI is none, or the parameters do not match its variables.
    """
    check_options("resource", ResourceOptions, options)
    if not _SCHEME.fullmatch(uri):
        raise DeclarationError(f"{uri!r} is no URI.", fix="Begin with a scheme: note://today")
    template = UriTemplate(uri) if "{" in uri else None
    name = options.get("name") or str(getattr(function, "__name__", uri))
    declared = Function.of(function, name)
    parameters = set(declared.schema.get("properties", {}))
    variables = set(template.variables if template else ())
    missing = set(declared.schema.get("required", [])) - variables
    if variables - parameters or missing:
        odd = ", ".join(sorted(variables - parameters | missing))
        raise DeclarationError(f"{name}: {odd} must stand in both the URI and the parameters.")
    return Resource(
        uri=uri,
        template=template,
        name=name,
        title=options.get("title"),
        description=options.get("description") or inspect.getdoc(function) or None,
        mime_type=options.get("mime_type"),
        size=options.get("size"),
        annotations=options.get("annotations"),
        icons=list(options.get("icons", ())),
        meta=options.get("meta"),
        scopes=read_scopes(options.get("scopes", ())),
        function=declared,
    )

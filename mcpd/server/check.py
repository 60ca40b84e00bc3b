"""Whether a server could start with these settings, without serving: ``mcpd serve --check``."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from mcpd.access.rules import AccessRules
from mcpd.auth.secrets import SecretSource
from mcpd.config import Config
from mcpd.errors import ConfigError, McpdError, Unavailable
from mcpd.mcp.catalog.catalog import Catalog
from mcpd.patterns import fits
from mcpd.server.apps import load_apps
from mcpd.server.backends import open_backend, sqlite_path
from mcpd.server.jwt_secrets import find_secrets, has_secret
from mcpd.server.listeners import open_address, open_listeners, remove_unix
from mcpd.server.neighbours import running_servers
from mcpd.server.supervisor import check_workers
from mcpd.server.tls import load_context
from mcpd.sessions.backend import Backend
from mcpd.telemetry.call_file import LOG
from mcpd.telemetry.exposition import check_installed
from mcpd.telemetry.tracing import check_tracing

STORE_S = 15.0  # for a store to answer


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        good: None: worth a word, and no reason not to start.
        lasts: False: it may pass by itself.
    """

    what: str
    good: bool | None
    told: str
    lasts: bool = True


class Check:
    """Looks at one thing after the other; what is wrong with one keeps no other from being looked
    at.
    """

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = dict(environ)
        self._catalog: Catalog | None = None

    async def run(self) -> list[Finding]:
        """All findings, in the order in which a start would come to them."""
        findings = [self._try("settings", self._settings)]
        findings.append(self._try("secret", self._secret))
        findings.append(self._try("apps", self._apps))
        findings += self._roles(self._config.access)
        if self._config.tls_certificate is not None:
            findings.append(self._try("certificate", self._certificate))
        findings.append(await self._store())
        findings.append(self._try("records", self._records))
        findings.append(await self._address())
        if self._config.metrics is not None:
            findings.append(await self._metrics(self._config.metrics))
        return findings

    def _try(self, what: str, look: Callable[[], str]) -> Finding:
        try:
            return Finding(what, True, look())
        except McpdError as error:
            return _bad(what, error)

    def _settings(self) -> str:
        check_workers(self._config)
        return f"{self._config.workers} workers" if self._config.workers > 1 else "one process"

    def _records(self) -> str:
        """What is written beside the store."""
        if self._config.traces:
            check_tracing()
        path = self._config.call_log_file
        if path and path != LOG and not Path(path).expanduser().parent.is_dir():
            raise ConfigError(f"call_log_file: there is no folder {Path(path).parent}.")
        there = next(
            p for p in (self._config.state_path, *self._config.state_path.parents) if p.exists()
        )
        if not os.access(there, os.W_OK):
            raise ConfigError(f"{there} cannot be written.", fix="Give another --state-dir.")
        return f"in {self._config.state_path}"

    def _secret(self) -> str:
        if self._config.auth == "none":
            return "none is needed"
        if not has_secret(self._config, self._environ):
            return f"one would be made in {self._config.state_path}"
        found: SecretSource = find_secrets(self._config, self._environ, create=False)
        return f"{len(found.secrets)} of {found.origin}"

    def _apps(self) -> str:
        catalog = self._catalog = Catalog(load_apps(self._config.app))
        names = ", ".join(provider.name for provider in catalog.providers)
        return (
            f"{names}: {len(catalog.tools)} tools, {len(catalog.resources)} resources,"
            f" {len(catalog.prompts)} prompts"
        )

    def _roles(self, rules: AccessRules) -> Iterator[Finding]:
        if rules.roles:
            yield Finding("roles", True, ", ".join(rules.roles))
        if self._catalog is None:
            return
        tables = {"limits": rules.limits}
        tables |= {f"roles.{name}.limits": role.limits for name, role in rules.roles.items()}
        for where, limits in tables.items():
            for pattern in limits.tools:
                if not any(fits(tool, pattern) for tool in self._catalog.tools):
                    told = f"{pattern} of {where}.tools names nothing that is there"
                    yield Finding("limits", None, told)
        for name, role in rules.roles.items():
            for kind in ("tools", "resources", "prompts"):
                listed = [offered.part.name for offered in getattr(self._catalog, kind).values()]
                for pattern in getattr(role, kind):
                    bare = pattern.removeprefix("!")
                    if bare != "*" and not any(fits(one, bare) for one in listed):
                        told = f"{pattern} of roles.{name}.{kind} names nothing that is there"
                        yield Finding("roles", None, told)

    def _certificate(self) -> str:
        certificate, key = self._config.tls_certificate, self._config.tls_key
        if certificate is not None and key is not None:
            load_context(certificate, key)
        return str(certificate)

    async def _store(self) -> Finding:
        kind = self._config.store.partition(":")[0]
        if kind == "sqlite" and not sqlite_path(self._config).exists():
            return Finding("store", True, f"{sqlite_path(self._config)} would be made")
        try:
            backend = open_backend(self._config, alone=False)
        except McpdError as error:
            return self._of_neighbour("store", error)
        try:
            with trio.fail_after(STORE_S):
                state = await _state_of(backend)
        except McpdError as error:
            return _bad("store", error)
        except trio.TooSlowError:
            return Finding("store", False, f"it does not answer within {STORE_S:g} s")
        finally:
            backend.store.close()
        return Finding("store", state == "ok", f"{backend.store.kind}, {state}")

    async def _address(self) -> Finding:
        try:
            listeners = await open_listeners(self._config, self._environ)
        except McpdError as error:
            return self._of_neighbour("address", error)
        remove_unix(self._config, listeners)
        for listener in listeners:
            await listener.aclose()
        where = self._config.unix or f"{self._config.host} port {self._config.port}"
        return Finding("address", True, str(where))

    async def _metrics(self, address: str) -> Finding:
        try:
            check_installed()
            for listener in await open_address("metrics", address, self._config.state_path):
                await listener.aclose()
        except McpdError as error:
            return self._of_neighbour("metrics", error)
        return Finding("metrics", True, address)

    def _of_neighbour(self, what: str, error: McpdError) -> Finding:
        """What a server holds that would be restarted is no reason not to."""
        for record in running_servers(self._config.state_path):
            if record.pid != os.getpid() and isinstance(error, Unavailable):
                return Finding(what, None, f"in use by {record}, which a restart would end")
        return _bad(what, error)


async def _state_of(backend: Backend) -> str:
    """``ok``, or in a word what is wrong.

    Raises:
        ConfigError, StoreError: it cannot be used.
    """
    try:
        async with trio.open_nursery() as nursery:
            await backend.start(nursery)
            state = await backend.store.check()
            nursery.cancel_scope.cancel()
            return state
    except BaseExceptionGroup as group:
        ours = group.subgroup(McpdError)
        if ours is None:
            raise
        error: BaseException = ours
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    raise error


def _bad(what: str, error: McpdError) -> Finding:
    told = f"{error.message} {error.fix}".strip()
    return Finding(what, False, told, not isinstance(error, Unavailable))

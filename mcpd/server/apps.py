"""Apps by name: FILE.py:NAME or MODULE:NAME to App objects, and their lifespans."""

import importlib
import importlib.util
import sys
import traceback
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType

import trio

from mcpd.app.app import App
from mcpd.app.environment import set_state_dir
from mcpd.errors import ConfigError, McpdError
from mcpd.mcp.catalog.catalog import Catalog
from mcpd.start_failures import may_pass, start_failure

BUILT_IN = "mcpd.toolkits.tasks:app"


def load_apps(names: tuple[str, ...]) -> list[App]:
    """Import what is named; without names the built-in task tools.

    Raises:
        ConfigError: there is no such file, module or name, it is no App, or it cannot be imported.
        Unavailable: it cannot be imported now.
    """
    return [_load_or_explain(name) for name in names or (BUILT_IN,)]


def _load_or_explain(name: str) -> App:
    try:
        return _load(name)
    except McpdError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit, for one, where a script parses its arguments
        raise start_failure(
            error,
            f"--app {name} cannot be imported: {type(error).__name__}: {error}.",
            fix=f"Look at {_where(error)}." if may_pass(error) else f"Fix {_where(error)}.",
        ) from error


def _where(error: BaseException) -> str:
    """The place in the author's own code, as far as it can be told: what is installed is not."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    import sysconfig  # not for every start

    ours = str(Path(__file__).parents[1])
    installed = [
        sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
    ]
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if not frame.filename.startswith("<")
        and not any(Path(frame.filename).is_relative_to(root) for root in (*installed, ours))
    ]
    return f"{own[-1].filename}, line {own[-1].lineno}" if own else "the app"


def _load(name: str) -> App:
    where, _, attribute = name.rpartition(":")
    if not where or not attribute:
        raise ConfigError(
            f"--app {name} names no object.",
            fix="Write --app demo.py:app or --app package.demo:app.",
        )
    module = _import_file(Path(where)) if where.endswith(".py") else _import_module(where)
    found = getattr(module, attribute, None)
    if isinstance(found, App):
        return found
    apps = [key for key, value in vars(module).items() if isinstance(value, App)]
    hint = f"Did you mean {where}:{apps[0]}?" if apps else "Make one: app = App('name')."
    raise ConfigError(f"{attribute} in {where} is no mcpd.App.", fix=hint)


def _import_file(path: Path) -> ModuleType:
    """Run a file as a module of its own name, with its folder importable as for a script."""
    if not path.is_file():
        raise ConfigError(f"There is no file {path}.", fix="Check the path given to --app.")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _import_module(name: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and name.startswith(error.name):
            raise ConfigError(
                f"There is no module {name}.",
                fix="Install it, or give the file: --app demo.py:app.",
            ) from error
        raise


def _make_folder(path: Path) -> None:
    """Apps keep their files there."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise start_failure(
            error,
            f"The state directory {path} cannot be made: {error.strerror}.",
            fix="Give another --state-dir.",
        ) from error


async def enter_lifespans(stack: AsyncExitStack, catalog: Catalog, state_path: Path) -> None:
    """Enter each app's lifespan and keep what it yields for ``ctx.state``.

    Raises:
        ConfigError: one failed, by a mistake in it.
        Unavailable: one failed, and may not the next time.
    """
    set_state_dir(state_path)
    if catalog.providers:
        _make_folder(state_path)
    for provider in catalog.providers:
        try:
            catalog.states[provider] = await stack.enter_async_context(provider.running())
        except (McpdError, trio.Cancelled, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise start_failure(
                error,
                f"The lifespan of {provider.name} failed: {type(error).__name__}: {error}.",
                fix=f"Look at {_where(error)}." if may_pass(error) else f"Fix {_where(error)}.",
            ) from error

"""Apps by name: FILE.py:NAME or MODULE:NAME to App objects, and their lifespans."""

import importlib
import importlib.util
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType

from mcpd.app.app import App
from mcpd.app.environment import set_state_dir
from mcpd.errors import ConfigError
from mcpd.mcp.host import Host

BUILT_IN = "mcpd.toolkits.tasks:app"


def load_apps(names: tuple[str, ...]) -> list[App]:
    """Import what is named; without names the built-in task tools.

    Raises:
        ConfigError: there is no such file, module or name, or it is no App.
        Exception: whatever the module raises while it is imported.
    """
    return [_load(name) for name in names or (BUILT_IN,)]


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


async def enter_lifespans(stack: AsyncExitStack, host: Host, state_path: Path) -> None:
    """Enter each app's lifespan and keep what it yields for ``ctx.state``."""
    set_state_dir(state_path)
    for app in host.apps:
        host.states[app] = await stack.enter_async_context(app.lifespan(app))

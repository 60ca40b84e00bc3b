"""The house rules, as tests: layers, sizes, shields, dependencies."""

import ast
import importlib.metadata
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "mcpd").rglob("*.py"))
MAX_LINES = 300
MAX_FUNCTION_LINES = 60
MAX_PACKAGES = 12

# Lowest first; a room may import itself and what stands in lines above it. Rooms of one line
# do not import each other, but for what is listed with them.
LAYERS: list[set[str]] = [
    {
        "errors",
        "version",
        "cancellation",
        "files",
        "coalescing",
        "turn",
        "trace_context",
        "patterns",
    },
    {"observer"},
    {"events"},
    {"start_failures"},
    {"clock", "limits", "setting_types", "setting_sources"},
    {"access"},
    {"config", "sqlite", "http", "rpc"},
    {"app", "auth", "telemetry"},
    {"sessions"},
    {"mcp"},
    {"client"},
    {"registration", "toolkits"},
    {"operations"},
    {"server", "bridge", "replay", "doctor"},
    {"cli"},
]
BESIDE = {("config", "http"), ("toolkits", "sqlite")}


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def level(name: str) -> int:
    return next(number for number, rooms in enumerate(LAYERS) if name in rooms)


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.split(".")[0] == "mcpd"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_upwards(path):
    here = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if here in ("", "__init__", "__main__"):
        return
    for module in imports(path):
        there = room(module)
        allowed = here == there or level(there) < level(here) or (here, there) in BESIDE
        assert allowed, f"{path.name} in {here} imports {module}"


STORES = ROOT / "mcpd" / "sessions"


def test_only_the_server_names_concrete_stores():
    """Everything else knows the contracts. The folders of ``sessions`` are the concrete stores."""
    kinds = {path.name for path in STORES.iterdir() if (path / "__init__.py").exists()}
    assert kinds == {"memory", "sqlite", "redis"}
    for path in FILES:
        within = path.relative_to(ROOT / "mcpd").parts
        if within[0] == "server":
            continue
        named = {
            module.split(".")[2]
            for module in imports(path)
            if module.startswith("mcpd.sessions.") and module.split(".")[2] in kinds
        }
        assert named <= {within[1]} if within[0] == "sessions" else not named, path


def test_http_and_rpc_know_nothing_of_mcp():
    for path in FILES:
        if path.relative_to(ROOT / "mcpd").parts[0] == "http":
            words = re.sub(r"(?i)mcpd[.\w]*", "", path.read_text())
            found = re.search(r"mcp", words.partition("\n")[2], re.IGNORECASE)
            assert not found, f"{path}: {words[max(0, found.start() - 40) : found.end() + 40]}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_exception_is_raised_within_a_clause_for_groups(path):
    """Before Python 3.11.4 what is raised there comes out inside another group."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.TryStar):
            inside = [step for handler in node.handlers for step in ast.walk(handler)]
            raised = [step.lineno for step in inside if isinstance(step, ast.Raise)]
            assert not raised, f"{path}: lines {raised}"


def test_only_one_file_compares_revisions():
    for path in FILES:
        if path.name == "revisions.py":
            continue
        compared = re.search(r"[<>]=? *V?[\"']?20\d\d[-_]\d\d", path.read_text())
        assert not compared, f"{path}: {compared}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path):
    lines = path.read_text().count("\n")
    assert lines <= MAX_LINES, f"{path} has {lines} lines: which second subject is in it?"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


def test_a_shield_has_a_bound():
    """An unbounded shield hangs a drain. One place is bounded by other means and says so."""
    for path in FILES:
        for line in path.read_text().splitlines():
            if "shield=True" in line:
                assert "move_on_after" in line or "bounded by" in line, f"{path}: {line}"


def test_public_names_have_docstrings():
    for path in FILES:
        tree = ast.parse(path.read_text())
        if path.read_text().strip():
            assert ast.get_docstring(tree), path
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                named = ast.get_docstring(node) or node.name.startswith("_")
                assert named, f"{path}: {node.name}"


def closure(name: str, seen: set[str]) -> set[str]:
    """What installing a distribution brings; what is not installed does not apply here."""
    key = re.sub(r"[-_.]+", "-", name).lower()
    try:
        requirements = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return seen
    if key not in seen:
        seen.add(key)
        for requirement in requirements:
            if "extra ==" not in requirement:
                closure(re.split(r"[ ;<>=!~\[(]", requirement)[0], seen)
    return seen


def test_the_installed_closure_is_small():
    installed = closure("mcpd-server", set())
    assert len(installed) <= MAX_PACKAGES, sorted(installed)
    assert {"trio", "h11", "pyjwt", "msgspec"} <= installed


def test_the_changelog_names_this_version():
    from mcpd.version import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_picture_names_files_that_exist():
    picture = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    for name in re.findall(r"[a-z_/]+\.py\b", picture):
        places = (ROOT, ROOT / "mcpd", ROOT / "mcpd" / "mcp")
        found = any((place / name).exists() for place in places) or any(
            path.name == name for path in FILES
        )
        assert found, f"docs/ARCHITECTURE.md names {name}"

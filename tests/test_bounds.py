"""The page of bounds is written from the code."""

import importlib.util
from pathlib import Path

from mcpd.config import NAMES
from mcpd.limits.caps import RULES, SETTINGS

SCRIPT = Path(__file__).parent.parent / "docs" / "make_bounds.py"
spec = importlib.util.spec_from_file_location("make_bounds", SCRIPT)
assert spec is not None
assert spec.loader is not None
bounds = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bounds)


def test_the_page_of_bounds_is_as_the_code_is():
    assert bounds.FILE.read_text() == bounds.text(), "run python docs/make_bounds.py"


def test_every_setting_that_bounds_something_is_on_the_page():
    page = bounds.text()
    for name in NAMES:
        if name.startswith("max_") or name.endswith(("_timeout_s", "_per_minute")):
            assert f"`{name}`" in page, name


def test_the_settings_of_the_caps_are_settings():
    assert set(SETTINGS) <= set(NAMES)
    assert len({rule.name for rule in RULES}) == len(RULES)

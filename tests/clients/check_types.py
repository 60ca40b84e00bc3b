"""Check dumped messages against the wire types of the Python SDK 2.x: see validate_schemas.py.

Reads [[revision, definition, value], ...] from the file given, prints one JSON object.
"""

import json
import sys

import mcp_types._v2025_11_25 as v2025_11_25
import mcp_types._v2026_07_28 as v2026_07_28
from pydantic import TypeAdapter, ValidationError

MODULES = {"2025-11-25": v2025_11_25, "2026-07-28": v2026_07_28}
checked, failures = 0, []
with open(sys.argv[1], encoding="utf-8") as file:
    dumped = json.load(file)
for revision, name, value in dumped:
    kind = getattr(MODULES.get(revision), name, None)
    if kind is None:
        continue
    checked += 1
    try:
        TypeAdapter(kind).validate_json(json.dumps(value))
    except ValidationError as error:
        failures.append(f"{revision} {name}: {error.errors()[0]}")
print(json.dumps({"checked": checked, "failures": failures}))

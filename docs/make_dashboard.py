"""Write docs/operations/dashboard.json, a dashboard for Grafana, from the table of panels below.

Usage: python docs/make_dashboard.py [--check]
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

TARGET = Path(__file__).parent / "operations" / "dashboard.json"
CALLS = "mcp_server_operation_duration_seconds"
TOOLS = '{gen_ai_tool_name!="",instance=~"$instance"}'
HERE = '{instance=~"$instance"}'
WIDTH, HEIGHT, COLUMNS = 8, 8, 3


class Panel(NamedTuple):
    """One panel.

    Attributes:
        queries: PromQL, with the legend of each.
    """

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"


def _quantile(part: float) -> str:
    rate = f"sum by (le, gen_ai_tool_name) (rate({CALLS}_bucket{TOOLS}[$__rate_interval]))"
    return f"histogram_quantile({part}, {rate})"


def _rate(metric: str, by: str, selector: str = HERE) -> str:
    return f"sum by ({by}) (rate({metric}{selector}[$__rate_interval]))"


ROWS: dict[str, tuple[Panel, ...]] = {
    "Now": (
        Panel("Ready", ((f"min(mcpd_ready{HERE})", ""),), kind="stat"),
        Panel("Sessions", ((f"max by (state) (mcpd_sessions{HERE})", "{{state}}"),), kind="stat"),
        Panel("Version", ((f"mcpd_build{HERE}", "{{version}}"),), kind="stat"),
    ),
    "Calls": (
        Panel(
            "Calls a second, by tool",
            ((_rate(f"{CALLS}_count", "gen_ai_tool_name", TOOLS), "{{gen_ai_tool_name}}"),),
            "reqps",
        ),
        Panel(
            "Calls that failed, by tool and error",
            ((
                _rate(
                    f"{CALLS}_count", "gen_ai_tool_name, error_type",
                    '{gen_ai_tool_name!="",error_type!="",instance=~"$instance"}',
                ),
                "{{gen_ai_tool_name}} {{error_type}}",
            ),),
            "reqps",
        ),
        Panel(
            "How long tools take",
            ((_quantile(0.5), "p50 {{gen_ai_tool_name}}"),
             (_quantile(0.95), "p95 {{gen_ai_tool_name}}"),
             (_quantile(0.99), "p99 {{gen_ai_tool_name}}")),
            "s",
        ),
    ),
    "Clients": (
        Panel(
            "Calls a second, by client",
            ((_rate("mcpd_client_calls_total", "client, version"), "{{client}} {{version}}"),),
            "reqps",
        ),
        Panel(
            "Clients by revision",
            ((
                _rate("mcpd_client_calls_total", "mcp_protocol_version"),
                "{{mcp_protocol_version}}",
            ),),
            "reqps",
        ),
        Panel(
            "Registrations and sessions begun",
            ((_rate("mcpd_registrations_total", "kind, outcome"), "{{kind}} {{outcome}}"),
             (_rate("mcpd_sessions_begun_total", "mcp_protocol_version"),
              "begun, {{mcp_protocol_version}}")),
            "reqps",
        ),
    ),
    "Refusals": (
        Panel(
            "Refused by a limit", ((_rate("mcpd_refusals_total", "limit"), "{{limit}}"),), "reqps"
        ),
        Panel(
            "Credentials refused",
            ((_rate("mcpd_auth_refusals_total", "reason"), "{{reason}}"),),
            "reqps",
        ),
        Panel("Answers by status", ((_rate("mcpd_http_requests_total", "status"), "{{status}}"),),
              "reqps"),
    ),
    "Streams": (
        Panel(
            "Open now",
            ((f"sum(mcpd_streams{HERE})", "streams"),
             (f"sum(mcpd_connections{HERE})", "connections"),
             (f"sum(mcpd_calls_running{HERE})", "calls in sessions"),
             (f"sum(mcpd_tasks{HERE})", "tasks")),
        ),
        Panel(
            "Taken up again",
            ((_rate("mcpd_streams_resumed_total", "outcome"), "streams {{outcome}}"),
             (_rate("mcpd_calls_recovered_total", "outcome"), "calls {{outcome}}")),
            "reqps",
        ),
        Panel("Sessions that ended for want of activity",
              ((_rate("mcpd_sessions_swept_total", "instance"), "{{instance}}"),), "reqps"),
    ),
    "The process": (
        Panel(
            "Store: how long it takes",
            ((
                "histogram_quantile(0.99, sum by (le, store, operation)"
                f" (rate(mcpd_store_operation_duration_seconds_bucket{HERE}[$__rate_interval])))",
                "p99 {{store}} {{operation}}",
            ),),
            "s",
        ),
        Panel(
            "Memory",
            ((f"sum by (instance) (mcpd_memory_bytes{HERE})", "memory {{instance}}"),),
            "bytes",
        ),
        Panel("Event loop", ((f"mcpd_event_loop_lag_seconds{HERE}", "{{instance}}"),), "s"),
        Panel(
            "Plain functions in threads",
            ((f"sum by (state) (mcpd_threads{HERE})", "{{state}}"),),
        ),
        Panel(
            "Workers restarted, and lines that warn",
            ((_rate("mcpd_worker_restarts_total", "instance"), "restarts"),
             (_rate("mcpd_log_lines_total", "level"), "{{level}}")),
            "reqps",
        ),
        Panel(
            "Lists: bytes that a model reads",
            ((f"max by (list) (mcpd_list_bytes{HERE})", "{{list}}"),),
            "bytes",
        ),
    ),
}  # fmt: skip


def panels() -> list[dict[str, Any]]:
    """All rows, one below the other."""
    found: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        place = {"h": 1, "w": 24, "x": 0, "y": top}
        found.append({"type": "row", "title": title, "gridPos": place, "panels": []})
        top += 1
        for number, panel in enumerate(row):
            x, y = number % COLUMNS * WIDTH, top + number // COLUMNS * HEIGHT
            found.append(_panel(panel, {"h": HEIGHT, "w": WIDTH, "x": x, "y": y}))
        top += -(-len(row) // COLUMNS) * HEIGHT
    for number, one in enumerate(found):
        one["id"] = number + 1
    return found


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    targets = [
        {"refId": chr(65 + n), "expr": query, "legendFormat": legend, "datasource": source}
        for n, (query, legend) in enumerate(panel.queries)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "gridPos": place,
        "datasource": source,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
    }


def text() -> str:
    """The whole file."""
    query = "label_values(mcpd_build, instance)"
    source = {"name": "source", "type": "datasource", "query": "prometheus", "label": "Source"}
    instance = {
        "name": "instance", "type": "query", "label": "Server", "query": query,
        "definition": query, "datasource": {"type": "prometheus", "uid": "${source}"},
        "includeAll": True, "multi": True, "allValue": ".*", "refresh": 2,
    }  # fmt: skip
    dashboard = {
        "title": "mcpd",
        "uid": "mcpd",
        "tags": ["mcp"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, instance]},
        "panels": panels(),
    }
    return json.dumps(dashboard, indent=1) + "\n"


def main() -> int:
    """Write it, or tell whether it is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        return 0 if TARGET.read_text() == text() else 1
    TARGET.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())

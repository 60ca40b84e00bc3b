"""The call log that the settings want."""

from pathlib import Path

from mcpd.config import Config
from mcpd.telemetry.call_entry import keeper_of
from mcpd.telemetry.call_file import LOG, CallFile, CallLines
from mcpd.telemetry.call_log import CallLog, LineWriter
from mcpd.telemetry.call_table import CallTable


def open_call_log(config: Config) -> CallLog | None:
    """The call log; its files are opened when it writes. None: none is wanted."""
    lines: LineWriter | None = None
    if config.call_log_file == LOG:
        lines = CallLines()
    elif config.call_log_file:
        path = Path(config.call_log_file).expanduser()
        lines = CallFile(path, config.call_log_file_bytes, config.call_log_files)
    table = CallTable(config.state_path, config.call_log_rows) if config.call_log_rows else None
    if table is None and lines is None:
        return None
    kind = config.call_log_arguments
    kept_of = None if kind == "off" else keeper_of(kind, config.call_log_redact)
    return CallLog(table, lines, kept_of=kept_of)

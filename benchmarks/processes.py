"""What the kernel knows of a process and its children."""

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and its children; one that has ended has none."""
    try:
        listed = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return [pid]
    return [pid, *(int(child) for child in " ".join(listed).split())]


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and its children, so far."""
    total = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS_PER_S


def status_number(pid: int, name: str) -> int:
    """A number of /proc/PID/status: VmRSS (KiB), Threads."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise ValueError(name)


def open_descriptors(pid: int) -> int:
    """How many there are."""
    return len(os.listdir(f"/proc/{pid}/fd"))

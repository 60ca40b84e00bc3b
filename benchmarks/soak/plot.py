"""A plot as SVG, by hand: panels one above the other over one axis of time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.soak.trend import Sample

WIDTH, LEFT, RIGHT = 960, 70, 150
PANEL, GAP, TOP, BOTTOM = 120, 34, 56, 40
COLOURS = ("#1f5fa8", "#c2571a", "#2b8a57")
RESTART, KILL = "#9aa3ad", "#c0272d"
STEPS = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines that share a scale."""

    title: str
    lines: tuple[tuple[str, str], ...]  # label, member of Sample
    decades: bool = False  # a logarithmic scale from 1 on


PANELS = (
    Panel("calls answered, a second", (("calls/s", "calls_per_s"),)),
    Panel("latency of calls, ms", (("median", "p50_ms"), ("99 %", "p99_ms")), decades=True),
    Panel("resident memory, MiB", (("resident", "rss_mib"),)),
    Panel("open descriptors and threads",
          (("descriptors", "descriptors"), ("threads", "threads"))),
    Panel("the store, MiB", (("size", "store_mib"),)),
    Panel("the server's CPU, cores", (("cores", "server_cpu"),)),
)  # fmt: skip


def draw(samples: Sequence[Sample], restarts: Sequence[tuple[float, str]], title: str) -> str:
    """The SVG text. ``restarts``: when, in the samples' seconds, and by which signal."""
    moments = [*(sample.at_s for sample in samples), *(at for at, _ in restarts)]
    end = max(moments, default=1.0)
    height = TOP + len(PANELS) * (PANEL + GAP) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
        _legend(),
    ]
    for number, panel in enumerate(PANELS):
        top = TOP + number * (PANEL + GAP) + 16
        parts += _panel(panel, samples, restarts, top, end)
    parts += _time_axis(TOP + len(PANELS) * (PANEL + GAP) + 2, end)
    return "\n".join([*parts, "</svg>\n"])


def _legend() -> str:
    x = LEFT
    return (
        f'<line x1="{x}" y1="36" x2="{x + 18}" y2="36" stroke="{RESTART}" stroke-width="2"/>'
        f'<text x="{x + 24}" y="40">SIGTERM and start</text>'
        f'<line x1="{x + 150}" y1="36" x2="{x + 168}" y2="36" stroke="{KILL}" stroke-width="2"/>'
        f'<text x="{x + 174}" y="40">kill -9 and start</text>'
    )


def _panel(
    panel: Panel,
    samples: Sequence[Sample],
    restarts: Sequence[tuple[float, str]],
    top: float,
    end: float,
) -> list[str]:
    def height(value: float) -> float:
        """0 to 1."""
        return math.log10(max(value, 1.0)) / decades if panel.decades else value / ceiling

    highest = max((getattr(s, name) for s in samples for _, name in panel.lines), default=0.0)
    ceiling, step = scale(highest)
    decades = max(1, math.ceil(math.log10(max(highest, 1.0))))
    ticks = [tick * step for tick in range(round(ceiling / step) + 1)]
    if panel.decades:
        ticks, step = [10.0**power for power in range(decades + 1)], 1.0
    parts = [f'<text x="{LEFT}" y="{top - 6}" font-weight="bold">{escape(panel.title)}</text>']
    for tick in ticks:
        y = top + PANEL * (1 - height(tick))
        across = f'x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"'
        parts.append(f'<line {across} stroke="#e4e7ea"/>')
        label = f"{tick:,.{0 if step >= 1 else 1 if step >= 0.1 else 2}f}"
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for at, name in restarts:
        x, colour = _x(at, end), KILL if name == "SIGKILL" else RESTART
        down = f'x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{top + PANEL}"'
        parts.append(f'<line {down} stroke="{colour}"/>')
    for (_, member), colour in zip(panel.lines, COLOURS, strict=False):
        for life in _lives(samples):
            points = [
                f"{_x(s.at_s, end):.1f},{top + PANEL * (1 - height(getattr(s, member))):.1f}"
                for s in life
            ]
            parts += _line(points, colour)
    return parts + _labels(panel, samples, top)


def _lives(samples: Sequence[Sample]) -> list[list[Sample]]:
    """A line ends with the process that was measured."""
    found: dict[int, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.life, []).append(sample)
    return list(found.values())


def _line(points: list[str], colour: str) -> list[str]:
    if len(points) == 1:
        x, y = points[0].split(",")
        return [f'<circle cx="{x}" cy="{y}" r="1.6" fill="{colour}"/>']
    stroke = f'stroke="{colour}" stroke-width="1.6"'
    return [f'<polyline points="{" ".join(points)}" fill="none" {stroke}/>']


def _labels(panel: Panel, samples: Sequence[Sample], top: float) -> list[str]:
    parts = []
    for number, ((label, member), colour) in enumerate(zip(panel.lines, COLOURS, strict=False)):
        last = f"{getattr(samples[-1], member):,.1f}" if samples else ""
        parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{top + 14 + 18 * number}"'
                     f' fill="{colour}">{escape(label)}: {last}</text>')  # fmt: skip
    return parts


def _time_axis(y: float, end: float) -> list[str]:
    minutes = end / 60
    unit, name = (60.0, "hours") if minutes > 180 else (1.0, "minutes")
    ceiling, step = scale(minutes / unit)
    parts = [f'<text x="{WIDTH - RIGHT + 10}" y="{y}">{name}</text>']
    for tick in range(round(ceiling / step) + 1):
        at = tick * step * unit * 60
        if at <= end * 1.001:
            parts.append(f'<text x="{_x(at, end):.1f}" y="{y}" text-anchor="middle">'
                         f"{tick * step:g}</text>")  # fmt: skip
    return parts


def _x(at: float, end: float) -> float:
    return LEFT + (WIDTH - RIGHT - LEFT) * at / end


def scale(highest: float) -> tuple[float, float]:
    """A round number at or above the highest value, and the step of its grid."""
    if highest <= 0:
        return 1.0, 0.25
    power = 10.0 ** math.floor(math.log10(highest / 4))
    step = next(s * power for s in STEPS if s * power * 4 >= highest)
    return math.ceil(highest / step) * step, step

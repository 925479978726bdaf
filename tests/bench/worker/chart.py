"""The figures as an SVG picture: calls on one core, and memory per call, of the worker and of others."""

from pathlib import Path
from typing import Callable

WIDTH, LEFT, BAR, GAP, TOP = 760, 220, 22, 10, 46
COLOURS = {"worker": "#1f6feb", "worker, TLS": "#1f6feb", "floor": "#8b949e", "floor, TLS": "#8b949e"}
OTHER = "#d29922"
NAMES = {
    "floor": "C relay, re-frames only",
    "floor, TLS": "C relay, re-frames only, TLS",
    "worker": "Ringfleet worker",
    "worker, TLS": "Ringfleet worker, TLS",
    "Node, equal work": "Node bridge, equal work",
    "Node, as the sample": "Node bridge, as the samples",
    "Python, equal work": "Python bridge, equal work",
    "Python, as the sample": "Python bridge, as the samples",
}
Bars = list[tuple[str, float]]


def bars(title: str, unit: str, values: Bars, y: int) -> tuple[list[str], int]:
    """One block of bars below y; its lines, and where it ends."""
    longest = max(value for _, value in values)
    lines = [f'<text x="16" y="{y + 24}" class="title">{title}</text>']
    y += TOP
    for name, value in values:
        width = max(2, round((WIDTH - LEFT - 110) * value / longest))
        colour = COLOURS.get(name, OTHER)
        shown = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{NAMES[name]}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{width}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LEFT + width + 8}" y="{y + 16}">{shown} {unit}</text>',
        ]
        y += BAR + GAP
    return lines, y + GAP


def draw(blocks: list[tuple[str, str, Bars]], path: Path) -> None:
    """blocks: title, unit, and the bars from top to bottom."""
    body, y = [], 0
    for title, unit, values in blocks:
        if values:
            lines, y = bars(title, unit, values, y)
            body += lines
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}">',
        "<style>text { font: 13px sans-serif; fill: #57606a } .title { font-weight: bold; font-size: 15px; fill: #24292f }</style>",
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>',
    ]
    path.write_text("\n".join([*head, *body, "</svg>"]) + "\n")


def medians(names: tuple[str, ...], value_of: Callable[[str], float | None]) -> Bars:
    """Those that were measured."""
    return [(name, value) for name in names if (value := value_of(name))]

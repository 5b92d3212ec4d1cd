"""Charts as SVG inside a page: coloured by its style sheet, and so light or dark, with text that stays text. No torch.

Each grid has a shape besides its colour, so that the charts can be read in grey. What is drawn is also in the tables of
the page; a title says to those who hear the page what a chart shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from artc.evaluation.baselines import OURS
from artc.evaluation.error_plot import TITLES, value_of
from artc.evaluation.reported import Row, Scored

KNOWN = (OURS, "edm", "edm-free", "logsnr", "uniform", "shifted")
"""Grids with a colour of their own in the style sheet."""
SHAPES = ("circle", "square", "diamond", "triangle", "down", "star", "bar")
"""One more than a multiple of the three spare colours, so that colour and shape together are of one grid alone."""


def style_of(name: str, against: Sequence[str]) -> str:
    """The class of a grid in the style sheet."""
    others = [other for other in against if other not in KNOWN]
    return f"g-{name}" if name in KNOWN else f"g-more-{others.index(name) % 3}"


def mark(place: int, x: float, y: float, size: float = 3.4) -> str:
    """A small shape, the same for one place among the grids everywhere."""
    paths: dict[str, list[tuple[float, float]]] = {
        "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
        "diamond": [(0, -1.35), (1.35, 0), (0, 1.35), (-1.35, 0)],
        "triangle": [(0, -1.3), (1.25, 1), (-1.25, 1)],
        "down": [(0, 1.3), (1.25, -1), (-1.25, -1)],
        "star": [(-1.3, 0), (-0.35, -0.35), (0, -1.3), (0.35, -0.35), (1.3, 0), (0.35, 0.35), (0, 1.3), (-0.35, 0.35)],
        "bar": [(-1.5, -0.55), (1.5, -0.55), (1.5, 0.55), (-1.5, 0.55)],
    }
    shape = SHAPES[place % len(SHAPES)]
    if shape == "circle":
        return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="{size * 1.1:.1f}"/>'
    points = " ".join(f"{x + size * right:.1f},{y + size * down:.1f}" for right, down in paths[shape])
    return f'<polygon class="mark" points="{points}"/>'


def legend(names: Sequence[str]) -> str:
    """The names of the grids with their colours and shapes."""
    items = (
        f'<li><svg class="{style_of(name, names)}" viewBox="0 0 32 16" aria-hidden="true"><g class="'
        f'{style_of(name, names)}"><path class="curve" d="M2 8H30"/>{mark(place, 16, 8)}</g></svg>{escape(name)}</li>'
        for place, name in enumerate(names)
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def error_chart(rows: Sequence[Row], metric: str) -> str:
    """A metric of one solver's schedules against NFE, both on log axes; bars are two standard errors."""
    names = [scored.name for scored in rows[0].grids]
    nfe = [row.schedule.nfe for row in rows]
    values = [
        end
        for row in rows
        for scored in row.grids
        for end in _ends(scored, metric)
        if 0 < end < math.inf and value_of(scored, metric) > 0
    ]
    if not values:
        return "<p>Every distance is 0.</p>"
    left, right, top, bottom = 46.0, 350.0, 12.0, 216.0
    low, high = min(values) / 1.15, max(values) * 1.15
    x_of = _log_scale(min(nfe), max(nfe), left + 12, right - 12)
    y_of = _log_scale(low, high, bottom, top)
    parts = []
    for tick in _ticks(low, high):
        y = y_of(tick)
        parts.append(f'<path class="rule" d="M{left} {y:.1f}H{right}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    last = -math.inf
    for budget in nfe:
        x = x_of(budget)
        if x - last > 18:
            parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{budget}</text>')
            last = x
    parts.append(
        f'<text x="{(left + right) / 2}" y="{bottom + 33}" text-anchor="middle">denoiser calls a sample</text>'
    )
    for place in (*range(1, len(names)), 0):  # ours last, above the others
        points, marks = [], []
        for row in rows:
            scored = row.grids[place]
            value = value_of(scored, metric)
            if not 0 < value < math.inf:
                continue
            x, y = x_of(row.schedule.nfe), y_of(value)
            points.append(f"{x:.1f} {y:.1f}")
            under, over = _ends(scored, metric)
            bar = f"M{x:.1f} {y_of(over):.1f}V{y_of(max(under, low)):.1f}"
            marks.append(f'<path class="bar" d="{bar}"/>{mark(place, x, y)}')
        curve = f'<path class="curve" d="M{"L".join(points)}"/>' if points else ""
        parts.append(f'<g class="{style_of(names[place], names)}">{curve}{"".join(marks)}</g>')
    solver = rows[0].schedule.solver
    told = f"{TITLES[metric]} of {solver} against denoiser calls, both logarithmic; the table above has the numbers"
    return f'<svg viewBox="0 0 360 256" role="img"><title>{escape(told)}</title>{"".join(parts)}</svg>'


def grid_chart(row: Row, floor: float) -> str:
    """Where each grid of a schedule has its nodes: sigma on a log axis that ends in 0, a line for each grid."""
    names = [scored.name for scored in row.grids]
    widest = max(map(len, names))
    left, right, zero, high = min(16 + 6.2 * widest, 120.0), 308.0, 344.0, 16.0
    bottom = 14 + high * len(names)
    top = row.schedule.sigmas[0]
    x_of = _log_scale(top, floor, left, right)
    parts = []
    for tick in _ticks(floor, top, only_decades=True):
        x = x_of(tick)
        parts.append(f'<path class="rule" d="M{x:.1f} 6V{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<path class="rule" stroke-dasharray="2 3" d="M{zero} 6V{bottom}"/>')
    parts.append(f'<text x="{zero}" y="{bottom + 14}" text-anchor="middle">0</text>')
    for place, scored in enumerate(row.grids):
        y = 14 + high * place + 2
        xs = [x_of(max(sigma, floor)) if sigma > 0 else zero for sigma in scored.sigmas]
        marks = "".join(mark(place, x, y, 2.8) for x in xs)
        label = f'<text class="name" x="0" y="{y + 4}">{escape(scored.name[:20])}</text>'
        line = f'<path class="curve" style="stroke-width:1" d="M{xs[0]:.1f} {y}H{xs[-1]:.1f}"/>'
        parts.append(f'{label}<g class="{style_of(scored.name, names)}">{line}{marks}</g>')
    told = f"Nodes of the grids of {row.schedule.solver} at {row.schedule.nfe} calls, sigma falling from {top:g} to 0"
    return f'<svg viewBox="0 0 360 {bottom + 20:.0f}" role="img"><title>{escape(told)}</title>{"".join(parts)}</svg>'


def _ends(scored: Scored, metric: str) -> tuple[float, float]:
    """The ends of a bar of two standard errors to each side; the lower not below half of the value."""
    value, spread = value_of(scored, metric), 2 * (scored.stderr or 0.0) if metric == "endpoint" else 0.0
    return max(value - spread, value / 2), value + spread


def _log_scale(first: float, last: float, start: float, end: float) -> Callable[[float], float]:
    """The place of a value on a log axis from `start`, where it is `first`, to `end`; the middle where both are one."""
    if first == last:
        return lambda _: (start + end) / 2
    span = math.log(last / first)
    return lambda value: start + (end - start) * math.log(value / first) / span


def _ticks(low: float, high: float, *, only_decades: bool = False) -> list[float]:
    """Round numbers between two values: decades, not all where they are many, and others between where they are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = 1 + len(decades) // 8
    found: list[float] = []
    for digits in ((1.0,), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)):
        all_of = [float(f"{digit}e{power}") for power in decades if power % every == 0 for digit in digits]
        found = [tick for tick in all_of if low <= tick <= high]
        if only_decades or len(found) >= 3:
            break
    return found

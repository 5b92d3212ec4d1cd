"""Pictures of an evaluation, with matplotlib: what was measured against its cost, and samples side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from artc.evaluation.baselines import OURS as NAME
from artc.evaluation.drawing import Drawn
from artc.evaluation.plots import OTHERS, OURS, mosaic, new_figure, save
from artc.evaluation.reported import EvaluationReport, Row, Scored

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MORE = ("#CC79A7", "#000000", "#F0E442")
"""What is left of the palette, for competitors that have no colour of their own."""
LINES = ("-", "--", ":")
TITLES = {"endpoint": "end-point error", "frechet": "Frechet distance"}


def colour_of(name: str, among: Sequence[str]) -> str:
    """The colour of a grid, the same in every picture."""
    others = [other for other in among if other not in OTHERS]
    return OURS if name == NAME else OTHERS.get(name) or MORE[others.index(name) % len(MORE)]


def line_of(name: str, among: Sequence[str]) -> str:
    """How the line of a grid is drawn: whole, or broken where its colour is taken already."""
    others = [other for other in among if other not in OTHERS]
    return LINES[others.index(name) // len(MORE) % len(LINES)] if name in others else LINES[0]


def value_of(scored: Scored, metric: str) -> float:
    """What was measured of a grid; NaN for nothing."""
    value = scored.error if metric == "endpoint" else scored.frechet
    return math.nan if value is None else value


def measured_metrics(report: EvaluationReport) -> tuple[str, ...]:
    """The metrics that were measured."""
    return tuple(metric for metric in TITLES if metric in report.conditions)


def plot_evaluation(report: EvaluationReport, path: Path) -> None:
    """Each metric against NFE, a panel for each solver, a line for each grid, with bars of two standard errors."""
    solvers = list(dict.fromkeys(row.schedule.solver for row in report.rows))
    metrics = measured_metrics(report)
    figure = new_figure(1.5 + 4.3 * len(solvers), 0.7 + 3.9 * len(metrics))
    panels = figure.subplots(len(metrics), len(solvers), squeeze=False, sharey="row")
    for line, metric in zip(panels, metrics, strict=True):
        for axes, solver in zip(line, solvers, strict=True):
            rows = [row for row in report.rows if row.schedule.solver == solver]
            _draw(axes, rows, metric, report.against)
            axes.set_title(f"{TITLES[metric]}, {solver}")
        line[0].set_ylabel("RMS distance from the teacher" if metric == "endpoint" else "squared units of the features")
    handles, labels = panels[0][0].get_legend_handles_labels()
    handles, labels = handles[-1:] + handles[:-1], labels[-1:] + labels[:-1]
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6), frameon=False)
    figure.suptitle(f"{report.artifact.model.name}: compiled schedules beside grids that cost the same")
    save(figure, path)


def _draw(axes: Axes, rows: Sequence[Row], metric: str, against: Sequence[str]) -> None:
    nfe = [row.schedule.nfe for row in rows]
    for place in (*range(1, len(against) + 1), 0):  # ours last, above the others
        scores = [row.grids[place] for row in rows]
        name = scores[0].name
        bars = [2 * (scored.stderr or 0.0) for scored in scores] if metric == "endpoint" else None
        axes.errorbar(
            nfe,
            [value_of(scored, metric) for scored in scores],
            yerr=bars,
            fmt=f"o{line_of(name, against)}",
            markersize=4,
            capsize=2,
            color=colour_of(name, against),
            linewidth=2.5 if place == 0 else 1,
            label=name,
        )
    positive = [value for row in rows for scored in row.grids if (value := value_of(scored, metric)) > 0]
    axes.set(xlabel="denoiser calls", yscale="log" if positive else "linear")
    axes.set_xticks(nfe, [str(value) for value in nfe])
    axes.grid(axis="y", linewidth=0.4, alpha=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def plot_drawn(drawn: Sequence[Drawn], path: Path) -> None:
    """Samples of each schedule in a row, a column for each grid: images `(n, C, H, W)` in [-1, 1]."""
    names = list(drawn[0][1])
    figure = new_figure(0.5 + 2.0 * len(names), 0.1 + 2.2 * len(drawn))
    panels = figure.subplots(len(drawn), len(names), squeeze=False)
    for line, (row, samples) in zip(panels, drawn, strict=True):
        for axes, (name, images) in zip(line, samples.items(), strict=True):
            axes.imshow(mosaic(images, math.isqrt(len(images))), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            error = next((scored.error for scored in row.grids if scored.name == name), None)
            under = "" if error is None else f"  {error:.3f}"
            axes.set_title(f"{name}{under}", fontsize=9, color=OURS if name == NAME else "black")
        line[0].set_ylabel(f"{row.schedule.solver}, {row.schedule.nfe} calls")
    save(figure, path)


def square(count: int) -> int:
    """The number of samples of a panel: at most 16, and a square."""
    return int(np.square(math.isqrt(min(count, 16))))

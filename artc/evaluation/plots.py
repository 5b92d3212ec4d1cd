"""Pictures of schedules and of samples, with matplotlib; no torch.

Colours are the first of the Okabe-Ito palette, which colour-blind readers can tell apart; the compiled schedule is
always the one drawn heavy and blue.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from artc.artifact import Artifact
from artc.artifact.writing import check_writable, write_whole
from artc.errors import InputError, OutputError
from artc.models.domains import unscaled_sigma
from artc.sampling.grids import grid_for, names_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS = "#0072B2"
OTHERS = {"edm": "#D55E00", "edm-free": "#E69F00", "logsnr": "#009E73", "uniform": "#999999", "shifted": "#56B4E9"}
FORMATS = (".png", ".svg", ".pdf")


def plot_artifact(artifact: Artifact, path: Path) -> None:
    """One picture of an artifact: the warp, the stiffness it follows, the nodes of each grid, and the errors."""
    figure = new_figure(11, 7)
    axes = figure.subplots(2, 2)
    _draw_warp(axes[0][0], artifact)
    _draw_stiffness(axes[0][1], artifact)
    _draw_nodes(axes[1][0], artifact)
    _draw_errors(axes[1][1], artifact)
    model = artifact.model
    figure.suptitle(f"{model.name}   sigma {model.sigma_max:g} to 0   {artifact.provenance.method}")
    save(figure, path)


def plot_samples(panels: Mapping[str, NDArray[np.float64]], path: Path, columns: int = 8) -> None:
    """Image samples side by side, one titled panel for each entry: `(n, C, H, W)` in [-1, 1], C 1 or 3."""
    count = len(next(iter(panels.values())))
    columns = min(columns, count)
    figure = new_figure(4.0 * len(panels), 4.0 * math.ceil(count / columns) / columns + 0.4)
    for place, (title, samples) in zip(np.ravel(figure.subplots(1, len(panels))), panels.items(), strict=True):
        place.imshow(mosaic(samples, columns), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        place.set_title(title)
        place.set_axis_off()
    save(figure, path)


def save_samples(panels: Mapping[str, NDArray[np.float64]], path: Path) -> None:
    """Write samples as a picture or, to a .npz file, as numbers under the panels' names."""
    if path.suffix.lower() == ".npz":
        content = io.BytesIO()
        np.savez(content, **panels)  # type: ignore[arg-type]  # it might be named as an option of savez; none is
        write_whole(path, content.getvalue(), force=True)
    else:
        plot_samples(panels, path)


def check_samples_path(path: Path, shape: Sequence[int]) -> None:
    """Raise OutputError or InputError, before any work is done, when samples of that shape could not be written."""
    if path.suffix.lower() == ".npz":
        check_writable(path, force=True)
        return
    check_picture_path(path)
    if len(shape) != 3 or shape[0] not in (1, 3):
        sizes = " x ".join(map(str, shape))
        raise InputError(f"Samples of shape {sizes} are not images.", hint="Write them to a .npz file.")


def save(figure: Figure, path: Path) -> None:
    """Write a figure; raises OutputError for an unknown ending or a folder that cannot be written."""
    check_picture_path(path)
    content = io.BytesIO()
    figure.savefig(content, dpi=150, format=path.suffix.lower()[1:])
    write_whole(path, content.getvalue(), force=True)


def check_picture_path(path: Path) -> None:
    """Raise OutputError, before any work is done, when a picture could not be written there."""
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{str(path)!r} is not a picture file.", hint=f"End it in one of {', '.join(FORMATS)}.")
    check_writable(path, force=True)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    # Not pyplot: no window system, no global state, and half the import time.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def mosaic(samples: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Images in rows of `columns`, a pixel apart, in [0, 1]: `(rows, columns, 3)` or grey `(rows, columns)`."""
    images = np.clip((samples + 1) / 2, 0, 1)
    count, channels, height, width = images.shape
    rows = math.ceil(count / columns)
    canvas = np.ones((rows * (height + 1) - 1, columns * (width + 1) - 1, channels))
    for index, image in enumerate(images):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        canvas[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return canvas.squeeze(-1) if channels == 1 else canvas


def _draw_warp(axes: Axes, artifact: Artifact) -> None:
    warp, model = artifact.warp, artifact.model
    floor = model.sigma_min / 4
    axes.plot(warp.clock, np.maximum(warp.sigma, floor), color=OURS, linewidth=2.5, label="compiled")
    for name in names_for(model):
        sigmas = grid_for(name, 128, model)
        axes.plot(np.linspace(0, 1, 129), np.maximum(sigmas, floor), color=OTHERS[name], linewidth=1, label=name)
    axes.set(yscale="log", xlabel="clock", ylabel="sigma", title="where the clock is spent")
    axes.legend(frameon=False)


def _draw_stiffness(axes: Axes, artifact: Artifact) -> None:
    axes.set(title="stiffness per unit of log sigma", xlabel="sigma", ylabel="sigma^2 |x''|")
    if artifact.stiffness is None:
        return
    sigma = np.array(artifact.stiffness.sigma)
    unscaled = unscaled_sigma(sigma, artifact.model.domain)  # of which a flow model's stiffness is, too
    axes.plot(sigma, np.array(artifact.stiffness.mean) * unscaled**2, color="black")
    axes.set(xscale="log", yscale="log")
    axes.invert_xaxis()


def _draw_nodes(axes: Axes, artifact: Artifact) -> None:
    model, rows = artifact.model, list(artifact.schedules)
    floor = model.sigma_min / 4
    for row, schedule in enumerate(rows):
        other = grid_for("edm", schedule.steps, model).tolist()
        _draw_row(axes, row + 0.15, schedule.sigmas, floor, OURS, "compiled" if row == 0 else None)
        _draw_row(axes, row - 0.15, other, floor, OTHERS["edm"], "edm" if row == 0 else None)
    axes.set(xscale="log", xlabel="sigma (the last node is 0, drawn at the right edge)", title="nodes of each grid")
    axes.set_yticks(range(len(rows)), [f"{schedule.solver} {schedule.nfe}" for schedule in rows])
    axes.set_ylim(-0.6, 1.16 * len(rows) - 0.3)  # room for the legend above the last row
    axes.invert_xaxis()
    axes.legend(frameon=False, loc="upper center", ncols=2)


def _draw_row(axes: Axes, height: float, sigmas: Sequence[float], floor: float, color: str, label: str | None) -> None:
    places = np.maximum(sigmas, floor)
    axes.plot(places, np.full(len(places), height), "o-", color=color, markersize=4, linewidth=0.7, label=label)


def _draw_errors(axes: Axes, artifact: Artifact) -> None:
    axes.set(title="end-point error at equal NFE", xlabel="NFE", ylabel="RMS distance from the teacher")
    solver = artifact.schedules[0].solver if artifact.schedules else ""
    measured = sorted(
        (schedule for schedule in artifact.schedules if schedule.evaluation and schedule.solver == solver),
        key=lambda schedule: schedule.nfe,
    )
    if not measured:
        axes.text(0.5, 0.5, "nothing measured", ha="center", transform=axes.transAxes)
        return
    nfe = [schedule.nfe for schedule in measured]
    for name in names_for(artifact.model):
        values = [schedule.evaluation[0].baselines.get(name, math.nan) for schedule in measured]
        axes.plot(nfe, values, "o-", color=OTHERS[name], linewidth=1, markersize=4, label=name)
    ours = [schedule.evaluation[0] for schedule in measured]
    bars = [2 * done.stderr for done in ours]
    axes.errorbar(nfe, [done.value for done in ours], yerr=bars, fmt="o-", color=OURS, linewidth=2.5, label="compiled")
    axes.set(yscale="log", xlabel="NFE (bars: 2 standard errors)", title=f"end-point error at equal NFE, {solver}")
    axes.set_xticks(nfe, [str(value) for value in nfe])
    axes.minorticks_off()
    axes.legend(frameon=False)

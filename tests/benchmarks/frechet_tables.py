"""The part of `RESULTS.md` that is made of the cells of `peer_frechet`.

With f(g, s) the distance on grid g from the noises of seed s, artc is held against the peer of the least mean over the
seeds. It is *lower* where the mean over s of d_s = f(artc, s) - f(peer, s) is below 0, and *within noise* where that is
not more than twice its standard error, sd(d) / sqrt(seeds): the noises of a seed are the same for both. Of one seed no
standard error is known, and nothing is within noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean, mean, stdev
from typing import Any

from .peer_frechet import METHODS, TEACHER, TEST
from .peers import OURS, PLANNED, WITH_MODEL_SIGMAS
from .readme import markdown

HEAD = """## Frechet distance

Of {samples} samples to all training images of the data, in the features of the embedded classifiers, so comparable with
nothing else; mean over the seeds of the noises (`seeds` says how many), and their standard deviation in brackets. The
best peer is the one of {peers} with the least mean; within noise is what is at most
twice the standard error of the paired difference above it. `python -m tests.benchmarks.peer_frechet` measured {cells}
cells on the grids of the tables above."""

FLOORS = """What a distance can be: as many test images, and samples of the {calls} calls whose end points are aimed at.
Where the distance of few calls is near the latter or below it, it says little about how near they end."""

LOSSES = """Where artc is further than the best peer by more than noise, or of one seed, wherever it is further:"""

Values = Mapping[str, Mapping[int, float]]
"""Method to seed to distance."""

Row = tuple[str, str, int]
"""Model, solver, NFE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One of ours beside the best peer of a row."""

    row: Row
    peer: str
    ours: float
    theirs: float
    seeds: int
    lower: bool
    within: bool

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


def values_of(lines: Iterable[Mapping[str, Any]]) -> dict[Row, dict[str, dict[int, float]]]:
    """Distances by row, method and seed; of two cells for the same the later counts."""
    found: dict[Row, dict[str, dict[int, float]]] = {}
    for cell in lines:
        row = (cell["model"], cell["solver"] or "", cell["nfe"] or 0)
        found.setdefault(row, {}).setdefault(cell["method"], {})[cell["seed"]] = cell["frechet"]
    return dict(sorted(found.items()))


def beside(row: Row, values: Values, ours: str) -> Beside | None:
    """Ours beside the best peer, on the seeds in which all are known; None where there are none."""
    names = (ours, *PLANNED)
    seeds = sorted(set.intersection(*(set(values.get(name, {})) for name in names)))
    if not seeds:
        return None
    means = {name: mean(values[name][seed] for seed in seeds) for name in names}
    peer = min(PLANNED, key=lambda name: means[name])
    differences = [values[ours][seed] - values[peer][seed] for seed in seeds]
    noise = 2 * stdev(differences) / len(seeds) ** 0.5 if len(seeds) > 1 else 0.0
    lower, within = mean(differences) <= 0, mean(differences) <= noise
    return Beside(
        row=row, peer=peer, ours=means[ours], theirs=means[peer], seeds=len(seeds), lower=lower, within=within
    )


def frechet_section(lines: Sequence[Mapping[str, Any]]) -> str:
    """The whole section; empty where nothing was measured."""
    values = values_of(lines)
    grids = {row: known for row, known in values.items() if row[1] and TEACHER not in known}
    if not grids:
        return ""
    samples = " and ".join(f"{count:,}" for count in sorted({cell["samples"] for cell in lines}))
    both = [
        (ours, [one for row, known in grids.items() if (one := beside(row, known, ours))])
        for ours in (OURS, WITH_MODEL_SIGMAS)
    ]
    parts = [HEAD.format(samples=samples, peers=", ".join(PLANNED), cells=len(lines)), count_table(both)]
    parts += [FLOORS.format(calls=max((row[2] for row, known in values.items() if TEACHER in known), default=0))]
    parts += [floor_table(values), LOSSES, loss_table(both)]
    for model in dict.fromkeys(row[0] for row in grids):
        parts += [f"**`{model}`**", value_table({row: known for row, known in grids.items() if row[0] == model})]
    return "\n\n".join(parts)


def count_table(both: Sequence[tuple[str, Sequence[Beside]]]) -> str:
    """In how many cells ours are lower than the best peer, or within noise of it."""
    rows = []
    for ours, found in both:
        for model in dict.fromkeys(one.row[0] for one in found):
            some = [one for one in found if one.row[0] == model]
            lower, within = sum(one.lower for one in some), sum(one.within for one in some)
            seeds = " to ".join(map(str, sorted({min(one.seeds for one in some), max(one.seeds for one in some)})))
            ratio = geometric_mean(one.ratio for one in some)
            share = f"{within} ({within / len(some):.0%})"
            rows.append([ours, f"`{model}`", seeds, str(len(some)), str(lower), share, f"{ratio:.3f}"])
    columns = ["ours", "model", "seeds", "cells", "lower", "lower or within noise", "ratio, geometric mean"]
    return markdown(columns, rows)


def floor_table(values: Mapping[Row, Values]) -> str:
    """Test images and the teacher's samples, for each model."""
    models = dict.fromkeys(row[0] for row in values)
    rows = []
    for name in (TEST, TEACHER):
        known = {row[0]: found[name] for row, found in values.items() if name in found}
        rows.append([name, *(entry(known.get(model, {})) for model in models)])
    return markdown(["", *(f"`{model}`" for model in models)], rows)


def loss_table(both: Sequence[tuple[str, Sequence[Beside]]]) -> str:
    """Every cell in which ours are further than the best peer by more than noise."""
    rows = [
        [ours, *map(str, one.row), one.peer, f"{one.ours:.2f}", f"{one.theirs:.2f}", f"{one.ratio:.2f}"]
        for ours, found in both
        for one in found
        if not one.within
    ]
    return markdown(["ours", "model", "solver", "calls", "best peer", "ours at", "peer at", "ratio"], rows)


def value_table(grids: Mapping[Row, Values]) -> str:
    """All distances of a model."""
    names = [name for name in METHODS if any(name in known for known in grids.values())]
    rows = [[row[1], str(row[2]), *(entry(known.get(name, {})) for name in names)] for row, known in grids.items()]
    return markdown(["solver", "calls", *names], rows)


def entry(found: Mapping[int, float]) -> str:
    """Mean and standard deviation over seeds."""
    if not found:
        return "-"
    spread = f" ({stdev(found.values()):.2f})" if len(found) > 1 else ""
    return f"{mean(found.values()):.2f}{spread}"

"""Write `RESULTS.md` from the cells of `peers`: no number in it is typed by hand.

python -m tests.benchmarks.results_page
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean, mean, median, stdev
from typing import Any

from artc.peers import PEERS

from .cells import read_cells
from .frechet_tables import frechet_section
from .more_noises import CELLS as MORE
from .more_noises import FURTHEST
from .peer_frechet import CELLS as FRECHET
from .peers import CELLS, COMPILED, HAND_MADE, LEARNED, OURS, PLANNED, SEED, WITH_MODEL_SIGMAS
from .readme import markdown
from .record import load
from .search_tables import cost_section, exhaustive_section

PAGE = Path(__file__).with_name("RESULTS.md")
ORDER = (*COMPILED, *PEERS, *HAND_MADE)
TARGETS: dict[str, tuple[str, ...]] = {
    f"the best of {', '.join(PLANNED)}": PLANNED,
    "ld3": ("ld3",),
    "ld3-shifted": ("ld3-shifted",),
    "edm": ("edm",),
    "edm-free": ("edm-free",),
}
WORSE = 1.05

HEAD = """# artc and other methods

Root mean square distance of the samples of a few calls from those of {teacher_steps} Heun steps, on {noises} noises
that no method saw; lower is better, the lowest of each row is bold. Each method is a file of `artc/peers/`, which says
what it does and where it differs from what was published. `artc` is what `artc.compile` makes, asked for a solver and
its budgets; `artc-model-sigmas` what it makes asked for model sigmas too, walked with them; `artc-max` what it makes of
`effort="max"`. {cells} cells.

`python -m tests.benchmarks.peers` measured them, seed {seed} where nothing else is said, and
`python -m tests.benchmarks.results_page` wrote this page."""

RATIOS = """## Ratios

The error of artc over that of another method at the same model, solver and calls: below 1 artc ends nearer. Geometric
means over all cells in which both are known; and in how many of them artc is further by more than {worse:.0%}."""

SEEDS = """## Seeds

The seed is that of the noises a method learns from; those it is judged on stay the same. Our error over that of the
best of {peers}, geometric mean over the cells that are known for every seed; and the
standard deviation of our error over the seeds in parts of its mean, median over the cells."""

COSTS = """## What finding the grids takes

Model calls, for one sample each, for all budgets of one solver, mean over the solvers. What serves several budgets is
counted once, artc's final check with the rest."""

MORE_NOISES = """## More noises

The same grids from {noises:,} other noises: `python -m tests.benchmarks.more_noises`. The ratios of the root mean
squares again:"""

MEDIANS = """The ratios of the median distances over the noises, which a few noises that end in another mode than the
teacher's do not move:"""

FURTHEST_PART = """How much of the mean square the furthest {part:.0%} of the noises make, median over the budgets and
solvers. Where it is much, the root mean square says how often a sample ends elsewhere, the median how near the others
end, and a method may be ahead in one and behind in the other."""

Cell = Mapping[str, Any]
Cells = Mapping[tuple[str, str, int], Mapping[str, Cell]]


def sorted_out(lines: Iterable[Cell], seed: int = SEED) -> Cells:
    """The cells of a seed by model, solver and NFE, then by method; of two for the same the later counts."""
    found: dict[tuple[str, str, int], dict[str, Cell]] = {}
    for cell in lines:
        if cell["seed"] != seed:
            continue
        found.setdefault((cell["model"], cell["solver"], cell["nfe"]), {})[cell["method"]] = cell
    return dict(sorted(found.items(), key=lambda item: item[0]))


def page(
    lines: Sequence[Cell],
    distances: Sequence[Cell] = (),
    searches: Sequence[str] = (),
    more: Sequence[Cell] = (),
) -> str:
    """The whole page, of the cells of `peers`, `peer_frechet` and `more_noises`; `searches` are finished sections."""
    cells = sorted_out(lines)
    several = {name: " and ".join(sorted({str(cell[name]) for cell in lines})) for name in ("teacher_steps", "noises")}
    parts = [HEAD.format(cells=sum(map(len, cells.values())), seed=SEED, **several)]
    parts += [RATIOS.format(worse=WORSE - 1), ratio_table(cells)]
    if any(cell["seed"] != SEED for cell in lines):
        parts += [SEEDS.format(peers=", ".join(PLANNED)), seed_table(lines)]
    for model in dict.fromkeys(key[0] for key in cells):
        parts.append(f"## `{model}`")
        for solver in dict.fromkeys(key[1] for key in cells if key[0] == model):
            some = {key: row for key, row in cells.items() if key[:2] == (model, solver)}
            parts += [f"**{solver}**", error_table(some)]
    parts += [more_section(more), COSTS, cost_table(cells)]
    return "\n\n".join(filter(None, [*parts, *searches, frechet_section(distances)])) + "\n"


def more_section(lines: Sequence[Cell]) -> str:
    """The grids from more noises, by root mean square and by median; nothing where none were walked."""
    if not lines:
        return ""
    by_median = sorted_out({**cell, "error": cell["median"]} for cell in lines)
    head = MORE_NOISES.format(noises=min(cell["noises"] for cell in lines))
    parts = [head, ratio_table(sorted_out(lines)), MEDIANS, ratio_table(by_median)]
    return "\n\n".join([*parts, FURTHEST_PART.format(part=FURTHEST), furthest_table(lines)])


def furthest_table(lines: Sequence[Cell]) -> str:
    """A row for each method, a column for each model: the furthest noises' part of the mean square."""
    models = sorted({cell["model"] for cell in lines})
    rows = []
    for name in ORDER:
        parts = [[cell["furthest"] for cell in lines if (cell["method"], cell["model"]) == (name, on)] for on in models]
        if any(parts):
            rows.append([name, *(f"{median(some):.1%}" if some else "-" for some in parts)])
    return markdown(["method", *(f"`{model}`" for model in models)], rows)


def error_table(cells: Cells) -> str:
    """A row for each NFE, a column for each method, and ours over the best of the others.

    A grid alone is held against lists of sigmas, one with model sigmas against everything.
    """
    names = [name for name in ORDER if any(name in row for row in cells.values())]
    everything = [name for name in names if name not in COMPILED]
    lists = [name for name in everything if name != LEARNED[1]]
    rows = []
    for (_, _, nfe), row in cells.items():
        lowest = min(cell["error"] for cell in row.values())
        compared = [*beside(row, OURS, lists), *beside(row, WITH_MODEL_SIGMAS, everything)]
        rows.append([str(nfe), *(entry(row.get(name), lowest) for name in names), *compared])
    columns = ["best list", f"{OURS} / it", "best of all", "with model sigmas / it"]
    return markdown(["calls", *names, *columns], rows)


def beside(row: Mapping[str, Cell], ours: str, names: Sequence[str]) -> tuple[str, str]:
    """The best of these methods, and our error over its."""
    best = best_of(row, names)
    ratio = f"{row[ours]['error'] / row[best]['error']:.2f}" if best and ours in row else "-"
    return best or "-", ratio


def entry(cell: Cell | None, lowest: float) -> str:
    """An error with its standard error, bold where it is the lowest."""
    if cell is None:
        return "-"
    mark = "**" if cell["error"] == lowest else ""
    return f"{mark}{cell['error']:.4f}{mark} ({cell['stderr']:.4f})"


def best_of(row: Mapping[str, Cell], names: Iterable[str]) -> str | None:
    """Which of these methods ends nearest; None where none is known."""
    return min((name for name in names if name in row), key=lambda name: row[name]["error"], default=None)


def ratios(cells: Cells, ours: str, theirs: Sequence[str]) -> list[float]:
    """Our error over that of the best of theirs, for each cell in which we and all of them are known."""
    known = [row for row in cells.values() if {ours, *theirs} <= row.keys()]
    return [row[ours]["error"] / min(row[name]["error"] for name in theirs) for row in known]


def ratio_table(cells: Cells) -> str:
    """A row for each target, over all models and for each of them."""
    ours = [name for name in COMPILED if any(name in row for row in cells.values())]
    models = list(dict.fromkeys(key[0] for key in cells))
    rows = []
    for mine in ours:
        for target, names in TARGETS.items():
            found = ratios(cells, mine, names)
            if not found:
                continue
            each = [
                ratios({key: row for key, row in cells.items() if key[0] == model}, mine, names) for model in models
            ]
            means = [f"{geometric_mean(some):.3f}" if some else "-" for some in each]
            above = sum(ratio > WORSE for ratio in found)
            whole = [f"**{geometric_mean(found):.3f}**", str(len(found)), str(above), f"{max(found):.2f}"]
            rows.append([mine, target, *whole, *means])
    columns = ["ours", "against", "all", "cells", f"above {WORSE}", "greatest", *(f"`{model}`" for model in models)]
    return markdown(columns, rows)


def seed_table(lines: Sequence[Cell]) -> str:
    """A row for each of ours and each model with several seeds: the ratios to the best peer, seed by seed."""
    seeds = sorted({cell["seed"] for cell in lines})
    several = {seed: sorted_out(lines, seed) for seed in seeds}
    rows = []
    for ours in COMPILED:
        for model in dict.fromkeys(key[0] for key in several[SEED]):
            known = [
                {key for key, row in several[seed].items() if key[0] == model and {ours, *PLANNED} <= row.keys()}
                for seed in seeds
            ]
            both = sorted(set.intersection(*known))
            if not both:
                continue
            means = [geometric_mean(ratios({key: several[seed][key] for key in both}, ours, PLANNED)) for seed in seeds]
            errors = [[several[seed][key][ours]["error"] for seed in seeds] for key in both]
            spread = median(stdev(found) / mean(found) for found in errors)
            rows.append([ours, f"`{model}`", str(len(both)), *(f"{value:.3f}" for value in means), f"{spread:.1%}"])
    columns = ["ours", "model", "cells", *(f"seed {seed}" for seed in seeds), "spread"]
    return markdown(columns, rows)


def cost_table(cells: Cells) -> str:
    """Calls of every method for all budgets of a solver, on each model."""
    models = list(dict.fromkeys(key[0] for key in cells))
    rows = []
    for name in (*COMPILED, *PLANNED, *LEARNED):
        row = [name]
        for model in models:
            found: dict[str, list[Cell]] = {}
            for key, methods in cells.items():
                if key[0] == model and name in methods:
                    found.setdefault(key[1], []).append(methods[name])
            row.append(f"{mean(map(calls_of, found.values())):,.0f}" if found else "-")
        rows.append(row)
    return markdown(["method", *(f"`{model}`" for model in models)], rows)


def calls_of(cells: Sequence[Cell]) -> int:
    """Calls that all cells of a method and solver took: what they share once, and what each of them took besides."""
    shared: int = max(cell["shared"] for cell in cells)
    return shared + sum(cell["calls"] - cell["shared"] for cell in cells)


def write(cells: Path = CELLS, frechet: Path = FRECHET, more: Path = MORE, to: Path = PAGE) -> None:
    """Write the page of three files of cells and of what `cost` and `exhaustive` recorded."""
    lines, distances, walked = (list(read_cells(path).values()) for path in (cells, frechet, more))
    searches = (cost_section(load("cost")), exhaustive_section(load("exhaustive")))
    to.write_text(page(lines, distances, searches, walked), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the page of results.")
    parser.add_argument("--cells", type=Path, default=CELLS)
    parser.add_argument("--frechet", type=Path, default=FRECHET)
    parser.add_argument("--more", type=Path, default=MORE)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    write(options.cells, options.frechet, options.more, options.page)


if __name__ == "__main__":
    main()

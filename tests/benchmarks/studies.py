"""Write `STUDIES.md` from the stored results of the studies: no number in it is typed by hand.

python -m tests.benchmarks.studies
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from .readme import markdown
from .record import RESULTS, load

PAGE = Path(__file__).with_name("STUDIES.md")
HEAD = """# Studies

What the papers measure, measured here, and what they leave open. Each table is written from a JSON file in `results/`
by `python -m tests.benchmarks.studies`; the command under it made that file, which also names machine, versions, seeds.
"""

ONE_DIMENSIONAL = """## One dimension, exact score

W2 between the law of K Euler steps and that of the end points of a fine walk, {noises:,} noises; mean, and standard
deviation over {seeds} seeds in brackets. `ART-RL` is what `artc compile` bakes, one warp for all K; `ART-RL at K` is
trained for that K alone, as the papers do; `paper` is `artc compile --paper`."""

PAPER_MODE = """## Paper mode and the bank, on `{model}`

J_K of the grid over J*, on trajectories held out.

{table}

The bank took {bank_calls:,} calls for all K, paper mode {paper_calls:,}: {ratio:.1f} times as many. `{command}`"""


def one_dimensional() -> str:
    """W2 of every grid, the learners against the optimum of what they minimise, and what paper mode reports."""
    result = load("one_dimensional")
    cells = result["results"]
    parts = [ONE_DIMENSIONAL.format(noises=result["noises"], seeds=len(unique(cells, "seed")))]
    for problem in unique(cells, "problem"):
        some = [cell for cell in cells if cell["problem"] == problem]
        columns = list(some[0]["w2"])
        rows = [[str(steps), *best_bold(spread_of(some, steps, columns))] for steps in unique(some, "steps")]
        parts.append(f"**{problem}**\n\n{markdown(['K', *columns], rows)}")
    parts.append(f"J of each learner over the least that dynamic programming finds, worst seed:\n\n{learners(cells)}")
    return "\n\n".join([*parts, f"`{result['command']}`"])


def learners(cells: Sequence[Mapping[str, Any]]) -> str:
    """Path-integrated J of ART-RL and left-end J of paper mode, each over its optimum; and what went wrong."""
    rows = []
    for problem in unique(cells, "problem"):
        for steps in unique(cells, "steps"):
            some = [cell for cell in cells if (cell["problem"], cell["steps"]) == (problem, steps)]
            worst = {key: max(cell["J_over_DP"][key] for cell in some) for key in ("ART-RL", "ART-RL at K")}
            left = max(cell["paper"]["left_end_over_DP"] for cell in some)
            calls = f"{some[0]['model_calls']['paper']:,}"
            found = [said.split(":")[0] for cell in some for said in cell["paper"]["failures"]]
            trouble = ", ".join(f"{name} ({found.count(name)})" for name in dict.fromkeys(found)) or "none"
            rows.append(
                [problem, str(steps), *(f"{value:.3f}" for value in worst.values()), f"{left:.2f}", calls, trouble]
            )
    columns = [
        "data",
        "K",
        "ART-RL",
        "ART-RL at K",
        "paper mode, of its own cost",
        "its calls",
        "what it reports (seeds)",
    ]
    bank = cells[0]["model_calls"]["bank"]
    return f"{markdown(columns, rows)}\n\nThe bank took {bank:,} calls, once for all K."


def paper_mode() -> str:
    """The gap of both learners on the digits, and the calls each took."""
    result = load("paper_mode")
    rows = [
        [
            cell["method"],
            str(cell["steps"]),
            f"{cell['gap']:.1%}",
            f"{cell['gap_of_DP']:.1%}",
            "; ".join(cell["failures"]) or "none",
        ]
        for cell in result["results"]
    ]
    table = markdown(["method", "K", "gap", "least possible at K", "what it reports"], rows)
    return PAPER_MODE.format(table=table, ratio=result["paper_calls"] / result["bank_calls"], **result)


def spread_of(cells: Iterable[Mapping[str, Any]], steps: int, columns: Sequence[str]) -> list[tuple[float, float]]:
    """Mean and standard deviation of W2 over the seeds, for each grid."""
    some = [cell["w2"] for cell in cells if cell["steps"] == steps]
    values = [[found[name] for found in some] for name in columns]
    return [(mean(found), stdev(found) if len(found) > 1 else 0.0) for found in values]


def best_bold(figures: Sequence[tuple[float, float]]) -> list[str]:
    """Mean and spread as cells, the lowest mean bold."""
    lowest = min(figures)[0]
    return [
        f"**{found:.3f}** ({spread:.3f})" if found == lowest else f"{found:.3f} ({spread:.3f})"
        for found, spread in figures
    ]


def unique(cells: Iterable[Mapping[str, Any]], key: str) -> list[Any]:
    """The values that a field takes, in their order."""
    return list(dict.fromkeys(cell[key] for cell in cells))


STUDIES: dict[str, Callable[[], str]] = {"one_dimensional": one_dimensional, "paper_mode": paper_mode}


def page() -> str:
    """The page: every study whose result is there."""
    return (
        "\n\n".join([HEAD.rstrip(), *(make() for name, make in STUDIES.items() if (RESULTS / f"{name}.json").exists())])
        + "\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

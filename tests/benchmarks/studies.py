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

LEARNERS = """Each learner over the least that dynamic programming finds for what it minimises, worst seed: the
path-integrated J for ART-RL, the left-end cost for paper mode. Dynamic programming picks among the nodes of the
bank: with many steps a warp, which need not, is a little below it."""

PAPER_MODE = """## Paper mode and the bank, on `{model}`

J_K of the grid over J*, on trajectories held out.

{table}

The bank took {bank_calls:,} calls for all K, paper mode {paper_calls:,}: {ratio:.1f} times as many. `{command}`"""

FRECHET = """## Frechet distance on `{model}`

Of {samples:,} samples to {reference}, in the features of the embedded classifier, mean over seeds and their standard
deviation in brackets, which a value of one seed has not; every grid of a seed starts from the same noises. `art-rl` is
the plain learned warp, nothing refined. {cells} of {of} cells are measured. For comparison: {samples:,} test digits are
at {floor:.2f}, and samples of {teacher_calls} calls at {teacher}.

{table}

`{command}`"""

TRANSFER = """## Transfer

End-point error against {teacher_steps} Heun steps, {noises} noises, lower is better; the lowest of each row is bold.

**Other data.** The warp of one model on the other; a model's own is the nearer one in {own} of {rows} rows.

{across_data}

**Other numbers of steps.** One schedule of 18 steps, read again from its warp, or resampled from its list alone as the
papers do; beside what is learned, or found by dynamic programming, for that K.

{other_steps}

**Other solvers.** A schedule refined for Heun under other solvers; beside the one refined for each.

{other_solvers}

`{command}`"""

STATE_POLICY = """## Reading the state

The part of the state gain (what clocks that know each trajectory could save of J) that a policy reaches on {held_out}
trajectories held out, by how often it looks; and RMS end-point error of its samples, against the best time-only clock
and against hindsight, each trajectory on the best clock of its own. Means over {seeds} seeds.

{shares}

{ends}

The policy ends nearer to the teacher in {better} of {cells} cells by more than two standard errors, and further in
{worse}: reading the state lowers the cost that the papers minimise, and its samples are {verdict}. Hindsight itself,
with the least cost that there is, ends further than the time-only clock in {hindsight} of {means} rows: so few steps
are not judged by Euler's local error, and a policy can be no better than what it is taught by.

A step of the policy costs {graph:.2f} ms of one CPU thread for a batch of {batch}, {whole:.2f} ms with the statistics
of the state, on the slowest of these models. `{command}`"""

RESUME = """## Killed and resumed

`artc compile {settings}`,
killed by SIGKILL at {kills} moments spread over its whole duration and continued with `--resume`: {equal_digests} of
{kills} ended with the digest of the undisturbed run. `{command}`"""


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
    parts.append(f"{LEARNERS}\n\n{learners(cells)}")
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
            ", ".join(said.split(":")[0] for said in cell["failures"]) or "none",
        ]
        for cell in result["results"]
    ]
    table = markdown(["method", "K", "gap", "least possible at K", "what it reports"], rows)
    return PAPER_MODE.format(table=table, ratio=result["paper_calls"] / result["bank_calls"], **result)


def frechet() -> str:
    """Distances of every grid, and how often the learned one is nearer."""
    result = load("frechet")
    names = list(dict.fromkeys(name for row in result["results"] for name in row["grids"]))
    rows = []
    for row in result["results"]:
        found = [row["grids"].get(name, {"mean": None}) for name in names]
        lowest = min(one["mean"] for one in found if one["mean"] is not None)
        rows.append([row["solver"], str(row["nfe"]), *(distance(one, lowest) for one in found)])
    floor, teacher = result.pop("test_digits")["frechet"], result.pop("teacher")["mean"]
    said = "-" if teacher is None else f"{teacher:.2f}"
    table = markdown(["solver", "calls", *names], rows)
    return FRECHET.format(**{**result, "floor": floor, "teacher": said, "table": table})


def distance(found: Mapping[str, Any], lowest: float) -> str:
    """A mean with its spread, bold when it is the lowest."""
    if found["mean"] is None:
        return "-"
    mark = "**" if found["mean"] == lowest else ""
    return f"{mark}{found['mean']:.2f}{mark}" + ("" if found["std"] is None else f" ({found['std']:.2f})")


def transfer() -> str:
    """The three tables of schedules that are used where they were not compiled for."""
    result = load("transfer")
    names = ("across_data", "other_steps", "other_solvers")
    across = result["across_data"]
    facts = {"own": sum(own_is_nearest(row) for row in across), "rows": len(across)}
    return TRANSFER.format(**{**result, **facts, **{name: error_table(result[name]) for name in names}})


def own_is_nearest(row: Mapping[str, Any]) -> bool:
    """Whether no warp of another model ends nearer than that of the model itself."""
    errors = {name: facts["error"] for name, facts in row["grids"].items() if name.startswith("compiled on ")}
    return errors[f"compiled on {row['model']}"] == min(errors.values())


def error_table(results: Sequence[Mapping[str, Any]]) -> str:
    """A row for each model, solver and NFE; a column for each grid."""
    names = list(dict.fromkeys(name for row in results for name in row["grids"]))
    rows = []
    for row in results:
        lowest = min(facts["error"] for facts in row["grids"].values())
        cells = [row["grids"][name]["error"] for name in names]
        bold = [f"**{value:.4f}**" if value == lowest else f"{value:.4f}" for value in cells]
        rows.append([f"`{row['model']}`", row["solver"], str(row["nfe"]), *bold])
    return markdown(["model", "solver", "calls", *names], rows)


def state_policy() -> str:
    """Shares of the state gain, end points, and what a step costs."""
    result = load("state_policy")
    runs = [run for run in result["results"] if run["share"]]
    kinds = ("time_only", "policy", "hindsight")
    shares, ends = [], []
    for model in unique(runs, "model"):
        some = [run for run in runs if run["model"] == model]
        gain = f"{mean(run['state_gain'] for run in some):.1%}"
        reached = [mean(run["share"][looks] for run in some) for looks in some[0]["share"]]
        shares.append([f"`{model}`", gain, *(f"{value:.0%}" for value in reached)])
        for place, cell in enumerate(some[0]["endpoint_rms"]):
            values = [mean(run["endpoint_rms"][place][kind] for run in some) for kind in kinds]
            ends.append([f"`{model}`", cell["solver"], str(cell["nfe"]), *(f"{value:.4f}" for value in values)])
    cells = [cell["policy_less_time_only"] / cell["standard_error"] for run in runs for cell in run["endpoint_rms"]]
    cost = [run["overhead_cpu_ms"] for run in result["results"]]
    better, worse = sum(cell < -2 for cell in cells), sum(cell > 2 for cell in cells)
    facts = {
        "seeds": len(unique(runs, "seed")),
        "hindsight": sum(float(row[-1]) > float(row[-3]) for row in ends),
        "means": len(ends),
        "shares": markdown(["model", "state gain", *(f"{looks} looks" for looks in runs[0]["share"])], shares),
        "ends": markdown(["model", "solver", "calls", "time only", "policy", "hindsight"], ends),
        "graph": max(one["graph"] for one in cost),
        "whole": max(one["with_statistics"] for one in cost),
        "batch": cost[0]["batch"],
        "better": better,
        "worse": worse,
        "verdict": "the better for it" if better > worse else "none the better for it",
        "cells": len(cells),
    }
    return STATE_POLICY.format(**{**result, **facts})


def resume() -> str:
    """How many of the killed compilations ended with the digest of the undisturbed one."""
    return RESUME.format(**load("resume"))


def spread_of(cells: Iterable[Mapping[str, Any]], steps: int, columns: Sequence[str]) -> list[tuple[float, float]]:
    """Mean and standard deviation of W2 over the seeds, for each grid."""
    some = [cell["w2"] for cell in cells if cell["steps"] == steps]
    values = [[found[name] for found in some] for name in columns]
    return [(mean(found), stdev(found) if len(found) > 1 else 0.0) for found in values]


def best_bold(figures: Sequence[tuple[float, float]]) -> list[str]:
    """Mean and spread as cells, the lowest mean bold."""
    lowest = min(figures)[0]
    return [
        f"**{found:.4f}** ({spread:.4f})" if found == lowest else f"{found:.4f} ({spread:.4f})"
        for found, spread in figures
    ]


def unique(cells: Iterable[Mapping[str, Any]], key: str) -> list[Any]:
    """The values that a field takes, in their order."""
    return list(dict.fromkeys(cell[key] for cell in cells))


STUDIES: dict[str, Callable[[], str]] = {
    "one_dimensional": one_dimensional,
    "paper_mode": paper_mode,
    "frechet": frechet,
    "transfer": transfer,
    "state_policy": state_policy,
    "resume": resume,
}


def page() -> str:
    """The page: every study whose result is there."""
    return (
        "\n\n".join([HEAD.rstrip(), *(make() for name, make in STUDIES.items() if (RESULTS / f"{name}.json").exists())])
        + "\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

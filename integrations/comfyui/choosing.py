"""Which schedule of an artifact the widgets of a node mean, and what a node says when there is none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from artc.artifact import BUDGETS, Artifact, Schedule, read
from artc.errors import ArtcError, BudgetError, InputError

AUTO = "auto"
SOLVERS = (AUTO, *BUDGETS)
STEPS, NFE = "steps", "nfe"
BUDGET_KINDS = (STEPS, NFE)
EXACT, RESAMPLE = "exact", "resample"
MISSING = (EXACT, RESAMPLE)


def opened(file: Path, name: str) -> Artifact:
    """Read an artifact; its first defect is raised with the name that the user chose before it."""
    try:
        return read(file)
    except ArtcError as error:
        raise InputError(f"{name} cannot be used. {error.message}", hint=error.hint) from None


def chosen(artifact: Artifact, name: str, *, solver: str, budget: str, count: int, missing: str) -> Schedule:
    """The schedule of a solver for `count` steps, or for `count` denoiser calls.

    Raises InputError when `auto` finds more than one solver, BudgetError, with everything that there is, for a budget
    that the artifact does not hold (`missing` "exact") or that the solver cannot make ("resample").
    """
    solvers = list(dict.fromkeys(held.solver for held in artifact.schedules))
    if solver == AUTO:
        if len(solvers) != 1:
            held = f"{name} holds schedules for {_listed(solvers)}."
            raise InputError(held, hint="Set solver to the one that you sample with.")
        (solver,) = solvers
    nfe, steps = (count, None) if budget == NFE else (None, count)
    try:
        return artifact.schedule(nfe, solver, steps=steps, resample=missing == RESAMPLE)
    except BudgetError:
        if missing == RESAMPLE:
            raise
    raise BudgetError(
        f"{name} holds no {solver} schedule {_budget(budget, count)}.", hint=_way_out(artifact, solver, budget, count)
    )


def _way_out(artifact: Artifact, solver: str, budget: str, count: int) -> str:
    same = [held for held in artifact.schedules if held.solver == solver]
    hints = []
    if any(count == (held.nfe if budget == STEPS else held.steps) for held in same):
        kind = NFE if budget == STEPS else STEPS
        hints.append(f"It holds one {_budget(kind, count)}: set budget to {kind}.")
    if same:
        hints.append(f"For {solver} it holds {_held(artifact, solver)}.")
    else:
        solvers = dict.fromkeys(held.solver for held in artifact.schedules)
        hints += [f"For {other} it holds {_held(artifact, other)}." for other in solvers]
    hints.append(f"With missing set to {RESAMPLE} one is read from the artifact's clock; nothing was measured for it.")
    return " ".join(hints)


def _budget(kind: str, count: int) -> str:
    return f"at NFE {count}" if kind == NFE else f"of {count} step{'s' * (count != 1)}"


def _held(artifact: Artifact, solver: str) -> str:
    same = [held for held in artifact.schedules if held.solver == solver]
    return _listed(f"{held.steps} step{'s' * (held.steps != 1)} (NFE {held.nfe})" for held in same)


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last

"""Which grids a schedule can be held against, by name: the one place where a further competitor is let in."""

from __future__ import annotations

from collections.abc import Sequence

from artc.artifact import ModelInfo, Schedule
from artc.errors import InputError, UnknownNameError
from artc.sampling import grids

OURS = "compiled"
"""What the schedule itself is called in every table."""


def known_baselines(info: ModelInfo) -> tuple[str, ...]:
    """Names of all grids that make sense for a model."""
    return grids.names_for(info)


def chosen_baselines(asked: Sequence[str], info: ModelInfo) -> tuple[str, ...]:
    """The named grids, or with no names all that are known; raises UnknownNameError, or InputError for one twice."""
    known = known_baselines(info)
    for name in asked:
        if name not in known:
            raise UnknownNameError("baseline", name, known)
        if list(asked).count(name) > 1:
            raise InputError(f"The baseline {name} is given twice.", hint="Give each once.")
    return tuple(asked) or known


def baseline_sigmas(name: str, schedule: Schedule, info: ModelInfo) -> tuple[float, ...]:
    """The grid of that name which costs what the schedule costs; raises what `chosen_baselines` raises for the name."""
    if name not in known_baselines(info):
        raise UnknownNameError("baseline", name, known_baselines(info))
    return tuple(grids.grid_for(name, schedule.steps, info).tolist())

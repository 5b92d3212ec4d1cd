"""Which grids a schedule can be held against, by name: the one place where a further competitor is let in.

Hand-made grids cost nothing and are taken where no name is given. The methods of `artc.peers` learn from the model,
which costs calls of it (`artc.evaluation.competing`): they are taken where they are named.
"""

from __future__ import annotations

from collections.abc import Sequence

from artc.artifact import ModelInfo, Schedule
from artc.errors import InputError, UnknownNameError
from artc.peers import PEERS
from artc.sampling import grids

OURS = "compiled"
"""What the schedule itself is called in every table."""


def hand_made(info: ModelInfo) -> tuple[str, ...]:
    """Names of all hand-made grids that make sense for a model."""
    return grids.names_for(info)


def chosen_baselines(asked: Sequence[str], info: ModelInfo) -> tuple[str, ...]:
    """The named grids and methods, or with no names all hand-made grids.

    Raises UnknownNameError, which knows both kinds, or InputError for a name given twice.
    """
    known = (*hand_made(info), *PEERS)
    for name in asked:
        if name not in known:
            raise UnknownNameError("baseline", name, known)
        if list(asked).count(name) > 1:
            raise InputError(f"The baseline {name} is given twice.", hint="Give each once.")
    return tuple(asked) or hand_made(info)


def baseline_sigmas(name: str, schedule: Schedule, info: ModelInfo) -> tuple[float, ...]:
    """The hand-made grid of that name which costs what the schedule costs; raises UnknownNameError."""
    if name not in hand_made(info):
        raise UnknownNameError("grid", name, hand_made(info))
    return tuple(grids.grid_for(name, schedule.steps, info).tolist())

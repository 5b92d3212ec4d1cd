"""No schedule leaves worse than a grid that anybody could have written down: the losers are refined.

The learned schedules are held against the hand-made grids on noises of the trajectory bank, whose end points are known
already. One that loses gives way to the grid that beats it by most, refined. The noises of the final check play no part
in it.

A search asks for the error of one grid after another, and takes most of the time. What it asks depends on nothing but
the answers, so its state is the list of them: a search that was cut off is run again on those it had got.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from artc.artifact import Coordinate, ModelInfo, Schedule
from artc.evaluation.endpoint import EndpointError, endpoint_error
from artc.journal import BLANK, Journal, Snapshots
from artc.learning.methods import certificate_of
from artc.learning.objective import Energy
from artc.learning.refining import TRIALS, most_trials, refine
from artc.models.score_model import Fields, Latents
from artc.progress import Progress, shifted
from artc.sampling.grids import grid_for
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample

Schedules = dict[tuple[str, int], Schedule]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The schedules as they are kept, and how the refined ones came about, for the record."""

    schedules: Schedules
    refinements: Mapping[str, Any]


def refine_losers(
    fields: Fields,
    latents: Latents,
    ends: Tensor,
    info: ModelInfo,
    schedules: Schedules,
    errors: Mapping[tuple[str, int], Mapping[str, EndpointError]],
    *,
    coordinate: Coordinate,
    held_out: Energy,
    trials: int = TRIALS,
    journal: Journal = BLANK,
) -> Generator[Progress, None, Selected]:
    """Refine every schedule that a hand-made grid beats on these latents, whose end points are `ends`.

    Args:
        errors: what `compare` found on the same latents.
        coordinate: that of the warp, in the model's domain.
        held_out: what the certificate of a refined grid is taken on.
        trials: most grids tried for each free node.
        journal: each search is a piece of it.
    """
    losers = {}
    for key in schedules:
        value, name = min((error.value, name) for name, error in errors[key].items() if name != "schedule")
        if value < errors[key]["schedule"].value:
            losers[key] = name
    kept, refinements = dict(schedules), {}
    done, total = 0, sum(most_trials(schedules[key].steps, trials) for key in losers)
    for (solver, nfe), start in losers.items():
        schedule, found = schedules[solver, nfe], errors[solver, nfe]

        def error(grid: Sequence[float], rule: str = solver) -> float:
            return endpoint_error(sample(fields, latents, grid, find_solver(rule)), ends).value

        piece = f"{solver}-{nfe}"
        asked, begin = answered(error, journal.snapshots(piece)), grid_for(start, schedule.steps, info).tolist()
        search = refine(asked, begin, coordinate, info.sigma_min, trials)
        refined = yield from shifted(journal.once(piece, search), done, total)
        done += most_trials(schedule.steps, trials)
        yield Progress(done=done, total=total)
        certificate = certificate_of(refined.sigmas, held_out, info)
        kept[solver, nfe] = replace(schedule, sigmas=refined.sigmas, origin="refined", certificate=certificate)
        refinements[f"{solver} {nfe}"] = {
            "from": start,
            "learned": found["schedule"].value,
            "start": found[start].value,
            "refined": refined.error,
            "trials": refined.trials,
        }
    return Selected(schedules=kept, refinements=refinements)


def answered(error: Callable[[Sequence[float]], float], snapshots: Snapshots) -> Callable[[Sequence[float]], float]:
    """The same function for a search that asks the same again: the answers an earlier run got are not made anew."""
    answers: list[float] = []
    asked = 0

    def ask(grid: Sequence[float]) -> float:
        nonlocal asked
        if not asked:  # not before: a search that is finished asks nothing
            found = snapshots.latest()
            answers.extend(found[0]["answers"].tolist() if found else ())
        if asked == len(answers):
            answers.append(error(grid))
            snapshots.put({"answers": np.array(answers)}, {})
        asked += 1
        return answers[asked - 1]

    return ask

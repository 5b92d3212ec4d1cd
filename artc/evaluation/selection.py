"""Which grid a schedule gets: the best of those that are known, and of the one that end-point matching makes of it.

For each solver and NFE there are candidates: the grid that was learned, the order-aware one of the solver, the one that
reaches nearest to a fine path (`artc.learning.reached`), and every grid that anybody could have written down. They are
held against the end points of the trajectory bank on *watched* noises, on which nothing is ever fitted. From the
nearest of them nodes are moved (`artc.learning.matching`) on other noises of the bank, and the watched ones have the
last word: what leaves is the candidate that ends nearest on them, so never a grid worse there than one that was known.
The noises of the final check play no part.

A search takes most of the time. It is a unit of its own: one that was cut off begins again, one that is finished is
recalled.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from artc.artifact import Coordinate, ModelInfo, Schedule
from artc.artifact.types import Origin
from artc.evaluation.endpoint import EndpointError, candidates, differences, error_of
from artc.journal import BLANK, Journal
from artc.learning.local_error import LocalErrors
from artc.learning.matching import Residuals, match, most_walks
from artc.learning.methods import certificate_of
from artc.learning.objective import Energy
from artc.learning.reached import Reached
from artc.models.domains import domain_grid, domain_sigma
from artc.models.score_model import Fields, Latents
from artc.progress import Progress, shifted
from artc.sampling.grids import above
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample, sample_steps

Key = tuple[str, int]
Schedules = dict[Key, Schedule]
Grids = Mapping[Key, Mapping[str, tuple[float, ...]]]

LEARNED, MATCHED, REACHED = "schedule", "matched", "reached"
ORDER_AWARE: Final = "order-aware"


@dataclass(frozen=True, slots=True, kw_only=True)
class Noises:
    """Latents of the trajectory bank and where they end, `(n, *S)`."""

    latents: Latents
    ends: Tensor

    def part(self, which: slice) -> Noises:
        """Some of them."""
        return Noises(latents=self.latents.part(which), ends=self.ends[which])


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The schedules as they are kept, and how each of them came about, for the record."""

    schedules: Schedules
    refinements: Mapping[str, Any]


def for_solvers(measured: LocalErrors, reached: Reached, schedules: Schedules, info: ModelInfo) -> Grids:
    """The grids made for every schedule's solver and steps, by what they are made of, in the model's domain."""

    def finished(nodes: Sequence[float]) -> tuple[float, ...]:
        return tuple(above(info.sigma_min, np.array(domain_grid(nodes, info))).tolist())

    found: dict[Key, dict[str, tuple[float, ...]]] = {}
    for (solver, nfe), schedule in schedules.items():
        found[solver, nfe] = {ORDER_AWARE: finished(measured.sigmas(solver, schedule.steps))}
        way = reached.sigmas(solver, schedule.steps)
        if way is not None:
            found[solver, nfe][REACHED] = finished(way)
    return found


def select(
    fields: Fields,
    fitted: Noises,
    watched: Noises,
    info: ModelInfo,
    schedules: Schedules,
    errors: Mapping[Key, Mapping[str, EndpointError]],
    more: Grids,
    *,
    held_out: Energy,
    trials: int,
    seed: int = 0,
    journal: Journal = BLANK,
) -> Generator[Progress, None, Selected]:
    """Match every schedule, and keep the best candidate of each.

    Args:
        fitted: the noises that nodes are moved on.
        errors: of every candidate on the watched noises, the learned one named `schedule`.
        more: the candidates that are neither learned nor made by hand.
        held_out: what the certificate of a grid is taken on.
        trials: most grids tried for each schedule, besides those that a Jacobian takes; 0 for no matching.
        journal: each search is a piece of it.
    """
    kept, refinements = dict(schedules), {}
    # Nodes are moved in the progress of the model's own domain.
    offset = float(domain_sigma(held_out.coordinate.offset, info.domain))
    coordinate = Coordinate(offset, info.sigma_max)
    done, total = 0, sum((most_walks(schedule.steps, trials) + 1) * nfe for (_, nfe), schedule in schedules.items())
    for (solver, nfe), schedule in schedules.items():
        known = {name: error.value for name, error in errors[solver, nfe].items()}
        start = min(known, key=lambda name: known[name])  # the learned one stands first, and wins a tie
        facts: dict[str, Any] = {"learned": known[LEARNED], "from": start, "start": known[start], "kept": start}
        sigmas = candidates(schedule, info, more.get((solver, nfe), {}))[start]
        if trials and schedule.steps > 1:
            residuals = residuals_of(fields, fitted, solver)
            search = match(
                residuals,
                len(fitted.latents),
                sigmas,
                coordinate,
                trials=trials,
                floor=info.sigma_min,
                seed=seed,
            )
            worth = most_walks(schedule.steps, trials) * nfe
            matched = yield from shifted(journal.once(f"{solver}-{nfe}", search), done, total, worth=worth)
            walking = sample_steps(fields, watched.latents, matched.sigmas, find_solver(solver))
            judging = journal.once(f"{solver}-{nfe}-watched", differences(walking, watched.ends))
            value = error_of((yield from shifted(judging, done + worth, total, worth=nfe))).value
            facts |= {"refined": value, "walks": matched.walks}
            if value < known[start]:
                sigmas, facts["kept"] = matched.sigmas, MATCHED
        done += (most_walks(schedule.steps, trials) + 1) * nfe
        if "walks" not in facts:
            yield Progress(done=done, total=total)
        if facts["kept"] != LEARNED:
            origin: Origin = ORDER_AWARE if facts["kept"] == ORDER_AWARE else "refined"
            certificate = certificate_of(sigmas, held_out, info)
            kept[solver, nfe] = replace(schedule, sigmas=sigmas, origin=origin, certificate=certificate)
        refinements[f"{solver} {nfe}"] = facts
    return Selected(schedules=kept, refinements=refinements)


def residuals_of(fields: Fields, fitted: Noises, solver: str) -> Residuals:
    """What is to be made small on these noises: where a solver ends on a grid, less where the trajectories do."""
    rule, ends = find_solver(solver), fitted.ends.double().flatten(1)

    def residuals(sigmas: Sequence[float], count: int) -> NDArray[np.float64]:
        reached = sample(fields, fitted.latents.first(count), sigmas, rule)
        found: NDArray[np.float64] = (reached.double().flatten(1) - ends[:count]).cpu().numpy()
        return found

    return residuals

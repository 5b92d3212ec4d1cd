"""Which sigmas to show the network at the nodes of a grid, so that few steps end nearer to where many would.

A solver errs in known ways: Euler's step from sigma goes straight along the slope at its beginning, too far or not far
enough. A network that is shown a little less noise than there is removes a little less, and one that is shown more
removes more; so K numbers beside the grid can make up for a part of what K steps miss, and cost no call.

With x_i what K steps make of noise i and x*_i its end point on the trajectory bank, the sigmas m_1 ... m_{K-1} are
found by least squares (`artc.learning.asking`) on noises of the bank,

    min over m of  mean_i |x_i(m) - x*_i|^2,        m_0 = sigma_0 = sigma_max,

in ln sigma (for a flow model, ln of s / (1 - s)), each within half of the way to the neighbouring nodes and never below
sigma_min: so they decrease as the nodes do. They are kept only if on watched noises, which had no part in it, the error
falls, and most of them end nearer: a few noises that go astray weigh much in a mean of squares.

The best grid for them is not the best one without. Near its own optimum a grid loses to second order when it is moved,
and gains with model sigmas to first order. So from there nodes t and model sigmas are moved at once, down

    e_shown(t, m)^2 + WEIGHT^2 e_alone(t)^2,

and of the way from the grid as it was to the end of that, the most is kept that leaves the grid alone within
`ALLOWANCE` of its error on the watched noises, and not behind a grid that anybody could have written down: it has to
stay good for those who show the network nothing else. It is kept by the same rule as before, against the grid
that is not moved, with its model sigmas, and against itself without any.

Source: Tong et al. 2405.15506 (LD3), who learn such times by back-propagation through the solver, together with the
grid. The allowance is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from artc.artifact import BUDGETS, ModelInfo, Schedule
from artc.artifact.rules import model_sigma_defects
from artc.errors import InputError
from artc.evaluation.endpoint import EndpointError, endpoint_error, paired_wins
from artc.evaluation.grid_walks import GridWalker, JointWalker, bounds, shown_sigmas
from artc.evaluation.selection import Key, Noises, Schedules
from artc.journal import BLANK, Journal
from artc.learning.asking import fit, most_together, most_walks
from artc.learning.methods import certificate_of
from artc.learning.objective import Energy
from artc.models.score_model import Fields
from artc.progress import Progress, mapped, shifted
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample

ALLOWANCE = 0.03
"""The part of its error on the watched noises that a grid alone may lose for being nearer with model sigmas."""

WEIGHT = 0.5
"""Of what the grid does alone, beside what it does with model sigmas."""

CAREFUL = 1.0
"""The first damping of that search. At an optimum with a large residual its linear model promises too much."""

TRIES, CAUTION = 2, 0.9
"""How many parts of the way are tried, and what is taken of the one that a loss in its square would allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was found for one schedule.

    Attributes:
        sigmas: the K + 1 nodes, moved or not.
        model_sigmas: K of them, or None where they are not clearly nearer on the watched noises.
        fitted: end-point error without and with model sigmas on the noises that they were fitted to, before any node
            was moved.
        watched: the same on the others, of `sigmas` and what is shown at them.
        before: error on the watched noises, without and with, before any node was moved.
        walks: how often the fitted noises were walked, in whole or from some node on, and then the watched ones.
    """

    sigmas: tuple[float, ...]
    model_sigmas: tuple[float, ...] | None
    fitted: tuple[float, float]
    watched: tuple[float, float]
    before: tuple[float, float]
    walks: int

    @property
    def moved(self) -> bool:
        """Whether the grid is another than it was."""
        return self.watched != self.before


def ask(
    fields: Fields,
    fitted: Noises,
    watched: Noises,
    info: ModelInfo,
    schedule: Schedule,
    *,
    allowance: float = ALLOWANCE,
    ceiling: float = math.inf,
    journal: Journal = BLANK,
) -> Generator[Progress, None, Asked]:
    """Find model sigmas for a schedule, and move its nodes with them, yielding progress in walks.

    Args:
        fitted: noises to fit to, two of them or more, and `watched` that have the last word.
        allowance: the part of its own error that the grid may lose; with 0 no node is moved.
        ceiling: an error on the watched noises above which the grid alone must not come, whatever it may lose.
        journal: the search for one schedule is a piece of it.

    Raises InputError for a solver that asks between the nodes of its grid.
    """
    if BUDGETS[schedule.solver].between_nodes:
        raise InputError(
            f"{schedule.solver} also asks the network between the nodes of its grid.",
            hint="Model sigmas are for the other solvers.",
        )
    piece = _ask(fields, fitted, watched, info, schedule, allowance, ceiling)
    work = journal.once(f"{schedule.solver}-{schedule.nfe}", piece)
    return (yield from mapped(work, lambda step: Progress(done=step.done, total=step.total)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A grid and what is shown at its nodes, and how near to the watched ends it comes alone, and with that."""

    sigmas: tuple[float, ...]
    model_sigmas: tuple[float, ...]
    alone: EndpointError
    shown: EndpointError
    sound: bool
    """Whether an artifact may hold them."""


Judge = Callable[[tuple[float, ...], tuple[float, ...]], Judged]


def _ask(
    fields: Fields,
    fitted: Noises,
    watched: Noises,
    info: ModelInfo,
    schedule: Schedule,
    allowance: float,
    ceiling: float,
) -> Generator[Progress, None, Asked]:
    solver, nodes, most = find_solver(schedule.solver), schedule.sigmas, most_walks(schedule.steps)
    both = most_together(schedule.steps) if allowance > 0 else 0
    total = most + both + watched_walks(schedule.steps)
    yield Progress(done=0, total=total)

    def judged(sigmas: tuple[float, ...], model_sigmas: tuple[float, ...]) -> Judged:
        alone, shown = (
            endpoint_error(sample(fields, watched.latents, sigmas, solver, model_sigmas=told), watched.ends)
            for told in (None, model_sigmas)
        )
        sound = not any(model_sigma_defects(schedule.solver, sigmas, model_sigmas, "$", info.sigma_min))
        return Judged(sigmas=sigmas, model_sigmas=model_sigmas, alone=alone, shown=shown, sound=sound)

    walker = GridWalker(fields=fields, latents=fitted.latents, ends=fitted.ends, info=info, sigmas=nodes, solver=solver)
    found = yield from shifted(fit(walker, *bounds(nodes, info), most), 0, total)
    yield Progress(done=most, total=total)
    best = first = judged(nodes, shown_sigmas(nodes, found.moves, info))
    walks, kept = found.walks + 2, first.sound and _nearer(first.shown, first.alone)
    yield Progress(done=most + 2, total=total)
    if kept and both:
        limit = min((1 + allowance) * first.alone.value, max(ceiling, first.alone.value))
        joint = JointWalker(
            fields=fields,
            latents=fitted.latents,
            ends=fitted.ends,
            info=info,
            sigmas=nodes,
            model_sigmas=first.model_sigmas,
            solver=solver,
            weight=WEIGHT,
        )
        best, more = yield from shifted(_together(joint, judged, first, limit, both), most + 2, total)
        walks += more
    yield Progress(done=total, total=total)
    return Asked(
        sigmas=best.sigmas,
        model_sigmas=best.model_sigmas if kept else None,
        fitted=(found.start**0.5, found.error**0.5),
        watched=(best.alone.value, best.shown.value),
        before=(first.alone.value, first.shown.value),
        walks=walks,
    )


def _together(
    joint: JointWalker, judged: Judge, first: Judged, limit: float, most: int
) -> Generator[Progress, None, tuple[Judged, int]]:
    """What is kept of the way that nodes and model sigmas go at once, and the walks it took; `first` if nothing is."""
    total = most + 2 * TRIES
    # Two walks for each of its own.
    search = mapped(fit(joint, *joint.bounds(), most // 2, CAREFUL), lambda step: replace(step, done=2 * step.done))
    found = yield from shifted(search, 0, total)
    walks, part = 2 * found.walks, 1.0
    for turn in range(TRIES):
        there = judged(*joint.moved(part * found.moves))
        walks += 2
        yield Progress(done=most + 2 * (turn + 1), total=total)
        if there.alone.value <= limit:
            nearer = there.sound and _nearer(there.shown, first.shown) and _nearer(there.shown, there.alone)
            return there if nearer else first, walks
        # The loss has no slope where the way begins, or a small one.
        loss = there.alone.value - first.alone.value
        part *= CAUTION * math.sqrt((limit - first.alone.value) / loss) if math.isfinite(loss) else 0.5
    return first, walks


def _nearer(one: EndpointError, other: EndpointError) -> bool:
    return one.value < other.value and paired_wins(one, other) > 0.5


def watched_walks(steps: int) -> int:
    """Walks of the watched noises at most."""
    return 2 + 2 * TRIES * (steps > 1)


def ask_all(
    fields: Fields,
    fitted: Noises,
    watched: Noises,
    info: ModelInfo,
    schedules: Schedules,
    ceilings: Mapping[Key, float] | None = None,
    journal: Journal = BLANK,
) -> Generator[Progress, None, dict[Key, Asked]]:
    """Find model sigmas for every schedule of more than one step, yielding progress in calls of one sample.

    Args:
        ceilings: what `ask` is told of each.
    """
    found: dict[Key, Asked] = {}
    done, total = 0, sum(_most(one) for one in schedules.values())
    yield Progress(done=0, total=total)
    for key, schedule in schedules.items():
        worth, ceiling = _most(schedule), (ceilings or {}).get(key, math.inf)
        if schedule.steps > 1:
            search = ask(fields, fitted, watched, info, schedule, ceiling=ceiling, journal=journal)
            found[key] = yield from shifted(search, done, total, worth=worth)
        done += worth
        if schedule.steps == 1 or done < total:
            yield Progress(done=done, total=total)
    return found


def _most(schedule: Schedule) -> int:
    steps = schedule.steps
    return (most_walks(steps) + most_together(steps) + watched_walks(steps)) * schedule.nfe


def with_model_sigmas(schedules: Schedules, asked: Mapping[Key, Asked], held_out: Energy, info: ModelInfo) -> Schedules:
    """The same schedules with the model sigmas that were found for them, and the nodes that were moved.

    Args:
        held_out: what the certificate of a moved grid is taken on.
    """
    kept: Schedules = {}
    for key, schedule in schedules.items():
        one = asked.get(key)
        kept[key] = replace(schedule, model_sigmas=None if one is None else one.model_sigmas)
        if one is not None and one.sigmas != schedule.sigmas:
            certificate = certificate_of(one.sigmas, held_out, info)
            kept[key] = replace(kept[key], sigmas=one.sigmas, origin="refined", certificate=certificate)
    return kept


def asked_facts(asked: Mapping[Key, Asked]) -> dict[str, Any]:
    """Errors without and with them on the noises that they were not fitted to, for the record.

    Of a grid that was moved for their sake, also what they were before.
    """
    return {
        f"{solver} {nfe}": {
            "without": one.watched[0],
            "with": one.watched[1],
            "kept": one.model_sigmas is not None,
            **({"before": {"without": one.before[0], "with": one.before[1]}} if one.moved else {}),
        }
        for (solver, nfe), one in asked.items()
    }

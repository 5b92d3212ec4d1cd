"""Which sigmas to show the network at the nodes of a fixed grid, so that few steps end nearer to where many would.

A solver errs in known ways: Euler's step from sigma goes straight along the slope at its beginning, too far or not far
enough. A network that is shown a little less noise than there is removes a little less, and one that is shown more
removes more; so K numbers beside the grid can make up for a part of what K steps miss, and cost no call. The grid stays
as it is, and good without them.

With x_i what K steps make of noise i and x*_i its end point on the trajectory bank, the sigmas m_1 ... m_{K-1} are
found by least squares (`artc.learning.asking`) on noises of the bank,

    min over m of  mean_i |x_i(m) - x*_i|^2,        m_0 = sigma_0 = sigma_max,

in ln sigma (for a flow model, ln of s / (1 - s)), each within half of the way to the neighbouring nodes and never below
sigma_min: so they decrease as the nodes do. They are kept only if on watched noises, which had no part in it, the error
falls, and most of them end nearer: a few noises that go astray weigh much in a mean of squares.

Source: Tong et al. 2405.15506 (LD3), who learn such times by back-propagation through the solver, together with the
grid.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artc.artifact import BUDGETS, ModelInfo, Schedule
from artc.artifact.rules import model_sigma_defects
from artc.errors import InputError
from artc.evaluation.endpoint import EndpointError, endpoint_error, paired_wins
from artc.evaluation.selection import Key, Noises, Schedules
from artc.journal import BLANK, Journal
from artc.learning.asking import Walked, fit, most_walks
from artc.models.domains import domain_sigma, unscaled_sigma
from artc.models.score_model import Fields, Latents
from artc.progress import Progress, mapped, shifted
from artc.sampling.solvers import Memory, Solver, find_solver
from artc.sampling.trajectories import asked, sample, walk

REACH = 0.49
"""Of the way to a neighbouring node: just under a half, so that no two of the sigmas can meet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was found for one schedule.

    Attributes:
        model_sigmas: K of them, or None where they are not clearly nearer on the watched noises.
        fitted: end-point error without and with them on the noises that they were fitted to.
        watched: the same on the others.
        walks: how often the fitted noises were walked, in whole or from some node on, and then the watched ones.
    """

    model_sigmas: tuple[float, ...] | None
    fitted: tuple[float, float]
    watched: tuple[float, float]
    walks: int


def ask(
    fields: Fields,
    fitted: Noises,
    watched: Noises,
    info: ModelInfo,
    schedule: Schedule,
    *,
    trials: int | None = None,
    journal: Journal = BLANK,
) -> Generator[Progress, None, Asked]:
    """Find model sigmas for the grid of a schedule, yielding progress in walks.

    Args:
        fitted: noises to fit to, two of them or more, and `watched` that have the last word.
        trials: most walks of the search; `most_walks(K)` where it is left out.
        journal: the search for one schedule is a piece of it.

    Raises InputError for a solver that asks between the nodes of its grid.
    """
    if BUDGETS[schedule.solver].between_nodes:
        raise InputError(
            f"{schedule.solver} also asks the network between the nodes of its grid.",
            hint="Model sigmas are for the other solvers.",
        )
    piece = _ask(fields, fitted, watched, info, schedule, most_walks(schedule.steps) if trials is None else trials)
    work = journal.once(f"{schedule.solver}-{schedule.nfe}", piece)
    return (yield from mapped(work, lambda step: Progress(done=step.done, total=step.total)))


def _ask(
    fields: Fields, fitted: Noises, watched: Noises, info: ModelInfo, schedule: Schedule, most: int
) -> Generator[Progress, None, Asked]:
    solver, nodes, total = find_solver(schedule.solver), schedule.sigmas, most + 2
    yield Progress(done=0, total=total)

    def error(model_sigmas: Sequence[float] | None) -> EndpointError:
        made = sample(fields, watched.latents, nodes, solver, model_sigmas=model_sigmas)
        return endpoint_error(made, watched.ends)

    low, high = bounds(nodes, info)
    walker = GridWalker(fields=fields, latents=fitted.latents, ends=fitted.ends, info=info, sigmas=nodes, solver=solver)
    found = yield from shifted(fit(walker, low, high, most), 0, total)
    yield Progress(done=total - 2, total=total)
    plain = error(None)
    yield Progress(done=total - 1, total=total)
    shown = shown_sigmas(nodes, found.moves, info)
    moved = error(shown)
    yield Progress(done=total, total=total)
    nearer = moved.value < plain.value and paired_wins(moved, plain) > 0.5
    sound = not any(model_sigma_defects(schedule.solver, nodes, shown, "$", info.sigma_min))
    return Asked(
        model_sigmas=shown if sound and nearer else None,
        fitted=(found.start**0.5, found.error**0.5),
        watched=(plain.value, moved.value),
        walks=found.walks + 2,
    )


def bounds(sigmas: Sequence[float], info: ModelInfo) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far each sigma but the first may be moved, down and up, in ln sigma: `(K - 1,)` not above and not below 0."""
    levels = np.log(unscaled_sigma(sigmas[:-1], info.domain))
    gaps = -np.diff(levels)
    # Below the last node there is none to measure by: as far as above it.
    low = np.maximum(
        -REACH * np.append(gaps[1:], gaps[-1:]), np.log(unscaled_sigma(info.sigma_min, info.domain)) - levels[1:]
    )
    return np.minimum(low, 0.0), REACH * gaps


def shown_sigmas(sigmas: Sequence[float], moves: NDArray[np.float64], info: ModelInfo) -> tuple[float, ...]:
    """The K sigmas that these moves `(K - 1,)` make of the nodes; a node that is not moved stays what it is."""
    nodes = np.asarray(sigmas[1:-1], dtype=np.float64)
    moved = domain_sigma(unscaled_sigma(nodes, info.domain) * np.exp(moves), info.domain)
    return (float(sigmas[0]), *np.where(moves == 0, nodes, np.maximum(moved, info.sigma_min)).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class GridWalker:
    """A `Walker` on a grid. The square of its residual is the mean square error of the noises.

    A walk in which the sigma shown at node k changes begins where the solver first asks at that node: at its own step,
    or for a solver that looks ahead to the end of a step, at the one before.
    """

    fields: Fields
    latents: Latents
    ends: Tensor
    info: ModelInfo
    sigmas: tuple[float, ...]
    solver: Solver

    def __call__(self, moves: NDArray[np.float64], since: int = 0, base: Walked | None = None) -> Walked:
        """Walk all noises, or only the steps that can differ from those of `base`."""
        shown = shown_sigmas(self.sigmas, moves, self.info)
        begin = 0 if base is None else since + 1 - (BUDGETS[self.solver.name].calls_per_step > 1)
        states: list[list[tuple[Tensor, Memory]]] = []
        reached: list[Tensor] = []
        for place, some in enumerate(self.latents.split()):
            field = asked(self.fields(some.labels), self.sigmas, shown)
            x, memory = (some.noise * self.sigmas[0], None) if base is None else _kept(base)[place][begin]
            known: list[tuple[Tensor, Memory]] = [(x, memory)]
            for visit in walk(field, x, self.sigmas[begin:], self.solver, memory=memory):
                x = visit.x
                known.append((x, visit.memory))
            states.append(known)
            reached.append(x)
        differences = (torch.cat(reached).double() - self.ends.double()).flatten()
        residual = differences / differences.numel() ** 0.5
        return Walked(residual=residual, states=states if base is None else None)


def _kept(base: Walked) -> list[list[tuple[Tensor, Memory]]]:
    assert isinstance(base.states, list)
    return base.states


def ask_all(
    fields: Fields,
    fitted: Noises,
    watched: Noises,
    info: ModelInfo,
    schedules: Schedules,
    journal: Journal = BLANK,
) -> Generator[Progress, None, dict[Key, Asked]]:
    """Find model sigmas for every schedule of more than one step, yielding progress in calls of one sample."""
    found: dict[Key, Asked] = {}
    done, total = 0, sum((most_walks(one.steps) + 2) * nfe for (_, nfe), one in schedules.items())
    yield Progress(done=0, total=total)
    for key, schedule in schedules.items():
        worth = (most_walks(schedule.steps) + 2) * schedule.nfe
        if schedule.steps > 1:
            search = ask(fields, fitted, watched, info, schedule, journal=journal)
            found[key] = yield from shifted(search, done, total, worth=worth)
        done += worth
        if schedule.steps == 1 or done < total:
            yield Progress(done=done, total=total)
    return found


def with_model_sigmas(schedules: Schedules, asked: Mapping[Key, Asked]) -> Schedules:
    """The same schedules with the model sigmas that were found for them."""
    return {
        key: replace(schedule, model_sigmas=asked[key].model_sigmas if key in asked else None)
        for key, schedule in schedules.items()
    }


def asked_facts(asked: Mapping[Key, Asked]) -> dict[str, Any]:
    """Errors without and with them on the noises that they were not fitted to, for the record."""
    return {
        f"{solver} {nfe}": {"without": one.watched[0], "with": one.watched[1], "kept": one.model_sigmas is not None}
        for (solver, nfe), one in asked.items()
    }

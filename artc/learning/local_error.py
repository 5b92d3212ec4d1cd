"""Order-aware clocks: where a solver's own local error lies, measured and not assumed.

[ART] charges every step Euler's local error, |Q| h^2 / 2. A solver of order r errs by C(y) h^(r+1), with a C that comes
of higher derivatives of the path, of the rule and, where it remembers, of the steps before. So it is measured: a few
fine trajectories of the model are walked through nodes equally spaced in progress y, and the solver is set on them at
every s-th node, always on the path itself and with the memory that it would have there,

    e_s(y) = rms over noises of  |step(X(y); y -> y + h) - X(y + h)|,        h = s dy,

for a few strides s. A solver that asks at its nodes only costs no call beyond the walk. With p the slope of ln e by
ln h, in the mean over y, and C(y) the mean over strides of e_s(y) / h^p, the sum of the local errors of K steps,

    sum_k C(y_k) h_k^p,        is least for equal increments of        S(y) = int_0^y C^(1/p) dy

(Hoelder, as [ART]'s own problem is Cauchy-Schwarz). Its J is no bound that other grids are held to: it is one more grid
to begin the matching from, and often the best of them.

Source: [ART] arXiv 2607.02137 names solver-aware criteria as open; the measurement is ours.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from artc.artifact import BUDGETS, Coordinate
from artc.models.score_model import Field, Fields, Latents
from artc.progress import Progress
from artc.sampling.solvers import SOLVERS, Solver
from artc.sampling.trajectories import walk

Array = NDArray[np.float64]

MEASURED, LEAST_MEASURED = 16, 8
"""Noises that are walked at most, and at least: fewer say little."""

NODES = 97
"""Nodes of the fine walk, equally spaced in progress from sigma_max to sigma_min."""

STRIDES = (6, 12, 24)
"""Steps that are tried, in nodes: those of grids of about 16, 8 and 4 steps."""

SLOWEST = 1.2
"""The least p that is believed: at p = 1 an error would not depend on where the nodes are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalError:
    """S(y) of one solver, from 0 to 1, `(n,)` at equally spaced progress from 0 to 1; and the exponent p."""

    clock: Array
    exponent: float

    def grid(self, steps: int) -> Array:
        """Progress of the K + 1 nodes at equal increments of S."""
        return np.interp(np.arange(steps + 1) / steps, self.clock, np.linspace(0.0, 1.0, len(self.clock)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalErrors:
    """What was measured, by the solver's name, and the coordinate of progress."""

    coordinate: Coordinate
    found: Mapping[str, LocalError]

    def sigmas(self, solver: str, steps: int) -> list[float]:
        """The order-aware grid of K steps, unscaled."""
        inner = self.coordinate.sigma(self.found[solver].grid(steps)[1:-1])
        return [self.coordinate.sigma_max, *inner.tolist(), 0.0]


def measuring_calls(solvers: Sequence[Solver]) -> int:
    """Calls of one sample that measuring these solvers takes: the fine walk, and what they ask away from its nodes."""
    tried = sum(len(_places(stride, offset)) for stride in STRIDES for offset in (0, stride // 2))
    return NODES + tried * sum(BUDGETS[solver.name].calls_per_step - 1 for solver in solvers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A batch of fine trajectories: sigmas `(n,)`, and at each of them the states and denoised values `(B, *S)`."""

    sigmas: tuple[float, ...]
    states: Sequence[Tensor]
    denoised: Sequence[Tensor]


def measure(
    fields: Fields, latents: Latents, coordinate: Coordinate, solvers: Sequence[Solver]
) -> Generator[Progress, None, LocalErrors]:
    """Measure the local errors of these solvers on unscaled fields, yielding progress.

    Args:
        latents: a few noises.
        coordinate: of progress from sigma_max to its offset, sigma_min.
    """
    last = float(coordinate.progress(np.array([coordinate.offset]))[0])  # the offset is sigma_min
    sigmas = coordinate.sigma(np.linspace(0.0, last, NODES))
    batches = list(latents.split())
    sigmas[0], walked = coordinate.sigma_max, NODES * len(batches)
    total = walked + len(solvers)
    yield Progress(done=0, total=total)
    paths: list[tuple[Path, Field]] = []
    for batch, some in enumerate(batches):
        field = fields(some.labels)
        states, denoised = [some.noise * sigmas[0]], []
        for visit in walk(field, states[0], [*sigmas.tolist(), 0.0], SOLVERS["dpmpp_2m"]):
            states.append(visit.x)
            denoised.append(visit.denoised)
            yield Progress(done=NODES * batch + visit.index + 1, total=total)
        paths.append((Path(sigmas=tuple(sigmas.tolist()), states=states[:-1], denoised=denoised), field))
    found, shares = {}, [len(some) / len(latents) for some in batches]  # the last batch may be a small one
    for place, solver in enumerate(solvers):
        squares = [
            np.average([_squares(path, field, solver, stride) for path, field in paths], axis=0, weights=shares)
            for stride in STRIDES
        ]
        found[solver.name] = _clock(np.sqrt(np.stack(squares)), last)
        yield Progress(done=walked + place + 1, total=total)
    return LocalErrors(coordinate=coordinate, found=found)


def _places(stride: int, offset: int) -> range:
    """Nodes from which steps of so many nodes are taken."""
    return range(offset, NODES - stride, stride)


def _squares(path: Path, field: Field, solver: Solver, stride: int) -> Array:
    """Mean square of the local error of a step from each node `(n,)`, between the nodes that were tried."""
    tried: dict[int, float] = {}
    for offset in (0, stride // 2):
        memory = None
        for index in _places(stride, offset):
            sigma, sigma_next = path.sigmas[index], path.sigmas[index + stride]
            state, answer = path.states[index], path.denoised[index]

            def known(x: Tensor, level: object, state: Tensor = state, answer: Tensor = answer) -> Tensor:
                return answer if x is state else field(x, level)  # type: ignore[arg-type]

            step = solver.step(known, state, sigma, sigma_next, memory)
            memory = step.memory
            # Away from the beginning a step without its memory is none that a walk would take.
            if offset == 0 or index >= offset + stride * (solver.order - 1):
                tried[index] = float((step.x - path.states[index + stride]).double().square().mean())
    places = sorted(tried)
    tiny = np.finfo(np.float64).tiny
    logs = np.log([max(tried[place], tiny) for place in places])
    # The error of a step is that of its middle.
    return np.exp(np.interp(np.arange(len(path.sigmas)), np.array(places) + stride / 2, logs))


def _clock(errors: Array, last: float) -> LocalError:
    """From errors `(strides, nodes)` to S, continued evenly from the last node to sigma = 0."""
    widths = np.log(np.array(STRIDES, dtype=np.float64))
    logs = np.log(np.maximum(errors, 1e-12 * errors.max()))
    slopes = ((widths - widths.mean())[:, None] * logs).sum(axis=0) / ((widths - widths.mean()) ** 2).sum()
    exponent = max(float(np.mean(slopes)), SLOWEST)
    density = np.exp((logs - exponent * widths[:, None]).mean(axis=0) / exponent)
    progress = np.linspace(0.0, 1.0, 4 * NODES)
    along = np.interp(progress, np.linspace(0.0, last, NODES), density)
    taken = np.concatenate([[0.0], np.cumsum((along[1:] + along[:-1]) / 2)])
    return LocalError(clock=taken / taken[-1], exponent=exponent)

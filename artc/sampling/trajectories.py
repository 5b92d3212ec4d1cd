"""Walking one ODE from noise to a sample.

`walk` is the only loop over a grid in the package: sampling, teachers and the trajectory bank are all made of it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from artc.models.score_model import Field, Fields, Latents
from artc.progress import Progress, drain
from artc.sampling.solvers import Solver


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One step as it happened: the state after it, at `sigma_next`, and the denoised value before it, at `sigma`."""

    index: int
    sigma: float
    sigma_next: float
    denoised: Tensor
    x: Tensor


def walk(denoise: Field, x: Tensor, sigmas: Sequence[float], solver: Solver) -> Iterator[Visit]:
    """Carry x from sigmas[0] to sigmas[-1] by the solver's rule, yielding every step.

    Args:
        denoise: D(x; sigma) on a batch.
        x: `(B, *S)` at sigmas[0], where it is all but sigmas[0] times unit noise.
        sigmas: strictly decreasing; the last may be 0.
    """
    memory = None
    for index, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        step = solver.step(denoise, x, float(sigma), float(sigma_next), memory)
        x, memory = step.x, step.memory
        yield Visit(index=index, sigma=float(sigma), sigma_next=float(sigma_next), denoised=step.denoised, x=x)


def sample_steps(
    fields: Fields, latents: Latents, sigmas: Sequence[float], solver: Solver, *, batch: int | None = None
) -> Generator[Progress, None, Tensor]:
    """The samples `(n, *S)` that a grid makes of unit noise `(n, *S)` and its labels, a batch at a time.

    Yields after every step, in steps of single samples: n K in all.
    """
    finished: list[Tensor] = []
    done, total = 0, len(latents) * (len(sigmas) - 1)
    for some in latents.split(batch):
        x = some.noise * float(sigmas[0])
        for visit in walk(fields(some.labels), x, sigmas, solver):
            x = visit.x
            done += len(x)
            yield Progress(done=done, total=total)
        finished.append(x)
    return torch.cat(finished)


def sample(
    fields: Fields, latents: Latents, sigmas: Sequence[float], solver: Solver, *, batch: int | None = None
) -> Tensor:
    """The same samples, at once."""
    return drain(sample_steps(fields, latents, sigmas, solver, batch=batch))

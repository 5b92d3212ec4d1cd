"""Walking one ODE from noise to a sample.

`walk` is the only loop over a grid in the package: sampling, teachers and the trajectory bank are all made of it.

A network may be shown another noise level than the one its input has. At the nodes sigma_k of a grid, with model sigmas
m_k, a solver then walks the field

    (x - D(x; m_k)) / sigma_k        in place of        (x - D(x; sigma_k)) / sigma_k:

D is what the network answers when it is shown m_k, and all else is the true sigma. `asked` makes that field; nothing of
a solver changes. Source: Tong et al. 2405.15506 (LD3), whose decoupled times these are.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from artc.errors import InputError
from artc.models.score_model import Field, Fields, Latents
from artc.progress import Progress, drain
from artc.sampling.solvers import Memory, Solver


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One step as it happened: the state after it, at `sigma_next`, and the denoised value before it, at `sigma`.

    With `x` and `memory` a walk can be begun again here.
    """

    index: int
    sigma: float
    sigma_next: float
    denoised: Tensor
    x: Tensor
    memory: Memory


def asked(denoise: Field, sigmas: Sequence[float], model_sigmas: Sequence[float] | None) -> Field:
    """The field that is shown `model_sigmas[k]` where a solver asks at `sigmas[k]`, its own where there are none.

    Args:
        sigmas: a grid of K steps, K + 1 numbers; a sigma is known by its exact value.
        model_sigmas: K numbers, for all nodes but the last.

    Raises InputError for another number of them; the field does for a sigma that is none of the nodes.
    """
    if model_sigmas is None:
        return denoise
    if len(model_sigmas) != len(sigmas) - 1:
        raise InputError(f"{len(sigmas) - 1} steps need as many model sigmas, and there are {len(model_sigmas)}.")
    shown = {float(sigma): float(other) for sigma, other in zip(sigmas[:-1], model_sigmas, strict=True)}

    def field(x: Tensor, sigma: float | Tensor) -> Tensor:
        node = float(sigma)
        if node not in shown:
            raise InputError(
                f"This solver asks at sigma = {node:g}, which is no node of the grid.", hint="Leave out model_sigmas."
            )
        return denoise(x, shown[node])

    return field


def walk(
    denoise: Field,
    x: Tensor,
    sigmas: Sequence[float],
    solver: Solver,
    *,
    model_sigmas: Sequence[float] | None = None,
    memory: Memory = None,
) -> Iterator[Visit]:
    """Carry x from sigmas[0] to sigmas[-1] by the solver's rule, yielding every step.

    Args:
        denoise: D(x; sigma) on a batch.
        x: `(B, *S)` at sigmas[0], where it is all but sigmas[0] times unit noise.
        sigmas: strictly decreasing; the last may be 0.
        model_sigmas: what the network is shown at each of them but the last; see `asked`.
        memory: where this is the rest of a walk, that of the step before.
    """
    denoise = asked(denoise, sigmas, model_sigmas)
    for index, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        step = solver.step(denoise, x, float(sigma), float(sigma_next), memory)
        x, memory = step.x, step.memory
        now, then = float(sigma), float(sigma_next)
        yield Visit(index=index, sigma=now, sigma_next=then, denoised=step.denoised, x=x, memory=memory)


def sample_steps(
    fields: Fields,
    latents: Latents,
    sigmas: Sequence[float],
    solver: Solver,
    *,
    model_sigmas: Sequence[float] | None = None,
    batch: int | None = None,
) -> Generator[Progress, None, Tensor]:
    """The samples `(n, *S)` that a grid makes of unit noise `(n, *S)` and its labels, a batch at a time.

    Yields after every step, in steps of single samples: n K in all.
    """
    finished: list[Tensor] = []
    done, total = 0, len(latents) * (len(sigmas) - 1)
    for some in latents.split(batch):
        x = some.noise * float(sigmas[0])
        for visit in walk(fields(some.labels), x, sigmas, solver, model_sigmas=model_sigmas):
            x = visit.x
            done += len(x)
            yield Progress(done=done, total=total)
        finished.append(x)
    return torch.cat(finished)


def sample(
    fields: Fields,
    latents: Latents,
    sigmas: Sequence[float],
    solver: Solver,
    *,
    model_sigmas: Sequence[float] | None = None,
    batch: int | None = None,
) -> Tensor:
    """The same samples, at once."""
    return drain(sample_steps(fields, latents, sigmas, solver, model_sigmas=model_sigmas, batch=batch))

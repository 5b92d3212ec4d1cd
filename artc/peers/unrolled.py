"""A solver's whole walk as one differentiable function of its grid, of what the network is shown, and of the noise.

Nodes are lambda = -ln sigma of the unscaled path, K + 1 of them from sigma_max to sigma_min, of which the last is
walked as 0:

    lambda_k = lambda_0 + (lambda_K - lambda_0) (softmax(u)_1 + ... + softmax(u)_k),
    shown_k = lambda_k + xi_k,        |xi_k| <= REACH min over k of lambda_{k+1} - lambda_k,        0 < k < K.

`Probe` runs networks without gradients; here they are run with them where torch keeps them, the state in float64 and
the network in its dtype, as there. A call is counted once for each sample, and three times where a gradient is kept:
once for the call, and twice more for the backward pass through it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from artc.errors import InputError
from artc.models.domains import unscaled_sigma
from artc.models.score_model import Field, Latents, ScoreModel, full_float32
from artc.sampling.solvers import Memory, Solver
from artc.sampling.solvers.solver import Level

REACH = 0.49
"""Just under a half, so that what is shown decreases as the nodes do."""
BACKWARD = 2
"""Calls that a backward pass counts for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is learned: logits `u (K,)` of the intervals, and offsets `xi (K - 1,)` of what is shown, both float64."""

    logits: Tensor
    offsets: Tensor

    def copy(self) -> Plan:
        """The same numbers, of which nothing remembers a gradient."""
        return Plan(logits=self.logits.detach().clone(), offsets=self.offsets.detach().clone())


@dataclass(slots=True, kw_only=True)
class Unrolled:
    """A model and a solver; `calls` counts what the walks so far took."""

    model: ScoreModel
    solver: Solver
    calls: int = field(default=0)

    def nodes(self, plan: Plan) -> tuple[Tensor, Tensor]:
        """lambda of the K + 1 nodes, and of what is shown at the K - 1 inner ones."""
        info = self.model.info
        low, high = unscaled_sigma([info.sigma_min, info.sigma_max], info.domain).tolist()
        top, bottom = -math.log(high), -math.log(low)
        inner = top + (bottom - top) * plan.logits.softmax(dim=0).cumsum(dim=0)[:-1]
        ends = inner.new_tensor([top, bottom])
        nodes = torch.cat([ends[:1], inner, ends[1:]])
        # The interval before sigma_min counts too, so that nothing below sigma_min is shown.
        reach = float(REACH * nodes.detach().diff().min())
        return nodes, inner + plan.offsets.clamp(-reach, reach)

    def sigmas(self, plan: Plan) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """The K + 1 nodes in the model's domain, the last the number 0; and the K sigmas to show."""
        nodes, shown = self.nodes(plan)
        first = self.model.info.sigma_max
        return (first, *self._domain(nodes[1:-1]), 0.0), (first, *self._domain(shown))

    def _domain(self, levels: Tensor) -> Iterator[Level]:
        unscaled = levels.neg().exp()
        yield from (unscaled / (1.0 + unscaled) if self.model.info.domain == "flow" else unscaled).unbind()

    def walk(self, plan: Plan, latents: Latents) -> Tensor:
        """Where the solver ends, `(n, *S)`."""
        sigmas, shown = self.sigmas(plan)
        field_of = self._field(latents.labels, sigmas, shown)
        x: Tensor = latents.noise * sigmas[0]
        memory: Memory = None
        for sigma, sigma_next in pairwise(sigmas):
            step = self.solver.step(field_of, x, sigma, sigma_next, memory)
            x, memory = step.x, step.memory
        return x

    def _field(self, labels: Tensor | None, sigmas: tuple[Level, ...], shown: tuple[Level, ...]) -> Field:
        instead = {_number(sigma): other for sigma, other in zip(sigmas[:-1], shown, strict=True)}
        denoiser, dtype = self.model.on(labels), self.model.dtype
        wide = torch.promote_types(dtype, torch.float32)

        def denoise(x: Tensor, sigma: Level) -> Tensor:
            # Between the nodes a solver asks for what it asks for.
            level = torch.as_tensor(instead.get(_number(sigma), sigma), device=x.device).to(wide)
            with full_float32():
                denoised = denoiser(x.to(dtype), level.expand(len(x)))
            kept = torch.is_grad_enabled()
            if kept and not denoised.requires_grad and x.requires_grad:
                raise InputError(
                    f"The denoiser of {self.model.info.name} keeps no gradient.", hint="LD3 needs one; leave it out."
                )
            self.calls += len(x) * self.model.info.cost * (1 + BACKWARD * kept)
            return denoised.to(x.dtype)

        return denoise


def _number(level: Level) -> float:
    return float(level.detach()) if isinstance(level, Tensor) else level

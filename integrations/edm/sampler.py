"""A sampler for EDM2's `generate_images(..., sampler_fn=)`, whose own asks no network for noise levels.

It walks the artifact's grid by the artifact's solver, from x = sigmas[0] n, with the denoised value

    D(x; sigma) = D_g(x; sigma) + w (D_net(x; sigma) - D_g(x; sigma))

under guidance of strength w away from a network g: a worse one (autoguidance, Karras et al. 2406.02507), or one without
the classes. At w = 1 g is not called. Otherwise each denoised value takes two calls, one of each network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artc.errors import InputError

from ..choosing import AnyArtifact, opened, sigmas_for
from ..fitting import check_domain, check_fit
from ..samplers import find_own
from .network import host_model

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from artc.artifact import ModelInfo

Network = Callable[..., "Tensor"]
"""`net(x, sigma, labels) -> denoised`: `(B, C, H, W), (), (B, classes) or None -> (B, C, H, W)`."""

OF_NOISE = frozenset({"randn_like", "S_min", "S_max", "S_noise"})
"""What EDM2's sampler is told of the noise that it adds: without effect while it adds none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledSampler:
    """A sampler on one grid, called as EDM2's own is; made by `sampler_fn`.

    Attributes:
        sigmas: the grid, float64 with its trailing 0.
        nfe: what the solver spends on it, in the artifact's own count.
    """

    solver: str
    sigmas: NDArray[np.float64]
    nfe: int
    compiled_for: ModelInfo

    @property
    def num_steps(self) -> int:
        return len(self.sigmas) - 1

    def __call__(
        self,
        net: Network,
        noise: Tensor,
        labels: Tensor | None = None,
        gnet: Network | None = None,
        *,
        num_steps: int | None = None,
        guidance: float = 1.0,
        S_churn: float = 0.0,
        dtype: torch.dtype | None = None,
        **others: object,
    ) -> Tensor:
        """Samples, `(B, C, H, W)` in `dtype` (float32, as EDM2 has it), of unit noise of that shape.

        Raises InputError for what a schedule leaves no room for: another number of steps, noise levels of one's own,
        added noise; for guidance without a network to guide away from; and for noise levels that `net` does not know.
        """
        import torch

        from artc.sampling.solvers import find_solver
        from artc.sampling.trajectories import walk

        self._check(num_steps, S_churn, others)
        check_fit(self.compiled_for, self.sigmas, host_model(net))
        if guidance != 1 and gnet is None:
            raise InputError(f"Guidance of {guidance:g} needs a network to guide away from.", hint="Give it as gnet.")
        dtype = dtype or torch.float32

        def denoise(x: Tensor, sigma: float | Tensor) -> Tensor:
            level = torch.as_tensor(sigma, dtype=dtype, device=x.device)
            denoised = net(x, level, labels).to(dtype)
            if guidance == 1 or gnet is None:
                return denoised
            away = gnet(x, level, labels).to(dtype)
            return away + guidance * (denoised - away)

        x = noise.to(dtype) * float(self.sigmas[0])
        for visit in walk(denoise, x, self.sigmas.tolist(), find_solver(self.solver)):
            x = visit.x
        return x

    def _check(self, num_steps: int | None, churn: float, others: dict[str, object]) -> None:
        if num_steps not in (None, self.num_steps):
            raise InputError(f"num_steps is {num_steps}, and the schedule has {self.num_steps} steps.")
        if churn:
            raise InputError(
                f"S_churn = {churn:g} adds noise on the way, which no schedule is compiled for.", hint="Leave it at 0."
            )
        for name in sorted(others.keys() - OF_NOISE):
            raise InputError(f"{name} says nothing to a sampler that walks a schedule.", hint="Leave it out.")


def sampler_fn(
    artifact: AnyArtifact,
    *,
    nfe: int | None = None,
    steps: int | None = None,
    solver: str = "heun",
    resample: bool = False,
    denoise: float = 1.0,
) -> ScheduledSampler:
    """A sampler for EDM2's `generate_images(..., sampler_fn=)`, or to be called as EDM2's `edm_sampler`.

    Args:
        artifact: an artifact, or the path of one.
        nfe: denoiser calls, 2 steps - 1 for Heun; or `steps`, one of the two.
        solver: "heun", "euler" or "dpmpp_2m".
        resample: read a budget that the artifact does not hold from its warp.
        denoise: the last round(steps * denoise) steps only; give it image / sigmas[0] + noise as its noise.

    Raises InputError for a schedule of a flow model; BudgetError for a budget that the artifact does not hold; and what
    `artc.load` raises.
    """
    artifact, known = opened(artifact), find_own(solver)
    check_domain(artifact.model, "ve", "EDM2")
    sigmas = sigmas_for(artifact, known.name, nfe=nfe, steps=steps, resample=resample, denoise=denoise)
    spent = known.nfe(len(sigmas) - 1, artifact.model.cost)
    return ScheduledSampler(solver=known.name, sigmas=sigmas, nfe=spent, compiled_for=artifact.model)

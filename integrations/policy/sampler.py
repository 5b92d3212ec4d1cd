"""A sampler that chooses each next sigma by the state, for each sample of the batch its own.

    sample = policy_sampler("mine.art.json", nfe=9)
    x = sample(model, x, sigmas)                              model(x, sigma (B,)) = D(x; sigma)

At the start of a step the model is called once, as any solver would call it; from x, D and the D of the step before the
policy answers where the step is to end, and the solver's rule goes there. No call is spent on the choice, so that the
NFE is exactly the solver's own.

The clock runs evenly in K steps from 0 to 1, and a policy asks only what is left of it: where the host begins below
sigma_max, as in image-to-image, all K steps are spent from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from artc.arguments import whole
from artc.artifact import Artifact, nfe_of, steps_for
from artc.artifact.policy import INPUTS, PolicySession, open_policy
from artc.errors import BudgetError, DenoiserError, InputError

from ..choosing import AnyArtifact, opened
from ..fitting import TOLERANCE, check_domain

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Sampler = Callable[..., "Tensor"]


def policy_sampler(
    artifact: AnyArtifact, nfe: int | None = None, *, steps: int | None = None, solver: str = "heun"
) -> Sampler:
    """A function `sample(model, x, sigmas, extra_args=None, callback=None, disable=None)`, as k-diffusion has them.

    Args:
        artifact: one with a policy, or the path of one.
        nfe: calls of the model for each sample, exactly; or `steps`, one of the two.
        solver: the rule that walks from sigma to sigma, any solver of artc.

    Of the host's `sigmas` only the first is used: it says what noise x has. The last must be 0. All between are
    ignored, and so is their number; `disable` is ignored too, there being no progress bar. `callback` is given i, x,
    sigma `(B,)`, sigma_hat and denoised, once a step. Samples end at 0 together, at the last step.

    Raises BudgetError for an NFE that the solver cannot make, InputError for an artifact without a policy or of a flow
    model, and what `artc.load` raises.
    """
    from artc.sampling.solvers import find_solver

    artifact, rule = opened(artifact), find_solver(solver)
    count = _steps(artifact, solver, nfe, steps)
    check_domain(artifact.model, "ve", "a policy sampler")
    sessions = {"cpu": open_policy(artifact)}

    def sample(
        model: Callable[..., Tensor],
        x: Tensor,
        sigmas: Tensor,
        extra_args: dict[str, Any] | None = None,
        callback: Callable[[dict[str, Any]], object] | None = None,
        disable: bool | None = None,  # noqa: ARG001 - part of the signature; there is no progress bar to disable
    ) -> Tensor:
        import torch

        first, clocks = _first(artifact, x, sigmas), np.linspace(0.0, 1.0, count + 1)
        device = str(x.device)
        session = sessions.get(device) or sessions.setdefault(device, open_policy(artifact, device))
        choice = _Choice(session=session, floor=artifact.model.sigma_min)
        spread = (-1, *[1] * (x.ndim - 1))
        sigma: NDArray[np.float32] = np.full(len(x), first, dtype=np.float32)
        memory: Any = None
        with torch.no_grad():
            for k in range(count):
                level = torch.from_numpy(sigma).to(x)
                denoised = model(x, level, **(extra_args or {}))
                if callback is not None:
                    callback({"x": x, "i": k, "sigma": level, "sigma_hat": level, "denoised": denoised})
                sigma = choice.next_sigma(x, denoised, sigma, clocks[k], clocks[k + 1], left=count - 1 - k)
                after = torch.from_numpy(sigma).to(x).reshape(spread) if k < count - 1 else 0.0

                def denoise(at: Tensor, there: Any, known: Any = (x, denoised)) -> Tensor:
                    # The call that the step begins with was made above: the policy had to see what it said.
                    return known[1] if at is known[0] else model(at, there.flatten(), **(extra_args or {}))

                step = rule.step(denoise, x, level.reshape(spread), after, memory)
                x, memory = step.x, step.memory
        return x

    return sample


def _steps(artifact: Artifact, solver: str, nfe: int | None, steps: int | None) -> int:
    cost = artifact.model.cost
    if nfe is not None and steps is None:
        return steps_for(solver, whole(nfe, "NFE"), cost)
    if steps is None or nfe is not None:
        raise BudgetError("How many steps? Give the NFE or the steps, one of them.")
    nfe_of(solver, whole(steps, "number of steps"), cost)  # refuses a number of steps that makes no sense
    return steps


class _Choice:
    """What a walk keeps from step to step for its policy: the denoised value before, and its sigma."""

    def __init__(self, session: PolicySession, floor: float) -> None:
        self._session, self._floor = session, floor
        self._before: tuple[Tensor, NDArray[np.float32]] | None = None

    def next_sigma(
        self, x: Tensor, denoised: Tensor, sigma: NDArray[np.float32], clock: float, clock_next: float, left: int
    ) -> NDArray[np.float32]:
        """Where the step of each sample ends; `left` is how many steps come after it."""
        import torch

        from artc.sampling.statistics import root_mean_square, state_statistics

        before, sigma_before = self._before or (denoised, sigma)
        numbers = torch.cat(
            [state_statistics(x, denoised), root_mean_square((denoised - before).flatten(1))[:, None]], dim=1
        )
        columns = numbers.float().cpu().numpy().T
        places = (np.full(len(sigma), clock), np.full(len(sigma), clock_next), sigma, sigma_before)
        found = self._session.next_sigma(dict(zip(INPUTS, (*places, *columns), strict=True)))
        if not np.isfinite(columns).all():
            raise DenoiserError(f"At sigma = {sigma.max():g} the model gave values that are not finite.")
        self._before = (denoised, sigma)
        if left == 0:
            return np.zeros_like(found)
        # Below the least noise that the model knows there is nothing to be read off; the nodes must fall all the same,
        # and so each leaves room for those after it.
        room = np.minimum(1e-3 * left * self._floor, (sigma - self._floor) * (left / (left + 1)))
        floor = (self._floor + room).astype(np.float32)
        lowered = np.minimum(np.maximum(found, floor), np.maximum(sigma * np.float32(1 - 1e-4), floor))
        return np.asarray(lowered, dtype=np.float32)


def _first(artifact: Artifact, x: object, sigmas: Tensor) -> float:
    """The sigma that a walk begins at, the host's first; refuses what cannot be walked."""
    import torch

    if not (isinstance(x, torch.Tensor) and x.dtype in (torch.float32, torch.float64) and x.ndim >= 2 and len(x)):
        kind = f"{tuple(x.shape)} of {x.dtype}" if isinstance(x, torch.Tensor) else type(x).__name__
        raise InputError(f"x is a batch in float32 or float64, not {kind}.", hint="Let the model work in less.")
    if len(sigmas) < 2 or float(sigmas[-1]) != 0.0:
        raise InputError("A policy walks down to 0, and these sigmas end before.", hint="Give the whole schedule.")
    top, low, first = artifact.warp.sigma_max, artifact.model.sigma_min, float(sigmas[0])
    if not low < first <= top * (1 + TOLERANCE):
        raise InputError(
            f"The sigmas start at {first:g}, and the policy knows {low:g} to {top:g}.",
            hint="Compile a policy for this model.",
        )
    return first

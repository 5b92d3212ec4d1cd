"""A network that brings its noise levels along, for the samplers of NVlabs' EDM.

`edm_sampler` and `ablation_sampler` take no grid: they make one from a formula. But they pass it through the network's
`round_sigma`, for the sake of networks that know certain levels only, and walk whatever comes back:

    t_steps = net.round_sigma(formula),  shape (num_steps,)         the grid, without its trailing 0
    t_hat   = net.round_sigma(t + churn),  shape ()                 one level, in every step

So a network that answers the first with a grid of its own is walked on that grid, in float64, bit for bit, by the
sampler as it is. The second is left to the network. Interface: Karras et al. 2206.00364, algorithm 2 and table 1, and
the public code of the paper, whose samplers call nothing else of a network but its `sigma_min` and `sigma_max`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from artc.artifact import Schedule
from artc.errors import InputError

from .. import asking
from ..asking import forwarded
from ..choosing import AnyArtifact, opened, sigmas_for
from ..fitting import HostModel, check_fit
from ..samplers import find_own

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIMITS = {"sigma_min": 0.0, "sigma_max": math.inf}
"""What a network that does not say, as those of EDM2, is taken to know."""


class ScheduledNetwork:
    """A network as it is, but for the grid that `round_sigma` answers with; made by `scheduled`.

    Attributes and calls go to the network itself, and a method that returns the network, such as `.to`, returns this.

    Attributes:
        network: the network inside.
        sigmas: the grid, float64 with its trailing 0.
        num_steps: its steps, which the sampler has to be given.
        nfe: what `solver` spends on it, in the artifact's own count.
    """

    __slots__ = ("network", "nfe", "num_steps", "sigmas")

    network: Any
    sigmas: NDArray[np.float64]
    num_steps: int
    nfe: int

    def __init__(self, network: Any, sigmas: NDArray[np.float64], nfe: int) -> None:
        for name, value in (("network", network), ("sigmas", sigmas), ("num_steps", len(sigmas) - 1), ("nfe", nfe)):
            object.__setattr__(self, name, value)

    def round_sigma(self, sigma: Any, *args: Any, **kwargs: Any) -> Any:
        """The grid for a list of noise levels, `(num_steps,) -> (num_steps,)`; for one level what the network says.

        Raises InputError for a list of another length.
        """
        if getattr(sigma, "ndim", 0) != 1:
            own = getattr(self.network, "round_sigma", None)
            return sigma if own is None else own(sigma, *args, **kwargs)
        if len(sigma) != self.num_steps:
            raise InputError(
                f"The sampler takes {len(sigma)} steps, and the schedule has {self.num_steps}.",
                hint=f"Call it with num_steps={self.num_steps}.",
            )
        return sigma.new_tensor(self.sigmas[:-1])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.network(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in LIMITS:
            return getattr(self.network, name, LIMITS[name])
        return forwarded(self, self.network, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.network, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return ScheduledNetwork, (self.network, self.sigmas, self.nfe)

    def __repr__(self) -> str:
        first, last = self.sigmas[0], self.sigmas[-2]
        return f"{type(self.network).__name__} on {self.num_steps} steps, sigma = {first:g} to {last:g} and 0"


def scheduled(
    net: Any,
    artifact: AnyArtifact,
    *,
    nfe: int | None = None,
    steps: int | None = None,
    solver: str = "heun",
    resample: bool = False,
    denoise: float = 1.0,
) -> ScheduledNetwork:
    """A network that EDM's own samplers, called with `num_steps=net.num_steps`, walk on the artifact's grid.

    Args:
        net: a network of EDM or of its kind: `net(x, sigma, class_labels)` is the denoised x.
        artifact: an artifact, or the path of one.
        nfe: denoiser calls, 2 num_steps - 1 for Heun; or `steps`, one of the two.
        solver: "heun" for `edm_sampler`, "euler" for `ablation_sampler(solver="euler")`.
        resample: read a budget that the artifact does not hold from its warp.
        denoise: the last round(steps * denoise) steps only; give the sampler image / net.sigmas[0] + noise.

    A network that knows certain noise levels only (iDDPM) is given the grid rounded to them. Raises InputError when two
    levels then fall together, for a schedule of a flow model, and for noise that the network does not know; BudgetError
    for a budget that the artifact does not hold; and what `artc.load` raises.
    """
    if isinstance(net, ScheduledNetwork):
        net = net.network
    if not callable(net):
        raise InputError(
            f"A network can be called, and {type(net).__name__} cannot.", hint="Take data['ema'] of an EDM file."
        )
    artifact, known = opened(artifact), find_own(solver)
    sigmas = sigmas_for(artifact, known.name, nfe=nfe, steps=steps, resample=resample, denoise=denoise)
    check_fit(artifact.model, sigmas, host_model(net))
    spent = known.nfe(len(sigmas) - 1, artifact.model.cost)
    return ScheduledNetwork(net, _rounded(net, sigmas), spent)


def asked(net: Any, schedule: Schedule) -> Any:
    """The network that is shown the model sigmas of a schedule at its nodes; itself where the schedule has none.

    It keeps its attributes, `round_sigma`, `sigma_min` and `sigma_max` among them. One that `scheduled` made keeps its
    grid. A network that knows certain noise levels only is shown the model sigmas rounded to them, at the nodes rounded
    to them; two may then be shown as one. Raises what `artc.integrations.asking.asked` raises.
    """
    if isinstance(net, ScheduledNetwork):
        return ScheduledNetwork(asked(net.network, schedule), net.sigmas, net.nfe)
    made = asking.asked(net, schedule)
    own = getattr(net, "round_sigma", None)
    if own is None or not isinstance(made, asking.AskedDenoiser):
        return made
    import torch

    def known(levels: tuple[float, ...]) -> list[float]:
        rounded: list[float] = own(torch.tensor(levels, dtype=torch.float64)).tolist()
        return rounded

    return asking.AskedDenoiser(made.denoiser, known(made.nodes), known(made.model_sigmas))


def host_model(net: Any) -> HostModel:
    """What a network of EDM says of itself."""
    low, high = (float(getattr(net, name, limit)) for name, limit in LIMITS.items())
    return HostModel(name=type(net).__name__, domain="ve", sigma_min=low, sigma_max=high)


def _rounded(net: Any, sigmas: NDArray[np.float64]) -> NDArray[np.float64]:
    """The grid on the levels that the network knows; raises InputError when two of its sigmas become one."""
    own = getattr(net, "round_sigma", None)
    if own is None:
        return sigmas
    import torch

    levels = torch.zeros(len(sigmas), dtype=torch.float64)
    levels[:-1] = own(torch.tensor(sigmas[:-1]))
    (same,) = torch.nonzero(levels[1:] >= levels[:-1], as_tuple=True)
    if len(same):
        k = int(same[0])
        pair = f"{sigmas[k]:.9g} and {sigmas[k + 1]:.9g}"
        raise InputError(
            f"{type(net).__name__} knows certain noise levels only: sigma = {pair} of the schedule both become "
            f"{float(levels[k]):g}.",
            hint="Take fewer steps, or compile a schedule for this network.",
        )
    return levels.numpy()

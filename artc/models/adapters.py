"""Any network becomes a denoiser, whatever it predicts.

A network looks at z = a x0 + s n, on one of the paths of `artc.models.times`, and predicts a mix F = p x0 + q n of data
and noise. The best guess of a mix is the mix of the best guesses, because expectations are linear; z needs no guess:

    z = a D + s N,      F = p D + q N      =>      D = (q z - s F) / (a q - s p)  =  E[x0 | z]

| predicts | F | p, q | D | source |
|---|---|---|---|---|
| eps | n | 0, 1 | (z - s F) / a | Ho et al. 2006.11239, equation 15 |
| x0 | x0 | 1, 0 | F | the same, section 3.2 |
| v | a n - s x0 | -s, a | (a z - s F) / (a^2 + s^2) | Salimans and Ho 2202.00512, appendix D |
| velocity | n - x0 | -1, 1 | (z - s F) / (a + s) | Esser et al. 2403.03206, time from data to noise |
| velocity_to_data | x0 - n | 1, -1 | (z + s F) / (a + s) | Lipman et al. 2210.02747, Liu et al. 2209.03003 |

On the vp path, where z = x / sqrt(1 + sigma^2), these are the familiar D = x - sigma eps and D = a z - s v; on the flow
path, where a + s = 1, D = x - s velocity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from artc.errors import DenoiserError, InputError, UnknownNameError
from artc.models.times import PathName, Times

Network = Callable[..., Tensor]
"""`(z, timestep) -> F`, or with classes `(z, timestep, labels) -> F`: `(B, *S), (B,), (B,) -> (B, *S)`."""

Mix = Callable[[Tensor, Tensor], tuple[Tensor | float, Tensor | float]]
"""From a and s to the weights p and q of what is predicted."""

PREDICTIONS: dict[str, Mix] = {
    "eps": lambda _a, _s: (0.0, 1.0),
    "x0": lambda _a, _s: (1.0, 0.0),
    "v": lambda a, s: (-s, a),
    "velocity": lambda _a, _s: (-1.0, 1.0),
    "velocity_to_data": lambda _a, _s: (1.0, -1.0),
}

# From sigma to a, s and what x is multiplied with to make z.
PATHS: dict[PathName, Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]] = {
    "vp": lambda sigma: (a := (1 + sigma.square()).rsqrt(), sigma * a, a),
    "ve": lambda sigma: (torch.ones_like(sigma), sigma, torch.ones_like(sigma)),
    "flow": lambda sigma: (1 - sigma, sigma, torch.ones_like(sigma)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """The denoiser that a network is: a `Denoiser`, and with a network that takes labels a `ConditionalDenoiser`.

    `D(x; sigma)`: `(B, *S), (B,) -> (B, *S)` in the dtype of x, in the coordinates of `times.domain`.

    Raises InputError for a sigma that the network does not know, DenoiserError when it returns anything but a tensor
    shaped as its input (twice the channels are allowed: the second half is a variance, and left out).
    """

    network: Network
    mix: Mix
    times: Times

    def __call__(self, x: Tensor, sigma: Tensor, /, labels: Tensor | None = None) -> Tensor:
        # Half precision cannot tell timestep 998 from 999: at least float32.
        timestep = self.times.told(sigma, torch.promote_types(x.dtype, torch.float32))
        a, s, scale = PATHS[self.times.path](sigma.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1)))
        z = scale * x
        raw = self.network(z, timestep) if labels is None else self.network(z, timestep, labels)
        p, q = self.mix(a, s)
        denoised: Tensor = (q * z - s * _like(raw, z)) / (a * q - s * p)
        return denoised


def adapt(network: Network, *, predicts: str, times: Times) -> Adapted:
    """Make a denoiser of a network, D = (q z - s F) / (a q - s p).

    Args:
        network: `(z, timestep) -> F`, or `(z, timestep, labels) -> F` for one that will be given labels. `timestep` is
            float32 (float64 with x), or int64 where `times` says that the network takes whole ones.
        predicts: a name in `PREDICTIONS`.
        times: how the network sees noise; from it a caller also takes the sigma range and the domain of the model.

    Raises UnknownNameError, or InputError for noise predicted on a flow path, where at s = 1 it says nothing of x0.
    """
    if predicts not in PREDICTIONS:
        raise UnknownNameError("prediction", predicts, PREDICTIONS)
    if predicts == "eps" and times.path == "flow" and times.sigma_max == 1:
        raise InputError(
            "A network that predicts noise says nothing of the data at sigma = 1, where a flow starts.",
            hint="Give flow_times a sigma_max below 1.",
        )
    return Adapted(network=network, mix=PREDICTIONS[predicts], times=times)


def _like(raw: object, z: Tensor) -> Tensor:
    """The network's answer in the dtype of z, without a second half of channels."""
    if not isinstance(raw, Tensor):
        hint = "Wrap it in a function that takes the tensor out, such as lambda x, t: network(x, t).sample."
        raise DenoiserError(f"The network returned {type(raw).__name__}, not a tensor.", hint=hint)
    if raw.shape == (z.shape[0], 2 * z.shape[1], *z.shape[2:]):
        raw = raw[:, : z.shape[1]]
    if raw.shape != z.shape:
        # Checked here, because arithmetic would stretch a single channel to all of them.
        shapes = f"shape {tuple(raw.shape)} for an input of shape {tuple(z.shape)}"
        raise DenoiserError(f"The network returned {shapes}.", hint="It must be shaped as its input.")
    return raw.to(z.dtype)

"""Rollouts through the network itself, as the papers make them: the state moves by Euler steps, K of them.

In the clock t in [0, 1] with K steps of dt = 1 / K, and y = 1 - sigma / sigma_max the progress in *sigma itself*,

    theta_k = mu_k + sqrt(lambda / |Q_k|) eps_k
    y_{k+1} = y_k + theta_k dt
    x_{k+1} = x_k + (sigma_{k+1} - sigma_k) d_k,        d = (x - D) / sigma,

and the reward rate is r_k = -|Q_k| theta_k^2 - gamma theta_k, with |Q| taken at the *left end* of the step, in units of
y, sigma_max^2 |x''|, and clamped below. It is needed before the action is drawn, and is a finite difference along the
path: a step costs two calls. Every sample of a batch has a sigma of its own.

Past the end, y > 1, the model has nothing to say: the state stays, the field and |Q| are those of sigma_min.

Source: [ART] arXiv 2601.18681, algorithm 1; what it leaves open (features, clamp, what lies past the end) is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from artc.artifact import Coordinate
from artc.learning.objective import Array
from artc.models.score_model import Fields, Latents
from artc.sampling.stiffness import by_difference, rms

KNOTS = 16
STATE = 2  # features that read the state: stiffness, and the noise that the network sees in x
SIZE = 2 * KNOTS + STATE
NAMES = ("features", "stiffness", "mean", "theta", "end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Episodes:
    """B episodes of K steps; every array is `(K, B)`, but `features` `(K, F, B)` and `end` `(B,)`, y after the last.

    `stiffness` is |Q| in units of y, clamped; `mean` and `theta` are the policy's mean and the speed it drew.
    """

    features: Array
    stiffness: Array
    mean: Array
    theta: Array
    end: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineModel:
    """What an episode walks: the model's fields between sigma_max and sigma_min, and the clamp on |Q| in units of y."""

    fields: Fields
    sigma_min: float
    sigma_max: float
    clamp: float

    def play(self, latents: Latents, actor: Array, noise: Array, exploration: float) -> Episodes:
        """Play an episode of the Gaussian policy from each latent.

        Args:
            actor: weights `(F,)` of ln mu.
            noise: `(K, B)` standard normal; zero plays the mean.
            exploration: sqrt(lambda), in units of y.
        """
        cuts = np.cumsum([len(some) for some in latents.split()])[:-1]
        parts = zip(latents.split(), np.split(noise, cuts, axis=1), strict=True)
        played = [self._play(some, actor, part, exploration) for some, part in parts]
        return Episodes(**{name: np.concatenate([getattr(part, name) for part in played], -1) for name in NAMES})

    def _play(self, latents: Latents, actor: Array, noise: Array, exploration: float) -> Episodes:
        steps = len(noise)
        field, width = self.fields(latents.labels), 1.0 / steps
        x, y = latents.noise * self.sigma_max, np.zeros(len(latents))
        features = np.empty((steps, SIZE, len(latents)))
        stiffness, mean, theta = (np.empty(noise.shape) for _ in range(3))
        for k in range(steps):
            level = torch.as_tensor(self._sigma(y), device=x.device)
            spread = level.reshape(-1, *[1] * (x.ndim - 1))
            slope = (x - field(x, level)) / spread
            turn = by_difference(field, x, level, slope).cpu().numpy() * self.sigma_max**2
            stiffness[k] = np.maximum(turn, self.clamp)
            features[k] = self._features(k * width, y, stiffness[k], rms(slope).cpu().numpy())
            mean[k] = speed(actor, features[k])
            theta[k] = mean[k] + exploration / np.sqrt(stiffness[k]) * noise[k]
            y = y + theta[k] * width
            reached = torch.as_tensor(self._sigma(y), device=x.device).reshape(spread.shape)
            x = x + (reached - spread) * slope
        return Episodes(features=features, stiffness=stiffness, mean=mean, theta=theta, end=y)

    def _sigma(self, y: Array) -> Array:
        return np.clip(self.sigma_max * (1.0 - y), self.sigma_min, self.sigma_max)

    def _features(self, clock: float, y: Array, stiffness: Array, residual: Array) -> Array:
        """Hat functions of the shifted log of sigma, each times 1 and t; ln |Q| to the clamp; |x - D| / sigma - 1."""
        place = Coordinate(self.sigma_min, self.sigma_max).progress(self._sigma(y)) * (KNOTS - 1)
        hats = np.maximum(0.0, 1.0 - np.abs(place - np.arange(KNOTS)[:, None]))
        state = np.stack([np.log(stiffness / self.clamp) / 10, residual - 1.0])
        return np.concatenate([hats, clock * hats, state])


def speed(actor: Array, features: Array) -> Array:
    """The policy's mean mu = exp(w . features), positive, of features `(F, B)`; at w = 0 the uniform clock."""
    return np.asarray(np.exp(np.clip(actor @ features, -12.0, 12.0)))

"""What the tests of diffusers share: a model with a known denoiser, artifacts by hand, and loops written by hand.

The data are +1 or -1 with a spread of SPREAD, each number by itself, so that in x = x0 + sigma n, with v = SPREAD^2,

    D(x; sigma) = (v x + sigma^2 tanh(x / (v + sigma^2))) / (v + sigma^2).

The loops know x, D and a list of sigmas, are written in float64, and share nothing with artc or with diffusers.
"""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from artc.artifact import Artifact, Schedule, Warp, nfe_of
from tests.golden.example import example
from tests.tiny_diffusers import diffusers

SPREAD = 0.3
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
GRID = (14.6, 7.3, 3.1, 1.4, 0.6, 0.21, 0.0313)
FLOW_GRID = (1.0, 0.93, 0.81, 0.62, 0.4, 0.2, 0.05)


def denoised(x, sigma):
    """D(x; sigma) in x = x0 + sigma n; sigma may be a number or infinite."""
    if sigma == math.inf:
        return torch.zeros_like(x)
    spread = SPREAD**2 + sigma**2
    return (SPREAD**2 * x + sigma**2 * torch.tanh(x / spread)) / spread


def flow_denoised(x, s):
    """The same in x = (1 - s) x0 + s n."""
    return torch.zeros_like(x) if s == 1 else denoised(x / (1 - s), s / (1 - s))


def noise(count=16, dtype=torch.float64):
    return torch.randn((2, 4, count), generator=torch.Generator().manual_seed(11), dtype=torch.float64).to(dtype)


def nodes(steps, grid=GRID):
    """A grid of so many steps with the first and last of another's nodes."""
    places = np.linspace(0, len(grid) - 1, steps) if steps > 1 else np.zeros(1)
    return (*np.exp(np.interp(places, np.arange(len(grid)), np.log(grid))).tolist(), 0.0)


def artifact_of(*grids, solvers=("euler", "heun", "dpmpp_2m"), **model):
    """An artifact with these grids, trailing 0 included, for each solver."""
    made = example()
    info = replace(made.model, **{"sigma_max": grids[0][0], "sigma_min": grids[0][-2] / 2, **model})
    schedules = tuple(
        Schedule(
            solver=solver,
            nfe=nfe_of(solver, len(grid) - 1, info.cost),
            steps=len(grid) - 1,
            sigmas=tuple(grid),
            origin="refined",
        )
        for solver in solvers
        for grid in grids
    )
    warp = Warp((0.0, 0.4, 1.0), (grids[0][0], grids[0][0] / 5, 0.0), 0.5)
    parts = {"provenance": made.provenance, "created": made.created}
    return Artifact(model=info, schedules=schedules, warp=warp, **parts).sealed()


class Network:
    """A network as a pipeline calls it, (z, t) -> what it predicts; it knows the noise from the timestep alone."""

    def __init__(self, scheduler, dtype=torch.float64, sigma_data=0.5):
        self.config, self.dtype, self.sigma_data = scheduler.config, dtype, sigma_data
        self.table = getattr(scheduler, "alphas_cumprod", None)
        self.calls = 0
        self.told = []

    def __call__(self, z, t):
        assert t.dtype == torch.float32
        self.calls += 1
        self.told.append(float(t))
        z, t = z.to(self.dtype), float(t)
        if self.config.get("prediction_type", "flow_prediction") == "flow_prediction":
            s = t / 1000
            return (z - flow_denoised(z, s)) / s
        if "sigma_data" in self.config or self.config.get("timestep_type") == "continuous":
            return self.preconditioned(z, math.exp(4 * t))
        table = self.table.double().numpy()
        sigma = math.exp(np.interp(t, np.arange(1000), np.log((1 - table) / table) / 2))
        x = z * math.sqrt(1 + sigma**2)
        d = denoised(x, sigma)
        eps = (x - d) / sigma
        a = 1 / math.sqrt(1 + sigma**2)
        return {"epsilon": eps, "sample": d, "v_prediction": a * eps - a * sigma * d}[self.config["prediction_type"]]

    def preconditioned(self, z, sigma):
        """F of D = c_skip x + c_out F, z = x / sqrt(sigma^2 + sigma_data^2) (Karras et al. 2206.00364, table 1)."""
        data = self.config.get("sigma_data", 1.0)
        x = z * math.sqrt(sigma**2 + data**2)
        out = sigma * data / math.sqrt(sigma**2 + data**2)
        if self.config["prediction_type"] == "v_prediction":
            out = -out
        return (denoised(x, sigma) - x * data**2 / (sigma**2 + data**2)) / out


def walked(scheduler, network, unit, steps, **timesteps):
    """The loop of a pipeline: noise in, the scheduler's last sample out."""
    scheduler.set_timesteps(steps, **timesteps)
    x = unit * getattr(scheduler, "init_noise_sigma", 1.0)
    for t in scheduler.timesteps:
        z = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(network(z, t), t, x, return_dict=False)[0]
    return x


def sampled(scheduler, denoiser, unit, steps):
    """What any D(x, sigma), x = x0 + sigma n in float64, becomes in a compiled scheduler, and the calls that it took.

    The scheduler must have `prediction_type="sample"`; sigma is a number, as the scheduler has it (float32).
    """
    scheduler.set_timesteps(steps)
    x, calls = unit * scheduler.init_noise_sigma, 0
    for sigma, t in zip(scheduler.sigmas.tolist(), scheduler.timesteps, strict=False):
        z = scheduler.scale_model_input(x, t)
        x = scheduler.step(denoiser(z * math.sqrt(1 + sigma**2), sigma), t, x, return_dict=False)[0]
        calls += 1
    return x, calls


def betas_over(low, high, count=1000):
    """`trained_betas` of a scheduler whose network knows sigma from `low` to `high`; in float32 from about 0.02."""
    bars = 1 / (1 + np.geomspace(low, high, count) ** 2)
    return (1 - bars / np.append(1.0, bars[:-1])).tolist()


def of(name, **settings):
    """A scheduler of diffusers with the noise of Stable Diffusion."""
    kind = f"{name}DiscreteScheduler" if name in ("Euler", "Heun") else f"{name}Scheduler"
    return getattr(diffusers, kind)(**SD, **settings)


def flow(**settings):
    """The scheduler of SD3 and Flux."""
    return diffusers.FlowMatchEulerDiscreteScheduler(**settings)


def walked_by(scheduler):
    """Its grid without Heun's second entries."""
    sigmas = scheduler.sigmas.tolist()
    return [*sigmas[: -1 if scheduler.order == 1 else 1], *(sigmas[1:-1:2] if scheduler.order == 2 else ()), sigmas[-1]]


def euler(d, x, sigmas):
    for a, b in pairwise(sigmas):
        x = x + (b - a) * (x - d(x, a)) / a
    return x


def heun(d, x, sigmas):
    for a, b in pairwise(sigmas):
        slope = (x - d(x, a)) / a
        guess = x + (b - a) * slope
        x = guess if b == 0 else x + (b - a) * (slope + (guess - d(guess, b)) / b) / 2
    return x


def dpmpp_2m(d, x, sigmas):
    """Lu et al. 2211.01095, algorithm 2, in x = x0 + sigma n; first and last step of order 1."""
    before = None
    for k, (a, b) in enumerate(pairwise(sigmas)):
        now = guess = d(x, a)
        if before is not None and b > 0:
            r = math.log(sigmas[k - 1] / a) / math.log(a / b)
            guess = now + (now - before) / (2 * r)
        x = b / a * x + (1 - b / a) * guess
        before = now
    return x


def unipc(d, x, sigmas):
    """UniPC-2 with B(h) = e^h - 1 (Zhao et al. 2302.04867), in x = x0 + sigma n.

    The predictor is that of DPM-Solver++(2M). The corrector integrates exp(-(lambda' - lambda)) D(lambda) over the last
    step, with D the parabola through the two values at its ends and the one before; in the first step, where there is
    none before, D is the mean of the two ends.
    """
    last, values = None, []
    for k, (a, b) in enumerate(pairwise(sigmas)):
        now = d(x, a)
        if k:
            p, h = sigmas[k - 1], math.log(sigmas[k - 1] / a)
            if k == 1:
                x = a / p * last + (1 - a / p) * (values[-1] + now) / 2
            else:
                r = math.log(p / sigmas[k - 2]) / h  # where the value before lies, the step being 0 to 1
                at, weights = np.polynomial.legendre.leggauss(40)
                u, w = (at + 1) / 2, weights / 2 * h * np.exp(-h * (1 - (at + 1) / 2))
                known = (r, 0.0, 1.0)
                x = a / p * last
                for here, value in zip(known, (values[-2], values[-1], now), strict=True):
                    others = [node for node in known if node != here]
                    basis = np.prod([(u - node) / (here - node) for node in others], axis=0)
                    x = x + float(np.sum(w * basis)) * value
        last = x
        guess = now
        if k and b > 0:
            guess = now + (now - values[-1]) / (2 * math.log(sigmas[k - 1] / a) / math.log(a / b))
        x = b / a * x + (1 - b / a) * guess
        values.append(now)
    return x

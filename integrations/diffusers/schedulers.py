"""Schedulers of diffusers with compiled grids: one small subclass of each, made when it is first asked for.

A subclass changes what the scheduler walks and nothing else. Its `set_timesteps(N)` lets diffusers set up everything as
usual, and then puts the grid of N steps in place:

    sigmas      as compiled, ending in 0; Heun has every entry between the first and the last twice
    timesteps   what the network is told at each of them, fractional (diffusers rounds those of some to whole numbers)
    start       x = sigma_0 n, as it was compiled: so much noise whatever the timestep spacing says, and in the
                coordinates of DPM-Solver++ and UniPC sigma_0 / sqrt(1 + sigma_0^2)

Nothing is added to a step: no tensor, no call.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from artc.arguments import whole
from artc.errors import InputError

from ..fitting import check_fit
from .grids import Grids, grids_of
from .host import diffusers_package
from .kinds import KINDS, PREFIX, Kind, check_settings, host_model, noise_of, ordered, timesteps_of

HOME = "artc.integrations.diffusers"
"""The module that a saved pipeline names; it must be imported before `from_pretrained`, and stay where it is."""

CLIPPED = 1 - 1e-6
"""Where UniPC starts a flow instead of at 1, as diffusers does: there it would divide infinity by itself."""

DEMAND_MU = ("FlowMatchEulerDiscreteScheduler", "UniPCMultistepScheduler")
"""Those that set no timesteps without a mu when their shifting is dynamic."""

SAME = 2e-3
"""How far a list of sigmas may be from the ramp that stands for "none given": some pipelines round their timesteps."""


@cache
def scheduler_class(name: str) -> Any:
    """The scheduler class of this name, such as ArtHeunDiscreteScheduler; raises AttributeError for another name."""
    kind = KINDS.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
    if kind is None:
        raise AttributeError(f"module {HOME!r} has no attribute {name!r}")
    base = getattr(diffusers_package(), kind.name)
    made = _subclass(kind, base)
    made.__name__ = made.__qualname__ = name
    made.__module__ = HOME
    signature = inspect.signature(base.__init__)
    grids = inspect.Parameter("art", inspect.Parameter.KEYWORD_ONLY, default=None)
    # diffusers reads from here which entries of a saved configuration are ours.
    made.__init__.__signature__ = signature.replace(parameters=[*signature.parameters.values(), grids])
    return made


def _subclass(kind: Kind, base: Any) -> Any:
    """The scheduler of this kind that walks compiled grids, yet without its name."""

    class Scheduler(base):  # type: ignore[misc]  # diffusers ships no types
        """A scheduler that walks compiled grids; `art` holds them, see `artc.integrations.diffusers.grids`."""

        sigmas: Any
        timesteps: Any
        _grids: Grids | None = None  # until then it is the scheduler of diffusers, whose own __init__ may need to be
        _miscounted = False

        def __init__(self, *args: Any, art: Any = None, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            grids = grids_of(art)
            check_settings(kind, self.config)
            solvers = ordered(kind, self.config).solvers
            if grids.solver not in solvers:
                raise InputError(
                    f"{kind.name} walks schedules for {' or '.join(solvers)}, and these are for {grids.solver}.",
                    hint="Make the scheduler anew, with `scheduled` and the artifact.",
                )
            self._grids = grids
            for sigmas in ((grids.model.sigma_max, 0.0), *(schedule.sigmas for schedule in grids.schedules)):
                self._placed(np.asarray(sigmas))
            self.register_to_config(art=art)

        @property
        def init_noise_sigma(self) -> float:
            """Standard deviation of the initial noise, in the coordinates of the scheduler."""
            if self._grids is None:
                return 1.0
            first = self._grids.model.sigma_max
            return first / (1 + first**2) ** 0.5 if kind.preserving and noise_of(self) == "table" else first

        @init_noise_sigma.setter
        def init_noise_sigma(self, value: float) -> None:
            """The grid knows it better."""

        def set_timesteps(
            self,
            num_inference_steps: int | None = None,
            device: Any = None,
            *more: Any,
            sigmas: Any = None,
            timesteps: Any = None,
            mu: float | None = None,
        ) -> None:
            """Walk the compiled grid of `num_inference_steps` steps.

            `sigmas` may be the even ramp that pipelines of flow models send where nobody chose any; what they send as
            `mu` chooses a shift, and there is none to choose. Raises BudgetError when there is no such grid, InputError
            for sigmas or timesteps of one's own.
            """
            del mu
            if self._grids is None:
                super().set_timesteps(num_inference_steps, device, *more)
                return
            if more:
                raise InputError(f"{kind.ours}.set_timesteps takes all but the steps and the device by their names.")
            steps = _asked(self, num_inference_steps, sigmas, timesteps)
            grid, told = self._placed(self._grids.sigmas(steps))
            shifting = kind.name in DEMAND_MU and self.config.use_dynamic_shifting
            with np.errstate(all="ignore"):  # of a grid that is thrown away
                super().set_timesteps(steps, device, **({"mu": 1.0} if shifting else {}))
            self._miscounted = base.order == 2 and sigmas is not None
            self.num_inference_steps = steps
            self.sigmas = grid.to(self.sigmas)
            self.timesteps = told.to(self.timesteps.device)

        def set_begin_index(self, begin_index: int = 0) -> None:
            """Start further down, as image to image does; raises InputError where that would be somewhere else."""
            if self._miscounted and begin_index:
                raise InputError(
                    f"This pipeline takes the {len(self.timesteps)} calls of Heun for as many steps, and would start "
                    f"elsewhere than its strength says.",
                    hint="Use solver='euler' for image to image.",
                )
            super().set_begin_index(begin_index)

        def _placed(self, sigmas: NDArray[np.float64]) -> tuple[torch.Tensor, torch.Tensor]:
            """A grid and its timesteps, float32, in the layout that the scheduler's steps expect.

            Raises InputError for one that the network does not know, or that float32 cannot hold.
            """
            assert self._grids is not None
            check_fit(self._grids.model, sigmas, host_model(self))
            if kind.sampler == "uni_pc" and noise_of(self) == "flow":
                sigmas = np.minimum(sigmas, CLIPPED)
            nodes = sigmas[:-1].astype(np.float32)
            told = timesteps_of(self, sigmas[:-1]).astype(np.float32)
            close = np.flatnonzero((np.diff(told) >= 0) | (np.diff(nodes) >= 0))
            if len(close):
                pair = " and ".join(f"{sigma!r}" for sigma in sigmas[close[0] : close[0] + 2].tolist())
                raise InputError(f"{kind.name} cannot tell the sigmas {pair} apart.", hint="Use fewer steps.")
            if base.order == 2:
                nodes, told = (np.concatenate([each[:1], each[1:].repeat(2)]) for each in (nodes, told))
            return torch.from_numpy(np.append(nodes, np.float32(0))), torch.from_numpy(told)

    return Scheduler


def _asked(scheduler: Any, steps: int | None, sigmas: Any, timesteps: Any) -> int:
    """The number of steps that a pipeline asks for; raises InputError where it asks for a grid of its own."""
    if sigmas is None and timesteps is None:
        if steps is None:
            raise InputError("How many steps?", hint="Give num_inference_steps.")
        return whole(steps, "number of steps")
    count = len(sigmas) if noise_of(scheduler) == "flow" and _is_ramp(sigmas, scheduler.config) else 0
    if count and steps in (None, count):
        return count
    name = type(scheduler).__name__.removeprefix(PREFIX)
    raise InputError(
        f"This {name} walks compiled grids, and was given another.",
        hint="Leave sigmas and timesteps out, or use the scheduler of diffusers; `sigmas_for` makes a list for it.",
    )


def _is_ramp(sigmas: Any, config: Any) -> bool:
    """Whether pipelines of flows send this where nobody chose any: even, from 1 down to 1 / N or the last timestep."""
    try:
        given = np.asarray(sigmas, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    if given.ndim != 1 or not len(given) or not (abs(given[0] - 1) <= SAME and given[-1] > 0):
        return False
    ends = (1 / len(given), 1 / config.num_train_timesteps)
    return any(np.allclose(given, np.linspace(1, end, len(given)), rtol=0, atol=SAME) for end in ends)

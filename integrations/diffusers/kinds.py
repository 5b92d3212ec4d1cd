"""The schedulers of diffusers that walk a compiled grid: which schedules they take, and the noise that they know.

A scheduler is a sampler and the noise a network was trained with. The sampler decides whose schedules it takes:

| scheduler | walks schedules for | calls on N steps |
|---|---|---|
| EulerDiscrete, EDMEuler, FlowMatchEulerDiscrete | euler | N |
| HeunDiscrete, FlowMatchHeunDiscrete | heun | 2 N - 1 |
| DPMSolverMultistep, EDMDPMSolverMultistep | dpmpp_2m; with `solver_order` 3 dpmpp_3m | N |
| UniPCMultistep | unipc_2; with `solver_order` 3 unipc_3 | N |

Where an artifact holds none for dpmpp_3m or UniPC, and for flows, these take schedules for dpmpp_2m, as relatives. Of
order 3 they are artc's rule but for the last step but one, which diffusers takes with order 2: UniPC always, the other
below 15 steps unless `lower_order_final` is off.

The noise decides what sigma means and which timestep the network is told for it:

* table: alpha-bar of training; x = x0 + sigma n with sigma^2 = (1 - alpha-bar) / alpha-bar, and t linear in ln(sigma)
  between two entries (DPM-Solver++ and UniPC keep z = x / sqrt(1 + sigma^2) instead of x);
* log: x = x0 + sigma n, and t = ln(sigma) / 4 (Karras et al. 2206.00364);
* flow: x = (1 - sigma) x0 + sigma n, and t = sigma times the number of training timesteps. Sigma is what the network
  sees, after any shift: a shift is a way to choose a grid, and the grid is already chosen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from artc.artifact.types import Domain
from artc.errors import InputError, UnknownNameError

from ..fitting import HostModel
from ..samplers import SAMPLERS

Noise = Literal["table", "log", "flow"]

PREFIX = "Art"
"""Before the name of a diffusers scheduler: ours that walks compiled grids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A scheduler class of diffusers by its name, the sampler that it is, and how it writes noise.

    `noise` is that of its default configuration: DPM-Solver++ and UniPC can also be set to flows. `order` is their
    `solver_order`, where it says which rule of artc they are. `only` is the solver that was asked for by its name.
    """

    name: str
    sampler: str
    noise: Noise
    order: int | None = None
    only: str | None = None

    @property
    def solvers(self) -> tuple[str, ...]:
        """The solvers of artc whose schedules it takes, the one that it is first."""
        if self.only is not None:
            return (self.only,)
        known = SAMPLERS[self.sampler]
        relative = known.solver if known.second is None else known.second
        exact = BY_ORDER.get((self.sampler, self.order), relative)
        return (exact,) if exact == relative else (exact, relative)

    @property
    def solver(self) -> str:
        """The first of them."""
        return self.solvers[0]

    @property
    def preserving(self) -> bool:
        """Whether on a table it carries z = x / sqrt(1 + sigma^2) from step to step instead of x."""
        return self.sampler in ("dpmpp_2m", "uni_pc")

    @property
    def ours(self) -> str:
        """The name of the class that walks compiled grids."""
        return PREFIX + self.name


BY_ORDER: dict[tuple[str, int | None], str] = {
    ("dpmpp_2m", 2): "dpmpp_2m",
    ("dpmpp_2m", 3): "dpmpp_3m",
    ("uni_pc", 2): "unipc_2",
    ("uni_pc", 3): "unipc_3",
}
"""The solver that a scheduler with a `solver_order` is."""


def _table(*kinds: tuple[str, str, Noise]) -> dict[str, Kind]:
    return {name: Kind(name=name, sampler=sampler, noise=noise) for name, sampler, noise in kinds}


KINDS: dict[str, Kind] = _table(
    ("EulerDiscreteScheduler", "euler", "table"),
    ("HeunDiscreteScheduler", "heun", "table"),
    ("DPMSolverMultistepScheduler", "dpmpp_2m", "table"),
    ("UniPCMultistepScheduler", "uni_pc", "table"),
    ("EDMEulerScheduler", "euler", "log"),
    ("EDMDPMSolverMultistepScheduler", "dpmpp_2m", "log"),
    ("FlowMatchEulerDiscreteScheduler", "euler", "flow"),
    ("FlowMatchHeunDiscreteScheduler", "heun", "flow"),
)
"""In the order of preference for a solver."""


def kind_of(scheduler: Any) -> Kind | None:
    """The kind of a scheduler of diffusers or of ours; None for any other, a user's own subclass among them."""
    kind = type(scheduler)
    home = str(kind.__module__).partition(".")[0]
    found = KINDS.get(kind.__name__.removeprefix(PREFIX)) if home in ("diffusers", "artc") else None
    return None if found is None else ordered(found, scheduler.config)


def ordered(kind: Kind, config: Mapping[str, Any]) -> Kind:
    """The kind with the order that is set, where it samples no flow: there it is a relative of the rules of artc."""
    return kind if config.get("use_flow_sigmas") else replace(kind, order=config.get("solver_order"))


def kind_for(scheduler: Any, solver: str | None) -> Kind:
    """The kind that walks schedules for a solver where this scheduler is; its own kind when that is one, or unasked.

    Raises InputError for a scheduler of which none can be made, UnknownNameError for a solver that none walks.
    """
    name = type(scheduler).__name__
    if isinstance(scheduler, type) or not hasattr(scheduler, "set_timesteps") or not hasattr(scheduler, "config"):
        what = f"The class {scheduler.__name__}" if isinstance(scheduler, type) else name
        raise InputError(f"{what} is no scheduler of diffusers.", hint="Give that of the pipeline, pipe.scheduler.")
    if not (solver is None or isinstance(solver, str)):
        raise InputError(f"A solver is a name, not {type(solver).__name__}.")
    own, noise = kind_of(scheduler), noise_of(scheduler)
    known = {kind.solver: kind for kind in reversed(KINDS.values()) if kind.noise == noise}
    if noise == "table":
        orders = [replace(kind, order=order) for kind in KINDS.values() if kind.noise == noise for order in (2, 3)]
        known |= {kind.solver: kind for kind in orders if (kind.sampler, kind.order) in BY_ORDER}
    if not _changeable(scheduler):
        known = {}
    if own is not None:
        known |= {name: replace(own, only=name) for name in own.solvers}
        if solver is None:
            return own
    if solver is None:
        names = " or ".join(f"solver={name!r}" for name in sorted(known))
        raise InputError(f"{name} walks no compiled grid.", hint=f"Another can: give {names}." if known else "")
    if solver not in known:
        raise UnknownNameError(f"solver for {name}", solver, known)
    return known[solver]


def _changeable(scheduler: Any) -> bool:
    """Whether another class can sample the network of this scheduler: it must understand what the network predicts."""
    own, noise = kind_of(scheduler), noise_of(scheduler)
    if noise == "flow":  # FlowMatchEuler and FlowMatchHeun know no other
        return bool(scheduler.config.get("prediction_type", "flow_prediction") == "flow_prediction")
    # EulerDiscrete with the times of EDM has preconditioning of its own.
    return noise == "table" or (own is not None and own.noise == "log")


def noise_of(scheduler: Any) -> Noise:
    """How a scheduler writes noise, and tells it to the network; raises InputError when it cannot be seen."""
    own, config = kind_of(scheduler), scheduler.config
    if config.get("use_flow_sigmas"):
        return "flow"
    if own is not None and own.noise != "table":
        return own.noise
    if config.get("timestep_type") == "continuous" and config.get("prediction_type") == "v_prediction":
        return "log"
    if getattr(scheduler, "alphas_cumprod", None) is not None:
        return "table"
    raise InputError(
        f"{type(scheduler).__name__} is not one that artc knows the noise of.", hint=f"It knows {', '.join(KINDS)}."
    )


def host_model(scheduler: Any) -> HostModel:
    """What a scheduler says of its network's noise. Raises InputError as `noise_of`."""
    noise, config, name = noise_of(scheduler), scheduler.config, type(scheduler).__name__.removeprefix(PREFIX)
    domain: Domain = "flow" if noise == "flow" else "ve"
    if noise == "flow":  # trained on all of (0, 1]; where its own grids end is a choice
        return HostModel(name=name, domain=domain, sigma_max=1.0)
    if noise == "log":
        low, high = config.get("sigma_min"), config.get("sigma_max")
        return HostModel(name=name, domain=domain, sigma_min=low or 0.0, sigma_max=high or math.inf)
    logs = log_sigmas(scheduler)
    return HostModel(name=name, domain=domain, sigma_min=math.exp(logs[0]), sigma_max=math.exp(logs[-1]))


def timesteps_of(scheduler: Any, sigmas: NDArray[np.float64]) -> NDArray[np.float64]:
    """The timestep that the network is told at each of these positive sigmas, float64, not rounded."""
    noise = noise_of(scheduler)
    if noise == "flow":
        return sigmas * float(scheduler.config["num_train_timesteps"])
    if noise == "log":
        return np.asarray(np.log(sigmas) / 4)
    logs = log_sigmas(scheduler)
    return np.asarray(np.interp(np.log(sigmas), logs, np.arange(len(logs))))


def check_settings(kind: Kind, config: Mapping[str, Any]) -> None:
    """Raise InputError for settings with which this scheduler makes no sense of a grid that ends in 0."""
    flawed: dict[str, tuple[object, ...]] = {"invert_sigmas": (True,)}
    if kind.sampler == "dpmpp_2m":  # the other one looks whether the last step ends in 0, and so has order 1
        flawed |= {"algorithm_type": ("dpmsolver", "sde-dpmsolver"), "final_sigmas_type": ("sigma_min",)}
    if kind.sampler == "uni_pc":  # each multiplies the infinite lambda of the last step with a zero
        flawed |= {"lower_order_final": (False,), "predict_x0": (False,), "solver_type": ("bh1",)}
    for name, values in flawed.items():
        if config.get(name) in values:
            raise InputError(
                f"{kind.name} cannot walk a compiled grid, which ends in 0, with {name}={config[name]!r}.",
                hint="Make the scheduler without it: from_config(config, ...) takes other settings.",
            )
    if config.get("solver_p") is not None:
        raise InputError(f"{kind.name} with solver_p walks the grid of that scheduler.", hint="Leave solver_p out.")


def log_sigmas(scheduler: Any) -> NDArray[np.float64]:
    """ln(sigma) of every training timestep, increasing, from the table as the scheduler holds it."""
    table = scheduler.alphas_cumprod.detach().cpu().double().numpy()  # some schedulers move it to where they add noise
    with np.errstate(divide="ignore"):  # zero terminal SNR: the last sigma is infinite
        return np.asarray((np.log1p(-table) - np.log(table)) / 2)

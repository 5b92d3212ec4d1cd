"""What the samplers of k-diffusion and ComfyUI spend on a grid, and whose schedules suit them.

A schedule is compiled for one of artc's solvers. The samplers people run have other names and there are more of them; a
few are those solvers, most are relatives: they spend as many calls on a grid, and no schedule of their own exists yet.
Where an artifact holds no schedule for the solver that a sampler is, or is nearest to, there may be a second one whose
schedules it takes as a relative; see `Sampler.solvers`.

ComfyUI's `ipndm` is ipndm_4, the same rule. Its `deis` is a relative of deis_3: both integrate a polynomial through the
last three slopes, deis_3 one in sigma, ComfyUI one in the time of a VP process whose sigma runs from 0.002 to 80, so
that on uneven steps the weights are others. Its `uni_pc` and `uni_pc_bh2` take other steps at the end than unipc_3.

    NFE = calls * steps - saved,        at least 1

`saved` are the calls that the last step, to sigma = 0, does without; a grid that ends above 0 saves none of them.
Guidance changes no number here: these hosts give both halves of a guided call to the network as one batch. An artifact
compiled with guidance counts every network call; see `Sampler.nfe`.

Counted, not derived: `tests/hosts` runs every sampler of the real hosts and compares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from artc.arguments import whole
from artc.errors import BudgetError, InputError, UnknownNameError

AnySampler = str | Callable[..., object]
"""A host's sampler by its name, with or without `sample_`, or the function itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """A host's sampler: what it spends, and the solver of artc whose schedules it takes.

    Attributes:
        solver: the one it is, or its nearest relative that spends as many calls.
        second: the solver whose schedules it takes, as a relative, where there are none for the first.
        kin: it is only a relative: nothing was measured with it.
    """

    name: str
    solver: str
    second: str | None = None
    calls: int = 1
    saved: int = 0
    kin: bool = True

    @property
    def solvers(self) -> tuple[str, ...]:
        """The solvers whose schedules it takes, the nearest first."""
        return (self.solver,) if self.second is None else (self.solver, self.second)

    def nfe(self, steps: int, cost: int = 1) -> int:
        """Denoiser calls on a grid of `steps` that ends in 0; `cost` is that of an artifact's guidance."""
        return cost * max(self.calls * whole(steps, "number of steps") - self.saved, 1)

    def steps_for(self, nfe: int, cost: int = 1) -> int:
        """The steps that spend exactly `nfe`; raises BudgetError, naming the nearest budgets."""
        steps = max((whole(nfe, "NFE") // cost + self.saved) // self.calls, 1)
        if self.nfe(steps, cost) == nfe:
            return steps
        near = sorted({self.nfe(steps + k, cost) for k in (0, 1)})
        guided = "" if cost == 1 else f" where guidance takes {cost} for each value"
        raise BudgetError(
            f"{self.name} cannot make exactly {nfe} denoiser calls{guided}.",
            hint=f"The nearest NFE it can make are {' and '.join(map(str, near))}.",
        )


def _table(*samplers: Sampler) -> dict[str, Sampler]:
    return {sampler.name: sampler for sampler in samplers}


def _kin(solver: str, calls: int, saved: int, names: str) -> tuple[Sampler, ...]:
    return tuple(Sampler(name=name, solver=solver, calls=calls, saved=saved) for name in names.split())


SAMPLERS: dict[str, Sampler] = _table(
    Sampler(name="euler", solver="euler", kin=False),
    Sampler(name="heun", solver="heun", calls=2, saved=1, kin=False),
    Sampler(name="dpmpp_2m", solver="dpmpp_2m", kin=False),
    *_kin("euler", 1, 0, "euler_ancestral euler_cfg_pp euler_ancestral_cfg_pp ddim ddpm lcm"),
    Sampler(name="ipndm", solver="ipndm_4", second="dpmpp_2m", kin=False),
    Sampler(name="deis", solver="deis_3", second="dpmpp_2m"),
    Sampler(name="uni_pc", solver="unipc_3", second="dpmpp_2m"),
    Sampler(name="uni_pc_bh2", solver="unipc_3", second="dpmpp_2m"),
    *_kin("dpmpp_2m", 1, 0, "lms ipndm_v dpmpp_2m_cfg_pp er_sde sa_solver"),
    *_kin("dpmpp_2m", 1, 0, "dpmpp_2m_sde dpmpp_2m_sde_gpu dpmpp_2m_sde_heun dpmpp_2m_sde_heun_gpu"),
    *_kin("dpmpp_2m", 1, 0, "dpmpp_3m_sde dpmpp_3m_sde_gpu gradient_estimation gradient_estimation_cfg_pp"),
    *_kin("dpmpp_2m", 1, 0, "res_multistep res_multistep_cfg_pp"),
    *_kin("dpmpp_2m", 1, 0, "res_multistep_ancestral res_multistep_ancestral_cfg_pp"),
    *_kin("heun", 2, 1, "dpm_2 dpm_2_ancestral dpmpp_2s_ancestral dpmpp_2s_ancestral_cfg_pp dpmpp_sde dpmpp_sde_gpu"),
    *_kin("heun", 2, 1, "exp_heun_2_x0 exp_heun_2_x0_sde sa_solver_pece seeds_2"),
    *_kin("heun", 3, 3, "heunpp2"),
    *_kin("heun", 3, 2, "seeds_3"),
)
"""By the name that both hosts use; k-diffusion's functions have `sample_` before it."""

WALKED_BY = {sampler.solver: sampler.name for sampler in SAMPLERS.values() if not sampler.kin}
"""The sampler that is a solver of artc, by the solver. k-diffusion has those of the same name, ComfyUI has all."""

OWN = tuple(name for solver, name in WALKED_BY.items() if name == solver)
"""Samplers that are solvers of artc, by the same name."""

GRIDLESS = {
    "dpm_fast": "it makes a grid of its own from a number of calls",
    "dpm_adaptive": "it chooses its steps while it runs, by an error tolerance",
}
"""Samplers that take no grid, and why."""


def name_of(sampler: AnySampler) -> str:
    """The name a host calls its sampler by, without `sample_`; raises InputError for what is no sampler."""
    if isinstance(sampler, partial):
        sampler = sampler.func
    name = sampler if isinstance(sampler, str) else getattr(sampler, "__name__", None)
    if not isinstance(name, str):
        raise InputError(f"A sampler is a name or a function, not {type(sampler).__name__}.")
    return name.removeprefix("sample_")


def find_sampler(sampler: AnySampler) -> Sampler:
    """What is known of a sampler; raises UnknownNameError, and InputError for one that takes no grid."""
    name = name_of(sampler)
    if name in GRIDLESS:
        raise InputError(f"{name} takes no grid: {GRIDLESS[name]}.", hint="Use heun, dpmpp_2m or euler.")
    if name not in SAMPLERS:
        raise UnknownNameError("sampler", name, SAMPLERS)
    return SAMPLERS[name]


def find_own(name: str) -> Sampler:
    """What is known of one of `OWN`; raises UnknownNameError for all else, relatives too."""
    if name not in OWN:
        raise UnknownNameError("solver", str(name), OWN)
    return SAMPLERS[name]

"""How many denoiser calls a solver spends on a grid: the one table of solver arithmetic.

A grid of K steps ends in sigma = 0, where the probability-flow field (x - D(x; sigma)) / sigma is undefined. Every
solver therefore takes its last step as one Euler step, which costs one call, and the K - 1 before it by its own rule:

    NFE = calls_per_step * (K - 1) + 1

so that Euler and all multistep rules (DPM-Solver++, iPNDM, UniPC, DEIS) spend K calls, Heun 2K - 1 and classical
Runge-Kutta 4K - 3. A budget between two of these numbers cannot be spent exactly, and is refused rather than rounded.

Under classifier-free guidance a denoised value takes two network calls, and every NFE is twice as large: `cost` below
is the number of calls that one denoised value takes.
"""

from __future__ import annotations

from dataclasses import dataclass

from artc.errors import BudgetError, UnknownNameError


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a solver costs: its order, and the denoiser calls of each step but the last.

    `order` is what the error falls with on a grid that suits the rule, with a past that is known to it: what a
    multistep rule loses in its first steps is told where the rule is. iPNDM has its order on grids uniform in sigma
    only.
    `between_nodes` says that some of these calls are made at sigmas between the nodes of the grid.
    """

    name: str
    order: int
    calls_per_step: int
    between_nodes: bool = False


BUDGETS: dict[str, Budget] = {
    "euler": Budget(name="euler", order=1, calls_per_step=1),
    "heun": Budget(name="heun", order=2, calls_per_step=2),
    "rk4": Budget(name="rk4", order=4, calls_per_step=4, between_nodes=True),
    "dpmpp_2m": Budget(name="dpmpp_2m", order=2, calls_per_step=1),
    "dpmpp_3m": Budget(name="dpmpp_3m", order=2, calls_per_step=1),
    "ipndm_2": Budget(name="ipndm_2", order=2, calls_per_step=1),
    "ipndm_3": Budget(name="ipndm_3", order=3, calls_per_step=1),
    "ipndm_4": Budget(name="ipndm_4", order=4, calls_per_step=1),
    "unipc_2": Budget(name="unipc_2", order=3, calls_per_step=1),
    "unipc_3": Budget(name="unipc_3", order=4, calls_per_step=1),
    "deis_2": Budget(name="deis_2", order=2, calls_per_step=1),
    "deis_3": Budget(name="deis_3", order=3, calls_per_step=1),
}


def budget(solver: str) -> Budget:
    """Return the budget of a solver by its name; raises UnknownNameError."""
    if solver not in BUDGETS:
        raise UnknownNameError("solver", solver, BUDGETS)
    return BUDGETS[solver]


def nfe_of(solver: str, steps: int, cost: int = 1) -> int:
    """Denoiser calls of a grid of `steps` intervals: cost * (calls_per_step * (steps - 1) + 1).

    Raises UnknownNameError for an unknown solver and BudgetError for less than one step.
    """
    calls = budget(solver).calls_per_step
    if steps < 1:
        raise BudgetError(f"A grid has at least one step, not {steps}.")
    return cost * (calls * (steps - 1) + 1)


def steps_for(solver: str, nfe: int, cost: int = 1) -> int:
    """Number of steps that spends exactly `nfe` denoiser calls: (nfe / cost - 1) / calls_per_step + 1.

    Raises UnknownNameError for an unknown solver, and BudgetError, naming the nearest budgets, when no grid of that
    solver costs exactly `nfe`.
    """
    calls = budget(solver).calls_per_step
    guided = " with guidance, which doubles them" if cost == 2 else ""
    if nfe < cost:
        raise BudgetError(f"{solver} cannot make {nfe} denoiser calls{guided}.", hint=f"The smallest NFE is {cost}.")
    whole, rest = divmod(nfe - cost, cost * calls)
    if rest:
        below = cost * (calls * whole + 1)
        raise BudgetError(
            f"{solver} cannot make exactly {nfe} denoiser calls{guided}.",
            hint=f"The nearest NFE it can make are {below} and {below + cost * calls}.",
        )
    return whole + 1

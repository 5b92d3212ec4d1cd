"""The solvers, one rule a file. `SOLVERS` names them; their arithmetic is in `artc.artifact.budget`."""

from __future__ import annotations

from artc.errors import UnknownNameError

from . import dpmpp_2m, euler, heun, rk4
from .solver import Memory, Rule, Solver, Step

SOLVERS: dict[str, Solver] = {
    "euler": Solver(name="euler", step=euler.step),
    "heun": Solver(name="heun", step=heun.step),
    "rk4": Solver(name="rk4", step=rk4.step),
    "dpmpp_2m": Solver(name="dpmpp_2m", step=dpmpp_2m.step),
}


def find_solver(name: str) -> Solver:
    """A solver by its name; raises UnknownNameError that lists the close names."""
    if name not in SOLVERS:
        raise UnknownNameError("solver", name, SOLVERS)
    return SOLVERS[name]


__all__ = ["SOLVERS", "Memory", "Rule", "Solver", "Step", "find_solver"]

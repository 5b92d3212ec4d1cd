"""The solvers, one rule a file. `SOLVERS` names them; their arithmetic is in `artc.artifact.budget`."""

from __future__ import annotations

from functools import partial

from artc.errors import UnknownNameError

from . import deis, dpmpp_2m, dpmpp_3m, euler, heun, ipndm, rk4, unipc
from .solver import Memory, Node, Rule, Solver, Step

SOLVERS: dict[str, Solver] = {
    "euler": Solver(name="euler", step=euler.step),
    "heun": Solver(name="heun", step=heun.step),
    "rk4": Solver(name="rk4", step=rk4.step),
    "dpmpp_2m": Solver(name="dpmpp_2m", step=dpmpp_2m.step),
    "dpmpp_3m": Solver(name="dpmpp_3m", step=dpmpp_3m.step),
    "ipndm_2": Solver(name="ipndm_2", step=partial(ipndm.step, order=2)),
    "ipndm_3": Solver(name="ipndm_3", step=partial(ipndm.step, order=3)),
    "ipndm_4": Solver(name="ipndm_4", step=partial(ipndm.step, order=4)),
    "unipc_2": Solver(name="unipc_2", step=partial(unipc.step, order=2)),
    "unipc_3": Solver(name="unipc_3", step=partial(unipc.step, order=3)),
    "deis_2": Solver(name="deis_2", step=partial(deis.step, order=2)),
    "deis_3": Solver(name="deis_3", step=partial(deis.step, order=3)),
}


def find_solver(name: str) -> Solver:
    """A solver by its name; raises UnknownNameError that lists the close names."""
    if name not in SOLVERS:
        raise UnknownNameError("solver", name, SOLVERS)
    return SOLVERS[name]


__all__ = ["SOLVERS", "Memory", "Node", "Rule", "Solver", "Step", "find_solver"]

"""Other people's ways to a schedule, to be measured beside artc's. `PEERS` names them; each is one file.

    gits          costs of Euler's shots off a teacher's path, dynamic programming         a matrix for all budgets
    dmn           the weights a multistep solver gives its denoised values                 no calls
    kl-optimal    arctan(sigma / c), the optimum for Gaussian data                         no calls
    ays           an upper bound on a divergence, lowered node by node                     a table for all budgets
    oss           Euler steps that end near a teacher's, by dynamic programming            a row more for a step more
    ld3           gradients through the solver, nodes alone                                each solver and budget
    ld3-shifted   the same, and the sigmas that the network is shown                       each solver and budget

All are written from what their papers say, none from anybody's code, and each is given the fairest form that its
description allows; its module says where that is not the published one. A grid of theirs is one of artc's: K intervals
from sigma_max to exactly 0, in the model's domain.
"""

from __future__ import annotations

from artc.errors import UnknownNameError

from . import ays, dmn, gits, kl_optimal, ld3, oss
from .peer import Check, Finder, Found, Peer, check

PEERS: dict[str, Peer] = {
    "gits": gits.prepare,
    "dmn": dmn.prepare,
    "kl-optimal": kl_optimal.prepare,
    "ays": ays.prepare,
    "oss": oss.prepare,
    "ld3": ld3.prepare,
    "ld3-shifted": ld3.prepare_shifted,
}

LIMITS: dict[str, Check] = {
    "gits": gits.check_nodes,
    "oss": oss.check_intervals,
    "ld3-shifted": ld3.check_shifted,
}
"""Of those that cannot find every grid, as they are prepared by default."""


def find_peer(name: str) -> Peer:
    """A method by its name; raises UnknownNameError that lists the close names."""
    if name not in PEERS:
        raise UnknownNameError("peer", name, PEERS)
    return PEERS[name]


def check_peer(name: str, solver: str, steps: int) -> None:
    """Raise what the finder of a method would raise for a solver and a number of steps, without a model.

    UnknownNameError for a method or a solver that does not exist, BudgetError for steps that the method does not find,
    InputError for a solver that it is not for.
    """
    find_peer(name)
    LIMITS.get(name, check)(solver, steps)


__all__ = ["PEERS", "Finder", "Found", "Peer", "check_peer", "find_peer"]

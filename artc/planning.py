"""What a compilation will cost: the model calls of each stage, one sample each, known before any of them is made.

A search is counted at its worst; one that finds nothing more to gain stops. A policy costs no call, and paper mode,
whose cost is not known beforehand, is not counted here.
"""

from __future__ import annotations

from artc.artifact import nfe_of, steps_for
from artc.errors import InputError
from artc.evaluation.asking import watched_walks
from artc.evaluation.endpoint import Teacher
from artc.learning import asking, matching
from artc.learning.local_error import measuring_calls
from artc.learning.reached import reachable, reaching_calls
from artc.request import Request
from artc.sampling.grids import GRIDS
from artc.sampling.solvers import find_solver

HAND_MADE = len(GRIDS)
"""Grids that make sense for every model."""


def stage_calls(request: Request, baselines: int) -> dict[str, int]:
    """Calls by the name of the stage; those that call the model only.

    Args:
        baselines: hand-made grids of the model: as many as `artc.sampling.grids.names_for` names.

    Raises InputError for the method of the papers.
    """
    if request.method == "paper":
        raise InputError("How many calls the method of the papers takes is not known before.")
    cost, every = request.cost, len(request.solvers) * sum(request.nfe)
    schedules = [(solver, steps_for(solver, nfe, cost), nfe) for solver in request.solvers for nfe in request.nfe]
    teacher = Teacher(steps=request.teacher_steps)
    checked = every * (1 + request.model_sigmas + baselines)
    calls = {"trajectories": request.trajectories * request.nodes * cost}
    if request.refine:
        watched, few = request.watched, request.measured
        longest = {name: max(steps for by, steps, _ in schedules if by == name) for name in request.solvers}
        if few:
            calls["measuring"] = few * measuring_calls([find_solver(name) for name in request.solvers]) * cost
            if reachable(longest):
                calls["reaching"] = reaching_calls(longest, few) * cost
        # The learned grid, those made for the solver, and those made by hand.
        made = (few > 0) * (every + len(reachable(longest)) * sum(request.nfe))
        calls["comparing"] = watched * ((1 + baselines) * every + made)
        moved = [(steps, nfe) for _, steps, nfe in schedules if steps > 1]
        walks = [(request.fitted * matching.most_walks(steps, request.trials) + watched) * nfe for steps, nfe in moved]
        calls["refining"] = sum(walks) if request.trials else 0
    if request.model_sigmas:
        most = [(asking.most_walks(steps) + asking.most_together(steps), steps, nfe) for steps, nfe in moved]
        calls["asking"] = sum(
            (request.asked * walks + watched_walks(steps) * watched) * nfe for walks, steps, nfe in most
        )
    calls["checking"] = request.checks * (nfe_of(teacher.solver, teacher.steps, cost) + checked)
    return calls

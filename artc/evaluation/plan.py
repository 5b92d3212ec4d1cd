"""What to measure of an artifact: the settings of an evaluation, refused early where they make no sense. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from artc.arguments import whole
from artc.artifact import Artifact, Schedule
from artc.errors import BudgetError, InputError, UnknownNameError

METRICS = ("endpoint", "frechet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. Raises InputError or UnknownNameError before any work is done.

    Attributes:
        metrics: of "endpoint" and "frechet".
        against: names of baselines; empty for all hand-made grids that make sense for the model.
        nfe: denoiser calls of the schedules; empty for those that the artifact holds. One that it does not hold is
            read from its warp.
        solvers: of the schedules; empty for those that the artifact holds.
        samples: noises of the end-point error, and `images` of the Frechet distance.
        seed: of the noises.
        teacher_steps: Heun steps of the reference.
    """

    metrics: tuple[str, ...] = ("endpoint",)
    against: tuple[str, ...] = ()
    nfe: tuple[int, ...] = ()
    solvers: tuple[str, ...] = ()
    samples: int = 256
    images: int = 10_000
    seed: int = 0
    teacher_steps: int = 128

    def __post_init__(self) -> None:
        if not self.metrics:
            raise InputError("Nothing to measure: name a metric.", hint=f"Known: {', '.join(METRICS)}.")
        for metric in self.metrics:
            if metric not in METRICS:
                raise UnknownNameError("metric", metric, METRICS)
        for what, given in (("metric", self.metrics), ("solver", self.solvers), ("NFE", self.nfe)):
            twice = [value for place, value in enumerate(given) if value in given[:place]]
            if twice:
                raise InputError(f"The {what} {twice[0]} is given twice.", hint="Give each once.")
        for nfe in self.nfe:
            whole(nfe, "NFE")
        for count, option in ((self.samples, "samples"), (self.images, "Frechet samples")):
            if whole(count, f"number of {option}") < 2:
                raise InputError(f"One sample has no spread: the number of {option} is at least 2.")
        whole(self.teacher_steps, "number of the teacher's steps")
        if whole(self.seed, "seed", least=0) >= 2**32:
            raise InputError(f"A seed is less than 2^32, not {self.seed}.")


def chosen_schedules(artifact: Artifact, nfe: Sequence[int], solvers: Sequence[str]) -> tuple[Schedule, ...]:
    """The schedules of these budgets and solvers: those that the artifact holds, and others read from its warp.

    Without an NFE those that it holds of each solver, or, of a solver that it holds none for, all of its budgets;
    without a solver those that it holds. What was read from the warp has the origin "resampled".

    Raises BudgetError for an NFE that a solver cannot make, UnknownNameError for a solver that does not exist.
    """
    held = artifact.schedules
    found: list[Schedule] = []
    for solver in solvers or tuple(dict.fromkeys(schedule.solver for schedule in held)):
        own = tuple(schedule.nfe for schedule in held if schedule.solver == solver)
        budgets = tuple(nfe) or own or tuple(dict.fromkeys(schedule.nfe for schedule in held))
        found += [artifact.schedule(budget, solver, resample=True) for budget in budgets]
    if not found:
        raise BudgetError("The artifact holds no schedules.", hint="Say what to read from its warp: an NFE, a solver.")
    return tuple(sorted(found, key=lambda schedule: (_place(schedule, found), schedule.nfe)))


def _place(schedule: Schedule, among: Sequence[Schedule]) -> int:
    """The place of a schedule's solver among the solvers, as they come."""
    return list(dict.fromkeys(one.solver for one in among)).index(schedule.solver)

"""The measurements that an evaluation is made of: every grid of every row, by one metric.

Each grid starts from the same noises, in the same parts, so that what differs is the grid.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from artc.evaluation.endpoint import EndpointError, Teacher, error_of, mean_squares, paired_ratio, paired_wins
from artc.evaluation.features import Features
from artc.evaluation.frechet import Moments, frechet, joined
from artc.evaluation.noises import fresh_latents
from artc.evaluation.plan import Plan
from artc.evaluation.reference import Reference
from artc.evaluation.reported import Row, Scored
from artc.models.score_model import Latents, Probe
from artc.progress import Progress, Steps, mapped, shifted
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Progress of an evaluation: the stage, and how much of it is done."""

    stage: str
    done: int
    total: int
    gap: float | None = None


def staged(stage: str, work: Generator[Steps, None, Any]) -> Generator[Stage, None, Any]:
    """The same work, showing the name of its stage."""
    return mapped(work, lambda step: Stage(stage=stage, done=step.done, total=step.total))


def endpoints(
    probe: Probe, latents: Latents, teacher: Teacher, rows: Sequence[Row]
) -> Generator[Stage, None, list[Row]]:
    """The rows with their end-point errors."""
    info, solver = probe.model.info, find_solver(teacher.solver)
    ends = yield from staged("teacher", sample_steps(probe.on, latents, teacher.sigmas(info), solver))
    total = sum(len(row.walked) * row.schedule.nfe for row in rows) * len(latents)

    def compared() -> Generator[Progress, None, list[Row]]:
        done, found = 0, []
        for row in rows:
            squares: dict[str, EndpointError] = {}
            for scored in row.walked:
                walk = sample_steps(
                    probe.on,
                    latents,
                    scored.sigmas,
                    find_solver(row.schedule.solver),
                    model_sigmas=scored.model_sigmas,
                )
                worth = len(latents) * row.schedule.nfe
                reached = yield from shifted(walk, done, total, worth=worth)
                squares[scored.name] = error_of(mean_squares(reached, ends))
                done += worth
            found.append(_with_errors(row, squares))
        return found

    rows_found: list[Row] = yield from staged("comparing", compared())
    return rows_found


def _with_scores(row: Row, scores: Sequence[Scored]) -> Row:
    """The row with all that it has `walked` scored."""
    count = len(row.baselines) + 1
    alone = scores[count] if row.alone is not None else None
    return replace(row, ours=scores[0], baselines=tuple(scores[1:count]), alone=alone)


def _with_errors(row: Row, errors: Mapping[str, EndpointError]) -> Row:
    ours = errors[row.ours.name]

    def beside(scored: Scored) -> Scored:
        theirs = errors[scored.name]
        measured = replace(scored, error=theirs.value, stderr=theirs.stderr)
        if scored is row.ours:
            return measured
        ratio, stderr = paired_ratio(ours, theirs) or (None, None)
        return replace(measured, wins=paired_wins(ours, theirs), ratio=ratio, ratio_stderr=stderr)

    return _with_scores(row, [beside(scored) for scored in row.walked])


def distances(
    probe: Probe, plan: Plan, teacher: Teacher, rows: Sequence[Row], features: Features, reference: Reference | None
) -> Generator[Stage, None, tuple[list[Row], int]]:
    """The rows with their Frechet distances, and the number of features."""
    model, info = probe.model, probe.model.info

    def of(
        stage: str,
        sigmas: Sequence[float],
        solver: str,
        before: int,
        total: int,
        shown: Sequence[float] | None = None,
    ) -> Any:
        def walked() -> Generator[Progress, None, Moments]:
            parts, done = [], 0
            for latents in fresh_latents(model, plan.images, plan.seed):
                walk = sample_steps(probe.on, latents, sigmas, find_solver(solver), model_sigmas=shown)
                worth = len(latents) * (len(sigmas) - 1)
                drawn: Tensor = yield from shifted(walk, before + done, total, worth=worth)
                parts.append(features.moments(drawn))
                done += worth
            return joined(parts)

        return staged(stage, walked())

    if reference is None:
        steps = plan.images * teacher.steps
        real: Moments = yield from of("references", teacher.sigmas(info), teacher.solver, 0, steps)
    elif reference.moments is not None:
        real = reference.moments
    else:
        assert reference.images is not None
        real = features.moments(reference.images)
    done, total = 0, plan.images * sum(len(row.walked) * row.schedule.steps for row in rows)
    found = []
    for row in rows:
        scores = []
        for scored in row.walked:
            moments = yield from of("drawing", scored.sigmas, row.schedule.solver, done, total, scored.model_sigmas)
            done += plan.images * row.schedule.steps
            scores.append(replace(scored, frechet=frechet(moments, real)))
        found.append(_with_scores(row, scores))
    return found, len(real.mean)

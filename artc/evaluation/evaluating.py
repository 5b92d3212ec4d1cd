"""Measuring an artifact on its own model: end-point errors and Frechet distances beside baselines at equal cost.

Every grid starts from the same noises, so that what differs is the grid. The end-point error is that of
`artc.evaluation.endpoint`, its ratios and their standard errors those of `artc.evaluation.reported`. The Frechet
distance (`artc.evaluation.frechet`) is of the samples' features from those of real images where there are some, and
otherwise from those of the teacher's own samples of the same noises, from which a perfect grid has distance 0.

Methods of other people among the baselines learn their grids first (`artc.evaluation.competing`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import torch

from artc import __version__
from artc.arguments import whole
from artc.artifact import Artifact, ModelInfo, Schedule, nfe_of, read
from artc.errors import InputError
from artc.evaluation.baselines import OURS, baseline_sigmas, chosen_baselines
from artc.evaluation.competing import Learned, check_competitors, learn, learning_seed
from artc.evaluation.endpoint import Teacher
from artc.evaluation.features import Features, check_features, find_features
from artc.evaluation.noises import all_latents
from artc.evaluation.plan import Plan, chosen_schedules
from artc.evaluation.reference import Reference, read_reference
from artc.evaluation.reported import GRID_ALONE, EvaluationReport, Row, Scored
from artc.evaluation.scoring import Stage, distances, endpoints, staged
from artc.models.score_model import Probe, ScoreModel, device_name, pick_device
from artc.models.sources import matched, model_for, source_of
from artc.progress import drain
from artc.sampling.solvers import find_solver

FINE = 4
"""Times the calls of a schedule that its teacher should make at the least."""


def evaluation_steps(
    artifact: Artifact,
    model: ScoreModel,
    plan: Plan,
    *,
    features: Features | None = None,
    reference: Reference | None = None,
) -> Generator[Stage, None, EvaluationReport]:
    """Measure an artifact on its model, which is `matched` to it already; yields progress.

    Args:
        features: what the Frechet distance is taken with; not needed for the end-point error alone.
        reference: what it is taken from; None for the teacher's own samples.

    Raises:
        UnknownNameError, BudgetError, InputError: for a plan that this artifact or these features cannot meet.
        DenoiserError: the model breaks its contract.
    """
    began = time.perf_counter()
    info, probe, teacher = model.info, Probe(model), Teacher(steps=plan.teacher_steps)
    names = chosen_baselines(plan.against, info)
    schedules = chosen_schedules(artifact, plan.nfe, plan.solvers)
    check_competitors(names, schedules)
    learned = yield from staged("peers", learn(names, schedules, model, learning_seed(artifact)))
    rows = [
        _unscored(schedule, _baselines(names, place, schedule, info, learned))
        for place, schedule in enumerate(schedules)
    ]
    teacher_calls = nfe_of(teacher.solver, teacher.steps, info.cost)
    conditions: dict[str, Any] = {
        "at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seed": plan.seed,
        "noise": "PCG64 of NumPy",
        "labels": model.record.get("labels"),
        "guidance": None if info.guidance is None else info.guidance.scale,
        "teacher": {
            "solver": teacher.solver,
            "steps": teacher.steps,
            "calls": teacher_calls,
        },
        "device": device_name(model.device),
        "threads": torch.get_num_threads(),
        "artc": __version__,
        "torch": torch.__version__.split("+")[0],
        "numpy": np.__version__,
        **learned.facts(),
    }
    if "endpoint" in plan.metrics:
        rows = yield from endpoints(probe, all_latents(model, plan.samples, plan.seed), teacher, rows)
        conditions["endpoint"] = {"samples": plan.samples}
    notices = list(model.notices)
    most = max(schedule.nfe for schedule in schedules)
    if teacher_calls < FINE * most and ("endpoint" in plan.metrics or reference is None):
        notices.append(
            f"The teacher's {teacher_calls} calls are few beside {most}: its own error is part of every figure."
        )
    if "frechet" in plan.metrics:
        if features is None:
            raise InputError("The Frechet distance needs features.")
        rows, width = yield from distances(probe, plan, teacher, rows, features, reference)
        against = f"the teacher's own samples of the same {plan.images:,} noises: there were no real images"
        conditions["frechet"] = {
            "samples": plan.images,
            "features": features.name,
            "description": features.description,
            "features_sha256": features.sha256,
            "width": width,
            "reference": against if reference is None else reference.description,
        }
        if plan.images <= width:
            notices.append(f"{plan.images} samples are few for {width} features: the distances are mostly their noise.")
    calls = probe.calls + sum(learned.calls.values())
    seconds = {"score_evals": calls, "seconds": round(time.perf_counter() - began, 3)}
    return EvaluationReport(
        artifact=artifact,
        rows=tuple(rows),
        against=names,
        conditions={**conditions, **seconds},
        notices=tuple(notices),
    )


def _baselines(
    names: Sequence[str], place: int, schedule: Schedule, info: ModelInfo, learned: Learned
) -> Iterator[Scored]:
    """The baselines of the schedule at a place among all, with nothing measured yet."""
    for name in names:
        if name in learned.grids:
            yield learned.scored(name, place)
        else:
            yield Scored(name=name, sigmas=baseline_sigmas(name, schedule, info))


def _unscored(schedule: Schedule, baselines: Iterable[Scored]) -> Row:
    return Row(
        schedule=schedule,
        ours=Scored(name=OURS, sigmas=schedule.sigmas, model_sigmas=schedule.model_sigmas),
        baselines=tuple(baselines),
        alone=None if schedule.model_sigmas is None else Scored(name=GRID_ALONE, sigmas=schedule.sigmas),
    )


def prepared(
    artifact: Artifact, plan: Plan, features: str | None, reference: str | os.PathLike[str] | None
) -> Reference | None:
    """Refuse what can be refused before a model is loaded, and read the reference; raises what `evaluate` raises."""
    names = chosen_baselines(plan.against, artifact.model)
    schedules = chosen_schedules(artifact, plan.nfe, plan.solvers)
    for schedule in schedules:
        find_solver(schedule.solver)
    check_competitors(names, schedules)
    if "frechet" in plan.metrics:
        check_features(features, artifact.model)
        return None if reference is None else read_reference(Path(reference).expanduser(), artifact.model.shape)
    if features is not None or reference is not None:
        raise InputError("Features and a reference are for the Frechet distance.", hint="Ask for the metric frechet.")
    return None


def evaluate(
    artifact: Artifact | str | os.PathLike[str],
    model: ScoreModel | str | None = None,
    *,
    against: str | Sequence[str] = (),
    metric: str | Sequence[str] = "endpoint",
    nfe: SupportsIndex | Iterable[SupportsIndex] = (),
    solver: str | Sequence[str] = (),
    samples: SupportsIndex = 256,
    frechet_samples: SupportsIndex = 10_000,
    seed: SupportsIndex = 0,
    teacher_steps: SupportsIndex = 128,
    features: str | os.PathLike[str] | None = None,
    reference: str | os.PathLike[str] | None = None,
    labels: Iterable[SupportsIndex] = (),
    device: str = "auto",
    on_update: Callable[[Stage], object] = lambda _: None,
) -> EvaluationReport:
    """Measure an artifact's schedules on its model, beside other grids that cost the same.

    Args:
        artifact: one at hand, or the path of one.
        model: what `--model` takes, or a described model; None to find it as the artifact says.
        against: baselines: hand-made grids, all that make sense for the model when left out, and methods of
            `artc.peers`, such as "gits", which learn from the model first.
        metric: "endpoint", "frechet", or both.
        nfe: denoiser calls of the schedules, `solver` theirs; those that the artifact holds when left out.
        samples: noises of the end-point error, `frechet_samples` of the Frechet distance; no compilation drew them.
        features: a name or a file, see `artc.evaluation.features`; `reference`: an npz file of real images or their
            statistics, see `artc.evaluation.reference`; the teacher's own samples when left out.
        device: where a model that is not at hand yet is to run.

    Raises:
        ArtcError: one of its kinds, with a sentence and a hint, for any argument that makes no sense.
    """
    plan = Plan(
        metrics=_words(metric),
        against=_words(against),
        nfe=tuple(whole(budget, "NFE") for budget in (nfe if isinstance(nfe, Iterable) else (nfe,))),
        solvers=_words(solver),
        samples=whole(samples, "number of samples"),
        images=whole(frechet_samples, "number of Frechet samples"),
        seed=whole(seed, "seed", least=0),
        teacher_steps=whole(teacher_steps, "number of the teacher's steps"),
    )
    found = artifact if isinstance(artifact, Artifact) else read(artifact)
    chosen = tuple(whole(label, "label", least=0) for label in labels)
    named = None if features is None else os.fspath(features)
    against_what = prepared(found, plan, named, reference)
    if isinstance(model, ScoreModel):
        loaded = matched(found, model, chosen, named=model.info.name)
    else:
        loaded = model_for(found, source_of(found, model), pick_device(device), chosen)
    seen = find_features(named, found.model, loaded.device) if "frechet" in plan.metrics else None
    return drain(evaluation_steps(found, loaded, plan, features=seen, reference=against_what), on_update)


def _words(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)

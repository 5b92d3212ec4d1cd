"""Compiling a schedule: walk trajectories, learn a clock on them, bake grids, and check them against the baselines.

The stages stand in order in `compile_steps`, a generator: the caller owns the progress bar and may stop at any update.
What a stage has finished is kept as units, if the caller says where; a compilation begun again on the same units goes
on from them, and ends with the same artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, SupportsIndex, TypeVar

from artc.arguments import whole
from artc.artifact import Artifact, Coordinate, Created, Schedule, Stiffness, steps_for
from artc.artifact.codec import check_plain
from artc.artifact.policy import policy_record
from artc.checkpoints.checkpoint import opened
from artc.checkpoints.fingerprint import fingerprint
from artc.checkpoints.ledger import INTERVAL, Ledger
from artc.checkpoints.units import NOWHERE, Units
from artc.errors import InputError
from artc.evaluation.endpoint import Teacher, as_evaluation, compare
from artc.evaluation.selection import refine_losers
from artc.learning.methods import Task, bake, find_method
from artc.learning.objective import energy_of, gap, state_gain
from artc.learning.refining import TRIALS
from artc.learning.state_record import PolicyFound, check_policy, find_policy
from artc.models.conditioning import conditioned
from artc.models.custom import score_model
from artc.models.domains import domain_sigma, domain_warp, unscaled
from artc.models.score_model import ConditionalDenoiser, Denoiser, Probe, ScoreModel
from artc.progress import Steps, drain, mapped
from artc.recording import provenance
from artc.request import REFINE, Request
from artc.sampling.bank import build_bank

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Progress of a compilation: the stage, how much of it is done, and the gap to the bound once it is known."""

    stage: str
    done: int
    total: int
    gap: float | None = None


def compile_steps(
    model: ScoreModel, request: Request, units: Units = NOWHERE, *, interval: float = INTERVAL
) -> Generator[Update, None, Artifact]:
    """Compile one model, yielding progress; returns the artifact.

    Work whose units are there already is not done again; long work in the middle is kept every `interval` seconds.
    Raises DenoiserError, naming the sigma, when the denoiser breaks its contract, and InputError when the request asks
    for classes or guidance that the model does not have.
    """
    model = conditioned(model, request.labels, request.guidance)
    check_plain(model.record)
    info = model.info
    if request.policy:
        check_policy(info)
    fine = Probe(unscaled(model if model.fine is None else replace(model, denoiser=model.fine)))
    probe = Probe(model)
    ledger = Ledger(units=units, probes=(fine, probe), device=model.device, interval=interval)
    clock = _Stopwatch(ledger)

    limits = fine.model.info
    latents = model.latents(request.trajectories, request.bank_seed)
    walking = build_bank(
        fine.on,
        latents,
        sigma_min=limits.sigma_min,
        sigma_max=limits.sigma_max,
        nodes=request.nodes,
        ends=request.refine,
        journal=ledger.within("trajectories"),
    )
    bank = yield from _stage("trajectories", walking)
    clock.lap("trajectories")

    coordinate, parts = Coordinate(limits.sigma_min, limits.sigma_max), bank.split(request.trajectories // 4)
    training, held_out = (energy_of(part, coordinate) for part in parts)
    budgets = {(solver, nfe): steps_for(solver, nfe, info.cost) for solver in request.solvers for nfe in request.nfe}
    task = Task(
        energy=training,
        seed=request.seed,
        steps=tuple(sorted(set(budgets.values()))),
        fields=fine.on,
        latents=latents.first(len(latents) - request.trajectories // 4),
        snapshots=ledger.within("training").snapshots,
    )
    learned = yield from _stage("training", ledger.once("training", find_method(request.method)(task)))
    clock.lap("training")

    schedules: dict[tuple[str, int], Schedule] = {}
    for (solver, nfe), steps in budgets.items():
        sigmas, certificate = bake(learned, steps, held_out, info)
        schedules[solver, nfe] = Schedule(
            solver=solver, nfe=nfe, steps=steps, sigmas=sigmas, origin=learned.origin, certificate=certificate
        )
    found, warp = gap(held_out, learned.warp), domain_warp(learned.warp, info)
    clock.lap("distilling")
    yield Update(stage="distilling", done=1, total=1, gap=found)

    policy: PolicyFound | None = None
    if request.policy:
        reading = find_policy(*parts, coordinate, request.seed)
        policy = yield from _stage("policy", ledger.once("policy", reading), found)
        clock.lap("policy")

    refinements: Mapping[str, Any] = {}
    if request.refine and bank.ends is not None:
        known, ends = latents.first(request.refine), bank.ends
        comparing = compare(probe.on, known, info, schedules, ends, ledger.within("comparing"))
        errors = yield from _stage("comparing", comparing, found)
        search = refine_losers(
            probe.on,
            known,
            ends,
            info,
            schedules,
            errors,
            coordinate=warp.coordinate,
            held_out=held_out,
            trials=request.trials,
            journal=ledger.within("refining"),
        )
        selected = yield from _stage("refining", search, found)
        schedules, refinements = selected.schedules, selected.refinements
    clock.lap("refining")

    teacher = Teacher(steps=request.teacher_steps)
    latents = model.latents(request.checks, request.check_seed)
    checking = compare(probe.on, latents, info, schedules, teacher, ledger.within("checking"))
    errors = yield from _stage("checking", checking, found)
    clock.lap("checking")

    spent = ledger.cost()
    return Artifact(
        model=info,
        schedules=tuple(
            replace(schedule, evaluation=(as_evaluation(errors[key], seed=request.check_seed, teacher=teacher),))
            for key, schedule in schedules.items()
        ),
        warp=warp,
        stiffness=Stiffness(
            sigma=tuple(domain_sigma(bank.sigma, info.domain).tolist()),
            mean=tuple(bank.stiffness.mean(axis=0).tolist()),
            state_gain=state_gain(training),
            method="secant",
        ),
        policy=None if policy is None else policy_record(policy.content),
        provenance=provenance(
            model,
            request,
            learner={**learned.config, **({"policy": policy.config} if policy else {})},
            calls=spent.calls,
            diagnostics={
                "gap": found,
                "refinements": refinements,
                **learned.diagnostics,
                **({"policy": policy.diagnostics} if policy else {}),
            },
        ),
        created=Created(
            at=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            seconds={**clock.laps, "denoiser": round(spent.denoiser, 3)},
        ),
    ).sealed()


def _stage(
    name: str, work: Generator[Steps, None, Result], gap: float | None = None
) -> Generator[Update, None, Result]:
    """Run one stage, showing its progress under its name."""
    return mapped(
        work, lambda step: Update(stage=name, done=step.done, total=step.total, gap=getattr(step, "gap", gap))
    )


class _Stopwatch:
    """Seconds between laps, those of recalled work among them."""

    def __init__(self, ledger: Ledger) -> None:
        self.laps: dict[str, float] = {}
        self._ledger, self._last = ledger, ledger.cost().seconds

    def lap(self, name: str) -> None:
        now = self._ledger.cost().seconds
        self.laps[name], self._last = round(now - self._last, 3), now


def compile(  # noqa: A001 - the same word as on the command line; it shadows the builtin for nobody
    model: Denoiser | ConditionalDenoiser | ScoreModel,
    *,
    nfe: SupportsIndex | Iterable[SupportsIndex],
    solver: str | Sequence[str] = "heun",
    method: str = "art-rl",
    seed: SupportsIndex = 0,
    trajectories: SupportsIndex = 256,
    refine: bool = True,
    nodes: SupportsIndex = 128,
    checks: SupportsIndex = 64,
    teacher_steps: SupportsIndex = 64,
    trials: SupportsIndex = TRIALS,
    policy: bool = False,
    labels: Iterable[SupportsIndex] = (),
    guidance: float | None = None,
    checkpoint: str | Path | None = None,
    on_update: Callable[[Update], object] = lambda _: None,
    **description: Any,
) -> Artifact:
    """Compile schedules for any denoiser callable D(x; sigma) = E[x0 | x], or for a `ScoreModel`.

    Args:
        model: `(B, *shape), (B,) -> (B, *shape)` in the dtype of x, on the device; or a described or loaded model.
        nfe: denoiser calls per sample, one schedule each; a number, or several. Under guidance each counts double.
        solver: a name, or several.
        trajectories: noises walked to learn from, each through `nodes` sigmas at a call each.
        refine: move the nodes of a schedule that a hand-made grid beats, on at most 64 of these noises and trying at
            most `trials` grids for each node. Method `paper` is left as it is learned.
        checks: noises on which the result is compared with a teacher of `teacher_steps` Heun steps.
        policy: also learn a clock that reads the state; it is written beside the artifact as an ONNX file.
        labels: classes to compile for, drawn uniformly; all of them when left out.
        guidance: scale w of classifier-free guidance, D_u + w (D_c - D_u).
        checkpoint: a folder for finished work, from which the same call goes on after it was killed. It is left to the
            caller, who removes it once the artifact is saved.
        on_update: called with every progress update.
        description: of a bare callable, the arguments of `artc.score_model`: shape, sigma_min, sigma_max, and others.

    Raises:
        ArtcError: one of its kinds, with a sentence and a hint, for any argument that makes no sense.
    """
    if isinstance(model, ScoreModel):
        if description:
            raise InputError(f"A ScoreModel states its {', '.join(description)} itself.")
    else:
        if "shape" not in description:
            raise InputError("A denoiser needs the shape of a sample.", hint="Such as shape=(3, 32, 32).")
        model = score_model(model, **description)
    budgets = tuple(nfe) if isinstance(nfe, Iterable) else (nfe,)
    request = Request(
        nfe=tuple(whole(budget, "NFE") for budget in budgets),
        solvers=(solver,) if isinstance(solver, str) else tuple(solver),
        method=method,
        seed=whole(seed, "seed", least=0),
        trajectories=whole(trajectories, "number of trajectories"),
        refine=REFINE if refine else 0,
        nodes=whole(nodes, "number of nodes"),
        checks=whole(checks, "number of checks"),
        teacher_steps=whole(teacher_steps, "number of the teacher's steps"),
        trials=whole(trials, "number of trials"),
        policy=bool(policy),
        labels=tuple(whole(label, "label", least=0) for label in labels),
        guidance=guidance,
    )
    if checkpoint is None:
        return drain(compile_steps(model, request), on_update)
    with opened(Path(checkpoint), fingerprint(model, request), resume=True, remove=False) as units:
        return drain(compile_steps(model, request, units), on_update)

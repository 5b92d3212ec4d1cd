"""Compiling a schedule: walk trajectories, learn a clock on them, bake grids, and check them against the baselines.

The stages stand in order in `compile_steps`, a generator: the caller owns the progress bar and may stop at any update.
What a stage has finished is kept as units, if the caller says where; a compilation begun again on the same units goes
on from them, and ends with the same artifact.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, TypeVar

from artc.artifact import Artifact, Coordinate, Created, Schedule, Stiffness, steps_for
from artc.artifact.codec import check_plain
from artc.artifact.policy import policy_record
from artc.checkpoints.ledger import INTERVAL, Ledger
from artc.checkpoints.units import NOWHERE, Units
from artc.evaluation.asking import ask_all, asked_facts, with_model_sigmas
from artc.evaluation.endpoint import Teacher, as_evaluations, compare
from artc.evaluation.selection import Grids, Noises, Schedules, for_solvers, select
from artc.learning.local_error import measure
from artc.learning.methods import Task, bake, find_method
from artc.learning.objective import Energy, energy_of, gap, state_gain
from artc.learning.reached import NODES, Reached, reach, reachable
from artc.learning.state_record import PolicyFound, check_policy, find_policy
from artc.models.conditioning import conditioned
from artc.models.domains import domain_sigma, domain_warp, unscaled
from artc.models.score_model import Probe, ScoreModel
from artc.progress import Steps, mapped
from artc.recording import provenance
from artc.request import Request
from artc.sampling.bank import build_bank
from artc.sampling.grids import names_for
from artc.sampling.solvers import find_solver

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
        ends=request.trajectories if request.refine else 0,
        journal=ledger.within("trajectories"),
    )
    bank = yield from _stage("trajectories", walking)
    clock.lap("trajectories")

    coordinate, parts = Coordinate(limits.sigma_min, limits.sigma_max), bank.split(request.held)
    training, held_out = (energy_of(part, coordinate) for part in parts)
    budgets = {(solver, nfe): steps_for(solver, nfe, info.cost) for solver in request.solvers for nfe in request.nfe}
    task = Task(
        energy=training,
        seed=request.seed,
        steps=tuple(sorted(set(budgets.values()))),
        fields=fine.on,
        latents=latents.first(len(latents) - request.held),
        snapshots=ledger.within("training").snapshots,
    )
    learned = yield from _stage("training", ledger.once("training", find_method(request.method)(task)))
    clock.lap("training")

    schedules: Schedules = {}
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

    asked: Mapping[str, Any] = {}
    refinements: Mapping[str, Any] = {}
    if request.refine and bank.ends is not None:
        made, levels = Noises(latents=latents, ends=bank.ends), learned.warp.baked(NODES, limits.sigma_min)
        refining = _refine(request, fine, probe, made, schedules, coordinate, levels, held_out, ledger)
        schedules, refinements, asked = yield from mapped(refining, lambda update: replace(update, gap=found))
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
            replace(schedule, evaluation=as_evaluations(errors[key], seed=request.check_seed, teacher=teacher))
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
                **({"model_sigmas": asked} if asked else {}),
                **learned.diagnostics,
                **({"policy": policy.diagnostics} if policy else {}),
            },
        ),
        created=Created(
            at=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            seconds={**clock.laps, "denoiser": round(spent.denoiser, 3)},
        ),
    ).sealed()


def _refine(
    request: Request,
    fine: Probe,
    probe: Probe,
    bank: Noises,
    schedules: Schedules,
    coordinate: Coordinate,
    levels: Sequence[float],
    held_out: Energy,
    ledger: Ledger,
) -> Generator[Update, None, tuple[Schedules, Mapping[str, Any], Mapping[str, Any]]]:
    """Make the schedules for the solvers that walk them; returns them and, for the record, how that went.

    Nodes are moved on the first noises of the bank. Those that the certificate is taken on are watched: nothing is
    fitted to them.
    """
    info = probe.model.info
    fitted, watched = bank.part(slice(request.fitted)), bank.part(slice(-request.watched, None))

    more: Grids = {}
    if request.measured:
        few = bank.latents.first(request.measured)
        measuring = measure(fine.on, few, coordinate, [find_solver(name) for name in request.solvers])
        measured = yield from _stage("measuring", ledger.once("measuring", measuring))
        longest = {
            name: max(held.steps for (by, _), held in schedules.items() if by == name) for name in request.solvers
        }
        reached = Reached(found={})
        if reachable(longest):
            reaching = reach(fine.on, few, levels, longest)
            reached = yield from _stage("reaching", ledger.once("reaching", reaching))
        more = for_solvers(measured, reached, schedules, info)
    journal = ledger.within("comparing")
    comparing = compare(probe.on, watched.latents, info, schedules, watched.ends, journal, more=more)
    errors = yield from _stage("comparing", comparing)
    selecting = select(
        probe.on,
        fitted,
        watched,
        info,
        schedules,
        errors,
        more,
        held_out=held_out,
        trials=request.trials,
        seed=request.seed,
        journal=ledger.within("refining"),
    )
    selected = yield from _stage("refining", selecting)
    if not request.model_sigmas:
        return selected.schedules, selected.refinements, {}
    asked_of = bank.part(slice(request.asked))
    ceilings = {
        key: min(found[name].value for name in names_for(info) if name in found) for key, found in errors.items()
    }
    asking = ask_all(probe.on, asked_of, watched, info, selected.schedules, ceilings, ledger.within("asking"))
    asked = yield from _stage("asking", asking)
    return with_model_sigmas(selected.schedules, asked, held_out, info), selected.refinements, asked_facts(asked)


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

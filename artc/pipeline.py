"""Compiling a schedule: walk trajectories, learn a clock on them, bake grids, and check them against the baselines.

The stages stand in order in `compile_steps`, a generator: the caller owns the progress bar and may stop at any update.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Protocol, SupportsIndex, TypeVar

import torch

from artc import __version__
from artc.artifact import Artifact, Coordinate, Created, ModelInfo, Provenance, Schedule, Stiffness, steps_for
from artc.errors import InputError
from artc.evaluation.endpoint import Teacher, as_evaluation, compare
from artc.learning.methods import bake, find_method
from artc.learning.objective import energy_of, gap, state_gain
from artc.models.score_model import Denoiser, Probe, ScoreModel, pick_device
from artc.progress import drain
from artc.request import Request, whole
from artc.sampling.bank import build_bank

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Progress of a compilation: the stage, how much of it is done, and the gap to the bound once it is known."""

    stage: str
    done: int
    total: int
    gap: float | None = None


def compile_steps(model: ScoreModel, request: Request) -> Generator[Update, None, Artifact]:
    """Compile one model, yielding progress; returns the artifact.

    Raises DenoiserError, naming the sigma, when the denoiser breaks its contract.
    """
    info, probe, clock = model.info, Probe(model), _Stopwatch()

    noise = model.noise(request.trajectories, request.bank_seed)
    walking = build_bank(probe, noise, sigma_min=info.sigma_min, sigma_max=info.sigma_max, nodes=request.nodes)
    bank = yield from _stage("trajectories", walking)
    clock.lap("trajectories")

    coordinate = Coordinate(info.sigma_min, info.sigma_max)
    training, held_out = (energy_of(part, coordinate) for part in bank.split(request.trajectories // 4))
    learned = yield from _stage("training", find_method(request.method)(training, request.seed))
    clock.lap("training")

    schedules: dict[tuple[str, int], Schedule] = {}
    for solver in request.solvers:
        for nfe in request.nfe:
            steps = steps_for(solver, nfe)
            sigmas, certificate = bake(learned, steps, training, held_out)
            schedules[solver, nfe] = Schedule(
                solver=solver, nfe=nfe, steps=steps, sigmas=sigmas, origin=learned.origin, certificate=certificate
            )
    found = gap(held_out, learned.warp)
    clock.lap("distilling")
    yield Update(stage="distilling", done=1, total=1, gap=found)

    teacher = Teacher(steps=request.teacher_steps)
    noise = model.noise(request.checks, request.check_seed)
    errors = yield from _stage("checking", compare(probe, noise, info, schedules, teacher), found)
    clock.lap("checking")

    return Artifact(
        model=info,
        schedules=tuple(
            replace(schedule, evaluation=(as_evaluation(errors[key], seed=request.check_seed, teacher=teacher),))
            for key, schedule in schedules.items()
        ),
        warp=learned.warp,
        stiffness=Stiffness(
            sigma=tuple(bank.sigma.tolist()),
            mean=tuple(bank.stiffness.mean(axis=0).tolist()),
            state_gain=state_gain(training),
            method="secant",
        ),
        provenance=Provenance(
            artc=__version__,
            method=request.method,
            config={
                "nfe": list(request.nfe),
                "solvers": list(request.solvers),
                "trajectories": request.trajectories,
                "held_out": request.trajectories // 4,
                "nodes": request.nodes,
                "checks": request.checks,
                "teacher_steps": request.teacher_steps,
                "learner": dict(learned.config),
            },
            seed=request.seed,
            device=_device_name(model.device),
            torch=torch.__version__.split("+")[0],
            score_evals=probe.calls,
            diagnostics={"gap": found, **learned.diagnostics},
        ),
        created=Created(
            at=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            seconds={**clock.laps, "denoiser": round(probe.seconds, 3)},
        ),
    ).sealed()


class _Steps(Protocol):
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...


def _stage(
    name: str, work: Generator[_Steps, None, Result], gap: float | None = None
) -> Generator[Update, None, Result]:
    """Run one stage, showing its progress under its name."""
    while True:
        try:
            step = next(work)
        except StopIteration as finished:
            result: Result = finished.value
            return result
        yield Update(stage=name, done=step.done, total=step.total, gap=getattr(step, "gap", gap))


class _Stopwatch:
    """Wall seconds between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._last = round(now - self._last, 3), now


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def compile(  # noqa: A001 - the same word as on the command line; it shadows the builtin for nobody
    denoiser: Denoiser,
    *,
    shape: Sequence[SupportsIndex],
    sigma_min: float,
    sigma_max: float,
    nfe: SupportsIndex | Iterable[SupportsIndex],
    solver: str | Sequence[str] = "heun",
    method: str = "art-rl",
    seed: SupportsIndex = 0,
    device: str = "auto",
    dtype: torch.dtype = torch.float32,
    name: str = "custom",
    trajectories: SupportsIndex = 256,
    on_update: Callable[[Update], object] = lambda _: None,
) -> Artifact:
    """Compile schedules for any denoiser callable D(x; sigma) = E[x0 | x] with x = x0 + sigma n.

    Args:
        denoiser: `(B, *shape), (B,) -> (B, *shape)` in the dtype of x, on `device`.
        shape: of one sample, without the batch.
        sigma_min, sigma_max: the noise range that the denoiser knows.
        nfe: denoiser calls per sample, one schedule each; a number, or several.
        solver: a name, or several.
        dtype: in which the denoiser runs; the solver keeps its state in float64.
        on_update: called with every progress update.

    Raises:
        ArtcError: one of its kinds, with a sentence and a hint, for any argument that makes no sense.
    """
    solvers = (solver,) if isinstance(solver, str) else tuple(solver)
    budgets = tuple(nfe) if isinstance(nfe, Iterable) else (nfe,)
    request = Request(
        nfe=tuple(whole(budget, "NFE") for budget in budgets),
        solvers=solvers,
        method=method,
        seed=whole(seed, "seed", least=0),
        trajectories=whole(trajectories, "number of trajectories"),
    )
    info = ModelInfo(
        name=name,
        source="python:callable",
        sha256=None,
        domain="ve",
        shift=None,
        prediction="denoised",
        shape=tuple(whole(size, "size in a shape") for size in shape),
        conditioning="none",
        sigma_min=float(sigma_min),
        sigma_max=float(sigma_max),
        sigma_data=None,
    )
    if not info.shape:
        raise InputError("A sample needs a shape.", hint="Give one number as shape=(1,).")
    model = ScoreModel(denoiser=denoiser, info=info, device=pick_device(device), dtype=dtype)
    return drain(compile_steps(model, request), on_update)

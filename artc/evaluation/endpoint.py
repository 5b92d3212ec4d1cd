"""End-point error: how far a few steps land from where many steps land, from the same noise.

With x_i the sample a schedule makes of noise i and x*_i the teacher's, e_i the mean over dimensions of (x_i - x*_i)^2,

    error = sqrt(mean_i e_i),        standard error = std(e_i) / (2 error sqrt(n))        (delta method).

The teacher solves the same ODE on a fine grid. Schedules are compared on the same noises, so their differences are far
better known than each error alone: `paired_wins` counts, per noise, which one is nearer, and `paired_ratio` tells the
ratio of two errors with its own standard error.

A schedule may show its network other sigmas than it walks (`Schedule.model_sigmas`). It is then measured twice: without
them, as any host can walk it, and with them.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from artc.artifact import Evaluation, ModelInfo, Schedule, nfe_of
from artc.artifact.types import ENDPOINT_RMS, WITH_MODEL_SIGMAS
from artc.errors import InputError
from artc.journal import BLANK, Journal
from artc.models.domains import domain_grid, unscaled_sigma
from artc.models.score_model import Fields, Latents
from artc.progress import Progress, Steps, shifted
from artc.sampling.grids import baseline, grid_for, names_for
from artc.sampling.solvers import SOLVERS, find_solver
from artc.sampling.trajectories import sample, sample_steps

NO_MORE: Mapping[tuple[str, int], Mapping[str, tuple[float, ...]]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointError:
    """RMS distance from the teacher, its standard error, and the mean square of each sample `(n,)`."""

    value: float
    stderr: float
    squares: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """The reference: Heun on Karras' grid of so many steps, for a flow model the same grid in its domain."""

    steps: int
    solver: str = "heun"

    @property
    def calls(self) -> int:
        return nfe_of(self.solver, self.steps)

    def sigmas(self, info: ModelInfo) -> tuple[float, ...]:
        """Its grid for a model."""
        low, high = unscaled_sigma([info.sigma_min, info.sigma_max], info.domain).tolist()
        return domain_grid(baseline("edm", self.steps, low, high), info)

    def endpoints(self, fields: Fields, latents: Latents, info: ModelInfo) -> Tensor:
        """The teacher's samples `(n, *S)`."""
        return sample(fields, latents, self.sigmas(info), SOLVERS[self.solver])


def endpoint_error(samples: Tensor, references: Tensor) -> EndpointError:
    """Error of samples `(n, *S)` against references of the same noises; raises InputError for unequal shapes."""
    return error_of(mean_squares(samples, references))


def mean_squares(samples: Tensor, references: Tensor) -> Tensor:
    """The mean square of each sample's difference from its reference, `(n,)`; raises InputError for unequal shapes."""
    if samples.shape != references.shape or len(samples) < 2:
        raise InputError(f"Samples {tuple(samples.shape)} and references {tuple(references.shape)} cannot be paired.")
    return (samples.double() - references.double()).flatten(1).square().mean(dim=1)


def error_of(squares: Tensor) -> EndpointError:
    """The error of samples with these mean squares `(n,)`."""
    value = float(squares.mean().sqrt())
    spread = float(squares.std()) / len(squares) ** 0.5
    return EndpointError(value=value, stderr=spread / (2 * value) if value > 0 else 0.0, squares=squares)


def paired_wins(ours: EndpointError, theirs: EndpointError) -> float:
    """Share of the noises on which ours is nearer to the teacher."""
    return float((ours.squares < theirs.squares).double().mean())


def paired_ratio(ours: EndpointError, theirs: EndpointError) -> tuple[float, float] | None:
    """The ratio of two errors on the same noises and its standard error; None where one of them is 0."""
    if ours.value <= 0 or theirs.value <= 0:
        return None
    ratio = ours.value / theirs.value
    relative = ours.squares / ours.squares.mean() - theirs.squares / theirs.squares.mean()
    return ratio, ratio / 2 * float(relative.std()) / len(relative) ** 0.5


def compare(
    fields: Fields,
    latents: Latents,
    info: ModelInfo,
    schedules: Mapping[tuple[str, int], Schedule],
    reference: Teacher | Tensor,
    journal: Journal = BLANK,
    *,
    more: Mapping[tuple[str, int], Mapping[str, tuple[float, ...]]] = NO_MORE,
) -> Generator[Progress, None, dict[tuple[str, int], dict[str, EndpointError]]]:
    """Errors of each schedule, named `schedule`, and of every baseline grid at equal NFE, on the same noises.

    A schedule with model sigmas is also walked with them, named `WITH_MODEL_SIGMAS`. `more` are other grids by their
    names, walked before the baselines.

    `reference` is the teacher, or the end points that it would reach. Each batch of the teacher's and each grid is a
    piece of the journal.
    """
    names = names_for(info)
    taught = info.cost * reference.calls if isinstance(reference, Teacher) else 0
    walks = {
        key: 1 + len(names) + len(more.get(key, ())) + (schedule.model_sigmas is not None)
        for key, schedule in schedules.items()
    }
    total = len(latents) * (taught + sum(count * nfe for (_, nfe), count in walks.items()))
    yield Progress(done=0, total=total)
    done, reached = 0, []
    if isinstance(reference, Teacher):
        solver, sigmas = SOLVERS[reference.solver], reference.sigmas(info)
        for index, some in enumerate(latents.split()):
            walk = journal.once(f"teacher-{index}", sample_steps(fields, some, sigmas, solver))
            reached.append((yield from shifted(walk, done, total, worth=taught * len(some))))
            done += taught * len(some)
    references = torch.cat(reached) if isinstance(reference, Teacher) else reference
    errors: dict[tuple[str, int], dict[str, EndpointError]] = {}
    for (rule, nfe), schedule in schedules.items():
        grids = candidates(schedule, info, more.get((rule, nfe), {}))
        if schedule.model_sigmas is not None:
            grids = {WITH_MODEL_SIGMAS: schedule.sigmas, **grids}
        errors[rule, nfe] = {}
        for name, sigmas in grids.items():
            shown = schedule.model_sigmas if name == WITH_MODEL_SIGMAS else None
            samples = sample_steps(fields, latents, sigmas, find_solver(rule), model_sigmas=shown)
            walk = differences(samples, references)
            piece = journal.once(f"{rule}-{nfe}-{name}", walk)
            errors[rule, nfe][name] = error_of((yield from shifted(piece, done, total, worth=len(latents) * nfe)))
            done += len(latents) * nfe
    return errors


def candidates(
    schedule: Schedule, info: ModelInfo, more: Mapping[str, tuple[float, ...]]
) -> dict[str, tuple[float, ...]]:
    """A schedule's grid, named `schedule`, `more`, and every baseline grid of as many steps."""
    baselines = {name: tuple(grid_for(name, schedule.steps, info).tolist()) for name in names_for(info)}
    return {"schedule": schedule.sigmas, **more, **baselines}


def differences(walk: Generator[Steps, None, Tensor], references: Tensor) -> Generator[Steps, None, Tensor]:
    """The mean squares `(n,)` of the differences between what a walk returns and its references."""
    return mean_squares((yield from walk), references)


def as_evaluations(errors: Mapping[str, EndpointError], *, seed: int, teacher: Teacher) -> tuple[Evaluation, ...]:
    """The records an artifact keeps of one schedule's errors: a second one where it was walked with model sigmas."""
    metrics = (ENDPOINT_RMS, WITH_MODEL_SIGMAS) if WITH_MODEL_SIGMAS in errors else (ENDPOINT_RMS,)
    return tuple(as_evaluation(errors, seed=seed, teacher=teacher, metric=metric) for metric in metrics)


def as_evaluation(
    errors: Mapping[str, EndpointError], *, seed: int, teacher: Teacher, metric: str = ENDPOINT_RMS
) -> Evaluation:
    """The record an artifact keeps of one schedule's errors, by one of the two metrics."""
    ours = errors["schedule" if metric == ENDPOINT_RMS else metric]
    return Evaluation(
        metric=metric,
        value=ours.value,
        stderr=ours.stderr,
        samples=len(ours.squares),
        seed=seed,
        teacher={"solver": teacher.solver, "steps": teacher.steps},
        baselines={name: one.value for name, one in errors.items() if name not in ("schedule", WITH_MODEL_SIGMAS)},
    )

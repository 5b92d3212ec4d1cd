"""From a scheduler and an artifact: a scheduler that walks its grids, or the list that a pipeline takes as `sigmas`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from artc.arguments import whole
from artc.artifact import Artifact, Schedule
from artc.errors import BudgetError, InputError

from ..choosing import AnyArtifact, held_for, opened, schedule_for
from ..fitting import before_shift, check_fit
from .grids import kept
from .kinds import PREFIX, Kind, check_settings, host_model, kind_for, kind_of, log_sigmas, noise_of
from .schedulers import scheduler_class

TERMINAL = 1e-6
"""How near a grid's last positive sigma must be to `shift_terminal` for the stretch to it to be none."""


def scheduled(
    scheduler: Any,
    artifact: AnyArtifact,
    *,
    nfe: int | Iterable[int] | None = None,
    steps: int | Iterable[int] | None = None,
    solver: str | None = None,
    resample: bool = False,
) -> Any:
    """A scheduler that walks compiled grids and is otherwise the one given, which stays as it was.

        pipe.scheduler = scheduled(pipe.scheduler, "my.art.json", nfe=9)

    A pipeline then chooses a grid by `num_inference_steps`: that of 5 steps is the one of 9 denoiser calls with Heun.

    Args:
        scheduler: of diffusers, such as that of a pipeline.
        artifact: one, or its path.
        nfe: denoiser calls, or several; all that the artifact holds for this scheduler when left out.
        steps: instead of it the number of steps, or several.
        solver: change to the scheduler that walks schedules for this solver, where it is not one already.
        resample: make grids that the artifact does not hold from its warp, now and whenever a pipeline asks for one.

    Warns of a grid that starts well below the noise that the scheduler knows.

    Raises:
        BudgetError: for a budget that the scheduler cannot make or the artifact does not hold.
        InputError: for a scheduler that walks no grid, settings that make no sense of one, a model that writes noise
            the other way, or sigmas outside of the scheduler's range.
    """
    kind, artifact = kind_for(scheduler, solver), opened(artifact)
    walked, schedules = _chosen(artifact, kind, nfe, steps, resample=resample)
    notices = check_fit(artifact.model, (artifact.model.sigma_max, 0.0), host_model(scheduler))
    config = {name: value for name, value in scheduler.config.items() if name != "_use_default_values"}
    config["_class_name"] = type(scheduler).__name__.removeprefix(PREFIX)  # diffusers knows which settings are its own
    if "final_sigmas_type" in config:
        config["final_sigmas_type"] = "zero"  # DPM-Solver++ looks here whether its last step ends in 0
    if kind.order is not None:
        config["solver_order"] = kind.order
    check_settings(kind, config)
    art = kept(artifact, schedules, walked, resample=resample).document()
    made = scheduler_class(kind.ours).from_config(config, art=art)
    _check_same_noise(scheduler, made)
    for notice in notices:
        warnings.warn(notice, stacklevel=2)
    return made


def sigmas_for(
    scheduler: Any,
    artifact: AnyArtifact,
    *,
    nfe: int | None = None,
    steps: int | None = None,
    mu: float | None = None,
    resample: bool = False,
) -> list[float]:
    """What to give a pipeline as `sigmas`, so that its scheduler, one of diffusers' own, ends on the compiled grid.

    EulerDiscrete takes the N + 1 sigmas as they are. FlowMatchEulerDiscrete takes N, without the 0, and shifts them:

        sigma = f s / (1 + (f - 1) s)        so that        s = sigma / (f - (f - 1) sigma)

    with f its shift; with dynamic shifting f is exp(mu), or mu where the shift is linear, and `mu` must be what the
    pipeline will use.

    Raises InputError for another scheduler, or one that makes something else of any list; BudgetError as `scheduled`.
    """
    kind, config = kind_of(scheduler), getattr(scheduler, "config", {})
    stock = kind is not None and type(scheduler).__name__ == kind.name
    if kind is None or not stock or kind.sampler != "euler" or kind.noise == "log":
        raise InputError(
            f"{type(scheduler).__name__} takes no list of sigmas as it is.",
            hint="`scheduled` makes a scheduler that walks the grid by itself.",
        )
    artifact = opened(artifact)
    schedule = schedule_for(artifact, kind.sampler, nfe=nfe, steps=steps, resample=resample)
    check_fit(artifact.model, schedule.sigmas, host_model(scheduler))
    if kind.noise == "table":
        return list(schedule.sigmas)
    remade = next((name for name in config if name.endswith("_sigmas") and config[name] is True), None)
    terminal = config.get("shift_terminal")
    if remade is not None or (terminal and abs(schedule.sigmas[-2] - terminal) > TERMINAL):
        setting = remade or "shift_terminal"
        raise InputError(
            f"{kind.name} with {setting}={config[setting]!r} changes any sigmas that it is given.",
            hint="`scheduled` makes a scheduler that walks the grid by itself.",
        )
    factor = float(scheduler.shift)
    if config.get("use_dynamic_shifting"):
        factor = _factor(mu, linear=config.get("time_shift_type") == "linear")
    return [before_shift(sigma, factor) for sigma in schedule.sigmas[:-1]]


def _chosen(
    artifact: Artifact,
    kind: Kind,
    nfe: int | Iterable[int] | None,
    steps: int | Iterable[int] | None,
    *,
    resample: bool,
) -> tuple[str, Sequence[Schedule]]:
    """The solver, and its schedules to keep; raises BudgetError when there is none.

    It is that of the scheduler itself, or where the artifact does not hold all that is wanted for it, its relative.
    """
    if nfe is not None and steps is not None:
        raise BudgetError("Give the NFE or the steps, one of them.")
    if nfe is not None or steps is not None:
        budgets = [(n, None) for n in _several(nfe, "NFE")] + [(None, n) for n in _several(steps, "number of steps")]
        walked = _walked(artifact, kind, budgets)
        found = [
            schedule_for(artifact, kind.sampler, nfe=calls, steps=count, resample=resample, solver=walked)
            for calls, count in budgets
        ]
        return walked, found
    walked = held_for(artifact, kind.solvers)
    held = [schedule for schedule in artifact.schedules if schedule.solver == walked]
    if not held and not resample:
        known = ", ".join(dict.fromkeys(schedule.solver for schedule in artifact.schedules))
        raise BudgetError(
            f"{kind.name} walks schedules for {' or '.join(kind.solvers)}, and the artifact holds them for "
            f"{known or 'none'}.",
            hint="Compile one for it, give resample=True, or change the scheduler with solver=.",
        )
    return walked, held


def _walked(artifact: Artifact, kind: Kind, budgets: Sequence[tuple[int | None, int | None]]) -> str:
    """The first solver of this kind that all these budgets are held for, or else any schedule is."""
    held = {(one.solver, *which) for one in artifact.schedules for which in ((one.nfe, None), (None, one.steps))}
    whole = (solver for solver in kind.solvers if all((solver, *budget) in held for budget in budgets))
    return next(whole, held_for(artifact, kind.solvers))


def _several(given: Any, what: str) -> list[int]:
    """Budgets, each once; raises BudgetError or InputError for one that is no whole number, or when there is none."""
    if given is None:
        return []
    values = given if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    found = list(dict.fromkeys(whole(value, what) for value in values))
    if not found:
        raise BudgetError(f"The list holds no {what}.", hint="Leave it out to keep all that there are.")
    return found


def _factor(mu: float | None, *, linear: bool) -> float:
    """The factor of a dynamic shift; raises InputError for a mu that is none."""
    hint = "Give the mu of the pipeline for your size of image, or use `scheduled`, which needs none."
    if mu is None:
        raise InputError("With dynamic shifting the list depends on mu.", hint=hint)
    try:
        factor = float(mu if linear else math.exp(mu))
    except (TypeError, ValueError, OverflowError):
        factor = math.nan
    if not 0 < factor < math.inf:
        raise InputError(f"There is no shift by mu = {mu!r}.", hint=hint)
    return factor


def _check_same_noise(before: Any, after: Any) -> None:
    """Raise InputError when a change of class lost what the scheduler knew of the network's noise."""
    if noise_of(before) == "table" and not np.array_equal(log_sigmas(before), log_sigmas(after)):
        names = f"{type(before).__name__} into a {type(after).__name__}"
        raise InputError(
            f"The noise of this network is lost in changing {names}.", hint="Make that scheduler by hand first."
        )

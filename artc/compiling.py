"""Compiling from Python: the same words as on the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

from artc.arguments import whole
from artc.artifact import Artifact
from artc.checkpoints.checkpoint import opened
from artc.checkpoints.fingerprint import fingerprint
from artc.errors import InputError
from artc.models.custom import score_model
from artc.models.score_model import ConditionalDenoiser, Denoiser, ScoreModel
from artc.pipeline import Update, compile_steps
from artc.planning import HAND_MADE, stage_calls
from artc.progress import drain
from artc.request import Request, requested


def compile(  # noqa: A001 - the same word as on the command line; it shadows the builtin for nobody
    model: Denoiser | ConditionalDenoiser | ScoreModel,
    *,
    nfe: SupportsIndex | Iterable[SupportsIndex],
    solver: str | Sequence[str] = "heun",
    method: str = "art-rl",
    seed: SupportsIndex = 0,
    effort: str = "default",
    trajectories: SupportsIndex | None = None,
    refine: bool = True,
    model_sigmas: bool = False,
    nodes: SupportsIndex = 128,
    checks: SupportsIndex = 64,
    teacher_steps: SupportsIndex = 64,
    trials: SupportsIndex | None = None,
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
        effort: `fast`, `default` or `max`: how many trajectories and trials to spend, where they are not given.
        trajectories: noises walked to learn from, each through `nodes` sigmas at a call each.
        refine: choose for each solver and NFE the grid that ends nearest to the trajectories, out of those that are
            known and of the one that moving its nodes makes of the best of them, in at most `trials` trials (0: nodes
            are not moved). Method `paper` is left as it is learned.
        model_sigmas: also look for the sigmas that the network should be shown at the nodes of each schedule.
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
    request = _request(
        nfe,
        solver,
        trajectories=trajectories,
        trials=trials,
        effort=effort,
        refine=refine,
        method=method,
        seed=whole(seed, "seed", least=0),
        model_sigmas=bool(model_sigmas),
        nodes=whole(nodes, "number of nodes"),
        checks=whole(checks, "number of checks"),
        teacher_steps=whole(teacher_steps, "number of the teacher's steps"),
        policy=bool(policy),
        labels=tuple(whole(label, "label", least=0) for label in labels),
        guidance=guidance,
    )
    if checkpoint is None:
        return drain(compile_steps(model, request), on_update)
    with opened(Path(checkpoint), fingerprint(model, request), resume=True, remove=False) as units:
        return drain(compile_steps(model, request, units), on_update)


def planned_calls(
    *,
    nfe: SupportsIndex | Iterable[SupportsIndex],
    solver: str | Sequence[str] = "heun",
    effort: str = "default",
    trajectories: SupportsIndex | None = None,
    refine: bool = True,
    trials: SupportsIndex | None = None,
    baselines: SupportsIndex = HAND_MADE,
    **settings: Any,
) -> dict[str, int]:
    """Model calls, for one sample each, that each stage of the same `compile` will make at most.

    Args:
        baselines: hand-made grids it is compared with: one more for a flow model whose time is shifted.
        settings: the others of `compile` that cost calls: nodes, checks, teacher_steps, model_sigmas, guidance.

    Raises what `compile` raises, and InputError for the method of the papers.
    """
    request = _request(nfe, solver, trajectories=trajectories, trials=trials, effort=effort, refine=refine, **settings)
    return stage_calls(request, whole(baselines, "number of baselines"))


def _request(
    nfe: SupportsIndex | Iterable[SupportsIndex],
    solver: str | Sequence[str],
    *,
    trajectories: SupportsIndex | None,
    trials: SupportsIndex | None,
    **words: Any,
) -> Request:
    """What is requested by arguments of Python: a number for several, and numbers that must be whole."""
    budgets = tuple(nfe) if isinstance(nfe, Iterable) else (nfe,)
    return requested(
        tuple(whole(budget, "NFE") for budget in budgets),
        (solver,) if isinstance(solver, str) else tuple(solver),
        trajectories=None if trajectories is None else whole(trajectories, "number of trajectories"),
        trials=None if trials is None else whole(trials, "number of trials", least=0),
        **words,
    )

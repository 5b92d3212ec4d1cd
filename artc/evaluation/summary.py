"""The facts of an artifact that a reader wants first, as plain data: one source for tables and `--json`. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from artc.artifact import Artifact, Evaluation, Schedule
from artc.artifact.types import WITH_MODEL_SIGMAS
from artc.evaluation.diagnostics import diagnostic_facts, figure, is_number, troubles


def summary(artifact: Artifact) -> dict[str, Any]:
    """Model, method, certificate, schedules with their errors and gains, and where it came from."""
    model, made = artifact.model, artifact.provenance
    return {
        "format_version": artifact.format_version,
        "digest": artifact.digest,
        "model": {
            "name": model.name,
            "source": model.source,
            "sha256": model.sha256,
            "domain": model.domain,
            "shape": list(model.shape),
            "sigma_min": model.sigma_min,
            "sigma_max": model.sigma_max,
            "shift": model.shift,
            "prediction": model.prediction,
            "conditioning": model.conditioning,
            "guidance": None if model.guidance is None else model.guidance.scale,
        },
        "labels": artifact.provenance.model_record.get("labels"),
        "sigma_asked": artifact.provenance.model_record.get("sigma_asked"),
        "refinements": made.diagnostics.get("refinements"),
        "method": made.method,
        "seed": made.seed,
        "device": made.device,
        "score_evals": made.score_evals,
        "gap": made.diagnostics.get("gap"),
        "explained_variance": made.diagnostics.get("explained_variance"),
        "state_spread": made.diagnostics.get("state_spread"),
        "policy": policy_facts(artifact),
        "trouble": list(troubles(made.diagnostics)),
        "state_gain": None if artifact.stiffness is None else artifact.stiffness.state_gain,
        "made_by": f"artc {made.artc}, torch {made.torch}",
        "created": artifact.created.at,
        "seconds": dict(artifact.created.seconds),
        "schedules": [schedule_facts(schedule) for schedule in artifact.schedules],
    }


def policy_facts(artifact: Artifact) -> dict[str, Any] | None:
    """The file of the policy, and what was measured of it."""
    if artifact.policy is None:
        return None
    found = artifact.provenance.diagnostics.get("policy")
    return {"file": artifact.policy.file, **(found if isinstance(found, Mapping) else {})}


def schedule_facts(schedule: Schedule) -> dict[str, Any]:
    """One schedule: its grid, its certificate and what was measured on it."""
    return {
        "solver": schedule.solver,
        "nfe": schedule.nfe,
        "steps": schedule.steps,
        "origin": schedule.origin,
        "sigmas": list(schedule.sigmas),
        "model_sigmas": None if schedule.model_sigmas is None else list(schedule.model_sigmas),
        "gap": None if schedule.certificate is None else schedule.certificate.gap,
        "evaluation": [evaluation_facts(evaluation) for evaluation in schedule.evaluation],
    }


def evaluation_facts(evaluation: Evaluation) -> dict[str, Any]:
    """One measurement, with its ratio to the best baseline: below 1 the schedule is better."""
    best = min(evaluation.baselines, key=lambda name: evaluation.baselines[name], default=None)
    return {
        "metric": evaluation.metric,
        "value": evaluation.value,
        "stderr": evaluation.stderr,
        "samples": evaluation.samples,
        "baselines": dict(evaluation.baselines),
        "best_baseline": best,
        "ratio_to_best": None
        if best is None or evaluation.baselines[best] <= 0
        else evaluation.value / evaluation.baselines[best],
    }


def headline(artifact: Artifact) -> str:
    """The artifact in a line: model, method, and how far its clock is from the best."""
    count, gap = len(artifact.schedules), artifact.provenance.diagnostics.get("gap")
    bound = f", {gap:.2%} above the lower bound" if is_number(gap) else ""
    schedules = "1 schedule" if count == 1 else f"{count} schedules"
    return f"{artifact.model.name}: {schedules} by {artifact.provenance.method}{bound}"


def detail_facts(artifact: Artifact) -> list[tuple[str, str]]:
    """What the artifact is for and how it came about, as names and values."""
    model, made = artifact.model, artifact.provenance
    facts = [
        ("model", f"{model.source}, shape {' x '.join(map(str, model.shape))}, domain {model.domain}"),
        ("weights", f"sha256 {model.sha256}" if model.sha256 else "not recorded"),
        ("sigma", f"{model.sigma_max:g} to 0; the model knows {model.sigma_min:g} and above{_asked(artifact)}"),
        ("made by", f"artc {made.artc}, torch {made.torch}, on {made.device}, seed {made.seed}"),
        ("cost", f"{made.score_evals:,} denoiser calls, {sum(_stages(artifact).values()):.1f} s"),
    ]
    if model.shift is not None:
        facts.insert(3, ("shift", f"{model.shift:g}, already inside sigma"))
    if model.conditioning != "none":
        facts.insert(1, (model.conditioning, _condition(artifact)))
    if artifact.stiffness is not None:
        facts.append(("state", f"a clock that reads the state could save {artifact.stiffness.state_gain:.1%} more"))
    if any(schedule.model_sigmas for schedule in artifact.schedules):
        facts.append(("model sigmas", _asked_schedules(artifact)))
    facts += diagnostic_facts(made.diagnostics, learned_from(made.config))
    facts.append(("digest", artifact.digest))
    return facts


def _asked_schedules(artifact: Artifact) -> str:
    """Which schedules have them."""
    which = [f"{schedule.solver} {schedule.nfe}" for schedule in artifact.schedules if schedule.model_sigmas]
    return f"{', '.join(which)}: where the host can, the network is shown other sigmas than the solver walks"


def _condition(artifact: Artifact) -> str:
    """Which classes or prompts the schedules are for, and under what guidance."""
    guidance, labels = artifact.model.guidance, artifact.provenance.model_record.get("labels")
    which = f"labels {', '.join(map(str, labels))}" if isinstance(labels, list) else "labels drawn uniformly"
    if labels is None and artifact.provenance.model_record.get("prompts") == 1:
        which = "one prompt"
    if guidance is None:
        return f"{which}, no guidance"
    calls = "1 call" if guidance.calls == 1 else f"{guidance.calls} calls"
    return f"{which}, guidance {guidance.scale:g}: {calls} for each denoised value, counted in every NFE"


def learned_from(config: Mapping[str, Any]) -> int | None:
    """The number of trajectories that a clock was learned from, where the settings say so."""
    walked, held_out = config.get("trajectories"), config.get("held_out")
    return walked - held_out if isinstance(walked, int) and isinstance(held_out, int) and walked > held_out else None


def _asked(artifact: Artifact) -> str:
    asked = artifact.provenance.model_record.get("sigma_asked")
    if not (isinstance(asked, list) and len(asked) == 2 and all(map(is_number, asked))):
        return ""
    return f" ({asked[1]:g} to {asked[0]:g} was asked)"


def flattened(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as dotted names and short values."""
    facts: list[tuple[str, str]] = []
    for name, value in document.items():
        if isinstance(value, dict):
            facts += flattened(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            facts += flattened({str(place): item for place, item in enumerate(value, 1)}, f"{prefix}{name}.")
        else:
            facts.append((f"{prefix}{name}", str(value)))
    return facts


def _stages(artifact: Artifact) -> dict[str, float]:
    # The denoiser's own seconds are part of the stages', not a stage.
    return {name: seconds for name, seconds in artifact.created.seconds.items() if name != "denoiser"}


def comparison_table(artifact: Artifact) -> tuple[list[str], list[list[str]], list[int | None]]:
    """Headings, rows and the best cell of each row: every schedule's end-point error beside the baselines'.

    Where a schedule has model sigmas, there is a column for the error with them.
    """
    measured = [schedule.evaluation[0] for schedule in artifact.schedules if schedule.evaluation]
    names = list(dict.fromkeys(name for done in measured for name in done.baselines))
    shown = ["model-sigmas"] if measured and any(schedule.model_sigmas for schedule in artifact.schedules) else []
    headings = ["solver", "NFE", "steps", "origin", *(["error", "+-", *shown, *names, "vs best"] if measured else [])]
    rows: list[list[str]] = []
    best: list[int | None] = []
    for schedule in artifact.schedules:
        row = [schedule.solver, str(schedule.nfe), str(schedule.steps), schedule.origin]
        place = None
        if measured and not schedule.evaluation:
            row += ["-"] * (len(names) + len(shown) + 3)
        elif measured:
            done = schedule.evaluation[0]
            facts = evaluation_facts(done)
            ratio = facts["ratio_to_best"]
            # Not every schedule need have been held against the same baselines.
            others = [_with_model_sigmas(schedule)] * len(shown)
            values = [done.value, math.nan, *others, *(done.baselines.get(name, math.nan) for name in names)]
            row += [figure(done.value), figure(done.stderr), *map(figure, values[2:])]
            row += ["-" if ratio is None else f"{ratio:.2f} x {facts['best_baseline']}"]
            place = 4 + values.index(min(value for value in values if not math.isnan(value)))
        rows.append(row)
        best.append(place)
    return headings, rows, best


def _with_model_sigmas(schedule: Schedule) -> float:
    """The error with model sigmas; not a number where it was not measured."""
    return next((done.value for done in schedule.evaluation if done.metric == WITH_MODEL_SIGMAS), math.nan)

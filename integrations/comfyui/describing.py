"""A schedule in one line, and an artifact on one screen, as the nodes show them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from artc.artifact import BUDGETS, Artifact, Evaluation, Schedule, nfe_of
from artc.artifact.types import ENDPOINT_RMS, WITH_MODEL_SIGMAS

from ..fitting import DOMAINS
from ..samplers import SAMPLERS


def line(artifact: Artifact, schedule: Schedule, kept: int, notices: Iterable[str] = ()) -> str:
    """Model, solver, NFE, steps, noise, origin, what was measured beside what; then whatever one should know.

    `kept` is the number of steps that `denoise` left of the schedule.
    """
    info = artifact.model
    calls, part, start = schedule.nfe, f"{schedule.steps} step{'s' * (schedule.steps != 1)}", schedule.sigmas[0]
    if kept < schedule.steps:
        part = f"the last {kept} of {part}"
        start = schedule.sigmas[-(kept + 1)] if kept else 0.0
        calls = nfe_of(schedule.solver, kept, info.cost) if kept and schedule.solver in BUDGETS else 0
    spent = f"NFE {calls} in {part}" if calls else part
    if info.cost > 1 and calls:
        spent += f" ({info.cost} calls for each guided step)"
    walked = f"sigma {start:g} to 0 ({info.domain})" if kept else "nothing is sampled"
    whole = "as a whole: " if kept < schedule.steps and schedule.evaluation else ""
    facts = [info.name, schedule.solver, spent, walked, schedule.origin, whole + measured(schedule)]
    if schedule.model_sigmas is not None:
        facts.append("has model sigmas too: ART Model Sigmas")
    return printable(" · ".join(facts) + "".join(f" · Note: {notice}" for notice in notices))


def asked_line(artifact: Artifact, schedule: Schedule) -> str:
    """What the network is shown at the nodes of a schedule, and what was measured so beside what was without it."""
    facts = [artifact.model.name, schedule.solver, f"NFE {schedule.nfe}"]
    if schedule.model_sigmas is None:
        return printable(" · ".join([*facts, "this schedule has no model sigmas: the model is as it was"]))
    pairs = zip(schedule.sigmas, schedule.model_sigmas, strict=False)
    moved = ", ".join(f"{shown:.4g} at {node:.4g}" for node, shown in pairs if shown != node) or "its own sigmas"
    found = {done.metric: done.value for done in schedule.evaluation}
    known = "nothing measured"
    if WITH_MODEL_SIGMAS in found:
        known = f"{ENDPOINT_RMS} {figure(found[WITH_MODEL_SIGMAS])}"
        known += f" (without: {figure(found[ENDPOINT_RMS])})" if ENDPOINT_RMS in found else ""
    return printable(" · ".join([*facts, f"shown {moved}", known]))


def measured(schedule: Schedule) -> str:
    """The first measurement of a schedule beside the baselines of equal NFE, the smallest first."""
    if not schedule.evaluation:
        return "nothing measured"
    done = schedule.evaluation[0]
    others = ", ".join(f"{name} {figure(done.baselines[name])}" for name in _ranked(done))
    return f"{done.metric} {figure(done.value)}" + (f" (by hand: {others})" if others else "")


def screen(artifact: Artifact, name: str) -> str:
    """What is in an artifact, as lines for a font of equal widths."""
    return "\n".join(map(printable, (name, *_facts(artifact), "", *_table(_rows(artifact)), "", *_uses(artifact))))


def printable(text: str) -> str:
    """One line, whatever a stranger called the model: a line break or a control character is spelt out."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _facts(artifact: Artifact) -> Iterator[str]:
    info, made = artifact.model, artifact.provenance
    gap = made.diagnostics.get("gap")
    bound = f", {gap:.2%} above the lower bound" if isinstance(gap, float) else ""
    shift = "" if info.shift is None else f"; shift {info.shift:g}, already inside sigma"
    calls = "1 call" if info.cost == 1 else f"{info.cost} calls"
    guided = "" if info.guidance is None else f"; guidance {info.guidance.scale:g} ({calls}, in every NFE)"
    yield f"model     {info.name} ({info.source}), {' x '.join(map(str, info.shape))}, predicts {info.prediction}"
    yield f"weights   {'sha256 ' + info.sha256 if info.sha256 else 'not recorded'}"
    yield f"domain    {info.domain}: {DOMAINS[info.domain]}{shift}"
    yield f"sigma     {info.sigma_max:g} to 0; the model knows {info.sigma_min:g} and above"
    yield f"condition {info.conditioning}{guided}"
    yield f"method    {made.method}{bound}; {made.score_evals:,} model calls"
    yield f"made by   artc {made.artc}, torch {made.torch}, on {made.device}, seed {made.seed}, {artifact.created.at}"
    yield f"digest    {artifact.digest}"


def _rows(artifact: Artifact) -> Iterator[Sequence[str]]:
    known = [held.evaluation[0] for held in artifact.schedules if held.evaluation]
    names = list(dict.fromkeys(name for done in known for name in done.baselines))
    shown = ("model-sigmas",) if known and any(held.model_sigmas for held in artifact.schedules) else ()
    yield ("solver", "NFE", "steps", "origin", *(("error", *shown, *names) if known else ()))
    for held in artifact.schedules:
        row = [held.solver, str(held.nfe), str(held.steps), held.origin]
        if known:
            done = held.evaluation[0] if held.evaluation else None
            row += ["-" if done is None else figure(done.value)]
            row += [figure(_with_model_sigmas(held)) for _ in shown]
            row += ["-" if done is None else figure(done.baselines.get(name, math.nan)) for name in names]
        yield row


def _with_model_sigmas(schedule: Schedule) -> float:
    return next((done.value for done in schedule.evaluation if done.metric == WITH_MODEL_SIGMAS), math.nan)


def _table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        words = (cell.ljust(width) if k in (0, 3) else cell.rjust(width) for k, (cell, width) in _placed(row, widths))
        yield "  ".join(words).rstrip()


def _placed(row: Sequence[str], widths: Sequence[int]) -> Iterable[tuple[int, tuple[str, int]]]:
    return enumerate(zip(row, widths, strict=True))


def _uses(artifact: Artifact) -> Iterator[str]:
    metrics = dict.fromkeys(done.metric for held in artifact.schedules for done in held.evaluation[:1])
    for metric in metrics:
        yield f"error is {metric}: how far samples end from those of a fine grid; smaller is better, equal NFE."
    if any(held.model_sigmas for held in artifact.schedules):
        yield "model-sigmas is the error where ART Model Sigmas shows the model other noise levels than are walked."
    for solver in dict.fromkeys(held.solver for held in artifact.schedules):
        named = [one.name for one in SAMPLERS.values() if one.solver == solver and not one.kin]
        kin = [one.name for one in SAMPLERS.values() if solver in one.solvers and one.name not in named]
        if named or kin:
            text = f"{solver} schedules are for {f'the sampler {named[0]}' if named else 'no sampler here'}"
            text += f"; its relatives take them too: {', '.join(kin)}." if kin else "."
            yield from textwrap.wrap(text, 100, subsequent_indent="  ", break_on_hyphens=False)


def _ranked(done: Evaluation) -> list[str]:
    return sorted(done.baselines, key=lambda name: done.baselines[name])


def figure(value: float) -> str:
    """Four decimals, or two digits of what would hardly show in them."""
    if math.isnan(value):
        return "-"
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"

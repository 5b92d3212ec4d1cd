"""What an artifact says of its own learning, as lines for a reader. No torch.

Diagnostics are free in form: another program may have put anything there, and what cannot be read is left out.

* `learning_curve`: the gap along the run, J / J* - 1 on the training trajectories.
* `explained_variance`: what share of the variance of the reward-to-go the critic foresees; near 0 it is useless.
* `state_spread`: along the clock, the standard deviation over trajectories of the speed that is best for each of them,
  relative to its mean. The papers draw it as a band around the mean, 2.58 standard errors to each side for 99 %.
* `paper`: the same for each number of steps that paper mode learned alone. Its curve is that of the papers' own cost,
  charged at left ends and with the noise of exploration in it, and may fall below 0; its `spread` is one number, the
  greatest of the mean policy's along the clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

SPARKS = "▁▂▃▄▅▆▇█"
BAND = 2.58
"""Standard errors to each side of a mean that hold it 99 times of 100."""


def diagnostic_facts(found: Mapping[str, Any], trajectories: object) -> Iterator[tuple[str, str]]:
    """Names and values of what the diagnostics tell; `trajectories` is the number that was learned from, if known."""
    curve = found.get("learning_curve")
    if is_numbers(curve):
        yield "learning", f"{sparkline(curve)}  gap {curve[0]:.1%} to {curve[-1]:.2%} on the training trajectories"
    explained = found.get("explained_variance")
    if is_number(explained):
        yield "critic", f"foresees {explained:.2%} of the variance of the reward-to-go"
    spread = found.get("state_spread")
    if is_numbers(spread):
        mean = sum(spread) / len(spread)
        band = (
            f"; 99 % band of the mean +-{BAND * mean / math.sqrt(trajectories):.1%}" if is_number(trajectories) else ""
        )
        yield "spread", f"{sparkline(spread)}  the best speed varies by {mean:.1%} between trajectories{band}"
    yield from _paper(found.get("paper"))
    yield from _policy(found.get("policy"))
    yield from (("refined", sentence) for sentence in _refinements(found.get("refinements")))
    yield from (("trouble", sentence) for sentence in troubles(found))


def _paper(found: object) -> Iterator[tuple[str, str]]:
    """How paper mode learned each number of steps."""
    for steps, run in found.items() if isinstance(found, Mapping) else ():
        if not isinstance(run, Mapping):
            continue
        curve, explained, spread = (run.get(name) for name in ("learning_curve", "explained_variance", "spread"))
        if is_numbers(curve):
            yield "learning", f"{steps} steps: {sparkline(curve)}  gap {curve[0]:.1%} to {curve[-1]:.2%} at left ends"
        if is_number(explained):
            yield "critic", f"{steps} steps: foresees {explained:.2%} of the variance of the reward-to-go"
        if is_number(spread):
            yield "spread", f"{steps} steps: theta varies by {spread:.1%} between trajectories at most"


def _policy(found: object) -> Iterator[tuple[str, str]]:
    """What the clock that reads the state reaches, by how often it looks, and how differently it walks."""
    shares = found.get("share") if isinstance(found, Mapping) else None
    if isinstance(found, Mapping) and isinstance(shares, Mapping) and all(map(is_number, shares.values())):
        reached = ", ".join(f"{share:.0%} at {looks} steps" for looks, share in shares.items())
        yield "policy", f"of what reading the state could save it saves {reached}" if reached else "nothing to save"
        spread = found.get("spread")
        if is_numbers(spread):
            yield "", f"{sparkline(spread)}  its speed varies by {sum(spread) / len(spread):.1%} between trajectories"


def troubles(found: Mapping[str, Any]) -> Iterator[str]:
    """What paper mode found wrong with its own schedules, a sentence each."""
    runs = found.get("paper")
    for steps, run in runs.items() if isinstance(runs, Mapping) else ():
        failures = run.get("failures") if isinstance(run, Mapping) else None
        for failure in failures if isinstance(failures, list) else ():
            yield f"{steps} steps: {failure}"


def _refinements(found: object) -> Iterator[str]:
    """Which grid each schedule got, and the end-point errors that decided it."""
    for name, facts in found.items() if isinstance(found, Mapping) else ():
        if not isinstance(facts, Mapping) or not all(is_number(facts.get(key)) for key in ("learned", "start")):
            continue
        errors = {"learned": facts["learned"]}
        if facts.get("from") not in (None, "schedule"):
            errors[str(facts["from"])] = facts["start"]
        if is_number(facts.get("refined")):
            errors["with its nodes moved"] = facts["refined"]
        kept = {"schedule": "learned", "matched": "with its nodes moved"}.get(str(facts.get("kept")), facts.get("kept"))
        told = ", ".join(f"{error} {figure(value)}" for error, value in errors.items())
        yield f"{name}: {told}" + (f"; kept: {kept}" if kept is not None else "")


def figure(value: float) -> str:
    """Four decimals, or two digits of what would hardly show in them."""
    if math.isnan(value):
        return "-"
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"


def sparkline(values: list[float], width: int = 30) -> str:
    """Values as a row of block characters, the lowest empty and the highest full."""
    if len(values) > width:
        values = [values[round(i * (len(values) - 1) / (width - 1))] for i in range(width)]
    low, high = min(values), max(values)
    span = high / 2 - low / 2 or 1.0  # halves: the difference of two large numbers may be none
    return "".join(SPARKS[round((value / 2 - low / 2) / span * (len(SPARKS) - 1))] for value in values)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a free value is a number that may be shown as one."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_numbers(values: object) -> TypeGuard[list[float]]:
    """Whether a free value is a list of numbers, not empty."""
    return isinstance(values, list) and bool(values) and all(map(is_number, values))

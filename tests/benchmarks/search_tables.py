"""Sections of `RESULTS.md` on the search for grids: its cost beside GITS, its outcome beside the best of all grids."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import geometric_mean
from typing import Any

from .readme import markdown

COST = """**Seconds, and five budgets of {solver} ({budgets}) beside GITS in one run.** Without the check: without the
comparison of the finished schedules with a teacher on noises of their own, which GITS has no counterpart of. The
denoiser's share is of all seconds. {machine}. `{command}`"""

EXHAUSTIVE = """## Beside the best of all grids

All grids of K steps whose free nodes are among {levels} sigmas, walked on {searched} noises; the nodes of the best of
them moved on {matched} others. What `artc compile` makes by default, and that, on {noises} noises that neither saw:
at most {worst:.3f} times its error, {mean:.3f} in the geometric mean. `{command}`"""


def cost_section(stored: Mapping[str, Any]) -> str:
    """What a compilation takes beside GITS, of a result of `cost`."""
    rows = []
    for found in stored["results"]:
        cells = [f"`{found['model']}`", found["method"]]
        for key, form in (("calls", "{:,}"), ("seconds", "{:.1f}")):
            alone = found.get(f"{key}_without_check", found[key])
            cells += [form.format(found[key]), form.format(alone), f"{found[f'{key}_ratio']:.2f}"]
        rows.append([*cells, f"{found['denoiser_share']:.1%}" if "denoiser_share" in found else "-"])
    text = COST.format(
        solver=stored["solver"],
        budgets=", ".join(map(str, stored["nfe"])),
        machine=stored["machine"],
        command=stored["command"],
    )
    columns = ["calls", "without the check", "/ gits", "seconds", "without the check", "/ gits", "in the denoiser"]
    return f"{text}\n\n{markdown(['model', 'method', *columns], rows)}"


def exhaustive_section(stored: Mapping[str, Any]) -> str:
    """What a compilation makes beside the best grid that there is, of a result of `exhaustive`."""
    ratios = [found["ratio"] for found in stored["results"]]
    rows = [
        [
            f"`{found['model']}`",
            *(str(found[key]) for key in ("solver", "steps", "nfe")),
            *(f"{found['errors'][which]:.4f} ({found['stderrs'][which]:.4f})" for which in ("compiled", "exhaustive")),
            f"{found['ratio']:.3f}",
        ]
        for found in stored["results"]
    ]
    text = EXHAUSTIVE.format(
        worst=max(ratios), mean=geometric_mean(ratios), command=stored["command"], **stored["settings"]
    )
    return f"{text}\n\n{markdown(['model', 'solver', 'K', 'calls', 'compiled', 'best of all', 'ratio'], rows)}"

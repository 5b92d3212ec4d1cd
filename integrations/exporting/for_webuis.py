"""A1111, Forge, reForge and SD.Next: none takes a list of its own accord, and each way in changes it differently.

| program | field | takes | what it does |
|---|---|---|---|
| Forge, A1111 with the extension Extra Schedulers | custom function / list | sigmas | below |
| reForge | Align Your Steps Custom | sigmas | linear interpolation to the number of steps; appends 0 |
| SD.Next | Timesteps override | whole timesteps | skips what is not all digits; needs three or more |

Extra Schedulers takes a list for one only if its first character is [ and its last ]. It interpolates in ln(sigma) to
the number of steps, and appends 0. A 0 in the list goes through ln 0 and moves every node; a list from 1.0 to 0.0 is
stretched to the model's range; the branch "neg" takes a list that ends in 0.0 as it is. Without the 0, and with as many
steps as numbers, both branches walk the list as it stands.

Samplers that leave out the next-to-last sigma (DPM2, DPM2 a, DPM++ 3M SDE, or all with a setting) ask for one number
more than steps, and so interpolate. Nor may image-to-image be told to do exactly the steps of the slider: it then asks
for more.

Read in the sources of 2025-12 (Extra Schedulers), 2025-06 (Forge), 2026-03 (reForge) and 2026-07 (SD.Next). What Extra
Schedulers and reForge do with a list was also seen by running those functions alone; no whole program was run.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from ..fitting import before_shift
from .decimals import bracketed, check_single, plain
from .for_diffusers import off_by, shift_of, table_of, whole_and_between
from .parts import Grid, Part, Printed, sampler_note

METHODS = {"euler": "Euler", "heun": "Heun", "dpmpp_2m": "DPM++ 2M"}
"""By the names that all of these programs have."""

FEWEST = 3
"""SD.Next takes a shorter list for none."""


def a1111(grid: Grid) -> Printed:
    """The list for A1111, Forge and reForge, whole timesteps for SD.Next, each below the field that it goes into."""
    check_single(grid.sigmas, "The web UI")
    values = grid.sigmas[:-1]
    text = bracketed(values)
    method = f"Sampling method: {METHODS[grid.solver]}. " if grid.solver in METHODS else ""
    rest = f"{method}Sampling steps: {grid.steps}."
    custom = (
        f"Forge, or A1111 with the extension Extra Schedulers. Schedule type: custom. {rest}",
        "Field: Extra Schedulers: custom function / list [n0, n1, n2, ...]",
    )
    reforge = (
        f"reForge. Schedule type: Align Your Steps Custom. {rest}",
        "Field: Settings > Scheduler parameters > Align Your Steps Custom - sigma values",
        "(for the samplers that reForge adds: Reforge Align Your Steps Custom - sigma values)",
    )
    sdnext, said = _sdnext_flow(grid) if grid.flow else _sdnext_ve(grid)
    return Printed(
        parts=(
            Part(name="custom", text=text, values=values, where=custom),
            Part(name="reforge", text=text, values=values, where=reforge),
            *([sdnext] if sdnext else []),
        ),
        notes=(
            sampler_note(grid, "the samplers there", METHODS),
            (
                "numbers",
                f"{len(values)}, the positive sigmas: each program appends the 0, and breaks on one in the list",
            ),
            ("steps", f"exactly {grid.steps}, else the list is interpolated, as DPM2, DPM2 a, DPM++ 3M SDE always do"),
            ("sd.next", said),
        ),
        shift=shift_of(grid)[0] if grid.flow else None,
        table=table_of(grid) if sdnext and not grid.flow else None,
    )


def _sdnext_ve(grid: Grid) -> tuple[Part | None, str]:
    whole, _, said = whole_and_between(grid, table_of(grid))
    if whole is None:
        return None, said
    return _sdnext(whole, METHODS.get(grid.solver, "one that takes timesteps"), said)


def _sdnext_flow(grid: Grid) -> tuple[Part | None, str]:
    """SD.Next gives a flow's scheduler t / 1000 for its sigmas, before the shift."""
    shift, said = shift_of(grid)
    positive = grid.sigmas[:-1]
    whole = tuple(round(1000 * before_shift(sigma, shift)) for sigma in positive)
    if any(high <= low for high, low in itertools.pairwise((*whole, 0))):
        return None, "none: it takes thousandths of a flow's sigmas, and there two are the same"
    there = [shift * t / 1000 / (1 + (shift - 1) * t / 1000) for t in whole]
    errors = tuple(abs(after - sigma) / sigma for after, sigma in zip(there, positive, strict=True))
    method = f"Euler FlowMatch. Flow shift: {plain(shift)}, without dynamic"
    return _sdnext(
        Part(name="timesteps", text="", values=whole, errors=errors), method, f"shift {plain(shift)}, {said}"
    )


def _sdnext(whole: Part, method: str, said: str) -> tuple[Part | None, str]:
    """No blank between the numbers: SD.Next counts what is between two separators, even nothing, as a step."""
    if len(whole.values) < FEWEST:
        return None, f"none: it takes no fewer than {FEWEST} timesteps"
    where = (
        f"SD.Next. Sampling method: {method}. The number of steps is that of the list.",
        f"Field: Timesteps override. Whole timesteps: {off_by(whole)}",
    )
    return replace(whole, text=",".join(map(str, whole.values)), where=where), said

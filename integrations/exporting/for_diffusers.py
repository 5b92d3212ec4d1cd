"""Schedulers of diffusers: some take sigmas, some timesteps, and a flow's are shifted once more.

| scheduler | argument | what it does to it |
|---|---|---|
| EulerDiscrete | `sigmas`, N + 1 with the 0 | nothing; float32 |
| HeunDiscrete, EulerDiscrete | `timesteps`, N | keeps fractions, sigma linear between entries; appends 0 |
| DPMSolverMultistep, Singlestep | `timesteps`, N | cuts them to whole ones; appends 0 |
| FlowMatchEulerDiscrete | `sigmas`, N without the 0 | its shift, s -> shift s / (1 + (shift - 1) s); appends 0 |

So a flow's sigmas are given to it before the shift,

    s_before = s / (shift - (shift - 1) s).

A scheduler with `use_dynamic_shifting` takes its shift from the size of the image, one with `shift_terminal` stretches
its sigmas; neither can be undone from here, and both are switched off in the line that the user is given.
Read and run with diffusers 0.42.1.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from artc.errors import InputError

from ..fitting import before_shift, is_number
from .decimals import bracketed, check_single, plain
from .parts import Grid, Part, Printed, sampler_note
from .tables import Table, find_table

MOST_SHIFT = 1000
"""Those in use are from 1 to 12 or so; from about 1e16 on nothing of sigma is left before the shift."""


def diffusers(grid: Grid) -> Printed:
    """Assignments of Python, one for each way in which the schedulers of diffusers take a schedule."""
    check_single(grid.sigmas, "diffusers")
    return _flow(grid) if grid.flow else _ve(grid)


def _ve(grid: Grid) -> Printed:
    table = table_of(grid)
    whole, between, said = whole_and_between(grid, table)
    schedulers = {"euler": "EulerDiscreteScheduler, with sigmas"}
    numbers = f"sigmas: {len(grid.sigmas)}, one more than steps, with the 0 at the end"
    parts = [_assignment("sigmas", grid.sigmas, "EulerDiscreteScheduler: pipe(..., sigmas=sigmas)")]
    if whole and between:
        schedulers["heun"] = "HeunDiscreteScheduler, with fractional_timesteps"
        schedulers["dpmpp_2m"] = "DPMSolverMultistepScheduler, with timesteps"
        numbers += f"; timesteps: {grid.steps}, one for each step"
        heun = "HeunDiscreteScheduler, which keeps fractions: pipe(..., timesteps=fractional_timesteps)"
        others = f"DPMSolverMultistepScheduler and others that round: pipe(..., timesteps=timesteps); {off_by(whole)}"
        parts += [replace(between, where=(heun,)), replace(whole, where=(others,))]
    notes = (
        sampler_note(grid, "the schedulers that take these numbers", schedulers),
        ("numbers", numbers),
        ("timesteps", said),
    )
    return Printed(parts=tuple(parts), notes=notes, table=table if whole else None)


def _flow(grid: Grid) -> Printed:
    shift, said = shift_of(grid)
    values = tuple(before_shift(sigma, shift) for sigma in grid.sigmas[:-1])
    check_single((*values, 0.0), "diffusers")
    where = (
        "pipe.scheduler = FlowMatchEulerDiscreteScheduler.from_config(",
        f"    pipe.scheduler.config, shift={plain(shift)}, use_dynamic_shifting=False, shift_terminal=None)",
        "pipe(..., sigmas=sigmas)",
    )
    formula = "they are s, as a shift of 1 moves nothing"
    if shift != 1:
        formula = f"they are s / ({plain(shift)} - {plain(shift - 1)} s), which its shift turns into the artifact's s"
    schedulers = {"euler": "FlowMatchEulerDiscreteScheduler"}
    return Printed(
        parts=(_assignment("sigmas", values, *where),),
        notes=(
            sampler_note(grid, "the schedulers that take these numbers", schedulers),
            ("numbers", f"{len(values)}, the positive sigmas: the scheduler appends the 0 itself"),
            ("shift", f"{plain(shift)}, {said}"),
            ("before", formula),
        ),
        shift=shift,
        pre_shift=True,
    )


def shift_of(grid: Grid) -> tuple[float, str]:
    """The shift of the host's scheduler, and where it is from; raises InputError for one that no flow has."""
    shift, said = 1.0, "none, as the artifact names none; --shift names one"
    if grid.model.shift is not None:
        shift, said = grid.model.shift, "that of the artifact's model; --shift names another"
    if grid.shift is not None:
        shift, said = grid.shift, "as you said"
    if not (is_number(shift) and 1 / MOST_SHIFT <= shift <= MOST_SHIFT):
        raise InputError(f"The shift of a flow is a number from {1 / MOST_SHIFT:g} to {MOST_SHIFT}, not {shift!r}.")
    return float(shift), said


def table_of(grid: Grid) -> Table:
    """The table of the host's model: the user's, else that of Stable Diffusion."""
    return grid.table or find_table("sd")


def whole_and_between(grid: Grid, table: Table) -> tuple[Part | None, Part | None, str]:
    """The grid as whole and as fractional timesteps, and which table they are of; or a sentence on why it has none.

    Raises InputError with that sentence when the user named the table.
    """
    positive = grid.sigmas[:-1]
    whole = tuple(table.nearest(sigma) for sigma in positive)
    beyond = table.beyond(positive)
    clash = next((step for step, after in itertools.pairwise(whole) if step == after), None)
    why = ""
    if beyond is not None:
        reach = f"{table.sigmas[0]:.4g} to {table.sigmas[-1]:.6g}"
        why = f"sigma = {beyond:g} is outside of {reach}, all that there is in {table.name}"
    elif clash is not None:
        why = f"two sigmas are nearest to timestep {clash} of {table.name}"
    if why and grid.table:
        raise InputError(f"The schedule has no timesteps: {why}.")
    if why:
        return None, None, f"none: {why}; --table names another"

    def part(name: str, steps: tuple[float, ...], text: str) -> Part:
        errors = tuple(abs(table.at(step) - sigma) / sigma for step, sigma in zip(steps, positive, strict=True))
        return Part(name=name, text=f"{name} = {text}", values=steps, errors=errors)

    between = tuple(table.between(sigma) for sigma in positive)
    said = table.name + ("" if grid.table else "; assumed, --table names another")
    return part("timesteps", whole, f"{list(whole)}"), part("fractional_timesteps", between, bracketed(between)), said


def off_by(part: Part) -> str:
    """The largest error of rounding, in words."""
    return f"off by up to {100 * max(part.errors or (0.0,)):.2g} % of sigma"


def _assignment(name: str, values: tuple[float, ...], *where: str) -> Part:
    return Part(name=name, text=f"{name} = {bracketed(values)}", values=values, where=where)

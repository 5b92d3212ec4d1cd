"""What goes into an export and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from artc.artifact import ModelInfo, Schedule

from .tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The part of a schedule that is exported, and what the user said of the host.

    Attributes:
        sigmas: steps + 1 numbers, the last 0; all of the schedule's, or with `denoise` below 1 the last of them.
        nfe: denoiser calls of its solver on them.
        shift: of the host's scheduler, for flow models; None when the user did not say.
        table: of the host's model; None when the user did not say.
    """

    model: ModelInfo
    schedule: Schedule
    sigmas: tuple[float, ...]
    nfe: int
    denoise: float = 1.0
    shift: float | None = None
    table: Table | None = None

    @property
    def steps(self) -> int:
        """Intervals that are walked."""
        return len(self.sigmas) - 1

    @property
    def cut(self) -> bool:
        """It is not all of the schedule: what is walked starts from an image."""
        return self.steps < self.schedule.steps

    @property
    def solver(self) -> str:
        """The solver that the schedule was made for."""
        return self.schedule.solver

    @property
    def flow(self) -> bool:
        """Sigma is the time of a flow, in (0, 1]."""
        return self.model.domain == "flow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing to paste: exactly `text`, below a comment that says `where`.

    Attributes:
        values: the numbers in it.
        errors: where a host rounds, how far each number is from its sigma, relative to it.
    """

    name: str
    text: str
    values: tuple[float, ...]
    where: tuple[str, ...] = ()
    errors: tuple[float, ...] | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """The comment, each line after a #, and the text."""
        return (*(f"# {line}" for line in self.where), self.text)


IN_CODE = {
    "edm": "; artc.integrations.edm.asked can",
    "k-diffusion": "; artc.integrations.k_diffusion.asked can",
    "comfyui": "; the node ART Model Sigmas can",
}
"""Where a host can show them to the network, though not by pasting a list."""

Note = tuple[str, str]
"""What it is about, in a word, and what to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """What a target makes of a grid: the parts, what their user should know, and facts for the document."""

    parts: tuple[Part, ...]
    notes: tuple[Note, ...]
    shift: float | None = None
    pre_shift: bool = False
    table: Table | None = None


Target = Callable[[Grid], Printed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A schedule in a host's own words."""

    target: str
    grid: Grid
    printed: Printed

    @property
    def text(self) -> str:
        """What is printed, without a final newline."""
        return "\n".join(line for part in self.printed.parts for line in part.lines)

    @property
    def values(self) -> tuple[float, ...]:
        """The numbers of the first part, which is the main one."""
        return self.printed.parts[0].values

    @property
    def notes(self) -> tuple[Note, ...]:
        """Which sampler to take, how many numbers there are and why, where they go."""
        if self.grid.schedule.model_sigmas is None:
            return self.printed.notes
        said = "the schedule also has model sigmas, which this target cannot use; its grid is good without them"
        return (*self.printed.notes, ("shown", f"{said}{IN_CODE.get(self.target, '')}"))

    @property
    def headline(self) -> str:
        """What was exported, on one line."""
        grid = self.grid
        calls = f"{grid.nfe} denoiser {_many('call', grid.nfe)}"
        if grid.model.cost > 1:
            calls += f" ({grid.nfe // grid.model.cost} guided)"
        part = f" (the last of {grid.schedule.steps})" if grid.cut else ""
        steps = f"{grid.steps} {_many('step', grid.steps)}{part}"
        return f"{grid.model.name}: {grid.solver}, {steps}, {calls}, {grid.schedule.origin}, domain {grid.model.domain}"

    def document(self) -> dict[str, Any]:
        """The same facts as plain JSON values."""
        grid, printed = self.grid, self.printed
        whole, between = self._part("timesteps"), self._part("fractional_timesteps")
        return {
            "target": self.target,
            "model": grid.model.name,
            "domain": grid.model.domain,
            "shift": printed.shift,
            "pre_shift": printed.pre_shift,
            "solver": grid.solver,
            "nfe": grid.nfe,
            "steps": grid.steps,
            "denoise": grid.denoise,
            "origin": grid.schedule.origin,
            "sigmas": list(grid.sigmas),
            "values": list(self.values),
            "count": len(self.values),
            "timesteps": whole and list(whole.values),
            "timestep_errors": whole and list(whole.errors or ()),
            "fractional_timesteps": between and list(between.values),
            "table": printed.table and printed.table.name,
            "text": self.text,
            "parts": [{"name": one.name, "where": list(one.where), "text": one.text} for one in printed.parts],
            "notes": dict(self.notes),
        }

    def _part(self, name: str) -> Part | None:
        return next((part for part in self.printed.parts if part.name == name), None)


def sampler_note(grid: Grid, host: str, samplers: dict[str, str]) -> Note:
    """Which sampler of the host is the solver that the schedule was made for."""
    if grid.solver in samplers:
        return "sampler", samplers[grid.solver]
    return "sampler", f"none of {host} is {grid.solver}; with another one nothing was measured"


def _many(word: str, count: int) -> str:
    return word + "s" * (count != 1)

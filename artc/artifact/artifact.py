"""The artifact: one model's schedules, the warp they come from, and the record of how they were made.

An artifact that exists is a valid one: building it checks its meaning, as reading it does. It is immutable; the methods
that change something return a new one, whose digest is empty until it is sealed or saved.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from artc.artifact.budget import BUDGETS, steps_for
from artc.artifact.codec import to_document
from artc.artifact.rules import FORMAT, FORMAT_VERSION, meaning_defects
from artc.artifact.types import Created, ModelInfo, Policy, Provenance, Schedule, Stiffness
from artc.artifact.warp import Warp
from artc.errors import BudgetError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Schedules for one model, one for each (solver, NFE), with their warp and provenance.

    Raises ArtifactError, with the JSON path of the first defect, when the parts contradict each other.
    """

    format: str = FORMAT
    format_version: str = FORMAT_VERSION
    model: ModelInfo
    schedules: tuple[Schedule, ...]
    warp: Warp
    stiffness: Stiffness | None = None
    policy: Policy | None = None
    provenance: Provenance
    created: Created
    digest: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedules", tuple(self.schedules))
        for defect in meaning_defects(to_document(self)):
            raise defect

    def sigmas(self, *, nfe: int, solver: str | None = None, resample: bool = False) -> NDArray[np.float64]:
        """The grid for a budget: float64 (steps + 1,), strictly decreasing from sigma_max to exactly 0.

        It is one that the artifact holds, or with `resample`, failing that, the warp read at k / steps. `solver` may be
        left out when the artifact holds schedules of one solver only. Raises BudgetError when the budget is not held,
        and UnknownNameError for a solver that is neither held nor known.
        """
        import numpy as np

        solver = self._solver(solver)
        held = self._find(nfe, solver)
        if held is None and resample:
            return self.warp.grid(steps_for(solver, nfe, self.model.cost), self.model.sigma_min)
        return np.asarray((held or self.schedule(nfe, solver)).sigmas, dtype=np.float64)

    def schedule(self, nfe: int, solver: str | None = None) -> Schedule:
        """The stored schedule of a budget; raises what `sigmas` raises."""
        solver = self._solver(solver)
        found = self._find(nfe, solver)
        if found is None:
            held = ", ".join(f"{held.solver} {held.nfe}" for held in self.schedules) or "none"
            raise BudgetError(
                f"No schedule for {solver} at NFE {nfe}; the artifact holds {held}.",
                hint="Make it from the warp with resample=True or `artc resample`.",
            )
        return found

    def resampled(self, nfes: Iterable[int], solver: str | None = None) -> Artifact:
        """A copy with a schedule for each further NFE, read from the warp: origin "resampled", nothing measured.

        A budget that is held already stays as it is. Raises BudgetError for an NFE the solver cannot make.
        """
        solver = self._solver(solver)
        added = []
        for nfe in dict.fromkeys(nfes):
            if self._find(nfe, solver) is None:
                steps = steps_for(solver, nfe, self.model.cost)
                sigmas = self.warp.baked(steps, self.model.sigma_min)
                added.append(Schedule(solver=solver, nfe=nfe, steps=steps, sigmas=sigmas, origin="resampled"))
        return replace(self, schedules=(*self.schedules, *added), digest="") if added else self

    def sealed(self) -> Artifact:
        """A copy with its digest filled in; raises ArtifactError for a number that JSON cannot carry."""
        from artc.artifact.canonical import digest

        return replace(self, digest=digest(to_document(self)))

    def save(self, path: str | os.PathLike[str], force: bool = False) -> None:
        """Write the sealed artifact to `path`, whole or not at all; raises OutputError, see `artc.artifact.write`."""
        from artc.artifact.writing import write

        write(self, path, force=force)

    def _solver(self, name: str | None) -> str:
        held = list(dict.fromkeys(schedule.solver for schedule in self.schedules))
        if name is None:
            if len(held) != 1:
                raise BudgetError("The artifact does not hold one solver only.", hint=f"Name one of {_names(held)}.")
            return held[0]
        if name not in held and name not in BUDGETS:
            raise UnknownNameError("solver", name, {*held, *BUDGETS})
        return name

    def _find(self, nfe: int, solver: str) -> Schedule | None:
        return next((held for held in self.schedules if (held.solver, held.nfe) == (solver, nfe)), None)


def _names(held: list[str]) -> str:
    return ", ".join(held or BUDGETS)

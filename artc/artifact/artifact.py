"""The artifact: one model's schedules, the warp they come from, and the record of how they were made.

An artifact that exists is a valid one: building it checks its meaning, as reading it does. It is immutable; the methods
that change something return a new one, whose digest is empty until it is sealed or saved.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from artc.arguments import whole
from artc.artifact.budget import BUDGETS, nfe_of, steps_for
from artc.artifact.codec import to_document
from artc.artifact.rules import FORMAT, FORMAT_VERSION, meaning_defects
from artc.artifact.types import Created, ModelInfo, Policy, Provenance, Schedule, Stiffness
from artc.artifact.warp import Warp
from artc.errors import BudgetError, InputError, UnknownNameError

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

    def sigmas(
        self, *, nfe: int | None = None, steps: int | None = None, solver: str | None = None, resample: bool = False
    ) -> NDArray[np.float64]:
        """The grid for a budget: float64 (steps + 1,), strictly decreasing from sigma_max to exactly 0.

        The budget is `nfe` denoiser calls or a number of `steps`; give one of them. The grid is one that the artifact
        holds, or with `resample`, failing that, the warp read at k / steps. `solver` may be left out when the artifact
        holds schedules of one solver only. Raises BudgetError when the budget is not held, and UnknownNameError for a
        solver that is neither held nor known.
        """
        import numpy as np

        found = self.schedule(nfe, solver, steps=steps, resample=resample)
        return np.asarray(found.sigmas, dtype=np.float64)

    def schedule(
        self, nfe: int | None = None, solver: str | None = None, *, steps: int | None = None, resample: bool = False
    ) -> Schedule:
        """The schedule of a budget, with its origin and what was measured of it; arguments and errors of `sigmas`."""
        if (nfe is None) == (steps is None):
            raise BudgetError("Which schedule? Give its NFE or its steps, one of them.")
        nfe = None if nfe is None else whole(nfe, "NFE")
        steps = None if steps is None else whole(steps, "number of steps")
        solver = self._solver(solver)
        found = next(
            (
                held
                for held in self.schedules
                if held.solver == solver and nfe in (None, held.nfe) and steps in (None, held.steps)
            ),
            None,
        )
        if found is not None:
            return found
        if resample:
            return self._resampled(solver, nfe, steps)
        held = ", ".join(f"{held.solver} {held.nfe if steps is None else held.steps}" for held in self.schedules)
        wanted = f"at NFE {nfe}" if steps is None else f"of {steps} steps"
        raise BudgetError(
            f"No schedule for {solver} {wanted}; the artifact holds {held or 'none'}.",
            hint="Read it from the warp: resample=True in Python, --resample of a command, or `artc resample`.",
        )

    def resampled(self, nfes: Iterable[int], solver: str | None = None) -> Artifact:
        """A copy with a schedule for each further NFE, read from the warp: origin "resampled", nothing measured.

        A budget that is held already stays as it is. Raises BudgetError for an NFE the solver cannot make.
        """
        solver = self._solver(solver)
        budgets = dict.fromkeys(whole(nfe, "NFE") for nfe in nfes)
        held = {(schedule.solver, schedule.nfe) for schedule in self.schedules}
        added = [self._resampled(solver, nfe) for nfe in budgets if (solver, nfe) not in held]
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
        if not isinstance(name, str):
            raise InputError(f"A solver is a name, not {type(name).__name__}.")
        if name not in held and name not in BUDGETS:
            raise UnknownNameError("solver", name, {*held, *BUDGETS})
        return name

    def _resampled(self, solver: str, nfe: int | None, steps: int | None = None) -> Schedule:
        if steps is None:
            assert nfe is not None
            steps = steps_for(solver, nfe, self.model.cost)
        spent = nfe_of(solver, steps, self.model.cost)
        sigmas = self.warp.baked(steps, self.model.sigma_min)
        return Schedule(solver=solver, nfe=spent, steps=steps, sigmas=sigmas, origin="resampled")


def _names(held: list[str]) -> str:
    return ", ".join(held or BUDGETS)

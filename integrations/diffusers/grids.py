"""What a scheduler's configuration keeps of an artifact, so that a saved pipeline walks the same grids, bit for bit.

The entry `art` of `scheduler_config.json` holds the schedules as an artifact has them (solver, NFE, steps, origin, all
digits of every sigma), the model they were compiled for, the digest of the artifact they came from, and the warp where
the scheduler may make grids of other numbers of steps:

    {"digest": "sha256:...", "model": {...}, "schedules": [{"solver": "heun", "nfe": 9, ...}], "warp": {...}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artc.artifact import Artifact, ModelInfo, Schedule, Warp
from artc.artifact.codec import from_document, to_document
from artc.errors import ArtcError, BudgetError, InputError

from ..fitting import DOMAINS


@dataclass(frozen=True, slots=True, kw_only=True)
class Grids:
    """Schedules of one solver, by their number of steps; with a warp any number of steps."""

    digest: str
    model: ModelInfo
    solver: str
    schedules: tuple[Schedule, ...]
    warp: Warp | None = field(default=None, metadata={"optional": True})
    extra: Mapping[str, Any] = field(default_factory=dict)

    def sigmas(self, steps: int) -> NDArray[np.float64]:
        """The grid of so many steps, float64 `(steps + 1,)`; raises BudgetError that lists those there are."""
        found = next((schedule.sigmas for schedule in self.schedules if schedule.steps == steps), None)
        if found is None and self.warp is not None:
            found = self.warp.baked(steps, self.model.sigma_min)
        if found is None:
            held = sorted(schedule.steps for schedule in self.schedules)
            raise BudgetError(
                f"This scheduler walks grids of {', '.join(map(str, held))} steps, compiled for {self.model.name!r} "
                f"with {self.solver}; {steps} were asked for.",
                hint=f"Call the pipeline with num_inference_steps={held[-1]}, or make it with resample=True.",
            )
        return np.asarray(found, dtype=np.float64)

    def document(self) -> dict[str, Any]:
        """As JSON values, for the configuration."""
        return to_document(self)


def kept(artifact: Artifact, schedules: Sequence[Schedule], solver: str, *, resample: bool) -> Grids:
    """What a scheduler keeps of an artifact: schedules without their measurements, and to resample the warp."""
    bare = tuple(replace(one, certificate=None, evaluation=()) for one in schedules)
    digest = artifact.digest or artifact.sealed().digest
    warp = artifact.warp if resample else None
    return Grids(digest=digest, model=artifact.model, solver=solver, schedules=bare, warp=warp)


def grids_of(document: object) -> Grids:
    """Read the entry back, which anybody may have edited; raises InputError for one that makes no sense."""
    if document is None:
        raise InputError("A scheduler of artc was made without its grids.", hint="Make it with `scheduled`.")
    hint = "Make the scheduler again with `scheduled`."
    defect = ""
    try:
        grids = from_document(Grids, document)  # type: ignore[arg-type]  # whatever it is, it was asked for
        starts = {one.sigmas[0] for one in grids.schedules} | ({grids.warp.sigma_max} if grids.warp else set())
        sound = starts <= {grids.model.sigma_max} and all(one.solver == grids.solver for one in grids.schedules)
        defect = "" if sound and grids.model.domain in DOMAINS else "its parts contradict each other"
    except KeyError as error:
        defect = f"there is no {error}"
    except ArtcError as error:
        defect = error.message.removesuffix(".")
    except (TypeError, ValueError, AttributeError):
        defect = "something in it is not what should be there"
    if defect:
        raise InputError(f"The entry 'art' of the scheduler's configuration makes no sense: {defect}.", hint=hint)
    if not starts:
        raise InputError("The scheduler's configuration holds no grid.", hint=hint)
    return grids

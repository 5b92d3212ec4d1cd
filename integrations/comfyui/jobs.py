"""What ART Compile is asked for, and what it will cost: refused, or counted, before any model is called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from artc.artifact import steps_for
from artc.errors import InputError

SOLVERS = ("dpmpp_2m", "euler", "heun", "ipndm_4")
"""Those of artc that ComfyUI has a sampler for, by the name that `samplers.WALKED_BY` has for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to compile, and how much to spend on it. Raises BudgetError or InputError before anything is loaded.

    Attributes:
        nfe: model calls of each schedule, as a sampler of ComfyUI counts them.
        trajectories: noises that are walked; at least 8.
        batch: how many of them at once.
        cfg: guidance scale; 1 for none.
    """

    nfe: tuple[int, ...]
    solver: str = SOLVERS[0]
    cfg: float = 1.0
    trajectories: int = 8
    refine: bool = True
    batch: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise InputError(f"There is no solver {self.solver!r}.", hint=f"Choose {', '.join(SOLVERS)}.")
        for nfe in self.nfe:
            steps_for(self.solver, nfe)

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(steps_for(self.solver, nfe) for nfe in self.nfe)

    @property
    def settings(self) -> dict[str, Any]:
        """What a compilation spends, little as it can be.

        The trajectories are the reference of the refining, and the teacher that of the check: both have several nodes
        for one of the finest schedule. In half precision more nodes are no better: the rounding of two neighbours
        weighs the more, the nearer they are.
        """
        finest = max(self.steps)
        return {
            "trajectories": self.trajectories,
            "nodes": min(max(32, 4 * finest), 128),
            "checks": min(max(4, self.trajectories // 2), 64),
            "teacher_steps": min(max(32, 2 * finest), 64),
        }


def planned(job: Job, shift: float | None) -> dict[str, int]:
    """Model calls of each stage, for one sample each; `shift` is that of a flow model.

    Refining is named at its worst: a search that has found its end stops.
    """
    import artc

    shifted = shift not in (None, 1.0)
    return artc.planned_calls(nfe=job.nfe, solver=job.solver, refine=job.refine, baselines=4 + shifted, **job.settings)


def budgets(text: str) -> tuple[int, ...]:
    """The numbers of `nfe`, with commas or spaces between them; raises InputError for anything else."""
    words = re.split(r"[\s,;]+", text.strip(" ,;\n\t"))
    if not all(re.fullmatch(r"0*[1-9][0-9]{0,3}", word) for word in words):
        raise InputError(
            f"nfe takes whole numbers from 1 to 9999, not {text!r}.", hint="One or more of them, such as 8, 12."
        )
    numbers = tuple(map(int, words))
    if len(set(numbers)) < len(numbers):
        raise InputError(f"nfe takes different numbers, not {text!r}.")
    return numbers

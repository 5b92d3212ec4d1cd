"""What to compile: the settings of a run, refused as soon as they are made if they make no sense."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from artc.arguments import whole
from artc.artifact import BUDGETS, steps_for
from artc.errors import BudgetError, InputError, UnknownNameError
from artc.learning.local_error import LEAST_MEASURED, MEASURED
from artc.learning.methods import find_method
from artc.learning.objective import CELLS
from artc.sampling.solvers import find_solver


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What a compilation may spend: trajectories walked, noises and grids tried to move the nodes of each schedule."""

    trajectories: int
    refine: int
    trials: int


EFFORTS: dict[str, Effort] = {
    "fast": Effort(trajectories=64, refine=48, trials=0),
    "default": Effort(trajectories=128, refine=48, trials=10),
    "max": Effort(trajectories=256, refine=128, trials=48),
}
"""`fast` chooses between the grids that are known; the others also move their nodes."""


def find_effort(name: str) -> Effort:
    """An effort by its name; raises UnknownNameError that lists the close names."""
    if name not in EFFORTS:
        raise UnknownNameError("effort", name, EFFORTS)
    return EFFORTS[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to compile. Raises BudgetError, InputError or UnknownNameError before any work is done.

    Attributes:
        nfe: denoiser calls of each schedule wanted, for each of the solvers.
        trajectories: size of the bank; a quarter of it is held out for the certificate.
        nodes: sigmas at which each trajectory is kept.
        checks: noises of the final comparison with the baselines, and `teacher_steps` of its reference.
        refine: noises on which the nodes of a schedule are moved; 0 leaves it as it was learned, as paper mode always
            does.
        trials: most grids tried for each schedule, besides those of a Jacobian; 0 chooses between known grids only.
        model_sigmas: whether to look for the sigmas to show the network at the nodes of each schedule, and move the
            nodes with them.
        policy: whether a clock that reads the state is learned too, for the file beside the artifact.
        labels: classes or prompts that the samples are drawn from, uniformly; empty for all that the model has.
        guidance: scale of classifier-free guidance, which doubles the calls of every denoised value; None for none.
    """

    nfe: tuple[int, ...]
    solvers: tuple[str, ...] = ("heun",)
    method: str = "art-rl"
    seed: int = 0
    trajectories: int = EFFORTS["default"].trajectories
    nodes: int = 128
    checks: int = 64
    teacher_steps: int = 64
    refine: int = EFFORTS["default"].refine
    trials: int = EFFORTS["default"].trials
    model_sigmas: bool = False
    policy: bool = False
    labels: tuple[int, ...] = ()
    guidance: float | None = None

    def __post_init__(self) -> None:
        if not self.nfe or not self.solvers:
            raise InputError("Nothing to compile: name at least one NFE and one solver.")
        for what, values in (("NFE", self.nfe), ("solver", self.solvers)):
            for value in values:
                if values.count(value) > 1:
                    raise InputError(f"The {what} {value} is given twice.", hint="Give each once.")
        for nfe in self.nfe:
            whole(nfe, "NFE")
        for label in self.labels:
            whole(label, "label", least=0)
        if self.guidance is not None and not math.isfinite(self.guidance):
            raise InputError(f"The guidance scale must be a number, not {self.guidance!r}.")
        find_method(self.method)
        steps = [steps_for(find_solver(solver).name, nfe, self.cost) for solver in self.solvers for nfe in self.nfe]
        if self.method == "dp" and max(steps) > CELLS // 4:
            hint = "Use --method closed-form: at so many steps it is the same grid."
            raise BudgetError(f"Dynamic programming on {CELLS} cells is too coarse for {max(steps)} steps.", hint=hint)
        if self.trajectories < 8 or self.checks < 2 or self.nodes < 16 or self.teacher_steps < 1:
            raise InputError("Too little to learn from.", hint="Use at least 8 trajectories.")
        if self.refine < 0 or self.refine == 1:
            raise InputError(
                f"Schedules cannot be compared on refine={self.refine} noises.", hint="Use 0, or 2 or more."
            )
        whole(self.trials, "number of trials", least=0)
        if whole(self.seed, "seed", least=0) >= 2**32:
            raise InputError(f"A seed is less than 2^32, not {self.seed}.")
        if self.method == "paper":
            # Paper mode is there to show what the papers' way gives: nothing of ours mends its schedules.
            object.__setattr__(self, "refine", 0)
        if self.model_sigmas:
            for solver in self.solvers:
                if BUDGETS[solver].between_nodes:
                    raise InputError(
                        f"{solver} also asks the network between the nodes of its grid, where model sigmas are none.",
                        hint="Leave them out, or choose another solver.",
                    )
            if not self.refine:
                raise InputError(
                    "Model sigmas are found by refining, which is left out.", hint="Leave out one of the two."
                )

    @property
    def cost(self) -> int:
        """Network calls that one denoised value takes."""
        return 1 if self.guidance is None else 2

    @property
    def held(self) -> int:
        """Noises of the bank, the last of it, that nothing is learned from or fitted to."""
        return self.trajectories // 4

    @property
    def watched(self) -> int:
        """Those of them on which grids are compared."""
        return min(self.refine, self.held)

    @property
    def fitted(self) -> int:
        """Noises that nodes are moved on."""
        return min(self.refine, self.trajectories - self.held)

    @property
    def asked(self) -> int:
        """Noises that model sigmas are fitted to: of fewer they make up for what these few miss, and no others."""
        return min(2 * self.refine, self.trajectories - self.held)

    @property
    def measured(self) -> int:
        """Noises that the errors of a solver's steps are measured on; 0 where they would be too few to say much."""
        count = min(MEASURED, self.trajectories // LEAST_MEASURED)
        return count if count >= LEAST_MEASURED else 0

    @property
    def bank_seed(self) -> int:
        """Seed of the trajectories' noises; never that of the check."""
        return 2 * self.seed

    @property
    def check_seed(self) -> int:
        """Seed of the noises on which the finished schedules are compared."""
        return 2 * self.seed + 1


def requested(
    nfe: tuple[int, ...],
    solvers: tuple[str, ...],
    *,
    effort: str = "default",
    trajectories: int | None = None,
    trials: int | None = None,
    refine: bool = True,
    **settings: Any,
) -> Request:
    """The request of these words: what is not said of trajectories, trials and refining is as the effort has it.

    Args:
        refine: whether schedules are refined at all; on how many noises is for the effort to say.
        settings: the other fields of `Request`, as they are.

    Raises UnknownNameError for an unknown effort, and what `Request` raises.
    """
    spend = find_effort(effort)
    return Request(
        nfe=nfe,
        solvers=solvers,
        trajectories=spend.trajectories if trajectories is None else trajectories,
        trials=spend.trials if trials is None else trials,
        refine=spend.refine if refine else 0,
        **settings,
    )

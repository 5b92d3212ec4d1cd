"""Other people's methods among the baselines: each learns its grids from the model before anything is measured.

A method of `artc.peers` is given what a compilation is given: the model, and noises by torch's generator from the seed
2 s that the clock's own trajectories came from, s the seed of the artifact. It draws as many as its description asks
for: 256 for gits and ays, 100 for the two of ld3, 32 for oss, none for dmn and kl-optimal. None of them is a noise of
the evaluation (`artc.evaluation.noises`). A method is made once and answers every schedule, so that what serves all
budgets is learned once, and so are its calls counted: one for each sample, guidance counting double, and two more where
a gradient goes back through it, as `artc.peers.unrolled` counts.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor

from artc.artifact import Artifact, Schedule
from artc.evaluation.reported import Scored
from artc.models.score_model import ScoreModel
from artc.peers import PEERS, Found, check_peer, find_peer
from artc.peers.unrolled import BACKWARD
from artc.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What methods found: by their names a grid for each schedule, in its order, and the calls and seconds they took.

    `seed` is of the noises that they learned from.
    """

    grids: Mapping[str, tuple[Found, ...]]
    calls: Mapping[str, int]
    seconds: Mapping[str, float]
    seed: int

    def scored(self, name: str, place: int) -> Scored:
        """The grid of a method for the schedule at a place, with nothing measured yet."""
        found = self.grids[name][place]
        return Scored(name=name, sigmas=found.sigmas, model_sigmas=found.model_sigmas)

    def facts(self) -> dict[str, Any]:
        """What the conditions of an evaluation say of it, for JSON; nothing where no method was named."""
        if not self.grids:
            return {}
        spent = {name: {"calls": self.calls[name], "seconds": round(self.seconds[name], 3)} for name in self.grids}
        return {"peers": {"noise": "mt19937 of torch", "seed": self.seed, "spent": spent}}


def check_competitors(names: Sequence[str], schedules: Sequence[Schedule]) -> None:
    """Refuse a method that cannot find a grid for every schedule; raises InputError or BudgetError, without a call."""
    for name in names:
        if name in PEERS:
            for schedule in schedules:
                check_peer(name, schedule.solver, schedule.steps)


def learning_seed(artifact: Artifact) -> int:
    """The seed of the noises that the clock of an artifact was learned from: 2 s, in the 32 bits that torch keeps."""
    return 2 * artifact.provenance.seed % 2**32


def learn(
    names: Sequence[str], schedules: Sequence[Schedule], model: ScoreModel, seed: int
) -> Generator[Progress, None, Learned]:
    """Let those of the names that are methods find a grid for each schedule; yields progress in grids, if any are.

    Raises what `check_competitors` raises, InputError for a model that a method cannot learn from, and DenoiserError.
    """
    methods = [name for name in names if name in PEERS]
    done, total = 0, len(methods) * len(schedules)
    grids: dict[str, tuple[Found, ...]] = {}
    calls: dict[str, int] = {}
    seconds: dict[str, float] = {}
    if total:
        yield Progress(done=0, total=total)
    for name in methods:
        began, tally = time.perf_counter(), Tally(model=model)
        find = find_peer(name)(tally.counted, seed)
        found = []
        for schedule in schedules:
            found.append(find(schedule.solver, schedule.steps))
            done += 1
            yield Progress(done=done, total=total)
        grids[name], calls[name], seconds[name] = tuple(found), tally.calls, time.perf_counter() - began
    return Learned(grids=grids, calls=calls, seconds=seconds, seed=seed)


@dataclass(slots=True, kw_only=True)
class Tally:
    """The calls that a model has answered, by whatever way it was called.

    What a method says of one grid counts again what serves others too, so that sums of it are too large.
    """

    model: ScoreModel
    calls: int = field(default=0)

    @property
    def counted(self) -> ScoreModel:
        """The same model, counting."""
        return replace(self.model, denoiser=cast("Any", self._denoise))

    def _denoise(self, x: Tensor, sigma: Tensor, **conditions: Any) -> Tensor:
        denoised: Tensor = cast("Any", self.model.denoiser)(x, sigma, **conditions)
        self.calls += len(x) * self.model.info.cost * (1 + BACKWARD * torch.is_grad_enabled())
        return denoised

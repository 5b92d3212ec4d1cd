"""End-point error of artc's schedules beside those of other methods, at few calls, solver by solver.

    python -m tests.benchmarks.peers --model mnist
    python -m tests.benchmarks.peers --model mnist cifar10 --solver euler,dpmpp_2m --nfe 3-6 --ld3

Root mean square distance to the end points of 128 Heun steps on 256 noises that no method saw. `artc` is what
`artc.compile` makes of a solver and all its budgets; `artc-model-sigmas` what it makes asked for model sigmas, walked
with them where they were found to help, and without where not; `artc-max` what it makes at its greatest effort. The
methods of others are those of `artc.peers`; LD3 is among them with `--ld3`: it is a training for each cell.

Every value is a cell, written to `--cells` as soon as it is measured, and the same command goes on from there. The key
of a peer's cell has nothing of artc's own method in it; that of artc's has `--version`, which tells one state of it
from another. `python -m tests.benchmarks.results_page` makes the page, where the later of two cells counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import artc
from artc.artifact import steps_for
from artc.errors import BudgetError
from artc.evaluation.endpoint import EndpointError, Teacher, endpoint_error
from artc.models.registry import find
from artc.models.score_model import Probe
from artc.peers import PEERS, Finder, Found, gits
from artc.sampling.grids import grid_for
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample

from .cells import keep_cell, key_of, read_cells
from .record import RESULTS

MODELS = ("mixture-64d", "mnist", "cifar10")
SOLVER_NAMES = ("euler", "heun", "dpmpp_2m", "ipndm_3", "unipc_3")
HAND_MADE = ("edm", "edm-free", "logsnr")
OURS, WITH_MODEL_SIGMAS, AT_LENGTH = "artc", "artc-model-sigmas", "artc-max"
LEARNED = ("ld3", "ld3-shifted")
PLANNED = tuple(name for name in PEERS if name not in LEARNED)
COMPILED: dict[str, dict[str, Any]] = {
    OURS: {"effort": "default"},
    WITH_MODEL_SIGMAS: {"effort": "default", "model_sigmas": True},
    AT_LENGTH: {"effort": "max"},
}
"""What `artc.compile` is asked for."""

NOISE, SEED = 20_261_124, 0
NFES = tuple(range(3, 11))
CELLS = RESULTS / "peers.jsonl"
REVISIONS = {"gits": gits.TEACHER.name}
"""What else the cells of a method depend on: changed when the method is, so that its cells are measured again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What every cell is judged by."""

    noises: int = 256
    noise: int = NOISE
    teacher_steps: int = 128


class Study:
    """One model: the noises it is judged on and where they end, its methods, and the cells that are known."""

    def __init__(
        self,
        name: str,
        cells: Path,
        version: str,
        device: str,
        settings: Settings | None = None,
        seed: int = SEED,
    ) -> None:
        self.name, self.cells, self.version, self.seed = name, cells, version, seed
        self.settings = settings or Settings()
        self.model = find(name).load(torch.device(device))
        self.probe = Probe(self.model)
        self.latents = self.model.latents(self.settings.noises, self.settings.noise)
        self.known = read_cells(cells)
        self._ends: Tensor | None = None
        self._finders: dict[str, Finder] = {}

    @property
    def ends(self) -> Tensor:
        """The teacher's end points, walked when first needed."""
        if self._ends is None:
            teacher = Teacher(steps=self.settings.teacher_steps)
            self._ends = teacher.endpoints(self.probe.on, self.latents, self.model.info)
        return self._ends

    def key(self, method: str, solver: str, nfe: int) -> str:
        """What a value depends on: for artc's own method its version, for a peer's the revision of the peer."""
        facts = {"revision": REVISIONS.get(method, "")}
        if method in COMPILED:
            facts = {"version": self.version, "effort": COMPILED[method]["effort"]}
        return key_of(
            kind="peers",
            model=self.name,
            weights=self.model.info.sha256,
            noises=[self.settings.noises, self.settings.noise],
            teacher=self.settings.teacher_steps,
            seed=self.seed,
            method=method,
            solver=solver,
            nfe=nfe,
            **facts,
        )

    def run(self, methods: Sequence[str], solver: str, nfes: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Measure what is not known yet, yielding every new cell."""
        for method in methods:
            missing = [nfe for nfe in nfes if self.key(method, solver, nfe) not in self.known]
            if method in COMPILED and missing:
                yield from self._compiled(method, solver, nfes, missing)
                continue
            for nfe in missing:
                yield self._keep(method, solver, nfe, self._found(method, solver, steps_for(solver, nfe)))

    def _found(self, method: str, solver: str, steps: int) -> Found:
        if method in HAND_MADE:
            return Found(sigmas=tuple(grid_for(method, steps, self.model.info).tolist()), calls=0, seconds=0.0)
        if method not in self._finders:
            self._finders[method] = PEERS[method](self.model, self.seed)
        return self._finders[method](solver, steps)

    def _compiled(
        self, method: str, solver: str, nfes: Sequence[int], missing: Sequence[int]
    ) -> Iterator[dict[str, Any]]:
        """One compilation for all budgets of a solver."""
        began = time.perf_counter()
        artifact = artc.compile(self.model, nfe=nfes, solver=solver, seed=self.seed, **COMPILED[method])
        calls, seconds = artifact.provenance.score_evals, time.perf_counter() - began
        for schedule in artifact.schedules:
            if schedule.nfe in missing:
                found = Found(
                    sigmas=schedule.sigmas,
                    calls=calls,
                    shared=calls,
                    seconds=seconds,
                    model_sigmas=schedule.model_sigmas,
                )
                yield self._keep(method, solver, schedule.nfe, found)

    def measured(
        self, solver: str, sigmas: Sequence[float], model_sigmas: Sequence[float] | None = None
    ) -> EndpointError:
        """The error of a grid on the noises of the study."""
        walked = sample(self.probe.on, self.latents, sigmas, find_solver(solver), model_sigmas=model_sigmas)
        return endpoint_error(walked, self.ends)

    def _keep(self, method: str, solver: str, nfe: int, found: Found) -> dict[str, Any]:
        error = self.measured(solver, found.sigmas, found.model_sigmas)
        cell = {
            "key": self.key(method, solver, nfe),
            "model": self.name,
            "solver": solver,
            "nfe": nfe,
            "steps": len(found.sigmas) - 1,
            "method": method,
            "error": error.value,
            "stderr": error.stderr,
            "calls": found.calls,
            "shared": found.shared,
            "seconds": round(found.seconds, 2),
            "sigmas": list(found.sigmas),
            "model_sigmas": None if found.model_sigmas is None else list(found.model_sigmas),
            "noises": self.settings.noises,
            "teacher_steps": self.settings.teacher_steps,
            "seed": self.seed,
            "version": self.version if method in COMPILED else REVISIONS.get(method, ""),
            "torch": torch.__version__.split("+")[0],
            "device": str(self.model.device),
        }
        return keep_cell(self.cells, self.known, cell)


def grids_of(
    cells: Path, model: str, solvers: Sequence[str], nfes: Sequence[int], methods: Sequence[str]
) -> list[dict[str, Any]]:
    """What was found for a model at the first seed, budget by budget; of two cells for the same the later counts."""
    found = {
        (cell["nfe"], cell["solver"], cell["method"]): cell
        for cell in read_cells(cells).values()
        if cell["model"] == model and cell["seed"] == SEED
    }
    wanted = [(nfe, solver, method) for nfe in nfes for solver in solvers for method in methods]
    return [found[key] for key in wanted if key in found]


def spendable(solver: str, nfes: Sequence[int]) -> list[int]:
    """Those of the budgets that a solver can spend exactly."""
    kept = []
    for nfe in nfes:
        try:
            steps_for(solver, nfe)
        except BudgetError:
            continue
        kept.append(nfe)
    return kept


def budgets(text: str) -> list[int]:
    """`3-6,9` as [3, 4, 5, 6, 9]."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def measure(study: Study, methods: Sequence[str], solvers: Sequence[str], nfes: Sequence[int]) -> None:
    """Measure what is not known yet of a model, a line for each new cell."""
    for solver in solvers:
        for cell in study.run(methods, solver, spendable(find_solver(solver).name, nfes)):
            where = f"{study.name:12} seed {study.seed}  {solver:9} {cell['nfe']:3}  {cell['method']:18}"
            print(f"{where} {cell['error']:.4f}  {cell['calls']:9,} calls {cell['seconds']:7.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="artc beside other methods, cell by cell.")
    parser.add_argument("--model", nargs="+", default=["mnist"], help="registered models")
    parser.add_argument("--solver", default=",".join(SOLVER_NAMES))
    parser.add_argument("--nfe", type=budgets, default=NFES, help="such as 3-10 or 3,5,7")
    parser.add_argument("--ld3", action="store_true", help="also LD3, a training for each cell")
    parser.add_argument("--methods", help="only these, with commas between")
    parser.add_argument("--cells", type=Path, default=CELLS, help="where finished cells are kept")
    parser.add_argument("--version", default=artc.__version__, help="of artc's own method, to measure it again")
    parser.add_argument("--seed", type=int, default=SEED, help="of what methods learn from; the noises stay the same")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    methods = options.methods.split(",") if options.methods else [*HAND_MADE, *PLANNED, *COMPILED]
    methods += LEARNED if options.ld3 else ()
    for name in options.model:
        study = Study(name, options.cells, options.version, options.device, seed=options.seed)
        measure(study, methods, options.solver.split(","), options.nfe)


if __name__ == "__main__":
    main()

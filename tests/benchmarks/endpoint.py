"""End-point error of the bundled schedules on 256 noises that no compilation saw, against 128 Heun steps."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import torch

from artc.artifact import Artifact, loads
from artc.evaluation.endpoint import Teacher, compare, paired_wins
from artc.models.score_model import Probe
from artc.models.sources import model_for, source_of
from artc.progress import drain
from artc.sampling.grids import GRIDS

from .record import record, show

MODELS = ("mnist", "cifar10")
NOISES, SEED, TEACHER = 256, 20_261_122, 128


def run() -> None:
    """Measure every schedule of every bundled artifact."""
    digests, calls, results = {}, {}, []
    for name in MODELS:
        artifact = loads((files("artc.artifacts") / name / f"{name}.art.json").read_bytes())
        found, calls[name] = measured(name, artifact)
        digests[name] = artifact.digest
        results += found
        columns = ("solver", "NFE", "schedule", "+-", *GRIDS, "wins")
        rows = [
            (
                r["solver"],
                str(r["nfe"]),
                f"{r['errors']['schedule']:.4f}",
                f"{r['stderrs']['schedule']:.4f}",
                *(f"{r['errors'][grid]:.4f}" for grid in GRIDS),
                "yes" if r["wins"] else f"no: {r['best_baseline']}",
            )
            for r in found
        ]
        show(f"RMS end-point error of {name}, {NOISES} held-out noises, {TEACHER}-step Heun teacher", columns, rows)
    facts = {"digests": digests, "noises": NOISES, "seed": SEED, "teacher_steps": TEACHER}
    record("endpoint", {**facts, "score_evals": calls, "results": results})


def measured(name: str, artifact: Artifact) -> tuple[list[dict[str, Any]], int]:
    """Every schedule of an artifact, and every hand-made grid at equal NFE; and the calls made."""
    model = model_for(artifact, source_of(artifact), torch.device("cpu"))
    probe, teacher = Probe(model), Teacher(steps=TEACHER)
    schedules = {(schedule.solver, schedule.nfe): schedule for schedule in artifact.schedules}
    errors = drain(compare(probe.on, model.latents(NOISES, SEED), model.info, schedules, teacher))
    results = [
        {
            "model": name,
            "solver": solver,
            "nfe": nfe,
            "steps": schedules[solver, nfe].steps,
            "errors": {grid: error.value for grid, error in found.items()},
            "stderrs": {grid: error.stderr for grid, error in found.items()},
            "paired_wins": {grid: paired_wins(found["schedule"], found[grid]) for grid in GRIDS},
            "best_baseline": min(GRIDS, key=lambda grid, found=found: found[grid].value),
            "wins": all(found["schedule"].value < found[grid].value for grid in GRIDS),
        }
        for (solver, nfe), found in errors.items()
    ]
    return results, probe.calls


if __name__ == "__main__":
    run()

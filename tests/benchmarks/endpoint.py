"""End-point error of the bundled `mnist` schedules on 256 noises that no compilation saw, against 128 Heun steps."""

from __future__ import annotations

from importlib.resources import files

import torch

from artc.artifact import loads
from artc.evaluation.endpoint import Teacher, compare, paired_wins
from artc.models.score_model import Probe
from artc.models.sources import model_for, source_of
from artc.progress import drain
from artc.sampling.grids import GRIDS

from .record import record, show

NOISES, SEED, TEACHER = 256, 20_261_122, 128


def run() -> None:
    """Measure every schedule of the bundled artifact, and every baseline grid at equal NFE, on the same noises."""
    artifact = loads((files("artc.artifacts") / "mnist" / "mnist.art.json").read_bytes())
    model = model_for(artifact, source_of(artifact), torch.device("cpu"))
    probe, teacher = Probe(model), Teacher(steps=TEACHER)
    schedules = {(schedule.solver, schedule.nfe): schedule for schedule in artifact.schedules}
    errors = drain(compare(probe.on, model.latents(NOISES, SEED), model.info, schedules, teacher))
    results = []
    for (solver, nfe), found in errors.items():
        ours = found["schedule"]
        results.append(
            {
                "solver": solver,
                "nfe": nfe,
                "steps": schedules[solver, nfe].steps,
                "errors": {name: error.value for name, error in found.items()},
                "stderrs": {name: error.stderr for name, error in found.items()},
                "paired_wins": {name: paired_wins(ours, found[name]) for name in GRIDS},
                "best_baseline": min(GRIDS, key=lambda name: found[name].value),
                "wins": all(ours.value < found[name].value for name in GRIDS),
            }
        )
    columns = ("solver", "NFE", "schedule", "+-", *GRIDS, "wins")
    rows = [
        (
            r["solver"],
            str(r["nfe"]),
            f"{r['errors']['schedule']:.4f}",
            f"{r['stderrs']['schedule']:.4f}",
            *(f"{r['errors'][name]:.4f}" for name in GRIDS),
            "yes" if r["wins"] else f"no: {r['best_baseline']}",
        )
        for r in results
    ]
    show(f"RMS end-point error, {NOISES} held-out noises, {TEACHER}-step Heun teacher", columns, rows)
    facts = {"digest": artifact.digest, "noises": NOISES, "seed": SEED, "teacher_steps": TEACHER}
    record("endpoint", {**facts, "score_evals": probe.calls, "results": results})


if __name__ == "__main__":
    run()

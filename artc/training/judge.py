"""Judge the samples of the embedded `mnist` denoiser, and write the figures into its card.

    python -m artc.training.judge --folder artc/models/embedded --picture artifacts/mnist/teacher.png

2,000 samples are drawn with 64 Heun steps on Karras' grid and shown to the embedded classifier: how many it is sure of
(confidence above 0.9), and what share each digit has. The classifier has seen nothing but digits and is sure of much
that is none, so a picture is written too, for a person to look at; the shares and the picture carry the weight.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from artc.evaluation.classifier import CLASSES, load_classifier
from artc.evaluation.endpoint import Teacher
from artc.evaluation.plots import plot_samples
from artc.models.registry import find
from artc.models.score_model import Probe


def figures(samples: torch.Tensor) -> dict[str, Any]:
    """Share of samples that the classifier is sure of, and the share of each digit."""
    with torch.no_grad():
        confidence, digit = load_classifier()(samples.float()).softmax(dim=1).max(dim=1)
    shares = torch.bincount(digit, minlength=CLASSES).double() / len(samples)
    return {
        "confident_above_0.9": round(float((confidence > 0.9).double().mean()), 4),
        "digit_shares": [round(share, 4) for share in shares.tolist()],
    }


def calls_per_second(probe: Probe, batch: int = 64, rounds: int = 40) -> float:
    """Denoiser calls of one sample each that the machine makes in a second."""
    noise = probe.model.latents(batch, seed=0).noise
    probe(noise, 1.0)
    began = time.perf_counter()
    for _ in range(rounds):
        probe(noise, 1.0)
    return rounds * batch / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge the samples of the embedded mnist denoiser.")
    parser.add_argument("--folder", type=Path, required=True, help="where mnist.json lies")
    parser.add_argument("--picture", type=Path, required=True, help="where to draw 64 of the samples")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model, teacher = find("mnist").load(torch.device("cpu")), Teacher(steps=64)
    probe = Probe(model)
    drawn = teacher.endpoints(probe.on, model.latents(options.samples, options.seed), model.info)
    card = json.loads((options.folder / "mnist.json").read_text(encoding="utf-8"))
    card["figures"] = {
        "command": "python -m artc.training.judge --folder artc/models/embedded --picture artifacts/mnist/teacher.png",
        "samples": options.samples,
        "seed": options.seed,
        "solver": f"{teacher.solver}, {teacher.steps} steps",
        **figures(drawn),
        "float32_calls_per_second": round(calls_per_second(probe)),
        "threads": torch.get_num_threads(),
    }
    (options.folder / "mnist.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    plot_samples({f"{teacher.steps} Heun steps": drawn[:64].numpy()}, options.picture)
    print(json.dumps(card["figures"], indent=2))


if __name__ == "__main__":
    main()

"""Judge the samples of an embedded denoiser, `mnist` or `cifar10`, and write the figures into its card.

    python -m artc.training.judge mnist --data mnist.npz --folder artc/models/embedded --picture teacher.png

2,000 samples are drawn with 64 Heun steps on Karras' grid and shown to the data set's classifier: how many it is sure
of (confidence above 0.9), what share each class has, and how far their features are from those of the 10,000 test
images (Frechet distance). Each is stated beside the same figure of as many training images, about what a perfect
denoiser would reach: a distance from few samples is never 0, and a classifier is not sure of every real image.

The classifier has seen nothing but its data set and is sure of much that is in none, so a picture is written too, for a
person to look at; what that person saw is the `--remark` in the card.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from artc.errors import InputError
from artc.evaluation.classifier import CLASSES, CLASSIFIERS, Classifier, feature_moments, load_classifier
from artc.evaluation.endpoint import Teacher
from artc.evaluation.frechet import Moments, frechet
from artc.evaluation.plots import plot_samples
from artc.models.registry import find
from artc.models.score_model import Probe
from artc.training.datasets import DATASETS, normalize
from artc.training.script import script


def figures(classifier: Classifier, images: Tensor, test: Moments) -> dict[str, Any]:
    """Share of images that the classifier is sure of, the share of each class, and the distance from the test set."""
    with torch.no_grad():
        logits = torch.cat([classifier(some) for some in images.float().split(500)])
    confidence, kind = logits.softmax(dim=1).max(dim=1)
    shares = torch.bincount(kind, minlength=CLASSES).double() / len(images)
    return {
        "confident_above_0.9": round(float((confidence > 0.9).double().mean()), 4),
        "class_shares": [round(share, 4) for share in shares.tolist()],
        "frechet": round(frechet(feature_moments(classifier, images), test), 4),
    }


def in_words(name: str, ours: dict[str, Any], real: dict[str, Any], samples: int) -> str:
    """The figures as a sentence for somebody who knows none of the words above."""
    return (
        f"{samples} samples of {name} lie {ours['frechet']:.2f} from the test images in the features of a small "
        f"classifier, where as many real images lie {real['frechet']:.2f}; the classifier is sure of "
        f"{ours['confident_above_0.9']:.0%} of the samples and of {real['confident_above_0.9']:.0%} of the real images."
    )


def calls_per_second(probe: Probe, batch: int = 64, rounds: int = 40) -> float:
    """Denoiser calls of one sample each that the machine makes in a second."""
    noise = probe.model.latents(batch, seed=0).noise
    probe(noise, 1.0)
    began = time.perf_counter()
    for _ in range(rounds):
        probe(noise, 1.0)
    return rounds * batch / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge the samples of an embedded denoiser.")
    parser.add_argument("model", choices=CLASSIFIERS)
    parser.add_argument("--data", type=Path, required=True, help="npz of the data set")
    parser.add_argument("--folder", type=Path, required=True, help="where the model's card lies")
    parser.add_argument("--picture", type=Path, required=True, help="where to draw 64 of the samples")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--remark", default="", help="what a person saw in the picture")
    options = parser.parse_args()
    name, classifier = options.model, load_classifier(options.model)
    train, test = (DATASETS[name].images(options.data, split) for split in ("train", "test"))
    place = options.folder / f"{name}.json"
    if not place.is_file():
        raise InputError(f"There is no card {str(place)!r}.", hint="Give the folder of the trained model.")
    model, teacher = find(name).load(torch.device("cpu")), Teacher(steps=64)
    probe = Probe(model)
    drawn = teacher.endpoints(probe.on, model.latents(options.samples, options.seed), model.info)
    distribution = feature_moments(classifier, test)
    ours = figures(classifier, drawn, distribution)
    # A file may hold its images class by class: some of the first would be of one class.
    some = torch.randperm(len(train), generator=torch.Generator().manual_seed(options.seed))[: options.samples]
    real = figures(classifier, normalize(train[some]), distribution)
    card = json.loads(place.read_text(encoding="utf-8"))
    card["figures"] = {
        "command": f"python -m artc.training.judge {name} --data {name}.npz --folder artc/models/embedded "
        f"--picture artifacts/{name}/teacher.png",
        "in_words": in_words(name, ours, real, options.samples),
        "remark": options.remark,
        "samples": options.samples,
        "seed": options.seed,
        "solver": f"{teacher.solver}, {teacher.steps} steps",
        **ours,
        "real_images": real,
        "float32_calls_per_second": round(calls_per_second(probe)),
        "threads": torch.get_num_threads(),
    }
    place.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    plot_samples({f"{teacher.steps} Heun steps": drawn[:64].numpy()}, options.picture)
    print(json.dumps(card["figures"], indent=2))


if __name__ == "__main__":
    script(main)

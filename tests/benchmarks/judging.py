"""What studies of Frechet distances share: a model whose samples are drawn, and real images to hold them against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from artc.evaluation.classifier import feature_moments, find_judge, load_classifier
from artc.evaluation.frechet import frechet
from artc.models.cards import card
from artc.models.checksums import sha256_of
from artc.models.registry import find
from artc.models.score_model import Probe
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample
from artc.training.datasets import DATASETS

NOISE = 20_261_122
"""Of the samples, to which a study adds its seed."""


class Judging:
    """A registered model, the embedded classifier of its data, and the moments of all training images.

    `facts` are what every distance depends on; `test` are the images that the model was not trained on.
    """

    def __init__(self, name: str, data: Path, samples: int, device: str, batch: int) -> None:
        self.samples = samples
        self.model = replace(find(name).load(torch.device(device)), batch=batch)
        self.probe = Probe(self.model)
        self.classifier = load_classifier(name, device)
        self.facts = {
            "weights": self.model.info.sha256,
            "classifier": card(find_judge(name).name)["sha256"],
            "data": sha256_of(data),
        }
        self.reference = feature_moments(self.classifier, DATASETS[name].images(data, "train"))
        self.test = DATASETS[name].images(data, "test")

    def distance(self, images: Tensor) -> float:
        """Frechet distance of images from the training images."""
        return frechet(feature_moments(self.classifier, images), self.reference)

    def drawn(
        self, solver: str, sigmas: Sequence[float], nfe: int, seed: int, model_sigmas: Sequence[float] | None = None
    ) -> Tensor:
        """The samples of a grid from the noises of a seed; raises SystemExit where they took other calls than `nfe`."""
        before, latents = self.probe.calls, self.model.latents(self.samples, NOISE + seed)
        images = sample(self.probe.on, latents, sigmas, find_solver(solver), model_sigmas=model_sigmas)
        counted = (self.probe.calls - before) / self.samples
        if counted != nfe:
            raise SystemExit(f"{solver} made {counted} calls for an NFE of {nfe}.")
        return images

"""Small classifiers that judge samples of the embedded models, one for each data set.

Two questions about a batch of generated images need a network that has seen real ones:

* *Are all ten classes there, equally often?* The logits answer: a class that is missing or too common shows in a
  histogram of the largest. They do not say whether an image shows anything at all: a network that has seen nothing but
  digits calls white noise an eight, and is sure of it.
* *Is the distribution right?* The Frechet distance (`artc.evaluation.frechet`) compares the means and covariances of
  features of real and generated images. The customary features come from a network trained on large photographs, which
  has little to say about digits; the penultimate activations of these classifiers play their part, trained so that a
  linear map tells the ten classes apart. A distance measured in these features is comparable only with others measured
  in the same ones.

For digits the network is LeNet-5 (LeCun et al. 1998, figure 2) in present-day dress: rectifiers for sigmoids, maxima
for averages, and wider convolutions, so that it errs on fewer than one in a hundred test digits and still weighs less
than half a megabyte. Small photographs need more: six convolutions with batch normalisation, two of them a residual
block (He et al. 1512.03385), and the mean over what is left of the image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from artc.errors import UnknownNameError
from artc.evaluation.frechet import Moments, joined, moments_of
from artc.models.cards import weight_bytes

CLASSES = 10


class LeNet(nn.Module):
    """Logits of the ten digits: `(B, 1, 32, 32)` in [-1, 1], black being -1, to `(B, 10)`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5)
        self.conv2 = nn.Conv2d(16, 32, 5)
        self.full1 = nn.Linear(32 * 5 * 5, 120)
        self.full2 = nn.Linear(120, 84)
        self.head = nn.Linear(84, CLASSES)

    def features(self, x: Tensor) -> Tensor:
        """Penultimate activations, all non-negative: `(B, 1, 32, 32)` to `(B, 84)`."""
        hidden = F.max_pool2d(F.relu(self.conv1(x)), 2)
        hidden = F.max_pool2d(F.relu(self.conv2(hidden)), 2)
        return F.relu(self.full2(F.relu(self.full1(hidden.flatten(1)))))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits


class Convolution(nn.Module):
    """A 3 x 3 convolution, batch normalisation and a rectifier; the image keeps its size."""

    def __init__(self, channels: int, wanted: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, wanted, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(wanted)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class ResNet(nn.Module):
    """Logits of the ten kinds of photograph: `(B, 3, 32, 32)` in [-1, 1] to `(B, 10)`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, 32)
        self.widen1 = Convolution(32, 64)
        self.widen2 = Convolution(64, 128)
        self.inner1 = Convolution(128, 128)
        self.inner2 = Convolution(128, 128)
        self.last = Convolution(128, 128)
        self.head = nn.Linear(128, CLASSES)

    def features(self, x: Tensor) -> Tensor:
        """Means of the last activations over the image, all non-negative: `(B, 3, 32, 32)` to `(B, 128)`."""
        hidden = F.max_pool2d(self.stem(x), 2)
        hidden = self.widen2(F.max_pool2d(self.widen1(hidden), 2))
        hidden = hidden + self.inner2(self.inner1(hidden))
        activations: Tensor = self.last(F.max_pool2d(hidden, 2))
        return activations.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits


Classifier = LeNet | ResNet


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """The classifier of one data set: its file's name, what it is in a line, and how to build it untrained."""

    name: str
    description: str
    build: Callable[[], Classifier]


CLASSIFIERS: dict[str, Judge] = {
    "mnist": Judge(
        name="lenet",
        description="LeNet-5 with rectifiers; logits of ten digits for (B, 1, 32, 32) images in [-1, 1]",
        build=LeNet,
    ),
    "cifar10": Judge(
        name="resnet",
        description="Small residual network; logits of ten kinds of photograph for (B, 3, 32, 32) images in [-1, 1]",
        build=ResNet,
    ),
}


def find_judge(data: str) -> Judge:
    """The classifier of a data set, as it is registered; raises UnknownNameError."""
    if data not in CLASSIFIERS:
        raise UnknownNameError("classifier", data, CLASSIFIERS)
    return CLASSIFIERS[data]


def load_classifier(data: str, device: torch.device | str = "cpu") -> Classifier:
    """The trained classifier of a data set, in evaluation mode and without gradients.

    Raises:
        UnknownNameError: there is none for that data set.
        InputError: the weights are not the ones their card describes.
    """
    judge = find_judge(data)
    model = judge.build()
    model.load_state_dict(load(weight_bytes(judge.name)))
    return model.to(device).eval().requires_grad_(False)


def feature_moments(classifier: Classifier, images: Tensor, batch: int = 500) -> Moments:
    """Moments of the features of images `(n, C, 32, 32)`: bytes, or numbers in [-1, 1] that are rounded to bytes.

    Samples are judged as the pictures they would be saved as, like those of the data set.
    """
    device = next(classifier.parameters()).device
    parts = []
    with torch.no_grad():
        for some in images.split(batch):
            features = classifier.features(as_bytes(some).to(device).float() / 127.5 - 1)
            parts.append(moments_of(features.double().cpu().numpy()))
    return joined(parts)


def as_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] as the bytes they would be saved as; bytes as they are."""
    if images.dtype == torch.uint8:
        return images
    return (127.5 * (images.double() + 1)).round().clamp(0, 255).to(torch.uint8)

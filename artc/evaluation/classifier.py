"""A small digit classifier that judges samples of the embedded `mnist` model.

Two questions about a batch of generated digits need a network that has seen real ones:

* *Are all ten digits there, equally often?* The logits answer: a class that is missing or too common shows in a
  histogram of the largest. They do not say whether an image is a digit at all: a network that has seen nothing else
  calls white noise an eight, and is sure of it.
* *Is the distribution right?* The Frechet distance compares the means and covariances of features of real and generated
  images. The customary features come from a network trained on photographs, which has little to say about digits; the
  84 penultimate activations of this classifier play their part, trained so that a linear map tells the ten digits
  apart. A distance measured in these features is comparable only with others measured in the same ones.

The network is LeNet-5 (LeCun et al. 1998, figure 2) in present-day dress: rectifiers for sigmoids, maxima for averages,
and wider convolutions, so that it errs on fewer than one in a hundred test digits and still weighs less than half a
megabyte.
"""

from __future__ import annotations

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from artc.models.cards import weight_bytes

CLASSES = 10
FEATURES = 84


class LeNet(nn.Module):
    """Logits of the ten digits: `(B, 1, 32, 32)` in [-1, 1], black being -1, to `(B, 10)`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5)
        self.conv2 = nn.Conv2d(16, 32, 5)
        self.full1 = nn.Linear(32 * 5 * 5, 120)
        self.full2 = nn.Linear(120, FEATURES)
        self.head = nn.Linear(FEATURES, CLASSES)

    def features(self, x: Tensor) -> Tensor:
        """Penultimate activations, all non-negative: `(B, 1, 32, 32)` to `(B, 84)`."""
        hidden = F.max_pool2d(F.relu(self.conv1(x)), 2)
        hidden = F.max_pool2d(F.relu(self.conv2(hidden)), 2)
        return F.relu(self.full2(F.relu(self.full1(hidden.flatten(1)))))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits


def load_classifier(device: torch.device | str = "cpu") -> LeNet:
    """The trained classifier that comes with artc, in evaluation mode and without gradients.

    Raises:
        InputError: the weights are not the ones their card describes.
    """
    model = LeNet()
    model.load_state_dict(load(weight_bytes("lenet")))
    return model.to(device).eval().requires_grad_(False)

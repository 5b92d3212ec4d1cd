"""The digits that the embedded networks learn from, as they lie in the npz file and as a network sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def load_images(path: Path, split: str) -> Tensor:
    """Digits padded from 28 x 28 to 32 x 32 with black: uint8 `(N, 1, 32, 32)`."""
    with np.load(path) as data:
        return torch.from_numpy(np.pad(data[split], ((0, 0), (2, 2), (2, 2)))[:, None])


def load_labels(path: Path, split: str) -> Tensor:
    """Digits as class numbers: int64 `(N,)`."""
    with np.load(path) as data:
        return torch.from_numpy(data[f"{split}_y"].astype(np.int64))


def normalize(images: Tensor) -> Tensor:
    """From bytes to [-1, 1], the range of every image model here."""
    return images.float() / 127.5 - 1

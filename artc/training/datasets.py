"""The data sets that the embedded networks learn from, as they lie in an npz file and as a network sees them."""

from __future__ import annotations

import io
import itertools
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from artc.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One data set, and the embedded denoiser that learns from it.

    Attributes:
        summary: the model in a line.
        credit: the data, its authors and licence, for model cards.
        architecture: of the model's `artc.models.unet.UNet`.
        flips: whether an image and its mirror image are as good as each other.
        images: from the npz file and "train" or "test" to uint8 `(N, C, 32, 32)`.
        labels: the same to class numbers, int64 `(N,)`.
    """

    summary: str
    credit: str
    architecture: Mapping[str, Any]
    flips: bool
    images: Callable[[Path, str], Tensor]
    labels: Callable[[Path, str], Tensor]


def _arrays(path: Path, *names: str) -> list[np.ndarray]:
    """The arrays of these names in an npz file; raises InputError for a file that is none or lacks one."""
    try:
        with np.load(path) as data:
            return [data[name] for name in names]
    except FileNotFoundError:
        raise InputError(f"There is no file {str(path)!r}.") from None
    except (OSError, ValueError, AttributeError, TypeError, zipfile.BadZipFile):
        raise InputError(f"{str(path)!r} is no npz file.") from None
    except KeyError:
        raise InputError(f"{str(path)!r} lacks an array of {', '.join(names)}: is it of another data set?") from None


def _digits(path: Path, split: str) -> Tensor:
    """Digits padded from 28 x 28 to 32 x 32 with black: uint8 `(N, 1, 32, 32)`."""
    (images,) = _arrays(path, split)
    return torch.from_numpy(np.pad(images, ((0, 0), (2, 2), (2, 2)))[:, None])


def _digit_labels(path: Path, split: str) -> Tensor:
    (labels,) = _arrays(path, f"{split}_y")
    return torch.from_numpy(labels.astype(np.int64))


def _photographs(path: Path, split: str) -> Tensor:
    """Photographs from their JPEG files, joined in one array and told apart by offsets: uint8 `(N, 3, 32, 32)`."""
    joined, offsets = _arrays(path, f"{split}_jpeg", f"{split}_offsets")
    files = (joined[start:end].tobytes() for start, end in itertools.pairwise(offsets))
    images = np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def _photograph_labels(path: Path, split: str) -> Tensor:
    (labels,) = _arrays(path, f"{split}_labels")
    return torch.from_numpy(labels.astype(np.int64))


DATASETS: dict[str, Dataset] = {
    "mnist": Dataset(
        summary="EDM-preconditioned U-Net that draws digits, unconditionally",
        credit="MNIST (LeCun, Cortes; CC BY-SA 3.0), 60,000 training digits padded to 32 x 32, scaled to [-1, 1]",
        architecture={"channels": 1, "widths": [32, 80, 128], "blocks": 1, "heads": 4},
        flips=False,
        images=_digits,
        labels=_digit_labels,
    ),
    "cifar10": Dataset(
        summary="EDM-preconditioned U-Net that draws small photographs, unconditionally",
        credit="CIFAR-10 (Krizhevsky, Nair, Hinton), 50,000 training photographs read from JPEG, scaled to [-1, 1]",
        architecture={"channels": 3, "widths": [48, 112, 160], "blocks": 1, "heads": 4},
        flips=True,
        images=_photographs,
        labels=_photograph_labels,
    ),
}


def normalize(images: Tensor) -> Tensor:
    """From bytes to [-1, 1], the range of every image model here."""
    return images.float() / 127.5 - 1


def flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    """The images `(B, C, H, W)`, each mirrored left to right with probability one half."""
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)

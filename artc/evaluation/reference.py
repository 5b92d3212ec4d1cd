"""What samples are held against by the Frechet distance: an npz file of real images, or of their statistics.

* Images: one array of four dimensions, or of three where the images are grey; whatever its name, it must be the only
  one, or be called `images`. Channels may come first or last. Bytes are taken as they are; floats as [-1, 1], or as
  [0, 1] where none is negative.
* Statistics: `mu` (F,) and `sigma` (F, F), as the common programs save them, or `count`, `mean` and `scatter` as ours
  do. They must be of the features that the samples are judged by, of which only the width can be checked.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artc.errors import InputError
from artc.evaluation.frechet import Moments


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Real images `(n, C, H, W)` of bytes, or the moments of their features; and what it is in a line."""

    description: str
    images: Tensor | None = None
    moments: Moments | None = None


def read_reference(path: Path, shape: Sequence[int]) -> Reference:
    """Read a reference for samples of that shape (C, H, W); raises InputError for a file that holds none."""
    arrays = _arrays(path)
    if {"mu", "sigma"} <= arrays.keys():
        # Two samples whose scatter is the covariance itself: of n the distance asks only for scatter / (n - 1).
        moments = Moments(count=2, mean=_numbers(arrays["mu"], path), scatter=_numbers(arrays["sigma"], path))
        return Reference(description=f"the statistics in {path.name}", moments=moments)
    if {"count", "mean", "scatter"} <= arrays.keys():
        count, mean, scatter = arrays["count"], _numbers(arrays["mean"], path), _numbers(arrays["scatter"], path)
        if count.ndim:
            raise InputError(f"{str(path)!r} holds no moments: its count is no number.")
        moments = Moments(count=int(count), mean=mean, scatter=scatter)
        return Reference(description=f"the moments of {moments.count:,} images in {path.name}", moments=moments)
    images = _images(arrays, path, tuple(shape))
    if len(images) < 2:
        raise InputError(f"{str(path)!r} holds one image, which has no covariance.", hint="Give thousands.")
    return Reference(description=f"{len(images):,} images in {path.name}", images=images)


def _arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except FileNotFoundError:
        raise InputError(f"There is no file {str(path)!r} to compare with.") from None
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        hint = "Write one with numpy.savez."
        raise InputError(f"{str(path)!r} is no npz file of plain numbers.", hint=hint) from error


def _numbers(array: NDArray[np.generic], path: Path) -> NDArray[np.float64]:
    if array.dtype.kind not in "fiu":
        raise InputError(f"{str(path)!r} holds {array.dtype} where statistics should be.")
    return array.astype(np.float64)


def _images(arrays: dict[str, NDArray[np.generic]], path: Path, shape: tuple[int, ...]) -> Tensor:
    found = arrays if "images" not in arrays else {"images": arrays["images"]}
    several = {name: array for name, array in found.items() if array.ndim in (3, 4)}
    if len(several) != 1:
        held = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing"
        raise InputError(
            f"{str(path)!r} holds no images that can be told: {held[:200]}.",
            hint='It must hold one array of images, named "images" if there are others; or mu and sigma.',
        )
    (images,) = several.values()
    channels, height, width = shape
    if images.ndim == 3 and channels == 1:
        images = images[:, None]
    if images.shape[1:] == (height, width, channels):
        images = images.transpose(0, 3, 1, 2)
    if images.shape[1:] != shape:
        sizes = " x ".join(map(str, shape))
        raise InputError(
            f"The images in {str(path)!r} have the shape {images.shape[1:]}, and the samples are {sizes}.",
            hint="Resize or pad them as the model's training images were.",
        )
    return torch.from_numpy(np.ascontiguousarray(_bytes(images, path)))


def _bytes(images: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    if images.dtype == np.uint8:
        return images.astype(np.uint8)
    if images.dtype.kind != "f":
        raise InputError(f"The images in {str(path)!r} are {images.dtype}.", hint="Save them as uint8, or as floats.")
    values = images.astype(np.float64)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (low >= -1.001 and high <= 1.001):
        raise InputError(
            f"The images in {str(path)!r} run from {low:g} to {high:g}.",
            hint="Floats lie in [-1, 1], or in [0, 1]; save bytes as uint8.",
        )
    unit = values if low >= 0 else (values + 1) / 2
    return (255 * unit).round().clip(0, 255).astype(np.uint8)

"""Halving and doubling of images with a small separable filter, alone or together with a convolution.

A filter of taps f, scaled to sum one, becomes the k x k kernel K = f f^T. An image is

    halved:   convolve with K, keep every other pixel
    doubled:  put a zero after every pixel, convolve with 4 K, so that the mean stays

each channel by itself. [1, 1] averages 2 x 2 pixels on the way down and repeats them on the way up; [1, 3, 3, 1] is the
smoother filter of NCSN++. The kernel is a buffer of each layer, because the files that these networks read store it so.
Sources: Zhang 1904.11486 (filtered resampling); Song et al. 2011.13456, appendix H.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Direction = Literal["up", "down"]


def separable_kernel(taps: Sequence[float]) -> Tensor:
    """The kernel f f^T of taps f scaled to sum one: `(1, 1, k, k)`."""
    scaled = [tap / sum(taps) for tap in taps]
    # In plain numbers: a product on the meta device would first load torch's compiler, for seconds.
    return torch.tensor([[above * beside for beside in scaled] for above in scaled])[None, None]


def blur(x: Tensor, kernel: Tensor, *, stride: int, padding: int) -> Tensor:
    """Convolve each channel with the kernel, zeros outside of the image: `(B, C, H, W) -> (B, C, H', W')`."""
    channels = x.shape[1]
    return F.conv2d(x, kernel.expand(channels, 1, -1, -1), stride=stride, padding=padding, groups=channels)


def halve(x: Tensor, kernel: Tensor) -> Tensor:
    """`(B, C, H, W) -> (B, C, H / 2, W / 2)`, H and W even."""
    return blur(x, kernel, stride=2, padding=_margin(kernel))


def double(x: Tensor, kernel: Tensor) -> Tensor:
    """`(B, C, H, W) -> (B, C, 2 H, 2 W)`."""
    channels = x.shape[1]
    weight = (4 * kernel).expand(channels, 1, -1, -1)
    return F.conv_transpose2d(x, weight, stride=2, padding=_margin(kernel), groups=channels)


class Resample(nn.Module):
    """Halve or double an image; nothing to learn."""

    resample_filter: Tensor

    def __init__(self, direction: Direction, taps: Sequence[float]) -> None:
        super().__init__()
        self.change = {"up": double, "down": halve}[direction]
        self.register_buffer("resample_filter", separable_kernel(taps))

    def forward(self, x: Tensor) -> Tensor:
        return self.change(x, self.resample_filter)


class ResampledConv(nn.Conv2d):
    """Halve or double an image, then convolve it with a learned kernel of odd size."""

    resample_filter: Tensor

    def __init__(self, inputs: int, outputs: int, size: int, direction: Direction, taps: Sequence[float]) -> None:
        super().__init__(inputs, outputs, size, padding=size // 2)
        self.change = {"up": double, "down": halve}[direction]
        self.register_buffer("resample_filter", separable_kernel(taps))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.change(x, self.resample_filter))


class BlurredStridedConv(nn.Conv2d):
    """Blur an image at full resolution, then convolve it with a learned kernel at every other pixel.

    Not the same as halving first: the learned kernel here spans neighbours at full resolution.
    """

    resample_filter: Tensor

    def __init__(self, inputs: int, outputs: int, size: int, taps: Sequence[float]) -> None:
        super().__init__(inputs, outputs, size, stride=2)
        self.register_buffer("resample_filter", separable_kernel(taps))

    def forward(self, x: Tensor) -> Tensor:
        # The margin of the learned kernel is blurred too; zeros put around a blurred image would darken its edge.
        margin = _margin(self.resample_filter) + self.kernel_size[0] // 2
        return super().forward(blur(x, self.resample_filter, stride=1, padding=margin))


def _margin(kernel: Tensor) -> int:
    """Zeros on each side that keep an image in place while its size halves or doubles."""
    return (kernel.shape[-1] - 1) // 2

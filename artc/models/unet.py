"""A small U-Net for embedded image models, fast enough to be compiled on two CPU cores.

The image is folded 2 x 2 into channels at the door (space to depth) and unfolded at the exit, so that no convolution
ever runs at full resolution: nearly all parameters sit where pixels are few. Levels are joined by strided convolutions
and nearest-neighbour growth, every residual block is modulated by the noise level, and the coarsest level attends over
the whole image.

Everything here has a forward-mode derivative, so that stiffness can be taken by Jacobian-vector product.
Sources: Ronneberger et al. 1505.04597 (U-Net); Ho et al. 2006.11239 (residual blocks with a noise embedding);
Shi et al. 1609.05158 (pixel shuffle).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artc.models.forward_mode import GroupNorm

GROUPS = 8


class NoiseEmbedding(nn.Module):
    """Sines and cosines of `c_noise` at log-spaced frequencies, then two linear layers. `(B,) -> (B, width)`."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        # c_noise = ln(sigma) / 4 spans about [-1.6, 1.1]: periods from 16 down to 1/16 resolve it without aliasing.
        frequencies = 2 * math.pi * torch.logspace(-4, 4, width // 2, base=2.0)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)

    def forward(self, c_noise: Tensor) -> Tensor:
        angles = c_noise[:, None] * self.frequencies
        waves = torch.cat([angles.cos(), angles.sin()], dim=1)
        return F.silu(self.outer(F.silu(self.inner(waves))))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions; the noise embedding scales and shifts the features between them."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(GROUPS, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.modulation = nn.Linear(width, 2 * channels)
        self.norm2 = GroupNorm(GROUPS, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        # Each block starts as its skip connection: the untrained network is well-behaved at any depth.
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm2(hidden) * (1 + scale) + shift
        residual: Tensor = x + self.conv2(F.silu(hidden))
        return residual


class Attention(nn.Module):
    """Multi-head self-attention over all pixels, written with plain products so that it has a forward derivative."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = GroupNorm(GROUPS, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, 3, self.heads, channels // self.heads, height * width)
        query, key, value = qkv.unbind(dim=1)
        weights = (query.transpose(-1, -2) @ key / math.sqrt(channels // self.heads)).softmax(dim=-1)
        mixed = (value @ weights.transpose(-1, -2)).reshape(batch, channels, height, width)
        attended: Tensor = x + self.out(mixed)
        return attended


class UNet(nn.Module):
    """Raw network F(c_in x; c_noise) of an EDM-preconditioned denoiser.

    Args:
        channels: image channels.
        widths: feature channels of each level, finest first; each level has half the resolution of the one before.
        blocks: residual blocks of each level on the way down, and as many on the way up, each with a skip.
        heads: attention heads at the coarsest level.
    """

    def __init__(self, *, channels: int, widths: tuple[int, ...], blocks: int, heads: int = 4) -> None:
        super().__init__()
        embed = 2 * widths[0]
        self.embedding = NoiseEmbedding(embed)
        self.stem = nn.Conv2d(4 * channels, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(
            nn.ModuleList(ResidualBlock(wide, embed) for _ in range(blocks)) for wide in widths
        )
        self.decoder = nn.ModuleList(
            nn.ModuleList(ResidualBlock(wide, embed) for _ in range(blocks)) for wide in widths
        )
        pairs = list(pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairs)
        self.grow = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairs)
        self.attention = Attention(widths[-1], heads)
        self.norm = GroupNorm(GROUPS, widths[0])
        self.head = nn.Conv2d(widths[0], 4 * channels, 3, padding=1)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """`(B, C, H, W), (B,) -> (B, C, H, W)`; H and W divisible by 2 for every level."""
        embedding = self.embedding(c_noise)
        hidden = self.stem(F.pixel_unshuffle(x, 2))
        skips = []
        for level, stack in enumerate(_stacks(self.encoder)):
            if level:
                hidden = self.shrink[level - 1](hidden)
            for block in stack:
                hidden = block(hidden, embedding)
                skips.append(hidden)
        hidden = self.attention(hidden)
        for level, stack in reversed(list(enumerate(_stacks(self.decoder)))):
            for block in stack:
                hidden = block(hidden + skips.pop(), embedding)
            if level:
                hidden = F.interpolate(self.grow[level - 1](hidden), scale_factor=2.0, mode="nearest")
        return F.pixel_shuffle(self.head(F.silu(self.norm(hidden))), 2)


def _stacks(levels: nn.ModuleList) -> list[nn.ModuleList]:
    """The levels with the type they have, which a ModuleList of ModuleLists forgets."""
    return [level for level in levels if isinstance(level, nn.ModuleList)]

"""The residual block that both EDM networks are made of, and its two styles.

    h  = conv0(silu(norm0(x)))                    resampled, where the block is the step between two levels
    h  = conv1(silu(modulate(norm1, h, e)))       e is the embedding of the noise level and the class
    x' = s (skip(x) + h)                          s = 1, or sqrt(1/2) to keep the variance of the sum
    x" = s (x' + proj(attention(norm2(x'))))      where the level attends

| style | modulate | s | attention heads | skip of a resampled block |
|---|---|---|---|---|
| DDPM++, NCSN++ | norm1(h + shift) | sqrt(1/2) | 1 | resampled, then a 1 x 1 convolution |
| ADM | norm1(h) (1 + scale) + shift | 1 | one for every 64 channels | resampled |

Dropout acts in training only, and these networks are read to be sampled: there is none here.
Sources: Ho et al. 2006.11239; Song et al. 2011.13456, appendix H; Dhariwal and Nichol 2105.05233, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from artc.errors import InputError
from artc.models.edm.resampling import Direction, Resample, ResampledConv
from artc.models.forward_mode import GroupNorm


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """What the blocks of one architecture share; see the table above.

    Attributes:
        embedding: width of the embedding e.
        adaptive: e scales and shifts after `norm1`; otherwise it shifts before.
        scale: factor s of every sum.
        epsilon: added to the variance in every group norm.
        head_channels: channels of one attention head; None for one head of all channels.
        project: resampled blocks have a 1 x 1 convolution in their skip.
        taps: resampling filter.
    """

    embedding: int
    adaptive: bool
    scale: float
    epsilon: float
    head_channels: int | None
    project: bool
    taps: Sequence[float]

    def heads(self, channels: int) -> int:
        """Attention heads of a block; zero, and so no attention, where there are too few channels for one."""
        return 1 if self.head_channels is None else channels // self.head_channels


def group_norm(channels: int, epsilon: float) -> GroupNorm:
    """Group norm with at most 32 groups of at least four channels; raises InputError when they cannot be equal."""
    groups = min(32, channels // 4)
    if groups == 0 or channels % groups:
        raise InputError(
            f"A layer of {channels} channels cannot be split into {groups} equal groups.",
            hint="Multiples of 4, and past 128 of 32, always can: check model_channels and channel_mult.",
        )
    return GroupNorm(groups, channels, epsilon)


def attend(qkv: Tensor, heads: int) -> Tensor:
    """Self-attention over all pixels: `(B, 3 C, H, W) -> (B, C, H, W)`, from plain products.

    The 3 C channels are ordered by head, then by channel, then query, key, value. Products, and not torch's fused
    kernel, because those have a forward-mode derivative.
    """
    batch, _, height, width = qkv.shape
    query, key, value = qkv.reshape(batch, heads, -1, 3, height * width).unbind(dim=3)
    # Scaled before the product, which half precision might not hold otherwise.
    weights = (query.transpose(-1, -2) @ (key / math.sqrt(key.shape[2]))).softmax(dim=-1)
    return (value @ weights.transpose(-1, -2)).reshape(batch, -1, height, width)


class Block(nn.Module):
    """One residual block: `(B, inputs, H, W), (B, embedding) -> (B, outputs, H', W')`."""

    def __init__(
        self, inputs: int, outputs: int, style: Style, *, resample: Direction | None = None, attention: bool = False
    ) -> None:
        super().__init__()
        self.style = style
        self.heads = style.heads(outputs) if attention else 0
        self.norm0 = group_norm(inputs, style.epsilon)
        self.conv0 = _conv(inputs, outputs, 3, resample, style.taps)
        self.affine = nn.Linear(style.embedding, 2 * outputs if style.adaptive else outputs)
        self.norm1 = group_norm(outputs, style.epsilon)
        self.conv1 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip: nn.Module = nn.Identity()
        if inputs != outputs or (resample and style.project):
            self.skip = _conv(inputs, outputs, 1, resample, style.taps)
        elif resample:
            self.skip = Resample(resample, style.taps)
        # An untrained block is its skip connection alone, and behaves at any depth.
        nn.init.zeros_(self.conv1.weight)
        if self.heads:
            if outputs % self.heads:
                raise InputError(
                    f"{outputs} channels cannot be shared equally among {self.heads} attention heads.",
                    hint="Check model_channels and channel_mult.",
                )
            self.norm2 = group_norm(outputs, style.epsilon)
            self.qkv = nn.Conv2d(outputs, 3 * outputs, 1)
            self.proj = nn.Conv2d(outputs, outputs, 1)
            nn.init.zeros_(self.proj.weight)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        hidden = self.conv0(F.silu(self.norm0(x)))
        hidden = self.conv1(F.silu(self._modulate(hidden, self.affine(embedding)[:, :, None, None])))
        x = self.style.scale * (self.skip(x) + hidden)
        if self.heads:
            x = self.style.scale * (x + self.proj(attend(self.qkv(self.norm2(x)), self.heads)))
        return x

    def _modulate(self, hidden: Tensor, modulation: Tensor) -> Tensor:
        if not self.style.adaptive:
            shifted: Tensor = self.norm1(hidden + modulation)
            return shifted
        scale, shift = modulation.chunk(2, dim=1)
        modulated: Tensor = self.norm1(hidden) * (1 + scale) + shift
        return modulated


def _conv(inputs: int, outputs: int, size: int, resample: Direction | None, taps: Sequence[float]) -> nn.Conv2d:
    if resample is None:
        return nn.Conv2d(inputs, outputs, size, padding=size // 2)
    return ResampledConv(inputs, outputs, size, resample, taps)

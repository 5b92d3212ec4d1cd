"""The body that both EDM networks share: levels of falling resolution, blocks down them and up again, joined by skips.

Layers are kept in one dictionary for each direction, under the names that the files have for them: `32x32_conv` first,
`16x16_down` between two levels, `16x16_block0` and so on; upwards from `8x8_in0` and `8x8_in1`, by `16x16_up`. Every
output on the way down is a skip, and every block upwards but those between levels takes one, the latest first.
Source: Ronneberger et al. 1505.04597, as used by Ho et al. 2006.11239.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from artc.errors import InputError
from artc.models.edm.layers import Block, Style


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One resolution of the network."""

    resolution: int
    channels: int
    attention: bool

    def key(self, part: str) -> str:
        """The name of a layer at this level, such as `16x16_block0`."""
        return f"{self.resolution}x{self.resolution}_{part}"


def plan_levels(
    resolution: int, channels: int, multiples: Sequence[int], attention: Sequence[int]
) -> tuple[Level, ...]:
    """The levels, finest first; raises InputError when the resolution cannot be halved so often."""
    if resolution % 2 ** (len(multiples) - 1):
        raise InputError(
            f"A resolution of {resolution} cannot be halved {len(multiples) - 1} times.",
            hint="img_resolution must be divisible by 2 for every entry of channel_mult but the first.",
        )
    sizes = [resolution >> depth for depth in range(len(multiples))]
    return tuple(
        Level(resolution=size, channels=channels * multiple, attention=size in attention)
        for size, multiple in zip(sizes, multiples, strict=True)
    )


def build_encoder(
    levels: Sequence[Level], inputs: int, stem: int, num_blocks: int, style: Style
) -> tuple[nn.ModuleDict, list[int]]:
    """The layers down the levels, and the channels of each skip in the order they are made."""
    layers = nn.ModuleDict({levels[0].key("conv"): nn.Conv2d(inputs, stem, 3, padding=1)})
    skips = [stem]
    for level in levels:
        if level is not levels[0]:
            layers[level.key("down")] = Block(skips[-1], skips[-1], style, resample="down")
            skips.append(skips[-1])
        for index in range(num_blocks):
            layers[level.key(f"block{index}")] = Block(skips[-1], level.channels, style, attention=level.attention)
            skips.append(level.channels)
    return layers, skips


def build_decoder(
    levels: Sequence[Level], skips: Sequence[int], num_blocks: int, style: Style, *, attend_once: bool
) -> nn.ModuleDict:
    """The layers up the levels; `attend_once` leaves attention to the last block of each level."""
    coarsest, waiting = levels[-1], list(skips)
    width = coarsest.channels
    layers = nn.ModuleDict()
    layers[coarsest.key("in0")] = Block(width, width, style, attention=True)
    layers[coarsest.key("in1")] = Block(width, width, style)
    for level in reversed(levels):
        if level is not coarsest:
            layers[level.key("up")] = Block(width, width, style, resample="up")
        for index in range(num_blocks + 1):
            attention = level.attention and (index == num_blocks or not attend_once)
            layers[level.key(f"block{index}")] = Block(
                width + waiting.pop(), level.channels, style, attention=attention
            )
            width = level.channels
    return layers

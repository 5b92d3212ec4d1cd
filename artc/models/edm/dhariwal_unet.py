"""ADM, the U-Net of Dhariwal and Nichol 2105.05233, as configured in Karras et al. 2206.00364 for ImageNet-64.

The plain trunk with a positional embedding of the noise level, to which that of the class is added; the two together
scale and shift the features of every block, and every block of an attending level has attention.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artc.models.edm.embeddings import full_precision, positional_angles
from artc.models.edm.layers import Style, group_norm
from artc.models.edm.trunk import build_decoder, build_encoder, plan_levels

EPSILON = 1e-5


class DhariwalUNet(nn.Module):
    """Raw network F(c_in x; c_noise, labels): `(B, in, R, R), (B,), (B, label_dim) -> (B, out, R, R)`.

    The arguments and their defaults are those of the published files; `arguments.py` bounds them. `augment_dim` makes
    room for the weights of augmentation labels, which are zero outside of training.
    """

    def __init__(
        self,
        *,
        img_resolution: int,
        in_channels: int,
        out_channels: int,
        label_dim: int = 0,
        augment_dim: int = 0,
        model_channels: int = 192,
        channel_mult: Sequence[int] = (1, 2, 3, 4),
        channel_mult_emb: int = 4,
        num_blocks: int = 3,
        attn_resolutions: Sequence[int] = (32, 16, 8),
    ) -> None:
        super().__init__()
        self.noise_channels = model_channels
        embedding = model_channels * channel_mult_emb
        self.levels = plan_levels(img_resolution, model_channels, channel_mult, attn_resolutions)
        self.num_blocks = num_blocks
        if augment_dim:
            self.map_augment = nn.Linear(augment_dim, model_channels, bias=False)
        self.map_layer0 = nn.Linear(model_channels, embedding)
        self.map_layer1 = nn.Linear(embedding, embedding)
        self.map_label = nn.Linear(label_dim, embedding, bias=False) if label_dim else None
        style = Style(
            embedding=embedding, adaptive=True, scale=1.0, epsilon=EPSILON, head_channels=64, project=False, taps=(1, 1)
        )
        width = self.levels[0].channels
        self.enc, skips = build_encoder(self.levels, in_channels, width, num_blocks, style)
        self.dec = build_decoder(self.levels, skips, num_blocks, style, attend_once=False)
        self.out_norm = group_norm(width, EPSILON)
        self.out_conv = nn.Conv2d(width, out_channels, 3, padding=1)
        nn.init.zeros_(self.out_conv.weight)

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor | None = None) -> Tensor:
        with full_precision(x.device):
            embedding = self.embed(c_noise, labels)
        hidden = self.decode(self.encode(x, embedding), embedding)
        raw: Tensor = self.out_conv(F.silu(self.out_norm(hidden)))
        return raw

    def embed(self, c_noise: Tensor, labels: Tensor | None) -> Tensor:
        """The vector that modulates every block: `(B,), (B, label_dim) -> (B, embedding)`."""
        count = self.noise_channels // 2
        angles = positional_angles(c_noise, count, last=count)
        embedding = self.map_layer1(F.silu(self.map_layer0(torch.cat([angles.cos(), angles.sin()], dim=1))))
        if self.map_label is not None and labels is not None:
            embedding = embedding + self.map_label(labels)
        return F.silu(embedding)

    def encode(self, x: Tensor, embedding: Tensor) -> list[Tensor]:
        """Features after every layer on the way down, each a skip for the way up."""
        finest = self.levels[0]
        skips = [self.enc[finest.key("conv")](x)]
        for level in self.levels:
            if level is not finest:
                skips.append(self.enc[level.key("down")](skips[-1], embedding))
            for index in range(self.num_blocks):
                skips.append(self.enc[level.key(f"block{index}")](skips[-1], embedding))
        return skips

    def decode(self, skips: list[Tensor], embedding: Tensor) -> Tensor:
        """Features at the finest level after the way up: `(B, channels, R, R)`; uses up the skips."""
        coarsest = self.levels[-1]
        hidden: Tensor = self.dec[coarsest.key("in0")](skips[-1], embedding)
        hidden = self.dec[coarsest.key("in1")](hidden, embedding)
        for level in reversed(self.levels):
            if level is not coarsest:
                hidden = self.dec[level.key("up")](hidden, embedding)
            for index in range(self.num_blocks + 1):
                hidden = self.dec[level.key(f"block{index}")](torch.cat([hidden, skips.pop()], dim=1), embedding)
        return hidden

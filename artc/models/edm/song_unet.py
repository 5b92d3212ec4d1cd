"""DDPM++ and NCSN++, the U-Nets of Song et al. 2011.13456, appendix H, as configured in Karras et al. 2206.00364.

DDPM++ is the plain trunk with a positional embedding of the noise level. NCSN++ embeds it by random Fourier features,
resamples with a smoother filter, and carries small images beside the trunk, halved or doubled from level to level:

    encoder "skip":      the input, added to the features of each level by a 1 x 1 convolution
    encoder "residual":  the features of the level above, added to those of this one, and then theirs
    decoder "skip":      the output, to which each level adds its own; "standard" writes it at the finest level only
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artc.models.edm.embeddings import FourierAngles, full_precision, positional_angles
from artc.models.edm.layers import Style, group_norm
from artc.models.edm.resampling import BlurredStridedConv, Resample
from artc.models.edm.trunk import build_decoder, build_encoder, plan_levels

EPSILON = 1e-6
KEEP_VARIANCE = math.sqrt(0.5)  # of a sum of two


class SongUNet(nn.Module):
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
        model_channels: int = 128,
        channel_mult: Sequence[int] = (1, 2, 2, 2),
        channel_mult_emb: int = 4,
        num_blocks: int = 4,
        attn_resolutions: Sequence[int] = (16,),
        embedding_type: str = "positional",
        channel_mult_noise: int = 1,
        encoder_type: str = "standard",
        decoder_type: str = "standard",
        resample_filter: Sequence[float] = (1, 1),
    ) -> None:
        super().__init__()
        self.noise_channels = model_channels * channel_mult_noise
        embedding = model_channels * channel_mult_emb
        self.levels = plan_levels(img_resolution, model_channels, channel_mult, attn_resolutions)
        self.num_blocks, self.encoder_type = num_blocks, encoder_type
        self.map_noise = FourierAngles(self.noise_channels // 2) if embedding_type == "fourier" else None
        self.map_label = nn.Linear(label_dim, self.noise_channels) if label_dim else None
        if augment_dim:
            self.map_augment = nn.Linear(augment_dim, self.noise_channels, bias=False)
        self.map_layer0 = nn.Linear(self.noise_channels, embedding)
        self.map_layer1 = nn.Linear(embedding, embedding)
        style = Style(
            embedding=embedding,
            adaptive=False,
            scale=KEEP_VARIANCE,
            epsilon=EPSILON,
            head_channels=None,
            project=True,
            taps=resample_filter,
        )
        self.enc, skips = build_encoder(self.levels, in_channels, model_channels, num_blocks, style)
        self.dec = build_decoder(self.levels, skips, num_blocks, style, attend_once=True)
        # The levels that write an image: the finest, and with a decoder of kind "skip" all of them.
        self.writers = self.levels if decoder_type == "skip" else self.levels[:1]
        self._add_input_images(in_channels, resample_filter)
        self._add_output_images(out_channels, resample_filter)

    def _add_input_images(self, inputs: int, taps: Sequence[float]) -> None:
        for finer, level in pairwise(self.levels):
            if self.encoder_type == "skip":
                self.enc[level.key("aux_down")] = Resample("down", taps)
                self.enc[level.key("aux_skip")] = nn.Conv2d(inputs, finer.channels, 1)
            elif self.encoder_type == "residual":
                self.enc[level.key("aux_residual")] = BlurredStridedConv(inputs, finer.channels, 3, taps)
                inputs = finer.channels

    def _add_output_images(self, outputs: int, taps: Sequence[float]) -> None:
        for level in self.writers:
            if level is not self.writers[-1]:
                self.dec[level.key("aux_up")] = Resample("up", taps)
            conv = nn.Conv2d(level.channels, outputs, 3, padding=1)
            nn.init.zeros_(conv.weight)
            self.dec[level.key("aux_norm")] = group_norm(level.channels, EPSILON)
            self.dec[level.key("aux_conv")] = conv

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor | None = None) -> Tensor:
        with full_precision(x.device):
            embedding = self.embed(c_noise, labels)
        return self.decode(self.encode(x, embedding), embedding)

    def embed(self, c_noise: Tensor, labels: Tensor | None) -> Tensor:
        """The vector that modulates every block: `(B,), (B, label_dim) -> (B, embedding)`."""
        if self.map_noise is None:
            count = self.noise_channels // 2
            angles = positional_angles(c_noise, count, last=count - 1)
        else:
            angles = self.map_noise(c_noise)
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        if self.map_label is not None and labels is not None:
            # One-hot labels, scaled to a mean square of one.
            waves = waves + self.map_label(labels * math.sqrt(labels.shape[1]))
        return F.silu(self.map_layer1(F.silu(self.map_layer0(waves))))

    def encode(self, x: Tensor, embedding: Tensor) -> list[Tensor]:
        """Features after every layer on the way down, each a skip for the way up."""
        finest, image = self.levels[0], x
        skips = [self.enc[finest.key("conv")](x)]
        for level in self.levels:
            if level is not finest:
                hidden = self.enc[level.key("down")](skips[-1], embedding)
                if self.encoder_type == "skip":
                    image = self.enc[level.key("aux_down")](image)
                    hidden = hidden + self.enc[level.key("aux_skip")](image)
                elif self.encoder_type == "residual":
                    hidden = image = KEEP_VARIANCE * (hidden + self.enc[level.key("aux_residual")](image))
                skips.append(hidden)
            for index in range(self.num_blocks):
                skips.append(self.enc[level.key(f"block{index}")](skips[-1], embedding))
        return skips

    def decode(self, skips: list[Tensor], embedding: Tensor) -> Tensor:
        """The image after the way up: `(B, out, R, R)`; uses up the skips."""
        coarsest = self.levels[-1]
        image: Tensor | None = None
        hidden = self.dec[coarsest.key("in0")](skips[-1], embedding)
        hidden = self.dec[coarsest.key("in1")](hidden, embedding)
        for level in reversed(self.levels):
            if level is not coarsest:
                hidden = self.dec[level.key("up")](hidden, embedding)
            for index in range(self.num_blocks + 1):
                hidden = self.dec[level.key(f"block{index}")](torch.cat([hidden, skips.pop()], dim=1), embedding)
            if level in self.writers:
                written = self.dec[level.key("aux_conv")](F.silu(self.dec[level.key("aux_norm")](hidden)))
                image = written if image is None else self.dec[level.key("aux_up")](image) + written
        assert image is not None  # the finest level is always among the writers
        return image

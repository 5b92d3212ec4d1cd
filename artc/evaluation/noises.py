"""Noises for an evaluation that are those of no compilation, whatever the seeds.

A compilation draws by torch's Mersenne twister from the seeds 2 s and 2 s + 1 of its own seed s (`artc.request`). That
generator keeps 32 bits of a seed, so that there is no seed of it which nobody can have compiled with. An evaluation
draws by another generator, PCG64 of NumPy, seeded with (`STREAM`, seed).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from artc.models.score_model import Latents, ScoreModel

STREAM = 0x61727463
"""First word of every seed of an evaluation: "artc" in ASCII."""

CHUNK = 1024
"""Noises that are held at once where they are many."""


def fresh_latents(model: ScoreModel, count: int, seed: int) -> Iterator[Latents]:
    """Noises that no compilation has drawn (`artc.evaluation.plan`), in parts of at most `CHUNK`; labels, if any, too.

    The first of many are the same as the first of few, on every device.
    """
    normal, labelled = np.random.default_rng([STREAM, seed, 0]), np.random.default_rng([STREAM, seed, 1])
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        noise = torch.from_numpy(normal.standard_normal((size, *model.info.shape))).to(model.device)
        labels = None
        if model.classes:
            allowed = np.array(model.labels or range(model.classes), dtype=np.int64)
            labels = torch.from_numpy(allowed[labelled.integers(len(allowed), size=size)]).to(model.device)
        yield Latents(noise=noise, labels=labels, batch=model.batch)


def all_latents(model: ScoreModel, count: int, seed: int) -> Latents:
    """The same in one."""
    parts = list(fresh_latents(model, count, seed))
    labels = None if parts[0].labels is None else torch.cat([part.labels for part in parts if part.labels is not None])
    return replace(parts[0], noise=torch.cat([part.noise for part in parts]), labels=labels)

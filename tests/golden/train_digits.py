"""How `tests/golden/trained/*.npz` were made: two small networks of EDM's architecture, trained on 16 x 16 digits.

    python -m tests.golden.train_digits --data PATH/mnist.npz --out tests/golden/trained [--conditional]

No official file is part of the tests; these take the same path, and unlike random weights they denoise. Some twenty
minutes each on one core. Weights are kept as float16, and the state and configuration as the other golden files.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, one_hot

from artc.models.edm.networks import build
from artc.training.datasets import DATASETS, normalize
from artc.training.denoiser import TrainingConfig, draw_sigmas, rate_at
from tests.edm_pickle import DDPMPP

CLASSES, DROPPED = 10, 0.1  # a tenth of the labels is left out, so that the network can be guided
DECAY = 0.999
CONFIG = {
    **DDPMPP,
    "img_resolution": 16,
    "img_channels": 1,
    "model_channels": 16,
    "channel_mult": [1, 2],
    "num_blocks": 1,
    "attn_resolutions": [8],
    "dropout": 0.0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the small EDM networks of the tests.")
    parser.add_argument("--data", type=Path, required=True, help="mnist.npz")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--conditional", action="store_true")
    parser.add_argument("--steps", type=int, default=5000)
    options = parser.parse_args()
    training = TrainingConfig(images=128 * options.steps, batch=128, rate=2e-3, warmup=100)
    config = CONFIG | ({"label_dim": CLASSES, "label_dropout": DROPPED} if options.conditional else {})
    digits = DATASETS["mnist"]
    images = avg_pool2d(normalize(digits.images(options.data, "train")), 2)
    labels = one_hot(digits.labels(options.data, "train"), CLASSES).float()

    torch.manual_seed(training.seed)
    network, generator = build(config), torch.Generator().manual_seed(training.seed)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(DECAY), use_buffers=True
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=training.rate, betas=(0.9, 0.99))
    began, shown = time.perf_counter(), 0.0
    for step in range(options.steps):
        picked = torch.randint(len(images), (training.batch,), generator=generator)
        clean, sigma = images[picked], draw_sigmas(training.batch, training, generator)
        level = sigma[:, None, None, None]
        noisy = clean + level * torch.randn(clean.shape, generator=generator)
        kept = (torch.rand((training.batch, 1), generator=generator) >= DROPPED).float()
        denoised = network(noisy, sigma, labels[picked] * kept if options.conditional else None)
        weight = (level.square() + training.sigma_data**2) / (level * training.sigma_data).square()
        loss = (weight * (denoised - clean).square()).mean()
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, training)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(network)
        shown += loss.item()
        if step % 250 == 249:
            print(f"step {step + 1}, loss {shown / 250:.4f}, {time.perf_counter() - began:.0f} s", flush=True)
            shown = 0.0
    path = options.out / f"digits_{'cond' if options.conditional else 'uncond'}.npz"
    state = {f"state/{name}": value.half().numpy() for name, value in average.module.state_dict().items()}
    np.savez_compressed(path, config=np.array(json.dumps(config)), **state)
    print(f"wrote {path}, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

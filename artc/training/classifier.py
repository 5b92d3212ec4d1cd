"""Train the digit classifier that judges samples of the embedded `mnist` model, and write its model card.

    python -m artc.training.classifier --data mnist.npz --out runs/lenet

Cross-entropy, Adam, a rate that falls to zero along half a cosine, and one augmentation: each image is shifted by up to
two pixels each way, which costs nothing and stands for the digits nobody drew. The test split is looked at only after
the last step, and chose no setting. Two CPU cores need a few minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from artc.evaluation.classifier import LeNet
from artc.training.datasets import DATASETS, normalize


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Every setting of a run; written into the model card."""

    images: int = 900_000
    batch: int = 100
    rate: float = 2e-3
    shift: int = 2
    seed: int = 0

    @property
    def steps(self) -> int:
        return self.images // self.batch


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingUpdate:
    """Progress after one step; `loss` is a running mean over about two hundred steps."""

    step: int
    seconds: float
    loss: float


def shifted(images: Tensor, picked: Tensor, reach: int, generator: torch.Generator) -> Tensor:
    """The picked images, each rolled by its own whole-pixel offset of at most `reach`: `(B, 1, 32, 32)`.

    Rolling is shifting here: what leaves on one side and comes back on the other is the black border.
    """
    size = images.shape[-1]
    offsets = torch.randint(-reach, reach + 1, (2, len(picked), 1), generator=generator)
    rows, columns = (torch.arange(size) - offsets) % size
    return images[picked[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]


def rate_at(step: int, config: TrainingConfig) -> float:
    """Half a cosine, from the full rate to zero."""
    return config.rate * 0.5 * (1 + math.cos(math.pi * step / config.steps))


def train(model: LeNet, images: Tensor, labels: Tensor, config: TrainingConfig) -> Iterator[TrainingUpdate]:
    """Train in place, yielding after every step; the caller logs."""
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(config.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.rate)
    order = torch.randperm(len(images), generator=generator)
    used, average, began = 0, math.nan, time.perf_counter()
    for step in range(config.steps):
        if used + config.batch > len(order):
            order, used = torch.randperm(len(images), generator=generator), 0
        picked, used = order[used : used + config.batch], used + config.batch
        batch = normalize(shifted(images, picked, config.shift, generator)).to(device)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, config)
        loss = F.cross_entropy(model(batch), labels[picked].to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        value = loss.item()
        average = value if math.isnan(average) else 0.995 * average + 0.005 * value
        yield TrainingUpdate(step=step + 1, seconds=time.perf_counter() - began, loss=average)


@torch.no_grad()
def accuracy(model: LeNet, images: Tensor, labels: Tensor) -> float:
    """Share of images whose largest logit is that of their label."""
    device = next(model.parameters()).device
    right = 0
    for some, truth in zip(torch.split(images, 1000), torch.split(labels, 1000), strict=True):
        right += int((model(normalize(some).to(device)).argmax(dim=1).cpu() == truth).sum())
    return right / len(labels)


def write(
    folder: Path, model: LeNet, last: TrainingUpdate, config: TrainingConfig, *, device: str, score: float
) -> None:
    """Write `lenet.safetensors` and its card `lenet.json`."""
    weights = folder / "lenet.safetensors"
    save_file({key: value.cpu().contiguous() for key, value in model.state_dict().items()}, weights)
    content = weights.read_bytes()
    card = {
        "name": "lenet",
        "description": "LeNet-5 with rectifiers; logits of ten digits for (B, 1, 32, 32) images in [-1, 1]",
        "data": "MNIST (Y. LeCun, C. Cortes; CC BY-SA 3.0), 60,000 training digits, padded with black to 32 x 32",
        "images_seen": last.step * config.batch,
        "settings": asdict(config),
        "seed": config.seed,
        "seconds": round(last.seconds, 1),
        "device": device,
        "precision": "float32",
        "torch": str(torch.__version__),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bytes": len(content),
        "training_loss": round(last.loss, 6),
        "test_images": 10_000,
        "test_accuracy": score,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / "lenet.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    defaults = TrainingConfig()
    parser = argparse.ArgumentParser(description="Train the digit classifier that judges samples.")
    parser.add_argument(
        "--data", type=Path, required=True, help="npz with train, test (N, 28, 28), train_y, test_y (N,), uint8"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/lenet"))
    parser.add_argument("--images", type=int, default=defaults.images, help="training images to show")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    config = TrainingConfig(images=options.images, seed=options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    model = LeNet().to(options.device)
    digits = DATASETS["mnist"]
    images, labels = digits.images(options.data, "train"), digits.labels(options.data, "train")
    update = TrainingUpdate(step=0, seconds=0.0, loss=math.nan)
    for update in train(model, images, labels, config):
        if update.step % 600 == 0:
            seen = update.step * config.batch
            print(f"{seen:>9,} images  {update.seconds:7.0f} s  loss {update.loss:.4f}", flush=True)
    score = accuracy(model, digits.images(options.data, "test"), digits.labels(options.data, "test"))
    write(options.out, model, update, config, device=options.device, score=score)
    print(f"test accuracy {score:.2%}: wrote lenet.safetensors and lenet.json to {options.out}")


if __name__ == "__main__":
    main()

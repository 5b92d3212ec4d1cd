"""Train the classifier that judges samples of an embedded model, `mnist` or `cifar10`, and write its model card.

    python -m artc.training.classifier mnist --data mnist.npz --out runs/lenet
    python -m artc.training.classifier cifar10 --data cifar10.npz --out runs/resnet

Cross-entropy, Adam, a rate that falls to zero along half a cosine, and augmentation: each image is shifted by a few
pixels each way and, where an image and its mirror image are as good as each other, mirrored half of the time. It costs
nothing and stands for the images nobody took. The test split is looked at only after the last step, and chose no
setting. Two CPU cores need a few minutes for digits, some twenty for photographs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from artc.evaluation.classifier import CLASSIFIERS, Classifier, find_judge
from artc.models.score_model import pick_device
from artc.training.datasets import DATASETS, flipped, normalize
from artc.training.script import script


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Every setting of a run; written into the model card."""

    images: int = 900_000
    batch: int = 100
    rate: float = 2e-3
    shift: int = 2
    flips: bool = False
    seed: int = 0

    @property
    def steps(self) -> int:
        return self.images // self.batch


RECIPES: dict[str, TrainingConfig] = {
    "mnist": TrainingConfig(),
    "cifar10": TrainingConfig(images=600_000, shift=3, flips=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingUpdate:
    """Progress after one step; `loss` is a running mean over about two hundred steps."""

    step: int
    seconds: float
    loss: float


def shifted(images: Tensor, picked: Tensor, reach: int, generator: torch.Generator) -> Tensor:
    """The picked images, each moved by its own offset of at most `reach` pixels, black moving in: `(B, C, H, W)`."""
    size = images.shape[-1]
    offsets = torch.randint(-reach, reach + 1, (2, len(picked), 1), generator=generator)
    rows, columns = torch.arange(size) + reach - offsets
    framed = F.pad(images[picked], [reach] * 4)
    each = torch.arange(len(picked))[:, None, None]
    return framed[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def rate_at(step: int, config: TrainingConfig) -> float:
    """Half a cosine, from the full rate to zero."""
    return config.rate * 0.5 * (1 + math.cos(math.pi * step / config.steps))


def train(model: Classifier, images: Tensor, labels: Tensor, config: TrainingConfig) -> Iterator[TrainingUpdate]:
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
        batch = normalize(shifted(images, picked, config.shift, generator))
        if config.flips:
            batch = flipped(batch, generator)
        batch = batch.to(device)
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
def accuracy(model: Classifier, images: Tensor, labels: Tensor) -> float:
    """Share of images whose largest logit is that of their label."""
    device = next(model.parameters()).device
    right = 0
    for some, truth in zip(torch.split(images, 1000), torch.split(labels, 1000), strict=True):
        right += int((model(normalize(some).to(device)).argmax(dim=1).cpu() == truth).sum())
    return right / len(labels)


def write(
    folder: Path,
    data: str,
    model: Classifier,
    last: TrainingUpdate,
    config: TrainingConfig,
    *,
    device: str,
    score: float,
) -> None:
    """Write `NAME.safetensors` and its card `NAME.json`."""
    judge = find_judge(data)
    weights = folder / f"{judge.name}.safetensors"
    save_file({key: value.cpu().contiguous() for key, value in model.state_dict().items()}, weights)
    content = weights.read_bytes()
    card = {
        "name": judge.name,
        "description": judge.description,
        "data": DATASETS[data].credit,
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
    (folder / f"{judge.name}.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the classifier that judges samples of an embedded model.")
    parser.add_argument("dataset", choices=CLASSIFIERS)
    parser.add_argument("--data", type=Path, required=True, help="npz of the data set")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, help="training images to show")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    config = replace(RECIPES[options.dataset], seed=options.seed)
    if options.images is not None:
        config = replace(config, images=options.images)
    judge, dataset, device = find_judge(options.dataset), DATASETS[options.dataset], pick_device(options.device)
    images, labels = dataset.images(options.data, "train"), dataset.labels(options.data, "train")
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    model = judge.build().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    update = TrainingUpdate(step=0, seconds=0.0, loss=math.nan)
    for update in train(model, images, labels, config):
        if update.step % 500 == 0:
            seen = update.step * config.batch
            print(f"{seen:>9,} images  {update.seconds:7.0f} s  loss {update.loss:.4f}", flush=True)
    score = accuracy(model.eval(), dataset.images(options.data, "test"), dataset.labels(options.data, "test"))
    write(options.out, options.dataset, model, update, config, device=str(device), score=score)
    print(f"test accuracy {score:.2%}: wrote {judge.name}.safetensors and {judge.name}.json to {options.out}")


if __name__ == "__main__":
    script(main)

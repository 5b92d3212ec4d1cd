"""Train an embedded denoiser, `mnist` or `cifar10`, from an npz file of images.

    python -m artc.training.denoiser mnist --data mnist.npz --out runs/mnist

writes `mnist.safetensors`, the averaged weights, and `mnist.json`, their card.

The loss is EDM's (Karras et al. 2206.00364, equation 8): with x = y + sigma n,

    loss = E (sigma^2 + s^2) / (sigma s)^2 |D(x; sigma) - y|^2,           s = sigma_data,

which weighs the raw network's error by one at every noise level. Four fifths of the noise levels are log-normal as in
that paper; the last fifth is log-uniform over the whole range a schedule may walk, because a compiler asks the network
questions at every sigma, and EDM's law alone shows it almost nothing above sigma = 20.

A run can be stopped at any moment and started again with the same command: it goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from artc.errors import InputError
from artc.models.embedded import named_weights, unet
from artc.models.preconditioning import EDM, Preconditioned
from artc.models.score_model import pick_device
from artc.training.datasets import DATASETS, flipped, normalize
from artc.training.script import script


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Every setting of a run; written into the model card."""

    model: str = "mnist"
    images: int = 3_000_000
    batch: int = 128
    rate: float = 1e-3
    warmup: int = 500
    ema_halflife: int = 50_000
    p_mean: float = -1.2
    p_std: float = 1.2
    uniform_share: float = 0.2
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    seed: int = 0

    @property
    def steps(self) -> int:
        return self.images // self.batch


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """What a checkpoint holds; a run continues from it as if it had never stopped."""

    model: Preconditioned
    average: Preconditioned
    optimizer: torch.optim.Adam
    generator: torch.Generator
    step: int = 0
    seconds: float = 0.0
    loss: float = math.nan


def build(config: TrainingConfig) -> Preconditioned:
    model = Preconditioned(unet(dict(DATASETS[config.model].architecture)), EDM(sigma_data=config.sigma_data))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    return model


def start(config: TrainingConfig, device: torch.device) -> TrainingState:
    torch.manual_seed(config.seed)
    model, average = build(config).to(device), build(config).to(device)
    average.load_state_dict(model.state_dict())
    average.requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.rate, betas=(0.9, 0.99))
    return TrainingState(
        model=model, average=average, optimizer=optimizer, generator=torch.Generator().manual_seed(config.seed)
    )


def draw_sigmas(count: int, config: TrainingConfig, generator: torch.Generator) -> Tensor:
    """Noise levels of the two-part law described at the top of the file: `(count,)`."""
    normal = config.p_mean + config.p_std * torch.randn(count, generator=generator)
    low, high = math.log(config.sigma_min), math.log(config.sigma_max)
    uniform = low + (high - low) * torch.rand(count, generator=generator)
    chosen = torch.rand(count, generator=generator) < config.uniform_share
    return torch.where(chosen, uniform, normal).clamp(low, high).exp()


def edm_loss(model: Preconditioned, images: Tensor, sigma: Tensor, noise: Tensor, sigma_data: float) -> Tensor:
    level = sigma[:, None, None, None]
    weight = (level.square() + sigma_data**2) / (level * sigma_data).square()
    denoised = model(images + level * noise, sigma)
    loss: Tensor = (weight * (denoised - images).square()).mean()
    return loss


def rate_at(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then a cosine to zero."""
    warm = min(1.0, (step + 1) / config.warmup)
    return config.rate * warm * 0.5 * (1 + math.cos(math.pi * step / config.steps))


def train(state: TrainingState, images: Tensor, config: TrainingConfig, *, bfloat16: bool) -> Iterator[TrainingState]:
    """Run to the end, yielding the state after every step; the caller logs and checkpoints."""
    device = next(state.model.parameters()).device
    while state.step < config.steps:
        began = time.perf_counter()
        picked = torch.randint(len(images), (config.batch,), generator=state.generator)
        clean = normalize(images[picked])
        if DATASETS[config.model].flips:
            clean = flipped(clean, state.generator)
        clean = clean.to(device)
        sigma = draw_sigmas(config.batch, config, state.generator).to(device)
        noise = torch.randn(clean.shape, generator=state.generator).to(device)
        for group in state.optimizer.param_groups:
            group["lr"] = rate_at(state.step, config)
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            loss = edm_loss(state.model, clean, sigma, noise, config.sigma_data)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()
        state.step += 1
        seen = state.step * config.batch
        # A short half-life at first, so that the average forgets the untrained network.
        keep = 0.5 ** (config.batch / max(1.0, min(config.ema_halflife, 0.05 * seen)))
        with torch.no_grad():
            for mean, value in zip(state.average.parameters(), state.model.parameters(), strict=True):
                mean.lerp_(value, 1 - keep)
        latest = loss.item()
        state.loss = latest if math.isnan(state.loss) else 0.999 * state.loss + 0.001 * latest
        state.seconds += time.perf_counter() - began
        yield state


def save_checkpoint(path: Path, state: TrainingState, config: TrainingConfig) -> None:
    tensors = {f"model.{k}": v for k, v in state.model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in state.average.state_dict().items()}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{k}": v for k, v in moments.items()}
    tensors["generator"] = state.generator.get_state()
    progress = {"step": state.step, "seconds": state.seconds, "loss": state.loss, "config": asdict(config)}
    temporary = path.with_suffix(".tmp")
    save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, {"progress": json.dumps(progress)})
    temporary.replace(path)


def load_checkpoint(path: Path, state: TrainingState, config: TrainingConfig) -> None:
    elsewhere = "Choose another --out, or remove it to begin anew."
    try:
        with safe_open(path, framework="pt") as file:
            progress = json.loads(file.metadata()["progress"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, TypeError, KeyError, ValueError) as error:
        raise InputError(f"{str(path)!r} is no checkpoint of a training: {error}.", hint=elsewhere) from None
    if progress["config"] != asdict(config):
        raise InputError(f"{str(path)!r} belongs to a training with other settings.", hint=elsewhere)
    for name in ("model", "average"):
        part = {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
        getattr(state, name).load_state_dict(part)
    adam = state.optimizer.state_dict()
    for key in (k for k in tensors if k.startswith("adam.")):
        _, index, moment = key.split(".")
        adam["state"].setdefault(int(index), {})[moment] = tensors[key]
    state.optimizer.load_state_dict(adam)
    state.generator.set_state(tensors["generator"])
    state.step, state.seconds, state.loss = progress["step"], progress["seconds"], progress["loss"]


def held_out_loss(model: Preconditioned, images: Tensor, config: TrainingConfig) -> float:
    """The training loss on 10,000 images never trained on, in float32, with noise of a seed of its own."""
    generator = torch.Generator().manual_seed(config.seed + 1)
    device, losses = next(model.parameters()).device, []
    for batch in images.split(500):
        clean = normalize(batch)
        sigma = draw_sigmas(len(clean), config, generator)
        noise = torch.randn(clean.shape, generator=generator)
        with torch.no_grad():
            loss = edm_loss(model, clean.to(device), sigma.to(device), noise.to(device), config.sigma_data)
            losses.append(loss.item())
    return sum(losses) / len(losses)


def go_on_from(folder: Path, name: str, state: TrainingState) -> list[dict[str, Any]]:
    """Take the averaged weights of an earlier run as the start of this one; returns the runs in its card.

    Raises InputError for a folder without such a model.
    """
    if not all((folder / f"{name}.{kind}").is_file() for kind in ("safetensors", "json")):
        raise InputError(f"There is no trained {name} in {str(folder)!r}.", hint="Give the --out of an earlier run.")
    for model in (state.model, state.average):
        model.load_state_dict(named_weights((folder / f"{name}.safetensors").read_bytes()))
    runs: list[dict[str, Any]] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["training"]
    return runs


def publish(
    folder: Path, state: TrainingState, config: TrainingConfig, data: Path, earlier: list[dict[str, Any]], command: str
) -> None:
    """Write the averaged weights and their card, which names every run that led to them."""
    name, dataset = config.model, DATASETS[config.model]
    weights = {name: value.cpu().contiguous() for name, value in state.average.state_dict().items()}
    save_file(weights, folder / f"{name}.safetensors")
    content = (folder / f"{name}.safetensors").read_bytes()
    card = {
        "name": name,
        "summary": dataset.summary,
        "shape": [dataset.architecture["channels"], 32, 32],
        "sigma_min": config.sigma_min,
        "sigma_max": config.sigma_max,
        "sigma_data": config.sigma_data,
        "architecture": dict(dataset.architecture),
        "parameters": sum(value.numel() for value in weights.values()),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "data": dataset.credit,
        "data_sha256": hashlib.sha256(data.read_bytes()).hexdigest(),
        # Losses compare within a run only: each is taken under its own law of noise levels.
        "training": [
            *earlier,
            {
                "command": command,
                "images_seen": state.step * config.batch,
                "seconds": round(state.seconds, 1),
                "device": str(next(state.model.parameters()).device),
                "torch": torch.__version__.split("+")[0],
                "final_loss": round(state.loss, 5),
                "held_out_loss": round(held_out_loss(state.average, dataset.images(data, "test"), config), 5),
                "config": asdict(config),
            },
        ],
    }
    (folder / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    defaults = TrainingConfig()
    parser = argparse.ArgumentParser(description="Train an embedded denoiser.")
    parser.add_argument("model", choices=DATASETS)
    parser.add_argument("--data", type=Path, required=True, help="npz of the data set")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=defaults.images, help="training images to show")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--rate", type=float, default=defaults.rate, help="Adam's greatest step")
    parser.add_argument("--p-mean", type=float, default=defaults.p_mean, help="mean of ln sigma in the log-normal part")
    parser.add_argument("--start-from", type=Path, help="folder of an earlier run whose weights this one improves")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bfloat16", action="store_true", help="autocast; pays only with AMX or on a GPU")
    options = parser.parse_args()
    config = TrainingConfig(
        model=options.model, images=options.images, seed=options.seed, rate=options.rate, p_mean=options.p_mean
    )
    images = DATASETS[config.model].images(options.data, "train")
    checkpoint = options.out / "checkpoint.safetensors"
    state = start(config, pick_device(options.device))
    earlier = go_on_from(options.start_from, config.model, state) if options.start_from else []
    if checkpoint.exists():
        load_checkpoint(checkpoint, state, config)
    options.out.mkdir(parents=True, exist_ok=True)
    for update in train(state, images, config, bfloat16=options.bfloat16):
        if update.step % 500 == 0 or update.step == config.steps:
            save_checkpoint(checkpoint, update, config)
            seen = update.step * config.batch
            print(f"{seen:>9,} images  {update.seconds:7.0f} s  loss {update.loss:.4f}", flush=True)
    command = "python -m artc.training.denoiser " + " ".join(sys.argv[1:])
    publish(options.out, state, config, options.data, earlier, command)


if __name__ == "__main__":
    script(main)

"""From a file of NVlabs EDM to a model that can be compiled: read as data, built by our code, checked key by key."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from artc.artifact import ModelInfo
from artc.errors import InputError
from artc.models.checksums import sha256_of
from artc.models.edm.networks import build
from artc.models.preconditioning import Preconditioned
from artc.models.ranges import Range, limited
from artc.models.score_model import ScoreModel, check_precision
from artc.models.snapshots.unpickling import EDMFile, read_edm

SIGMA_MIN, SIGMA_MAX = 0.002, 80.0
"""What EDM's own sampler asks of every network (2206.00364, table 1); it gets less where the network knows less."""

LEVELS = "{} tells {} noise levels apart; EDM's own sampler moves every sigma of a grid to the nearest of them."


@dataclass(frozen=True, slots=True)
class _OneHot:
    """Labels as the network takes them: a row with a 1 at the class, and a row of zeros for no class."""

    network: Preconditioned

    def __call__(self, x: Tensor, sigma: Tensor, /, labels: Tensor) -> Tensor:
        rows = one_hot(labels.clamp(min=0), self.network.label_dim) * (labels >= 0)[:, None]
        denoised: Tensor = self.network(x, sigma, rows)
        return denoised


def load_edm(
    path: Path,
    device: torch.device,
    *,
    precision: torch.dtype = torch.float32,
    asked: Range | None = None,
    sha256: str | None = None,
) -> ScoreModel:
    """The averaged network of an EDM snapshot, channels-last, on the range that EDM samples it with.

    Args:
        precision: in which the raw network computes; preconditioning stays in float32.
        asked: the noise range to sample; by default what EDM's sampler asks for.
        sha256: of the file, where the caller knows it.

    Raises InputError when the file is not what EDM writes, or its weights do not fit its own description.
    """
    check_precision(precision, device)
    file = read_edm(path)
    network = _network(file, path, precision).to(device)
    file.state.clear()  # or the weights would be in memory twice from here on
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    config = file.config
    resolution, channels = config["img_resolution"], config["img_channels"]
    info = ModelInfo(
        name=path.stem,
        source=f"edm:{path}",
        sha256=sha256 or sha256_of(path),
        domain="ve",
        shift=None,
        prediction="denoised",
        shape=(channels, resolution, resolution),
        conditioning="class" if network.label_dim else "none",
        sigma_min=SIGMA_MIN,
        sigma_max=SIGMA_MAX,
        sigma_data=config.get("sigma_data", 0.5) if file.class_name == "EDMPrecond" else None,
    )
    record = {
        "preconditioning": file.class_name,
        "network": config.get("model_type"),
        "module_src_sha256": file.source_sha256,
    }
    fine = copy.copy(network)  # the same weights
    fine.precision = torch.float32
    called, exact = (_OneHot(one) if network.label_dim else one for one in (network, fine))
    model = ScoreModel(
        denoiser=called,
        fine=None if precision is torch.float32 else exact,
        info=info,
        device=device,
        classes=network.label_dim,
        unconditional=config.get("label_dropout", 0) > 0,  # or it never saw a row of zeros
        batch=_batch(network, device),
        own_range=(network.sigma_min, network.sigma_max),
        record=record,
        notices=() if network.u is None else (LEVELS.format(path.stem, len(network.u) - 1),),
    )
    return limited(model, asked or Range())


def _network(file: EDMFile, path: Path, precision: torch.dtype) -> Preconditioned:
    config = {"precond": file.class_name, **file.config}
    try:
        network = build(config, device=torch.device("meta"), precision=precision)
        # assign: the tensors of the file become those of the network, so that weights are in memory once
        state = {name: tensor.float() for name, tensor in file.state.items()}
        network.load_state_dict(state, strict=True, assign=True)
    except InputError as error:
        raise InputError(f"{str(path)!r}: {error.message}", hint=error.hint) from error
    except RuntimeError as error:  # torch's one error for missing, unexpected and misshapen weights
        first = " ".join(str(error).splitlines()[1:2]).strip() or str(error)
        raise InputError(f"{str(path)!r}: its weights do not fit the network it describes: {first}") from error
    return network.eval().requires_grad_(False)


def _batch(network: Preconditioned, device: torch.device) -> int:
    """Images at once: what keeps the processor busy, and on a CPU the activations smaller than the weights.

    The activations of one image take about a sixth of what the weights of such a network do.
    """
    if device.type == "cuda":
        return 256
    weights = sum(weight.numel() * weight.element_size() for weight in network.parameters())
    return max(4, min(64, 400_000_000 // weights))

"""From the constructor arguments that a file records to the network that its weights fit.

    build({"precond": "EDMPrecond", "img_resolution": 32, "img_channels": 3, "model_type": "SongUNet", ...})

gives a denoiser whose `state_dict()` has the keys of the file. To have the weights in memory once, build on the meta
device, where tensors have shapes and no values, and hand the file's tensors over:

    network = build(config, device=torch.device("meta"))
    network.load_state_dict(state, strict=True, assign=True)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from artc.errors import InputError
from artc.models.edm.arguments import IMAGE, NETWORK_ARGUMENTS, RULE_ARGUMENTS, TRAINING_ONLY, check, one_of
from artc.models.edm.dhariwal_unet import DhariwalUNet
from artc.models.edm.song_unet import SongUNet
from artc.models.preconditioning import RULES, Preconditioned

NETWORKS: dict[str, Callable[..., nn.Module]] = {"DhariwalUNet": DhariwalUNet, "SongUNet": SongUNet}

DEFAULT_NETWORK = {
    "EDMPrecond": "DhariwalUNet",
    "VPPrecond": "SongUNet",
    "VEPrecond": "SongUNet",
    "iDDPMPrecond": "DhariwalUNet",
}

# Eight times the largest published network of this family.
MOST_PARAMETERS = 2_500_000_000


def build(
    config: Mapping[str, object], *, device: torch.device | None = None, precision: torch.dtype = torch.float32
) -> Preconditioned:
    """An untrained denoiser from the name of its preconditioner, `precond`, and its constructor arguments.

    Nothing large is allocated before every argument has been checked and the parameters have been counted.

    Raises InputError for a name or an argument that is missing, unknown or out of bounds, for channels or a resolution
    that the levels cannot be made of, and for a network of more than `MOST_PARAMETERS`.
    """
    rule_name = _name_of(config, "precond", RULES)
    defaults = {"model_type": DEFAULT_NETWORK[rule_name]}
    network_name = _name_of(defaults | dict(config), "model_type", NETWORKS)
    given: dict[str, Any] = {name: value for name, value in config.items() if name not in ("precond", "model_type")}
    kinds = IMAGE | RULE_ARGUMENTS[rule_name] | NETWORK_ARGUMENTS[network_name] | TRAINING_ONLY
    check(given, kinds, f"{rule_name} with {network_name}")
    for name in ("img_resolution", "img_channels"):
        if name not in given:
            raise InputError(f"The configuration lacks {name}.", hint="Every EDM file records it.")
    rule = RULES[rule_name](**_among(given, RULE_ARGUMENTS[rule_name]))
    # Beside the image, iDDPM predicts a variance for every value of it.
    outputs = given["img_channels"] * (2 if rule_name == "iDDPMPrecond" else 1)

    def make(where: torch.device) -> Preconditioned:
        with where:
            network = NETWORKS[network_name](
                img_resolution=given["img_resolution"],
                in_channels=given["img_channels"],
                out_channels=outputs,
                label_dim=given.get("label_dim", 0),
                **_among(given, NETWORK_ARGUMENTS[network_name]),
            )
            return Preconditioned(network, rule, label_dim=given.get("label_dim", 0), precision=precision)

    draft = make(torch.device("meta"))
    count = sum(weight.numel() for weight in draft.parameters())
    if count > MOST_PARAMETERS:
        raise InputError(
            f"The configuration asks for a network of {count:,} parameters.",
            hint=f"artc builds at most {MOST_PARAMETERS:,}; check model_channels and channel_mult.",
        )
    return draft if device is not None and device.type == "meta" else make(device or torch.device("cpu"))


def _name_of(config: Mapping[str, object], key: str, known: Mapping[str, object]) -> str:
    name = config.get(key)
    check({key: name}, {key: one_of(*known)}, "the configuration")
    return str(name)


def _among(given: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}

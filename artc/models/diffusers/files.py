"""The files of a saved diffusers pipeline, found and read as data.

    folder/model_index.json                     or a network by itself
    folder/unet/config.json                     folder/config.json
    folder/unet/*.safetensors                   folder/*.safetensors
    folder/scheduler/scheduler_config.json      folder/scheduler_config.json, in folder/scheduler/ or in ../scheduler/

Weights in parts are those that `*.safetensors.index.json` names. Of anything else in the folder nothing is read.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artc.errors import InputError
from artc.models.diffusers.parts import one_line

WEIGHTS = "diffusion_pytorch_model.safetensors"
CONVERT = "Where you trust it: UNet2DModel.from_pretrained(folder).save_pretrained(folder, safe_serialization=True)."


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineFiles:
    """The parts of a pipeline: the network's folder, its weight files by name, the scheduler's settings.

    `decoder` is the name of the part that makes images of the network's samples, where those are latents.
    """

    network: Path
    weights: tuple[Path, ...]
    scheduler: dict[str, Any]
    decoder: str | None

    def sha256(self) -> str:
        """SHA-256 of the weight files one after another; of one file, what `sha256sum` says."""
        digest = hashlib.sha256()
        for file in self.weights:
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()


def pipeline_files(folder: Path) -> PipelineFiles:
    """Find the parts of a saved pipeline with a UNet2DModel.

    Raises InputError for a folder that is none, holds another network, or keeps its weights in pickles.
    """
    if not folder.is_dir():
        raise InputError(
            f"There is no folder {folder}.", hint="artc fetches no diffusers model; save_pretrained writes a folder."
        )
    index = folder / "model_index.json"
    parts = _json(index) if index.is_file() else None
    network, scheduler = _places(folder, parts)
    return PipelineFiles(
        network=network,
        weights=tuple(_weights(network)),
        scheduler=_json(scheduler),
        decoder=next((name for name in ("vqvae", "vae") if name in (parts or {})), None),
    )


def _places(folder: Path, parts: dict[str, Any] | None) -> tuple[Path, Path]:
    """The folder of the network, and the file of the scheduler; `parts` is what model_index.json says, if any."""
    if parts is not None:
        kind = parts.get("unet")
        if kind == ["diffusers", "UNet2DConditionModel"]:
            raise InputError(
                f"{folder} is a pipeline that takes prompts.",
                hint="Load it in Python, and give artc.from_pipeline its prompt embeddings.",
            )
        if kind != ["diffusers", "UNet2DModel"]:
            what = f"a unet of kind {kind!r}" if kind else "no unet"
            raise InputError(
                f"{folder / 'model_index.json'} names {what}.", hint="artc reads pipelines with diffusers' UNet2DModel."
            )
        place, schedulers = folder / "unet", [folder / "scheduler"]
    else:
        place, schedulers = folder, [folder, folder / "scheduler", folder.resolve().parent / "scheduler"]
    if not (place / "config.json").is_file():
        wanted = "config.json" if place != folder else "model_index.json or config.json"
        raise InputError(f"{place} has no {wanted}.", hint="Give a folder that save_pretrained wrote.")
    kind = _json(place / "config.json").get("_class_name")
    if kind != "UNet2DModel":
        raise InputError(f"{place} holds a {kind}.", hint="artc reads diffusers' UNet2DModel.")
    for candidate in schedulers:
        if (candidate / "scheduler_config.json").is_file():
            return place, candidate / "scheduler_config.json"
    raise InputError(
        f"{folder} has no scheduler/scheduler_config.json, which says what noise its network was trained with.",
        hint="Save the scheduler beside it: scheduler.save_pretrained(folder).",
    )


def _json(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read as JSON: {one_line(error)}.") from error
    if not isinstance(document, dict):
        raise InputError(f"{file} holds no JSON object.")
    return document


def _weights(place: Path) -> list[Path]:
    """The safetensors files of a network, in the order of their names; those that diffusers will read."""
    index = place / f"{WEIGHTS}.index.json"
    if index.is_file():
        parts = _json(index).get("weight_map")
        names = sorted({str(name) for name in parts.values()}) if isinstance(parts, dict) else []
        for name in names:
            if Path(name).name != name or not (place / name).is_file():
                raise InputError(f"{index} names {name!r}, which is not in its folder.", hint="Save the model again.")
        if names:
            return [place / name for name in names]
    elif (place / WEIGHTS).is_file():
        return [place / WEIGHTS]
    pickles = sorted(file.name for file in place.iterdir() if file.suffix in (".bin", ".pt", ".pth", ".ckpt"))
    if pickles:
        why = f"{place} holds its weights only as a pickle, {pickles[0]}: reading one can run code, and artc does not."
        raise InputError(why, hint=CONVERT)
    raise InputError(f"{place} has no {WEIGHTS}.", hint="Save the model again, with safe_serialization and no variant.")

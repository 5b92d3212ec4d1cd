"""A saved diffusers pipeline as a denoiser: a UNet2DModel, with or without classes, and its scheduler.

A folder is data. Weights are read from safetensors only, because a pickle (.bin) can run code; classes are looked up in
diffusers and nowhere else; and nothing is ever fetched from the network: what is not in the folder is missing.

With classes, labels go to the network as they are. Some networks were trained to read one label as "no class": guidance
needs to know it, as `null_label`, because no file says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from artc.errors import DeviceError, InputError
from artc.models.adapters import Network, adapt
from artc.models.diffusers.files import pipeline_files
from artc.models.diffusers.parts import diffusers_package, noising, one_line, scheduler_of, size_of
from artc.models.score_model import NO_CLASS, ScoreModel


def load_folder(
    path: str | Path,
    device: torch.device,
    *,
    precision: torch.dtype = torch.float32,
    null_label: int | None = None,
    name: str | None = None,
) -> ScoreModel:
    """The denoiser of a saved pipeline, on the noise range that its scheduler was made for.

    Args:
        path: the folder that `save_pretrained` wrote.
        precision: in which the network runs; x stays float32 around it.
        null_label: the label that this network reads as "no class", where it was trained with one. Latents are then
            drawn from the others, and guidance is possible.
        name: what to call the model; the folder's name when left out.

    Raises InputError for a folder that is not such a pipeline or is damaged, or when diffusers is not installed;
    UnknownNameError for another prediction type; DeviceError for float16 without CUDA.
    """
    if precision is torch.float16 and device.type != "cuda":
        raise DeviceError("float16 needs CUDA.", hint="Use bfloat16 or float32.")
    folder = Path(path).expanduser()
    files = pipeline_files(folder)
    unet = _network(files.network).to(device)
    config = unet.config
    # An embedding that was learned entry by entry has no values between its entries.
    noise = noising(scheduler_of(files.scheduler), rounded=config.time_embedding_type == "learned")
    count = _classes(config, null_label)
    fine, denoiser = (
        adapt(_called(unet, count, null_label, dtype), predicts=noise.predicts, times=noise.times)
        for dtype in (torch.float32, precision)
    )
    last = null_label is not None and null_label == count - 1
    latent = f"Its samples are latents: the {files.decoder} of the pipeline makes images of them."
    info = noise.info(
        name=name or folder.resolve().name,
        source=f"diffusers:{path}",
        sha256=files.sha256(),
        shape=(config.in_channels, *size_of(config.sample_size)),
        conditioning="class" if count else "none",
    )
    return ScoreModel(
        denoiser=denoiser,
        fine=None if precision is torch.float32 else fine,
        unconditional=null_label is not None,
        info=info,
        device=device,
        # A "no class" at the end is no class; one in between is left out of those that latents draw from.
        classes=count - 1 if last else count,
        labels=() if last or null_label is None else tuple(k for k in range(count) if k != null_label),
        record={} if null_label is None else {"null_label": null_label},
        notices=(*noise.times.notices, *([latent] if files.decoder else [])),
    )


def _network(place: Path) -> Any:
    """The UNet2DModel of a folder, every weight of it from the file."""
    unet2d = diffusers_package().UNet2DModel
    try:
        unet, loading = unet2d.from_pretrained(
            str(place),
            torch_dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    except Exception as error:
        raise InputError(f"diffusers cannot read the network in {place}: {one_line(error)}.") from error
    for what in ("missing_keys", "unexpected_keys"):
        if loading[what]:  # diffusers would go on, with random numbers for those that are missing
            few = ", ".join(sorted(loading[what])[:3])
            raise InputError(
                f"The weights in {place} are not those of its config.json: {what.replace('_', ' ')} {few}.",
                hint="Save the model again.",
            )
    config = unet.config
    if config.out_channels not in (config.in_channels, 2 * config.in_channels):
        raise InputError(
            f"The network in {place} makes {config.out_channels} channels of {config.in_channels}.",
            hint="It must put out what it takes in; one that looks at a second image is no denoiser by itself.",
        )
    return unet.eval().requires_grad_(False)


def _classes(config: Any, null_label: int | None) -> int:
    """How many labels the network knows, `null_label` among them; 0 for an unconditional one."""
    count = config.num_class_embeds or 0
    if config.class_embed_type is not None:
        raise InputError(
            f"The network's config says class_embed_type = {config.class_embed_type!r}.",
            hint="artc reads networks whose classes are numbers: num_class_embeds, and class_embed_type null.",
        )
    if null_label is not None and (type(null_label) is not int or not 0 <= null_label < count):
        known = f"labels 0 to {count - 1}" if count else "no labels"
        raise InputError(f"The null_label {null_label!r} makes no sense: the network knows {known}.")
    return int(count)


def _called(unet: Any, count: int, null_label: int | None, dtype: torch.dtype) -> Network:
    """The network as adapters call it, computing in `dtype`; without classes it takes no labels."""

    def plain(z: Tensor, timestep: Tensor) -> Tensor:
        with torch.autocast(z.device.type, dtype, enabled=dtype is not torch.float32):
            raw: Tensor = unet(z.float(), timestep, return_dict=False)[0]
        return raw

    def conditional(z: Tensor, timestep: Tensor, labels: Tensor) -> Tensor:
        free = labels == NO_CLASS
        if null_label is None and bool(free.any()):
            raise InputError(
                "This network has no known label for 'no class', which guidance needs.",
                hint="If it was trained with one, load it with null_label=...; else compile it without guidance.",
            )
        classes = labels if null_label is None else labels.masked_fill(free, null_label)
        with torch.autocast(z.device.type, dtype, enabled=dtype is not torch.float32):
            raw: Tensor = unet(z.float(), timestep, class_labels=classes, return_dict=False)[0]
        return raw

    return conditional if count else plain

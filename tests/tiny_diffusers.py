"""Tiny diffusers pipelines, made and saved in a moment; whoever imports this is skipped where there is no diffusers."""

import json
import socket

import pytest
import torch

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed: pip install 'artc[diffusers]'")

CPU = torch.device("cpu")
WEIGHTS = "diffusion_pytorch_model.safetensors"
TINY = {
    "sample_size": 8,
    "in_channels": 2,
    "out_channels": 2,
    "block_out_channels": (8, 8),
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
PLAIN = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing here may reach for the network."""

    def refuse(*_):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def save(under, scheduler, **settings):
    """Save a tiny pipeline with this scheduler and network; returns its folder."""
    torch.manual_seed(3)
    unet = diffusers.UNet2DModel(**{**TINY, **PLAIN, **settings})
    diffusers.DDPMPipeline(unet=unet, scheduler=scheduler).save_pretrained(under / "tiny")
    return under / "tiny"


def ddpm(**settings):
    return diffusers.DDPMScheduler(clip_sample=False, **settings)


def unet_in(folder):
    return diffusers.UNet2DModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False).requires_grad_(False)


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def noisy(count=4, channels=2):
    return torch.randn((count, channels, 8, 8), generator=torch.Generator().manual_seed(4))

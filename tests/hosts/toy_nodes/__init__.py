"""Test-only nodes for ComfyUI: models whose denoiser is known, and a report that shows numbers exactly.

A model is a network in ComfyUI's own BaseModel and ModelPatcher, in one of its parametrisations. The network gives
whatever output turns into the exact denoiser of Gaussian data with another mean and spread in each channel,

    D(x; sigma) = m + v / (v + sigma^2) (x - m),        and for flow     D(x; s) = m + a v / (a^2 v + s^2) (x - a m),

a = 1 - s. Its calls are counted, and the sigma of each is remembered.
"""

import json
import os
import threading
import time

import comfy.model_management
import comfy.model_patcher
import comfy.supported_models_base
import comfy.utils
import torch
from comfy.model_base import BaseModel, ModelType

MEAN, STD = (0.5, -0.25, 0.0, 1.0), (0.5, 0.25, 1.0, 0.125)

KINDS = {
    "eps": (ModelType.EPS, {}),
    "v": (ModelType.V_PREDICTION, {}),
    "edm": (ModelType.EDM, {"sigma_data": 0.5}),
    "v_edm": (ModelType.V_PREDICTION_EDM, {}),
    "flow": (ModelType.FLOW, {"shift": 3.0}),
    "flux": (ModelType.FLUX, {"shift": 1.15}),
}


class Network(torch.nn.Module):
    dtype = torch.float32

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.sampling = kind, None
        self.mean = torch.nn.Parameter(torch.tensor(MEAN)[:, None, None])
        self.variance = torch.nn.Parameter(torch.tensor(STD)[:, None, None] ** 2)

    def forward(self, x, timesteps, **_):
        t = timesteps.reshape(-1, 1, 1, 1)
        if self.kind in {"flow", "flux"}:
            s = t / self.sampling[0].multiplier if self.kind == "flow" else t
            kept = 1 - s
            denoised = self.mean + kept * self.variance / (kept**2 * self.variance + s**2) * (x - kept * self.mean)
            return (x - denoised) / s
        sampling = self.sampling[0]
        sigma, data = sampling.sigma(t), sampling.sigma_data
        total = sigma**2 + data**2
        x = x * total**0.5
        denoised = self.mean + self.variance / (self.variance + sigma**2) * (x - self.mean)
        if self.kind == "eps":
            return (x - denoised) / sigma
        out = (denoised - x * data**2 / total) * total**0.5 / (sigma * data)
        return out if self.kind == "edm" else -out


class Gaussian(BaseModel):
    """Remembers of each call the sigma, as the sampler gave it, and the number of samples."""

    def apply_model(self, x, t, *others, **more):
        self.seen.append((t[0].item(), len(x)))
        return super().apply_model(x, t, *others, **more)


class ToyModel:
    """Every `salt` is a model of its own, whose calls are counted from zero."""

    INPUT_TYPES = classmethod(lambda _: {"required": {"kind": (list(KINDS),), "salt": ("STRING", {"default": ""})}})
    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "make", "toy"

    def make(self, kind, salt):
        model_type, settings = KINDS[kind]
        config = comfy.supported_models_base.BASE({"disable_unet_model_creation": True})
        config.sampling_settings = settings
        model = Gaussian(config, model_type)
        model.seen, model.diffusion_model = [], Network(kind)
        model.diffusion_model.sampling = [model.model_sampling]  # in a list, or it would become a part of the network
        device = comfy.model_management.get_torch_device()
        return (comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=device),)


class ToyConditioning:
    INPUT_TYPES = classmethod(lambda _: {"required": {}})
    RETURN_TYPES, FUNCTION, CATEGORY = ("CONDITIONING",), "make", "toy"

    def make(self):
        return ([[torch.zeros(1, 1, 8), {}]],)


class ToySigmas:
    """A grid from its numbers."""

    INPUT_TYPES = classmethod(lambda _: {"required": {"numbers": ("STRING", {"default": "[1, 0]"})}})
    RETURN_TYPES, FUNCTION, CATEGORY = ("SIGMAS",), "make", "toy"

    def make(self, numbers):
        return (torch.tensor(json.loads(numbers), dtype=torch.float32),)


class ToyLatent:
    """A latent with four channels that holds one value everywhere."""

    INPUT_TYPES = classmethod(
        lambda _: {
            "required": {
                "value": ("FLOAT", {"default": 0.0, "min": -100.0, "max": 100.0, "step": 0.001}),
                "size": ("INT", {"default": 2, "min": 1, "max": 1024}),
                "batch": ("INT", {"default": 1, "min": 1, "max": 4096}),
            }
        }
    )
    RETURN_TYPES, FUNCTION, CATEGORY = ("LATENT",), "make", "toy"

    def make(self, value, size, batch):
        return ({"samples": torch.full((batch, 4, size, size), value)},)


class ToyReport:
    """What came in, as JSON: every float at its full precision; what the model was asked so far."""

    INPUT_TYPES = classmethod(
        lambda _: {
            "required": {},
            "optional": {
                "sigmas": ("SIGMAS",),
                "latent": ("LATENT",),
                "model": ("MODEL",),
                "text": ("STRING", {"forceInput": True}),
            },
        }
    )
    RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = (), "report", "toy", True

    def report(self, sigmas=None, latent=None, model=None, text=None):
        found = {"text": text}
        if sigmas is not None:
            kind = [str(sigmas.dtype), str(sigmas.device), sigmas.ndim]
            found |= {"sigmas": sigmas.tolist(), "tensor": kind}
        if latent is not None:
            found |= {"samples": latent["samples"].tolist()}
        if model is not None:
            seen = model.model.seen
            found |= {"calls": len(seen), "seen": [sigma for sigma, _ in seen], "rows": sum(rows for _, rows in seen)}
        return {"ui": {"report": [json.dumps(found)]}}


class ToyCheckpoint:
    """Outputs as those of Load Checkpoint: a model that draws one picture, words that mean nothing, a decoder."""

    INPUT_TYPES = classmethod(lambda _: {"required": {}})
    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL", "CLIP", "VAE"), "load", "toy"

    def load(self):
        (patcher,) = ToyModel().make("eps", "dawn")
        network = patcher.model.diffusion_model
        network.mean, network.variance = torch.nn.Parameter(dawn(64)), torch.nn.Parameter(torch.tensor(0.02**2))
        return patcher, self, self

    tokenize = staticmethod(lambda text: text)
    encode_from_tokens_scheduled = staticmethod(lambda _: ToyConditioning().make()[0])

    @staticmethod
    def decode(samples):
        """Three channels as colours, eight pixels a value, as a VAE has it."""
        colours = (samples[:, :3] + 0.5).clamp(0, 1)
        return torch.nn.functional.interpolate(colours, scale_factor=8, mode="bilinear").movedim(1, -1)


def dawn(size):
    """A sky, a sun and a sea, (4, size, size), in -1/2 to 1/2."""
    down, right = torch.meshgrid(*2 * (torch.linspace(0, 1, size),), indexing="ij")
    sky = torch.stack([0.25 + 0.75 * down, 0.3 + 0.3 * down, 0.6 - 0.4 * down, 0 * down])
    sun = torch.sigmoid(40 * (0.14 - ((right - 0.6) ** 2 + (down - 0.62) ** 2) ** 0.5))
    sky = sky + sun * (torch.tensor([1.0, 0.85, 0.5, 0.0])[:, None, None] - sky)
    sea = torch.stack([0.1 + 0.3 * down, 0.15 + 0.2 * down, 0.35 + 0.1 * down, 0 * down])
    return torch.where(down < 0.68, sky, sea + 0.15 * torch.sin(90 * down**2) * sky) - 0.5


NODE_CLASS_MAPPINGS = {
    node.__name__: node for node in (ToyModel, ToyConditioning, ToySigmas, ToyLatent, ToyReport, ToyCheckpoint)
}


def _leave_with(parent: int) -> None:
    """End the server once the tests that started it are gone, however they went."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()

"""Test-only nodes for ComfyUI: models to compile for, one whose denoiser is known and one that is a real UNet.

The known one is Gaussian data around a mean that the prompt chooses, of another spread in each value of a sample,

    D(x; sigma, c) = c + v / (v + sigma^2) (x - c),    and for flow    D(x; s, c) = c + a v / (a^2 v + s^2) (x - a c),

a = 1 - s, in one of ComfyUI's parametrisations. The other is Stable Diffusion's UNet, small and with random weights.
"""

import time

import comfy.hooks
import comfy.model_management
import comfy.model_patcher
import comfy.supported_models
import comfy.supported_models_base
import torch
from comfy.model_base import BaseModel, ModelType

KINDS = {
    "eps": (ModelType.EPS, {}),
    "edm": (ModelType.EDM, {"sigma_data": 0.5}),
    "flow": (ModelType.FLOW, {"shift": 3.0}),
    "flux": (ModelType.FLUX, {"shift": 1.15}),
}
SPREAD = torch.linspace(0.05, 1.5, 4 * 2 * 2).reshape(4, 2, 2)


class Network(torch.nn.Module):
    dtype = torch.float32

    def __init__(self, kind: str, delay: float, scale: float) -> None:
        super().__init__()
        self.kind, self.delay, self.sampling = kind, delay, None
        self.variance = torch.nn.Parameter((scale * SPREAD) ** 2)

    def forward(self, x, timesteps, context, **_):
        time.sleep(self.delay)
        t, mean = timesteps.reshape(-1, 1, 1, 1), context[:, :1, :1, None]
        if self.kind in {"flow", "flux"}:
            s = t / self.sampling[0].multiplier if self.kind == "flow" else t
            kept = 1 - s
            denoised = mean + kept * self.variance / (kept**2 * self.variance + s**2) * (x - kept * mean)
            return (x - denoised) / s
        sigma, data = self.sampling[0].sigma(t), self.sampling[0].sigma_data
        total = sigma**2 + data**2
        x = x * total**0.5
        denoised = mean + self.variance / (self.variance + sigma**2) * (x - mean)
        if self.kind == "eps":
            return (x - denoised) / sigma
        return (denoised - x * data**2 / total) * total**0.5 / (sigma * data)


class Counted(BaseModel):
    """Remembers the rows of each call of its network."""

    def apply_model(self, x, *others, **more):
        self.rows.append(len(x))
        return super().apply_model(x, *others, **more)


def patcher(model):
    device = comfy.model_management.get_torch_device()
    return (comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=device),)


class CompileToy:
    """Every `salt` is a model of its own. `delay` is the least time of a call, in seconds; `scale` that of the data."""

    INPUT_TYPES = classmethod(
        lambda _: {
            "required": {
                "kind": (list(KINDS),),
                "delay": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 10.0, "step": 0.001}),
                "scale": ("FLOAT", {"default": 1.0, "min": 0.001, "max": 100.0, "step": 0.001}),
                "salt": ("STRING", {"default": ""}),
            }
        }
    )
    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "make", "toy"

    def make(self, kind, delay, scale, salt):
        model_type, settings = KINDS[kind]
        config = comfy.supported_models_base.BASE({"disable_unet_model_creation": True})
        config.sampling_settings = settings
        model = Counted(config, model_type)
        model.rows, model.diffusion_model = [], Network(kind, delay, scale)
        model.diffusion_model.sampling = [model.model_sampling]  # in a list, or it would become a part of the network
        return patcher(model)


class CompileTinySD:
    """Stable Diffusion 1's UNet, with ComfyUI's own classes: 1.4 million random weights."""

    INPUT_TYPES = classmethod(lambda _: {"required": {"salt": ("STRING", {"default": ""})}})
    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "make", "toy"

    def make(self, salt):
        config = comfy.supported_models.SD15(
            {
                "image_size": 32,
                "in_channels": 4,
                "out_channels": 4,
                "model_channels": 32,
                "num_res_blocks": 1,
                "channel_mult": (1, 2, 2),
                "num_heads": 4,
                "use_spatial_transformer": True,
                "transformer_depth": [1, 1, 0],
                "transformer_depth_output": [1, 1, 1, 1, 0, 0],
                "transformer_depth_middle": 1,
                "context_dim": 32,
                "legacy": False,
                "use_linear_in_transformer": False,
                "adm_in_channels": None,
                "use_temporal_attention": False,
                "dtype": torch.float32,
            }
        )
        model = BaseModel(config)
        generator = torch.Generator().manual_seed(0)
        for name, weight in model.diffusion_model.named_parameters():
            if weight.ndim > 1:
                weight.data = torch.randn(weight.shape, generator=generator) / weight[0].numel() ** 0.5
            else:
                weight.data = torch.full_like(weight, float(name.endswith("weight")))
        return patcher(model)


class CompilePrompt:
    """A prompt that is one number: the mean of what it makes. It may carry a hook whose strength changes on the way."""

    INPUT_TYPES = classmethod(
        lambda _: {
            "required": {"mean": ("FLOAT", {"default": 0.0, "min": -9.0, "max": 9.0, "step": 0.001})},
            "optional": {"width": ("INT", {"default": 32}), "keyframes": ("BOOLEAN", {"default": False})},
        }
    )
    RETURN_TYPES, FUNCTION, CATEGORY = ("CONDITIONING",), "make", "toy"

    def make(self, mean, width=32, keyframes=False):
        options = {}
        if keyframes:
            hook = comfy.hooks.WeightHook()
            hook.hook_keyframe.add(comfy.hooks.HookKeyframe(strength=0.5, start_percent=0.5))
            options["hooks"] = comfy.hooks.HookGroup()
            options["hooks"].add(hook)
        return ([[torch.full((1, 1, width), mean), options]],)


class CompileRows:
    """The rows of every call that the network of a model had so far, as text, once `after` is there."""

    INPUT_TYPES = classmethod(lambda _: {"required": {"model": ("MODEL",), "after": ("STRING", {"forceInput": True})}})
    RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = (), "report", "toy", True

    def report(self, model, after):
        return {"ui": {"rows": list(model.model.rows)}}


NODE_CLASS_MAPPINGS = {node.__name__: node for node in (CompileToy, CompileTinySD, CompilePrompt, CompileRows)}

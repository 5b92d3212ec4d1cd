"""Whole pipelines of diffusers with tiny random parts: no download, no text encoder unless asked for."""

import json

import torch

from tests.tiny_diffusers import TINY, diffusers

ATTENDING = {
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 6,
    "attention_head_dim": 4,
}
POOLED = {"addition_embed_type": "text_time", "addition_time_embed_dim": 4, "projection_class_embeddings_input_dim": 29}
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}


def embeddings(count=2, tokens=3, dim=6, pooled=None):
    generator = torch.Generator().manual_seed(6)
    made = {"prompt_embeds": torch.randn((count, tokens, dim), generator=generator)}
    negative = torch.randn((1, tokens, dim), generator=generator)
    made["negative_prompt_embeds"] = negative.expand(count, -1, -1)
    if pooled:
        made["pooled_prompt_embeds"] = torch.randn((count, pooled), generator=generator)
        made["negative_pooled_prompt_embeds"] = torch.randn((1, pooled), generator=generator).expand(count, -1)
    return made


def vae(latent_channels=4):
    torch.manual_seed(7)
    return diffusers.AutoencoderKL(
        block_out_channels=(4, 4),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=2,
        latent_channels=latent_channels,
    )


def image_to_image(pipe, kind):
    """The pipeline of this class with the same parts."""
    pipe.vae.register_to_config(shift_factor=0.0)  # pipelines of flows ask for one
    return quiet(getattr(diffusers, kind)(**pipe.components))


def quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe


def stable_diffusion(kind="StableDiffusionPipeline", scheduler=None, text=None):
    """Stable Diffusion with a UNet of 8 x 8 latents; `text` is a folder to write the tokenizer's vocabulary to."""
    torch.manual_seed(5)
    unet = diffusers.UNet2DConditionModel(**{**TINY, **ATTENDING})
    tokenizer, encoder = clip(text) if text else (None, None)
    return quiet(
        getattr(diffusers, kind)(
            vae=vae(),
            unet=unet,
            scheduler=scheduler or diffusers.EulerDiscreteScheduler(**SD, timestep_spacing="leading"),
            tokenizer=tokenizer,
            text_encoder=encoder,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    )


def stable_diffusion_xl(scheduler=None, text=None):
    torch.manual_seed(5)
    unet = diffusers.UNet2DConditionModel(**{**TINY, **ATTENDING, **POOLED})
    tokenizer, encoder = clip(text, projection=5) if text else (None, None)
    return quiet(
        diffusers.StableDiffusionXLPipeline(
            vae=vae(),
            unet=unet,
            scheduler=scheduler or diffusers.EulerDiscreteScheduler(**SD),
            tokenizer=None,
            text_encoder=None,
            tokenizer_2=tokenizer,
            text_encoder_2=encoder,
        )
    )


def clip(folder, projection=None):
    """A tokenizer that knows the letters a to z, and a text encoder of one layer and 6 numbers a token."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    letters = [chr(letter) for letter in range(ord("a"), ord("z") + 1)]
    entries = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({entry: k for k, entry in enumerate(entries)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=8)
    ends = {"bos_token_id": len(entries) - 2, "eos_token_id": len(entries) - 1, "pad_token_id": len(entries) - 1}
    config = CLIPTextConfig(
        vocab_size=len(entries),
        hidden_size=6,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=8,
        projection_dim=projection or 5,
        **ends,
    )
    torch.manual_seed(8)
    return tokenizer, (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def flux(scheduler=None):
    torch.manual_seed(9)
    transformer = diffusers.FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=6,
        pooled_projection_dim=5,
        axes_dims_rope=(4, 2, 2),
    )
    texts = dict.fromkeys(("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"))
    return quiet(
        diffusers.FluxPipeline(
            scheduler=scheduler or diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
            vae=vae(),
            transformer=transformer,
            **texts,
        )
    )


def stable_diffusion_3(scheduler=None):
    torch.manual_seed(10)
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8,
        patch_size=1,
        in_channels=4,
        num_layers=1,
        attention_head_dim=4,
        num_attention_heads=2,
        joint_attention_dim=6,
        caption_projection_dim=8,
        pooled_projection_dim=5,
        out_channels=4,
    )
    names = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3")
    return quiet(
        diffusers.StableDiffusion3Pipeline(
            scheduler=scheduler or diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=vae(),
            transformer=transformer,
            **dict.fromkeys(names),
        )
    )

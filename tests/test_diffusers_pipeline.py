import numpy as np
import pytest
import torch

import artc
from artc.errors import InputError
from artc.models.diffusers.pipeline import from_pipeline
from artc.models.guidance import guided
from artc.models.score_model import NO_CLASS, Probe
from tests.integrations.tiny_pipelines import ATTENDING, POOLED, SD
from tests.tiny_diffusers import PLAIN, TINY, ddpm, diffusers, noisy, offline  # noqa: F401  # offline works by being here

# Raised inside diffusers, by its own code.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers.*")


def scheduler_of_sd(**settings):
    return diffusers.EulerDiscreteScheduler(**SD, timestep_spacing="trailing", **settings)


@pytest.fixture(scope="module")
def tiny_vae():
    return diffusers.AutoencoderKL(
        block_out_channels=(4, 4),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=2,
        latent_channels=4,
    )


@pytest.fixture
def sd(tiny_vae):
    """A whole Stable Diffusion pipeline without text encoders; SDXL's with `pooled`."""
    pytest.importorskip("transformers", reason="pipelines of diffusers need transformers")

    def of(pooled=False, scheduler=None, **settings):
        torch.manual_seed(5)
        network = diffusers.UNet2DConditionModel(**{**TINY, **ATTENDING, **(POOLED if pooled else {}), **settings})
        parts = {"vae": tiny_vae, "unet": network, "scheduler": scheduler or scheduler_of_sd()}
        parts |= {"tokenizer": None, "text_encoder": None}
        if pooled:
            pipe = diffusers.StableDiffusionXLPipeline(**parts, tokenizer_2=None, text_encoder_2=None)
        else:
            pipe = diffusers.StableDiffusionPipeline(
                **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
            )
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return of


@pytest.fixture(scope="module")
def prompts():
    generator = torch.Generator().manual_seed(6)
    shapes = {
        "prompt_embeds": (2, 3, 6),
        "negative_prompt_embeds": (1, 3, 6),
        "pooled_prompt_embeds": (2, 5),
        "negative_pooled_prompt_embeds": (1, 5),
    }
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def text_of(prompts):
    return {name: tensor for name, tensor in prompts.items() if "pooled" not in name}


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_each_latent_is_denoised_as_its_prompt(prediction, sd, prompts):
    pipe = sd(scheduler=scheduler_of_sd(prediction_type=prediction))
    model = from_pipeline(pipe, **text_of(prompts))
    info, x, sigma = model.info, 4 * noisy(3, channels=4), 4.0
    assert (info.shape, info.conditioning, model.classes) == ((4, 8, 8), "text", 2)
    assert (info.sigma_min, info.sigma_max) == pytest.approx((0.029167, 14.614641), rel=1e-4)
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alphas = np.cumprod(1 - betas)
    timestep = torch.tensor([np.interp(np.log(4.0), np.log((1 - alphas) / alphas) / 2, np.arange(1000))])
    labels = torch.tensor([1, 0, NO_CLASS])
    found = Probe(model)(x, sigma, labels=labels)
    texts = [prompts["prompt_embeds"][1], prompts["prompt_embeds"][0], prompts["negative_prompt_embeds"][0]]
    for k in range(3):
        given = x[k : k + 1] / 17**0.5
        with torch.no_grad():
            raw = pipe.unet(given, timestep, encoder_hidden_states=texts[k][None]).sample
        expected = x[k : k + 1] - 4 * raw if prediction == "epsilon" else (given - 4 * raw) / 17**0.5
        torch.testing.assert_close(found[k : k + 1], expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("pooled", [False, True], ids=["sd", "sdxl"])
def test_one_guided_step_of_the_pipeline_itself_ends_where_d_says(pooled, sd, prompts):
    pipe, latents = sd(pooled=pooled), noisy(2, channels=4)
    given = prompts if pooled else text_of(prompts)
    repeated = {name: t.expand(2, *t.shape[1:]) if "negative" in name else t for name, t in given.items()}
    model = from_pipeline(pipe, **repeated)
    # One Euler step from sigma_max to 0 is D itself.
    answer = pipe(
        **repeated, latents=latents.clone(), num_inference_steps=1, guidance_scale=3.0, output_type="latent"
    ).images
    sigma = float(pipe.scheduler.sigmas[0])
    field = guided(model.denoiser, 3.0)
    with torch.no_grad():
        found = field(latents * sigma, torch.full((2,), sigma), labels=torch.tensor([0, 1]))
    assert sigma == pytest.approx(model.info.sigma_max, rel=1e-6)
    torch.testing.assert_close(found, answer, rtol=1e-5, atol=1e-5 * float(answer.abs().max()))


def test_a_pipeline_says_what_it_is(sd, prompts):
    pipe = sd()
    model = from_pipeline(pipe, **text_of(prompts), height=32, width=48, name="tiny")
    assert (model.info.shape, model.info.name, model.info.source) == ((4, 16, 24), "tiny", "pipeline:tiny")
    assert (model.record["prompts"], model.record["height"], model.record["width"]) == (2, 32, 48)
    again = from_pipeline(pipe, **text_of(prompts))
    assert (again.info.sha256, again.record["prompts_sha256"]) == (model.info.sha256, model.record["prompts_sha256"])
    pipe.unet.conv_in.bias.data[0] += 1
    other = from_pipeline(pipe, prompt_embeds=prompts["prompt_embeds"])
    assert other.info.sha256 != model.info.sha256
    assert other.record["prompts_sha256"] != model.record["prompts_sha256"]
    assert other.info.name == "StableDiffusionPipeline"


def test_guidance_needs_a_negative_prompt(sd, prompts):
    model = from_pipeline(sd(), prompt_embeds=prompts["prompt_embeds"])
    with pytest.raises(InputError, match="Guidance needs negative_prompt_embeds"):
        Probe(model)(noisy(1, channels=4), 1.0, labels=torch.tensor([NO_CLASS]))


@pytest.mark.parametrize(
    ("settings", "arguments", "complaint"),
    [
        ({"in_channels": 9}, {}, "has another number of channels out than in"),
        ({"num_class_embeds": 3}, {}, "has classes"),
        ({"time_cond_proj_dim": 4}, {}, "has guidance distilled into it"),
        ({}, {"height": 33}, "33 x 16 has no latents. Give multiples of 2"),
        ({}, {"prompt_embeds": torch.zeros((3, 6))}, r"must be \(prompts, tokens, dim\)"),
        ({}, {"negative_prompt_embeds": torch.zeros((1, 4, 6))}, "Give one negative prompt, embedded to as many"),
        ({}, {"negative_prompt_embeds": torch.arange(36.0).reshape(2, 3, 6)}, "is not one for all of prompt_embeds"),
        ({}, {"pooled_prompt_embeds": torch.zeros((2, 5))}, "takes no pooled_prompt_embeds"),
        ({"pooled": True}, {}, "needs pooled_prompt_embeds"),
        ({"pooled": True}, {"pooled_prompt_embeds": torch.zeros((2, 5))}, "as many pooled_prompt_embeds as prompt"),
        (
            {"pooled": True},
            {"pooled_prompt_embeds": torch.zeros((2, 6)), "negative_pooled_prompt_embeds": torch.zeros((1, 6))},
            "adds 29 numbers to a prompt, not 30",
        ),
    ],
)
def test_a_pipeline_that_needs_something_else_is_refused(settings, arguments, complaint, sd, prompts):
    with pytest.raises(InputError, match=complaint):
        from_pipeline(sd(**settings), **{**text_of(prompts), **arguments})


def test_one_negative_prompt_is_one_though_a_batch_rounds_its_rows_differently(sd, prompts):
    pipe, text = sd(), text_of(prompts)
    negative = text["negative_prompt_embeds"][:1]
    rounded = torch.cat([negative, negative * (1 + torch.finfo(torch.float32).eps)])
    assert not torch.equal(rounded[:1], rounded[1:])
    label = torch.tensor([NO_CLASS])
    x = noisy(1, channels=4)
    expected = Probe(from_pipeline(pipe, **{**text, "negative_prompt_embeds": negative}))(x, 1.0, labels=label)
    made = Probe(from_pipeline(pipe, **{**text, "negative_prompt_embeds": rounded}))(x, 1.0, labels=label)
    assert torch.equal(made, expected)


def test_another_kind_of_pipeline_is_refused(prompts):
    pipe = diffusers.DDPMPipeline(unet=diffusers.UNet2DModel(**TINY, **PLAIN), scheduler=ddpm())
    with pytest.raises(InputError, match="DDPMPipeline has no UNet2DConditionModel with a VAE"):
        from_pipeline(pipe, **text_of(prompts))


def test_a_stable_diffusion_pipeline_is_compiled_with_its_prompts_and_guidance(sd, prompts, tmp_path):
    model = from_pipeline(sd(), **text_of(prompts))
    quick = {"solver": "euler", "method": "closed-form", "trajectories": 8}
    artifact = artc.compile(model, nfe=[6], guidance=3.0, **quick)
    artifact.save(tmp_path / "sd.art.json")
    made = artc.load(tmp_path / "sd.art.json")
    assert (made.model.conditioning, made.model.shape, made.model.guidance.scale) == ("text", (4, 8, 8), 3.0)
    assert made.schedules[0].steps == 3  # each guided value takes two calls
    assert made.model.sigma_min <= made.schedules[0].sigmas[-2] < made.sigmas(nfe=6)[0] == made.model.sigma_max
    alone = from_pipeline(sd(), prompt_embeds=prompts["prompt_embeds"])
    with pytest.raises(InputError, match="never trained without a class"):
        artc.compile(alone, nfe=[6], guidance=3.0, **quick)

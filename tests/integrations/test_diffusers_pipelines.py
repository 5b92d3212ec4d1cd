"""Compiled grids in whole pipelines: what the network is told, where the samples end, saving, and image to image."""

import copy
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from artc.errors import BudgetError, InputError
from artc.integrations.diffusers import scheduled, sigmas_for
from tests.integrations.diffusers_loops import FLOW_GRID, SD, artifact_of, dpmpp_2m, euler, heun, nodes, unipc
from tests.integrations.tiny_pipelines import (
    embeddings,
    flux,
    image_to_image,
    stable_diffusion,
    stable_diffusion_3,
    stable_diffusion_xl,
)
from tests.tiny_diffusers import diffusers, offline  # noqa: F401  # offline works by being here

pytest.importorskip("transformers", reason="pipelines of diffusers need transformers")
# Raised inside diffusers, by its own code.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers.*")

LOOPS = {"euler": euler, "heun": heun, "dpmpp_2m": dpmpp_2m, "unipc": unipc}


def with_scheduler(pipe, name, artifact, **chosen):
    """The same pipeline with a compiled scheduler; UniPC is not the first choice for its solver."""
    if name == "unipc":
        pipe.scheduler = diffusers.UniPCMultistepScheduler.from_config(pipe.scheduler.config)
    solver = "dpmpp_2m" if name == "unipc" else name
    pipe.scheduler = scheduled(pipe.scheduler, artifact, solver=solver, **chosen)
    return pipe


def counted(network):
    """The timesteps that a network is told, one for each call."""
    told = []
    network.register_forward_pre_hook(
        lambda _, args, kwargs: told.append((args[1:] or [kwargs.get("timestep")])[0]), with_kwargs=True
    )
    return told


def guided(pipe, texts, scale):
    """D(x; sigma) of the pipeline's own network under guidance, by hand."""
    alphas = pipe.scheduler.alphas_cumprod.double().numpy()
    logs = np.log((1 - alphas) / alphas) / 2
    count = len(texts["prompt_embeds"])
    both = torch.cat([texts["negative_prompt_embeds"], texts["prompt_embeds"]]).to(pipe.unet.dtype)

    def denoised(x, sigma):
        t = torch.tensor(np.interp(np.log(sigma), logs, np.arange(1000)))
        given = torch.cat([x, x]) / (1 + sigma**2) ** 0.5
        with torch.no_grad():
            free, bound = pipe.unet(given, t, encoder_hidden_states=both).sample.split(count)
        return x - sigma * (free + scale * (bound - free))

    return denoised


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("name", LOOPS)
def test_stable_diffusion_ends_where_the_loop_by_hand_ends(name, steps):
    sigmas, texts = nodes(steps), embeddings()
    pipe = with_scheduler(stable_diffusion(), name, artifact_of(sigmas)).to(torch.float64)
    told = counted(pipe.unet)
    unit = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    call = {"num_inference_steps": steps, "guidance_scale": 3.0, "output_type": "latent"}
    texts = {key: tensor.double() for key, tensor in texts.items()}
    found = pipe(**texts, latents=unit.clone(), **call).images
    calls = len(told)
    expected = LOOPS[name](guided(pipe, texts, 3.0), unit * sigmas[0], sigmas)
    assert calls == (2 * steps - 1 if name == "heun" else steps)
    assert float((found - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    # A second picture with the same scheduler is the same picture.
    assert torch.equal(pipe(**texts, latents=unit.clone(), **call).images, found)


@pytest.mark.parametrize("strength", [1.0, 0.75, 0.5, 0.3])
@pytest.mark.parametrize("name", LOOPS)
def test_image_to_image_walks_the_tail_of_the_compiled_grid(name, strength):
    sigmas, texts, steps = nodes(7), embeddings(), 7
    pipe = with_scheduler(stable_diffusion("StableDiffusionImg2ImgPipeline"), name, artifact_of(sigmas))
    pipe = pipe.to(torch.float64)
    texts = {key: tensor.double() for key, tensor in texts.items()}
    image = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    told = counted(pipe.unet)
    found = pipe(
        **texts,
        image=image,
        strength=strength,
        num_inference_steps=steps,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(3),
        output_type="latent",
    ).images
    kept = int(steps * strength)
    tail = sigmas[steps - kept :]
    assert len(told) == (2 * kept - 1 if name == "heun" else kept)
    noise = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    expected = LOOPS[name](guided(pipe, texts, 3.0), image + tail[0] * noise, tail)
    assert float((found - expected).abs().max()) < 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize("name", LOOPS)
def test_a_pipeline_is_saved_and_loaded_with_its_grids_bit_for_bit(name, tmp_path):
    artifact = artifact_of(nodes(3), nodes(5))
    pipe = with_scheduler(stable_diffusion(text=tmp_path), name, artifact, resample=name == "heun")
    pipe.save_pretrained(tmp_path / "pipe")
    index = json.loads((tmp_path / "pipe" / "model_index.json").read_text())
    assert index["scheduler"] == ["artc.integrations.diffusers", type(pipe.scheduler).__name__]
    again = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "pipe")
    again.set_progress_bar_config(disable=True)
    assert type(again.scheduler) is type(pipe.scheduler)
    assert again.scheduler.config["art"] == pipe.scheduler.config["art"]
    assert again.scheduler.config.art["digest"] == artifact.digest
    solver = "dpmpp_2m" if name == "unipc" else name
    held = {each["steps"]: tuple(each["sigmas"]) for each in again.scheduler.config.art["schedules"]}
    assert held == {each.steps: each.sigmas for each in artifact.schedules if each.solver == solver}
    for steps in (3, 5, *([4] if name == "heun" else [])):
        call = {"num_inference_steps": steps, "output_type": "latent"}
        seeded = [torch.Generator().manual_seed(4) for _ in range(2)]
        found = [p("a cat", **call, generator=g).images for p, g in zip((pipe, again), seeded, strict=True)]
        assert torch.equal(*found)
        assert torch.equal(pipe.scheduler.sigmas, again.scheduler.sigmas)
        assert torch.equal(pipe.scheduler.timesteps, again.scheduler.timesteps)


LOADING = """
import sys, warnings
warnings.simplefilter("ignore")
from diffusers import DiffusionPipeline
try:
    DiffusionPipeline.from_pretrained(sys.argv[1])
except ValueError as error:
    assert "import artc.integrations.diffusers before" in str(error), error
import artc.integrations.diffusers
scheduler = DiffusionPipeline.from_pretrained(sys.argv[1]).scheduler
scheduler.set_timesteps(3)
print(type(scheduler).__name__, scheduler.sigmas.tolist())
"""


def test_a_new_process_loads_it_once_the_module_is_imported(tmp_path):
    pipe = with_scheduler(stable_diffusion(text=tmp_path), "dpmpp_2m", artifact_of(nodes(3)))
    pipe.save_pretrained(tmp_path / "pipe")
    done = subprocess.run(
        [sys.executable, "-c", LOADING, str(tmp_path / "pipe")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    pipe.scheduler.set_timesteps(3)
    assert done.stdout.strip() == f"ArtDPMSolverMultistepScheduler {pipe.scheduler.sigmas.tolist()}"


@pytest.mark.parametrize("name", LOOPS)
def test_a_scheduler_is_copied_and_pickled_like_any_other(name):
    made = with_scheduler(stable_diffusion(), name, artifact_of(nodes(3))).scheduler
    made.set_timesteps(3)
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made)), type(made).from_config(made.config)):
        other.set_timesteps(3)
        assert torch.equal(other.sigmas, made.sigmas)
        assert type(other) is type(made)


def test_the_way_back_to_a_scheduler_of_diffusers_is_its_own():
    made = with_scheduler(stable_diffusion(), "heun", artifact_of(nodes(3))).scheduler
    plain = diffusers.EulerDiscreteScheduler.from_config(made.config)
    plain.set_timesteps(10)
    assert len(plain.timesteps) == 10
    assert plain.config.timestep_spacing == "leading"


def test_a_number_of_steps_without_a_grid_ends_the_call_with_a_sentence():
    pipe = with_scheduler(stable_diffusion(), "euler", artifact_of(nodes(3)))
    with pytest.raises(BudgetError, match=r"walks grids of 3 steps.* 50 were asked for\."):
        pipe(**embeddings())


def test_sdxl_takes_the_list_of_euler_and_walks_the_same_as_a_compiled_scheduler():
    sigmas, texts = nodes(4), embeddings(pooled=5)
    artifact = artifact_of(sigmas)
    call = {"guidance_scale": 3.0, "output_type": "latent", "height": 16, "width": 16}
    # With another spacing diffusers starts Euler from sqrt(sigma_0^2 + 1) instead of sigma_0.
    pipe = stable_diffusion_xl(diffusers.EulerDiscreteScheduler(**SD, timestep_spacing="trailing"))
    first = pipe(
        **texts, **call, generator=torch.Generator().manual_seed(5), sigmas=sigmas_for(pipe.scheduler, artifact, nfe=4)
    ).images
    pipe.scheduler = scheduled(pipe.scheduler, artifact, nfe=4)
    second = pipe(**texts, **call, generator=torch.Generator().manual_seed(5), num_inference_steps=4).images
    assert pipe.scheduler.sigmas.tolist() == np.asarray(sigmas, dtype=np.float32).tolist()
    torch.testing.assert_close(second, first, rtol=1e-4, atol=1e-4 * float(first.abs().max()))


def mu_of(pipe, length):
    """The mu that pipelines of Flux and SD3 compute for so many tokens of the image."""
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    config = pipe.scheduler.config
    return calculate_shift(
        length, config.base_image_seq_len, config.max_image_seq_len, config.base_shift, config.max_shift
    )


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize(("make", "tokens"), [(flux, 16), (stable_diffusion_3, 64)], ids=["flux", "sd3"])
def test_flux_and_sd3_walk_the_compiled_flow_whatever_the_shift(make, tokens, dynamic):
    settings = {"shift": 3.0, "use_dynamic_shifting": dynamic}
    texts = embeddings(pooled=5)
    if make is flux:
        texts = {key: tensor for key, tensor in texts.items() if "negative" not in key}
    for steps in (1, 4):
        sigmas = nodes(steps, FLOW_GRID)
        artifact = artifact_of(sigmas, domain="flow")
        pipe = make(diffusers.FlowMatchEulerDiscreteScheduler(**settings))
        call = {"height": 16, "width": 16, "output_type": "latent"}
        seed = lambda: torch.Generator().manual_seed(6)  # noqa: E731
        told = counted(pipe.transformer)
        first = pipe(**texts, **call, num_inference_steps=steps, generator=seed())
        own = pipe.scheduler.sigmas.tolist()
        listed = sigmas_for(pipe.scheduler, artifact, nfe=steps, mu=mu_of(pipe, tokens) if dynamic else None)
        second = pipe(**texts, **call, num_inference_steps=steps, sigmas=listed, generator=seed()).images
        assert pipe.scheduler.sigmas.tolist() == pytest.approx(sigmas, rel=3e-7)
        pipe.scheduler = scheduled(pipe.scheduler, artifact, nfe=steps)
        before = len(told)
        third = pipe(**texts, **call, num_inference_steps=steps, generator=seed()).images
        assert pipe.scheduler.sigmas.tolist() == np.asarray(sigmas, dtype=np.float32).tolist()
        assert len(told) - before == steps
        torch.testing.assert_close(third, second, rtol=1e-4, atol=1e-5)
        assert steps == 1 or (own != pytest.approx(sigmas, rel=1e-2) and not torch.allclose(first.images, third))
        pipe.scheduler = scheduled(pipe.scheduler, artifact, solver="heun")
        before = len(told)
        pipe(**texts, **call, num_inference_steps=steps, generator=seed())
        assert len(told) - before == 2 * steps - 1


@pytest.mark.parametrize("strength", [1.0, 0.75, 0.5])
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize(
    ("make", "kind"),
    [(flux, "FluxImg2ImgPipeline"), (stable_diffusion_3, "StableDiffusion3Img2ImgPipeline")],
    ids=["flux", "sd3"],
)
def test_image_to_image_of_flows_walks_the_tail_of_the_compiled_flow(make, kind, dynamic, strength):
    sigmas, steps = nodes(7, FLOW_GRID), 7
    pipe = image_to_image(make(diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=dynamic)), kind)
    pipe.scheduler = scheduled(pipe.scheduler, artifact_of(sigmas, domain="flow"), solver="euler")
    texts = {key: tensor for key, tensor in embeddings(pooled=5).items() if "negative" not in key}
    image = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(2))
    seen = []
    pipe.transformer.register_forward_hook(
        lambda _, args, kwargs, out: seen.append((kwargs["hidden_states"], float(kwargs["timestep"][0]), out[0])),
        with_kwargs=True,
    )
    call = {"height": 16, "width": 16, "num_inference_steps": steps, "guidance_scale": 1.0, "output_type": "latent"}
    found = pipe(**texts, **call, image=image, strength=strength, generator=torch.Generator().manual_seed(3)).images
    tail = sigmas[int(steps - steps * strength) :]  # these pipelines round the other way than Stable Diffusion's
    noise = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(3))
    x = (1 - tail[0]) * image + tail[0] * noise
    x = pipe._pack_latents(x, 2, 4, 8, 8) if make is flux else x
    assert [t for _, t, _ in seen] == pytest.approx([s * (1 if make is flux else 1000) for s in tail[:-1]])
    for (given, _, slope), s, after in zip(seen, tail, tail[1:], strict=False):
        torch.testing.assert_close(given, x, rtol=0, atol=2e-6)
        x = x + (after - s) * slope
    torch.testing.assert_close(found, x, rtol=0, atol=2e-6)


def test_image_to_image_of_sd3_with_heun_walks_the_tail_too_and_that_of_flux_is_refused():
    """Flux sends sigmas, and takes the number of timesteps that it gets for the number of steps."""
    artifact, texts = artifact_of(nodes(7, FLOW_GRID), domain="flow"), embeddings(pooled=5)
    call = {"image": torch.zeros((2, 4, 8, 8)), "num_inference_steps": 7, "output_type": "latent"}
    pipe = image_to_image(stable_diffusion_3(), "StableDiffusion3Img2ImgPipeline")
    pipe.scheduler = scheduled(pipe.scheduler, artifact, solver="heun")
    told = counted(pipe.transformer)
    assert torch.isfinite(pipe(**texts, **call, height=16, width=16, strength=0.5).images).all()
    told = [float(t[0]) / 1000 for t in told]
    kept = nodes(7, FLOW_GRID)[3:-1]
    assert told == pytest.approx([kept[0], *np.repeat(kept[1:], 2)])
    pipe = image_to_image(flux(), "FluxImg2ImgPipeline")
    pipe.scheduler = scheduled(pipe.scheduler, artifact, solver="heun")
    del texts["negative_prompt_embeds"], texts["negative_pooled_prompt_embeds"]
    with pytest.raises(InputError, match="takes the 13 calls of Heun for as many steps"):
        pipe(**texts, **call, height=16, width=16, strength=0.5)
    assert len(pipe(**texts, **call, height=16, width=16, strength=1.0).images) == 2

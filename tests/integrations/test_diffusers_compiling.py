"""From a pipeline and prompts to an artifact and a picture, and the example of the README."""

import functools
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import artc
from artc.errors import InputError
from artc.integrations.diffusers import compile_pipeline, scheduled
from tests.integrations.diffusers_loops import SD, artifact_of, nodes
from tests.integrations.tiny_pipelines import embeddings, flux, stable_diffusion, stable_diffusion_xl
from tests.tiny_diffusers import diffusers, offline  # noqa: F401  # offline works by being here

pytest.importorskip("transformers", reason="pipelines of diffusers need transformers")
# Raised inside diffusers, by its own code.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers.*")

README = Path(__file__).parents[2] / "integrations" / "diffusers" / "README.md"
QUICK = {"method": "closed-form", "trajectories": 8, "nodes": 16, "checks": 2, "teacher_steps": 2, "refine": False}
"""A compilation of a moment, whose result is good for nothing."""
PROMPTS = ["a cat", "a tree", "a hat"]


def by_hand(pipe, prompts, **arguments):
    """What `artc.from_pipeline` is given by somebody who encodes the prompts himself, all at once."""
    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    with torch.no_grad():
        found = pipe.encode_prompt(prompts, device="cpu", num_images_per_prompt=1, **arguments)
    return {name: tensor for name, tensor in zip(names, found, strict=False) if tensor is not None}


@pytest.fixture
def asked(monkeypatch):
    """What `artc.compile` is asked for, instead of compiling it: the model and the arguments."""
    monkeypatch.setattr(artc, "compile", lambda model, **arguments: (model, arguments), raising=False)


@pytest.mark.parametrize("make", [stable_diffusion, stable_diffusion_xl], ids=["sd", "sdxl"])
@pytest.mark.parametrize("negative", [None, "a dog"])
def test_it_compiles_what_the_pipeline_makes_of_the_prompts(make, negative, tmp_path, asked):
    pipe = make(text=tmp_path)
    model, arguments = compile_pipeline(pipe, PROMPTS, nfe=[4], guidance=3.0, negative_prompt=negative, seed=7)
    assert (arguments["nfe"], arguments["guidance"], arguments["seed"]) == ([4], 3.0, 7)
    assert arguments["solver"] == "euler"  # what the pipeline's scheduler walks
    given = None if negative is None else [negative] * 3
    embeds = by_hand(pipe, PROMPTS, do_classifier_free_guidance=True, negative_prompt=given)
    expected = artc.from_pipeline(pipe, **embeds)
    x, sigma, labels = torch.randn((4, 4, 8, 8)), torch.full((4,), 2.0), torch.tensor([0, 1, 2, -1])
    with torch.no_grad():
        torch.testing.assert_close(model.denoiser(x, sigma, labels), expected.denoiser(x, sigma, labels))
    assert model.record["prompts"] == 3
    other, _ = compile_pipeline(pipe, PROMPTS, nfe=[4], guidance=3.0, negative_prompt="a pig")
    with torch.no_grad():
        changed = (other.denoiser(x, sigma, labels) != model.denoiser(x, sigma, labels)).flatten(1).any(dim=1)
    assert changed.tolist() == [False, False, False, True]


def test_guidance_of_one_and_less_is_none_as_in_the_pipeline(tmp_path, asked):
    pipe = stable_diffusion(text=tmp_path)
    model, arguments = compile_pipeline(pipe, "a cat", nfe=2, solver=["euler", "heun"], guidance=1.0)
    assert (arguments["guidance"], arguments["solver"], model.unconditional) == (None, ("euler", "heun"), False)
    embeds = by_hand(pipe, ["a cat"], do_classifier_free_guidance=False)
    bare, _ = compile_pipeline(pipe, **embeds, nfe=2, height=32, name="x")
    assert (bare.info.name, bare.info.shape) == ("x", (4, 16, 8))
    assert bare.record["prompts_sha256"] == model.record["prompts_sha256"]


def test_progress_is_shown_in_the_bars_of_the_pipeline(monkeypatch):
    pipe, bars = stable_diffusion(), []

    class Bar:
        def __init__(self, total):
            self.total, self.n, self.closed = total, 0, False
            bars.append(self)

        def set_description(self, text):
            assert all(bar.closed for bar in bars[:-1])
            self.text = text

        def update(self, count):
            self.n += count

        def close(self):
            self.closed = True

    monkeypatch.setattr(pipe, "progress_bar", Bar)
    given = {"prompt_embeds": embeddings()["prompt_embeds"], "nfe": 1, **QUICK}
    compile_pipeline(pipe, **given)
    assert [bar.text for bar in bars] == ["trajectories", "distilling", "checking"]
    assert all(bar.closed and bar.n == bar.total for bar in bars)
    bars.clear()
    seen = []
    compile_pipeline(pipe, **given, on_update=seen.append)
    assert bars == []
    assert {update.stage for update in seen} == {"trajectories", "distilling", "checking"}


@pytest.mark.parametrize(
    ("make", "arguments", "complaint"),
    [
        (stable_diffusion, {"prompts": "a cat"}, "StableDiffusionPipeline has no text encoder. Give it prompt_embeds"),
        (stable_diffusion, {}, "What is to be drawn? Give prompts or prompt_embeds, one of them"),
        (stable_diffusion, {"prompts": ["a"], **embeddings()}, "What is to be drawn?"),
        (
            stable_diffusion,
            {"prompts": ["a"], "negative_prompt_embeds": embeddings()["negative_prompt_embeds"]},
            "Give prompts, or embeddings ready made; a negative prompt in the same way.",
        ),
        (stable_diffusion, {**embeddings(), "negative_prompt": "a dog"}, "a negative prompt in the same way."),
        (stable_diffusion, {"prompts": ["a", 5]}, "A prompt is a text, not int."),
        (stable_diffusion, {"prompts": 5}, "A prompt is a text, not int."),
        (stable_diffusion, {**embeddings(), "guidance": "7.5"}, "The guidance scale must be a number, not '7.5'."),
        (
            stable_diffusion,
            {"prompt_embeds": embeddings()["prompt_embeds"], "trajectory": 3},
            "ScoreModel states its trajectory",
        ),
        (flux, {"prompts": "a cat"}, "FluxPipeline has no UNet2DConditionModel"),
        (type("Pipeline", (), {"unet": object()}), {"prompts": "a cat"}, "Pipeline has no UNet2DConditionModel"),
    ],
)
def test_what_it_cannot_compile_is_refused(make, arguments, complaint):
    with pytest.raises(InputError, match=re.escape(complaint)):
        compile_pipeline(make(), **arguments, nfe=2)


def test_a_pipeline_whose_scheduler_walks_no_grid_needs_the_solver(tmp_path, asked):
    pipe = stable_diffusion(scheduler=diffusers.PNDMScheduler(**SD, steps_offset=1, skip_prk_steps=True), text=tmp_path)
    with pytest.raises(InputError, match="PNDMScheduler walks no compiled grid"):
        compile_pipeline(pipe, PROMPTS, nfe=2)
    with pytest.raises(InputError, match="There are no prompts"):
        compile_pipeline(pipe, [], nfe=2, solver="heun")
    model, arguments = compile_pipeline(pipe, PROMPTS, nfe=3, solver="heun")
    # And once it has another, with that.
    pipe.scheduler = scheduled(pipe.scheduler, artifact_of(nodes(2)), solver="heun")
    again, arguments = compile_pipeline(pipe, PROMPTS, nfe=3)
    assert arguments["solver"] == "heun"
    assert again.info == model.info


def test_the_example_of_the_readme_runs_and_leaves_its_files(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line]) <= 10
    monkeypatch.chdir(tmp_path)
    stable_diffusion(text=tmp_path).save_pretrained("my-model")
    # As it stands it compiles for minutes on a processor; the numbers are not the point here.
    monkeypatch.setattr(artc, "compile", functools.partial(artc.compile, **QUICK), raising=False)
    names = {}
    exec(code, names)
    assert names["image"].size == (16, 16)
    assert Path("cat.png").is_file()
    held = artc.load("my.art.json").schedules[0]
    assert (held.solver, held.nfe, held.steps) == ("dpmpp_2m", 16, 8)
    again = diffusers.StableDiffusionPipeline.from_pretrained("my-model-in-8-steps").scheduler
    again.set_timesteps(8)
    assert again.sigmas.tolist() == torch.tensor(held.sigmas).tolist()


def test_the_readme_says_what_the_tables_say():
    from artc.integrations.diffusers.kinds import KINDS

    text = README.read_text(encoding="utf-8")
    for kind in KINDS.values():
        row = next(
            line
            for line in text.splitlines()
            if line.startswith("|") and f"`{kind.name.removesuffix('Scheduler')}`" in line
        )
        assert all(replace(kind, order=order).solver in row.split("|")[2] for order in (2, 3))
        assert ("2 N - 1" in row) == (kind.solver == "heun")
    assert all((README.parent / link).exists() for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text))

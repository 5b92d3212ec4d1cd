import hashlib
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from artc.errors import DeviceError, InputError
from artc.models.diffusers.folder import load_folder
from artc.models.guidance import guided
from artc.models.score_model import NO_CLASS, Probe
from tests.cli import QUICK, artc, names_in
from tests.tiny_diffusers import CPU, WEIGHTS, ddpm, diffusers, edit, noisy, offline, save, unet_in  # noqa: F401  # offline works by being here

# Raised inside diffusers, by its own code.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers.*")

# ------------------------------------------------------------------------ folders, against diffusers' own samplers


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize(
    "betas",
    [
        {"beta_schedule": "linear"},
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"trained_betas": [0.01 * (k + 1) for k in range(40)], "num_train_timesteps": 40},
        {"beta_schedule": "linear", "rescale_betas_zero_snr": True},
    ],
    ids=["linear", "scaled_linear", "squaredcos", "trained", "zero snr"],
)
def test_at_every_timestep_d_is_what_diffusers_samplers_predict(betas, prediction, tmp_path):
    scheduler = ddpm(prediction_type=prediction, **betas)
    path = save(tmp_path, scheduler)
    model, unet = load_folder(path, CPU), unet_in(path)
    reference = diffusers.DDIMScheduler.from_config(scheduler.config, clip_sample=False, timestep_spacing="leading")
    last = len(reference.alphas_cumprod) - 1 - bool(betas.get("rescale_betas_zero_snr"))
    reference.set_timesteps(len(reference.alphas_cumprod))
    assert model.info.prediction == {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}[prediction]
    for t in (0, 1, last // 3, last):
        alpha = reference.alphas_cumprod[t].double()
        sigma = ((1 - alpha) / alpha).sqrt()
        x = noisy() * (1 + sigma**2).sqrt().float()
        given = x * alpha.sqrt().float()
        expected = reference.step(unet(given, t).sample, t, given).pred_original_sample
        found = Probe(model)(x, float(sigma))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    assert model.info.sigma_max == pytest.approx(float(sigma), rel=1e-6)
    assert any("pure noise" in notice for notice in model.notices) == bool(betas.get("rescale_betas_zero_snr"))


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "PNDMScheduler"])
def test_any_scheduler_with_a_table_will_do(name, tmp_path):
    path = save(tmp_path, getattr(diffusers, name)(beta_schedule="linear"))
    info = load_folder(path, CPU).info
    assert (info.sigma_min, info.sigma_max) == pytest.approx((0.0100005, 157.407), rel=1e-3)


def test_an_euler_step_of_diffusers_ends_where_d_says(tmp_path):
    scheduler = diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", rescale_betas_zero_snr=True)
    path = save(tmp_path, scheduler)
    model, unet = load_folder(path, CPU), unet_in(path)
    # With zero terminal SNR this scheduler puts the last level at alpha-bar = 2^-24.
    assert model.info.sigma_max == pytest.approx(4096, rel=1e-6)
    scheduler.set_timesteps(sigmas=[3.0, 0.5, 0.0])
    x = 3 * noisy()
    given = scheduler.scale_model_input(x, scheduler.timesteps[0])
    step = scheduler.step(unet(given, scheduler.timesteps[0]).sample, scheduler.timesteps[0], x)
    found = Probe(model)(x, 3.0)
    torch.testing.assert_close(found, step.pred_original_sample, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(x + (0.5 - 3.0) * (x - found) / 3.0, step.prev_sample, rtol=1e-5, atol=1e-5)


def test_a_flow_scheduler_makes_a_flow_model(tmp_path):
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    path = save(tmp_path, scheduler)
    model, unet, x = load_folder(path, CPU), unet_in(path), noisy()
    assert (model.info.domain, model.info.shift, model.info.prediction) == ("flow", 3.0, "velocity")
    assert (model.info.sigma_min, model.info.sigma_max) == (pytest.approx(3 * 0.001 / 1.002), 1.0)
    scheduler.set_timesteps(4)
    sigma, after = scheduler.sigmas[:2]
    velocity = unet(x, scheduler.timesteps[0]).sample
    torch.testing.assert_close(Probe(model)(x, float(sigma)), x - sigma * velocity, rtol=1e-5, atol=1e-5)
    stepped = scheduler.step(velocity, scheduler.timesteps[0], x).prev_sample
    along = (x - Probe(model)(x, float(sigma))) / sigma
    torch.testing.assert_close(x + (after - sigma) * along, stepped, rtol=1e-5, atol=1e-5)


def test_a_shift_that_follows_the_image_is_none_of_the_models(tmp_path):
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    model = load_folder(save(tmp_path, scheduler), CPU)
    assert (model.info.domain, model.info.shift) == ("flow", None)


def test_a_folder_says_what_it_is(tmp_path):
    path = save(tmp_path, ddpm(), sample_size=(8, 12))
    model = load_folder(path, CPU)
    assert model.info.shape == (2, 8, 12)
    assert (model.info.name, model.info.source, model.info.conditioning) == ("tiny", f"diffusers:{path}", "none")
    assert model.info.sha256 == hashlib.sha256((path / "unet" / WEIGHTS).read_bytes()).hexdigest()
    assert (model.classes, model.dtype, model.record) == (0, torch.float32, {})


def test_a_network_of_latents_says_so(tmp_path):
    folder = save(tmp_path, ddpm())
    assert load_folder(folder, CPU).notices == ()
    edit(folder / "model_index.json", vqvae=["diffusers", "VQModel"])
    assert load_folder(folder, CPU).notices == (
        "Its samples are latents: the vqvae of the pipeline makes images of them.",
    )


def test_a_network_by_itself_finds_its_scheduler(tmp_path):
    path = save(tmp_path, ddpm())
    x, pipeline = noisy(), load_folder(path, CPU)
    beside = load_folder(path / "unet", CPU)
    shutil.copy(path / "scheduler" / "scheduler_config.json", path / "unet")
    shutil.rmtree(path / "scheduler")
    within = load_folder(path / "unet", CPU)
    for model in (beside, within):
        assert torch.equal(Probe(model)(x, 2.0), Probe(pipeline)(x, 2.0))
        assert model.info.sha256 == pipeline.info.sha256


def test_weights_in_parts_are_the_same_weights(tmp_path):
    path = save(tmp_path, ddpm())
    x, whole = noisy(), load_folder(path, CPU)
    unet = unet_in(path)
    (path / "unet" / WEIGHTS).unlink()
    unet.save_pretrained(path / "unet", max_shard_size="20KB")
    parts = sorted((path / "unet").glob("*.safetensors"))
    model = load_folder(path, CPU)
    assert len(parts) > 1
    assert model.info.sha256 == hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()
    assert torch.equal(Probe(model)(x, 2.0), Probe(whole)(x, 2.0))
    edit(path / "unet" / f"{WEIGHTS}.index.json", weight_map={"conv_in.bias": "../scheduler/scheduler_config.json"})
    with pytest.raises(InputError, match="which is not in its folder"):
        load_folder(path, CPU)


def test_weights_with_the_attention_names_of_old_are_read(tmp_path):
    path = save(
        tmp_path,
        ddpm(),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    x, now = noisy(), Probe(load_folder(path, CPU))
    tensors = load_file(path / "unet" / WEIGHTS)
    for new, old in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
        tensors = {name.replace(new, old): tensor for name, tensor in tensors.items()}
    assert sum("query" in name for name in tensors) == 8
    save_file(tensors, path / "unet" / WEIGHTS)
    assert torch.equal(Probe(load_folder(path, CPU))(x, 2.0), now(x, 2.0))


def test_a_network_that_looks_timesteps_up_is_given_whole_ones(tmp_path):
    path = save(tmp_path, ddpm(), time_embedding_type="learned", num_train_timesteps=1000)
    model, unet, x = load_folder(path, CPU), unet_in(path), noisy()
    sigma = 2.0
    eps = unet(x / 5**0.5, torch.tensor([round(float(model.denoiser.times.timestep_of(torch.tensor([2.0]))))])).sample
    torch.testing.assert_close(Probe(model)(x, sigma), x - sigma * eps, rtol=1e-5, atol=1e-5)
    assert "takes whole timesteps" in model.notices[0]


def test_a_learned_variance_is_left_out(tmp_path):
    path = save(tmp_path, ddpm(), out_channels=4)
    x = noisy()
    eps = unet_in(path)(x, 0).sample[:, :2]
    model = load_folder(path, CPU)
    low = model.info.sigma_min
    noisier = x * (1 + low**2) ** 0.5
    torch.testing.assert_close(Probe(model)(noisier, low), noisier - low * eps, rtol=1e-5, atol=1e-5)


def test_bfloat16_stays_inside_of_the_network(tmp_path):
    path = save(tmp_path, ddpm())
    full, half = load_folder(path, CPU), load_folder(path, CPU, precision=torch.bfloat16)
    x = 2 * noisy()
    exact, rough = Probe(full)(x, 2.0), Probe(half)(x, 2.0)
    assert (half.dtype, rough.dtype) == (torch.float32, torch.float32)
    assert 1e-5 < float((rough - exact).square().mean().sqrt()) < 0.05
    with pytest.raises(DeviceError, match=r"float16 needs CUDA\. Use bfloat16"):
        load_folder(path, CPU, precision=torch.float16)


# ------------------------------------------------------------------------------------------------- classes


def test_each_sample_is_denoised_as_its_class(tmp_path):
    path = save(tmp_path, ddpm(), num_class_embeds=4)
    model, unet, x = load_folder(path, CPU), unet_in(path), noisy()
    labels = torch.tensor([3, 0, 1, 1])
    assert (model.classes, model.labels, model.info.conditioning) == (4, (), "class")
    t = model.denoiser.times.told(torch.tensor([1.5]))
    for k in range(4):
        eps = unet(x[k : k + 1] / 3.25**0.5, t, class_labels=labels[k : k + 1]).sample
        found = Probe(model)(x, 1.5, labels=labels)[k : k + 1]
        torch.testing.assert_close(found, x[k : k + 1] - 1.5 * eps, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("null", "classes", "drawn"), [(3, 3, {0, 1, 2}), (1, 4, {0, 2, 3})])
def test_guidance_needs_to_know_which_label_means_no_class(null, classes, drawn, tmp_path):
    path = save(tmp_path, ddpm(), num_class_embeds=4)
    x, labels, free = noisy(), torch.tensor([2, 0, 2, 0]), torch.full((4,), NO_CLASS)
    with pytest.raises(InputError, match=r"no known label for 'no class'.*null_label"):
        Probe(load_folder(path, CPU))(x, 1.5, labels=free)
    model = load_folder(path, CPU, null_label=null)
    assert model.classes == classes
    assert set(model.latents(64, seed=0).labels.tolist()) == drawn
    plain = Probe(load_folder(path, CPU))
    unconditional = plain(x, 1.5, labels=torch.full((4,), null))
    assert torch.equal(Probe(model)(x, 1.5, labels=free), unconditional)
    strong = Probe(replace(model, denoiser=guided(model.denoiser, 3.0)))
    expected = unconditional + 3 * (plain(x, 1.5, labels=labels) - unconditional)
    torch.testing.assert_close(strong(x, 1.5, labels=labels), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "null", "complaint"),
    [
        ({"num_class_embeds": 4}, 4, "null_label 4 makes no sense: the network knows labels 0 to 3"),
        ({}, 0, "null_label 0 makes no sense: the network knows no labels"),
        ({"class_embed_type": "timestep"}, None, "class_embed_type = 'timestep'"),
    ],
)
def test_labels_that_make_no_sense_are_refused(settings, null, complaint, tmp_path):
    with pytest.raises(InputError, match=complaint):
        load_folder(save(tmp_path, ddpm(), **settings), CPU, null_label=null)


def test_a_folder_is_compiled_and_sampled_by_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path, ddpm(), num_class_embeds=4)
    words = ("--nfe", "6", "--guidance", "2", "--labels", "0,1", "--model-arg", "null_label=3", *QUICK)
    done = artc("compile", "--model", "diffusers:tiny", *words)
    assert (done.code, names_in(tmp_path)) == (0, ["tiny", "tiny.art.json"]), done.err
    assert artc("sample", "tiny.art.json", "--nfe", "6", "-n", "2", "-o", "s.npz").code == 0
    refused = artc("compile", "--model", "diffusers:tiny", *words[:6], *QUICK, "-o", "x.art.json")
    assert (refused.code, "never trained without a class" in refused.err) == (2, True)

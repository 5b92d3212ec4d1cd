"""From a file to a model: the images of the original, the facts of the network, one sentence for what does not fit."""

import hashlib
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from artc.errors import DeviceError, InputError
from artc.models.edm.loading import _batch, load_edm
from artc.models.edm.networks import build
from artc.models.score_model import NO_CLASS
from tests.edm_pickle import GOLDEN, golden, trained, write_edm

CPU, META = torch.device("cpu"), torch.device("meta")
NAMES = sorted(path.stem for path in GOLDEN.glob("*.npz"))
CONDITIONAL = [name for name in NAMES if golden(name)[0].get("label_dim")]

TINY = {"precond": "EDMPrecond", "img_resolution": 8, "img_channels": 1, "model_type": "SongUNet", "model_channels": 8}
TINY |= {"channel_mult": [1], "num_blocks": 1, "attn_resolutions": []}
CIFAR = {"precond": "EDMPrecond", "img_resolution": 32, "img_channels": 3, "model_type": "SongUNet"}
CIFAR |= {"model_channels": 128, "channel_mult": [2, 2, 2], "num_blocks": 4, "attn_resolutions": [16]}


def written(folder, name, **options):
    """A stored reference network as a file."""
    config, state = golden(name)
    return write_edm(folder / f"{name}.pkl", config=config, state=state, **options)


def raw(config, state):
    """The same network by our own code alone, no file between."""
    network = build(config, device=META)
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def answers(name):
    """Input and output of the original implementation; of its rows of classes, the class."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        tensors = {key: torch.from_numpy(file[key].astype(np.float32)) for key in file.files if key != "config"}
    rows = tensors.get("class_labels")
    labels = None if rows is None else rows.argmax(dim=1)
    return SimpleNamespace(x=tensors["x"], sigma=tensors["sigma"], labels=labels, denoised=tensors["denoised"])


def off(found, expected):
    """Root mean square of the difference, relative to the expected."""
    return float((found - expected).norm() / expected.norm())


def batch(count=6):
    generator = torch.Generator().manual_seed(5)
    sigma = torch.logspace(-1, 1, count)
    return sigma[:, None, None, None] * torch.randn((count, 1, 16, 16), generator=generator), sigma


# ---------------------------------------------------------------------------------------------- images


@pytest.mark.parametrize("name", NAMES)
def test_the_images_are_those_of_the_original(tmp_path, name):
    known = answers(name)
    found = load_edm(written(tmp_path, name), CPU).on(known.labels)(known.x, known.sigma)
    assert found.dtype == torch.float32
    assert float((found - known.denoised).abs().max() / known.denoised.abs().max()) < 1e-5


@pytest.mark.parametrize("name", CONDITIONAL)
def test_each_image_is_denoised_as_its_own_class(tmp_path, name):
    config, state = golden(name)
    model, known = load_edm(written(tmp_path, name), CPU), answers(name)
    labels = torch.arange(len(known.x)) % config["label_dim"]
    expected = raw(config, state)(known.x, known.sigma, torch.eye(config["label_dim"])[labels])
    torch.testing.assert_close(model.on(labels)(known.x, known.sigma), expected, rtol=1e-5, atol=1e-5)


def test_no_class_is_a_row_of_zeros_beside_any_other_label(tmp_path):
    config, state = trained("digits_cond")
    model = load_edm(write_edm(tmp_path / "digits.pkl", config=config, state=state), CPU)
    network, (x, sigma) = raw(config, state), batch()
    labels = torch.tensor([3, NO_CLASS, 9, 0, NO_CLASS, 3])
    rows = torch.zeros(6, 10)
    for place, label in enumerate(labels.tolist()):
        if label >= 0:
            rows[place, label] = 1
    found = model.on(labels)(x, sigma)
    torch.testing.assert_close(found, network(x, sigma, rows), rtol=1e-5, atol=1e-5)
    # A trained network heeds its label: the classes differ, and none is the first.
    free, zero, three = (model.on(torch.full((6,), label))(x, sigma) for label in (NO_CLASS, 0, 3))
    assert min(off(free, zero), off(zero, three), off(free, three)) > 0.01


def test_a_preconditioner_of_each_kind_says_which_it_is(tmp_path):
    files = {name: load_edm(written(tmp_path, name), CPU) for name in NAMES}
    assert {model.record["preconditioning"] for model in files.values()} == {
        "EDMPrecond",
        "VPPrecond",
        "VEPrecond",
        "iDDPMPrecond",
    }
    for name, model in files.items():
        assert model.record["preconditioning"] == golden(name)[0]["precond"]


# ------------------------------------------------------------------------------------------- precision


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_is_used_inside_and_not_outside(tmp_path, name):
    path, known = written(tmp_path, name), answers(name)
    half = load_edm(path, CPU, precision=torch.bfloat16)
    found, exact = (model.on(known.labels)(known.x, known.sigma) for model in (half, load_edm(path, CPU)))
    assert (half.dtype, found.dtype) == (torch.float32, torch.float32)
    assert 1e-5 < off(found, exact) < 5e-2


def test_float16_needs_cuda_and_says_so_before_the_file_is_read(tmp_path):
    with pytest.raises(DeviceError, match=r"float16 needs CUDA\. Use --precision bfloat16 or float32\."):
        load_edm(tmp_path / "no such file", CPU, precision=torch.float16)


def test_a_file_of_half_precision_runs_in_float32(tmp_path):
    state = golden("edm_ddpmpp_uncond")[1]
    network = load_edm(written(tmp_path, "edm_ddpmpp_uncond", half=True), CPU).denoiser
    assert {weight.dtype for weight in network.state_dict().values()} == {torch.float32}
    for key, weight in network.state_dict().items():
        assert torch.equal(weight, state[key].half().float())


# ----------------------------------------------------------------------------------------------- facts


@pytest.mark.parametrize("name", NAMES)
def test_the_model_knows_what_its_file_says(tmp_path, name):
    config, _ = golden(name)
    path = written(tmp_path, name)
    model = load_edm(path, CPU)
    info, label_dim = model.info, config.get("label_dim", 0)
    assert (info.name, info.source, info.prediction) == (name, f"edm:{path}", "denoised")
    assert (info.domain, info.shift, info.sigma_max) == ("ve", None, 80.0)
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info.shape == (config["img_channels"], config["img_resolution"], config["img_resolution"])
    assert (model.classes, info.conditioning) == (label_dim, "class" if label_dim else "none")
    assert model.record["network"] == config["model_type"]
    network = model.denoiser.network if label_dim else model.denoiser
    assert not any(module.training for module in network.modules())
    assert not any(weight.requires_grad for weight in network.parameters())
    assert (model.device, model.dtype, model.batch) == (CPU, torch.float32, 64)


def test_a_given_checksum_is_taken(tmp_path):
    assert load_edm(written(tmp_path, "edm_ddpmpp_uncond"), CPU, sha256="5" * 64).info.sha256 == "5" * 64


@pytest.mark.parametrize(
    ("rule", "settings", "expected"),
    [
        ("EDMPrecond", {"model_type": "SongUNet"}, 0.5),  # a file need not say it
        ("EDMPrecond", {"sigma_data": 0.7, "model_type": "SongUNet"}, 0.7),
        ("VPPrecond", {"model_type": "SongUNet"}, None),
    ],
)
def test_sigma_data_is_a_matter_of_edms_own_preconditioner(tmp_path, rule, settings, expected):
    config = TINY | {"precond": rule} | settings
    path = write_edm(tmp_path / "net.pkl", config=config, state=build(config).state_dict())
    assert load_edm(path, CPU).info.sigma_data == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_network_knows_the_range_it_was_trained_on(tmp_path, name):
    config, state = golden(name)
    low, high = load_edm(written(tmp_path, name), CPU).own_range
    if config["precond"] == "EDMPrecond":
        assert (low, high) == (config.get("sigma_min", 0.0), config.get("sigma_max", math.inf))
    elif config["precond"] == "VEPrecond":
        assert (low, high) == (config.get("sigma_min", 0.02), config.get("sigma_max", 100.0))
    elif config["precond"] == "VPPrecond":
        beta_d, beta_min = config.get("beta_d", 19.9), config.get("beta_min", 0.1)
        times = (config.get("epsilon_t", 1e-5), 1.0)
        ends = [math.sqrt(math.expm1(0.5 * beta_d * t * t + beta_min * t)) for t in times]
        assert (low, high) == pytest.approx(ends, rel=1e-12)
    else:  # its levels are weights of the file; the last is 0
        assert state["u"][-1] == 0
        assert (low, high) == (float(state["u"][-2]), float(state["u"][0]))


def test_the_ranges_that_were_published(tmp_path):
    ranges = {}
    for rule in ("EDMPrecond", "VPPrecond", "VEPrecond", "iDDPMPrecond"):
        config = TINY | {"precond": rule}
        path = write_edm(tmp_path / f"{rule}.pkl", config=config, state=build(config).state_dict())
        ranges[rule] = load_edm(path, CPU).own_range
    assert ranges["EDMPrecond"] == (0.0, math.inf)
    assert ranges["VPPrecond"] == pytest.approx((0.0010005, 152.17), rel=1e-4)
    assert ranges["VEPrecond"] == (0.02, 100.0)
    assert ranges["iDDPMPrecond"] == pytest.approx((0.0064, 20291), rel=1e-2)


# ----------------------------------------------------------------------------------------------- batch


def test_a_large_network_is_called_with_few_images_on_a_cpu_and_many_on_cuda(tmp_path):
    network = build(CIFAR, device=META)
    weights = sum(weight.numel() for weight in network.parameters())
    assert 50e6 < weights < 60e6
    assert _batch(network, CPU) == 4
    assert _batch(network, torch.device("cuda")) == 256
    middle = build(CIFAR | {"model_channels": 32}, device=META)
    assert _batch(middle, CPU) == 400_000_000 // (4 * sum(weight.numel() for weight in middle.parameters()))


# --------------------------------------------------------------------------------------------- defects


def without(state, key):
    return {name: tensor for name, tensor in state.items() if name != key}


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (without, 'Missing key(s) in state_dict: "{key}"'),
        (lambda state, key: without(state, key) | {f"{key}s": state[key]}, 'Missing key(s) in state_dict: "{key}"'),
        (lambda state, key: state | {f"{key}s": state[key]}, 'Unexpected key(s) in state_dict: "{key}s"'),
        (lambda state, key: state | {key: state[key][:-1]}, "size mismatch for {key}: "),
    ],
    ids=["missing", "renamed", "one more", "misshapen"],
)
@pytest.mark.parametrize("key", ["model.enc.8x8_conv.weight", "model.map_layer0.bias"])
def test_weights_that_do_not_fit_are_one_sentence_with_file_and_key(tmp_path, spoilt, said, key):
    state = build(TINY).state_dict()
    path = write_edm(tmp_path / "net.pkl", config=TINY, state=spoilt(state, key))
    with pytest.raises(InputError) as caught:
        load_edm(path, CPU)
    message = str(caught.value)
    assert message.startswith(f"{str(path)!r}: its weights do not fit the network it describes: ")
    assert said.format(key=key) in message
    assert "\n" not in message


def test_a_configuration_that_makes_no_network_is_refused_with_the_file(tmp_path):
    state = build(TINY).state_dict()
    path = write_edm(tmp_path / "net.pkl", config=TINY | {"num_blocks": -1}, state=state)
    with pytest.raises(InputError, match=r"net\.pkl': .*num_blocks"):
        load_edm(path, CPU)

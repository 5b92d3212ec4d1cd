"""The networks of EDM against outputs of the original implementation; tests/golden/edm holds numbers only."""

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from artc.errors import InputError
from artc.models.edm.layers import attend
from artc.models.edm.networks import build
from artc.models.edm.resampling import BlurredStridedConv, blur, double, halve, separable_kernel

GOLDEN = sorted((Path(__file__).parent / "golden" / "edm").glob("*.npz"))
META = torch.device("meta")

TINY = {"precond": "EDMPrecond", "img_resolution": 8, "img_channels": 1, "model_channels": 8, "channel_mult": [1, 2]}
TINY |= {"num_blocks": 1, "attn_resolutions": [4]}


@cache
def golden(path):
    """One file: config, state, and the tensors of one call."""
    with np.load(path) as file:
        tensors = {name: torch.from_numpy(file[name].astype(np.float32)) for name in file.files if name != "config"}
        config = json.loads(str(file["config"]))
    state = {name.removeprefix("state/"): tensor for name, tensor in tensors.items() if name.startswith("state/")}
    given = tuple(tensors[name] for name in ("x", "sigma", "class_labels") if name in tensors)
    return SimpleNamespace(config=config, state=state, given=given, denoised=tensors["denoised"])


def network_of(known, **options):
    network = build(known.config, device=META, **options)
    network.load_state_dict(known.state, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def errors(found, expected):
    """Greatest and root mean square difference, relative to the expected."""
    difference = found - expected
    return float(difference.abs().max() / expected.abs().max()), float(difference.norm() / expected.norm())


@pytest.fixture(params=GOLDEN, ids=lambda path: path.stem)
def known(request):
    return golden(request.param)


# ---------------------------------------------------------------------------------------------- parity


def test_there_is_a_file_for_every_preconditioner_and_kind_of_network():
    configs = [golden(path).config for path in GOLDEN]
    for key, values in {
        "precond": {"EDMPrecond", "VPPrecond", "VEPrecond", "iDDPMPrecond"},
        "model_type": {"SongUNet", "DhariwalUNet"},
        "encoder_type": {None, "standard", "residual", "skip"},
        "decoder_type": {None, "standard", "skip"},
        "embedding_type": {None, "positional", "fourier"},
    }.items():
        assert {config.get(key) for config in configs} == values


def test_the_denoised_images_are_those_of_the_original(known):
    assert max(errors(network_of(known)(*known.given), known.denoised)) < 2e-6


def test_channels_last_changes_the_layout_and_no_image(known):
    network = network_of(known).to(memory_format=torch.channels_last)
    assert max(errors(network(*known.given), known.denoised)) < 2e-6


def test_in_float64_only_the_rounding_of_the_original_is_left(known):
    network = network_of(known).double()
    found = network(*(tensor.double() for tensor in known.given))
    assert found.dtype == torch.float64
    assert max(errors(found, known.denoised.double())) < 2e-6


def test_bfloat16_costs_a_percent_and_is_really_used(known):
    # Measured over these files: 0.3 to 0.6 % root mean square.
    found = network_of(known, precision=torch.bfloat16)(*known.given)
    assert found.dtype == torch.float32
    assert 1e-3 < errors(found, known.denoised)[1] < 1e-2


def test_a_network_built_untrained_has_the_weights_of_the_file_in_name_and_shape(known):
    network = build(known.config)
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in known.state.items()}
    for name, tensor in network.state_dict().items():
        if name.endswith("resample_filter"):
            assert torch.equal(tensor, known.state[name])
        if name == "u":
            torch.testing.assert_close(tensor, known.state[name], rtol=1e-3, atol=0)


def test_loaded_weights_are_in_memory_once(known):
    state = network_of(known).state_dict()
    assert all(state[name].data_ptr() == tensor.data_ptr() for name, tensor in known.state.items())


# ------------------------------------------------------------------------------------------ properties


def test_each_image_is_treated_as_if_it_were_alone(known):
    network = network_of(known).double()
    given = [tensor.double() for tensor in known.given]
    alone = [network(*(tensor[k : k + 1] for tensor in given)) for k in range(len(given[0]))]
    torch.testing.assert_close(network(*given), torch.cat(alone), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_forward_derivative_is_the_one_that_differences_find(known, layout):
    network = network_of(known).double().to(memory_format=layout)
    x, sigma, *labels = (tensor.double() for tensor in known.given)
    if network.u is not None:  # the level that the network is told must not change between the two
        sigma = sigma * (1 + 1e-4)
    direction, rise, width = x.flip(0), sigma.flip(0).clamp(max=1.0) * sigma, 1e-6

    def denoise(x, sigma):
        return network(x, sigma, *labels)

    forward = torch.func.jvp(denoise, (x, sigma), (direction, rise))[1]
    ahead = denoise(x + width * direction, sigma + width * rise)
    behind = denoise(x - width * direction, sigma - width * rise)
    assert max(errors((ahead - behind) / (2 * width), forward)) < 1e-6


def test_a_derivative_is_as_exact_in_half_precision(known):
    x, sigma, *labels = known.given
    full, half = (
        torch.func.jvp(lambda x, sigma, net=net: net(x, sigma, *labels), (x, sigma), (x, sigma))[1]
        for net in (network_of(known), network_of(known, precision=torch.bfloat16))
    )
    assert torch.equal(full, half)


def test_labels_matter_and_left_out_are_zeros():
    for path in GOLDEN:
        known = golden(path)
        if not known.config["label_dim"]:
            continue
        network, (x, sigma, labels) = network_of(known), known.given
        assert torch.equal(network(x, sigma), network(x, sigma, torch.zeros_like(labels)))
        assert errors(network(x, sigma), known.denoised)[1] > 1e-2
        with pytest.raises(InputError, match=r"Labels have shape \(5, 9\), not \(5, 10\)"):
            network(x, sigma, labels[:, 1:])


@pytest.mark.parametrize("model_type", ["SongUNet", "DhariwalUNet"])
def test_an_untrained_network_can_be_trained(model_type):
    torch.manual_seed(4)
    network = build({**TINY, "model_type": model_type, "label_dim": 2})
    generator = torch.Generator().manual_seed(4)
    labels = torch.eye(2).repeat(8, 1)
    clean = (labels[:, 0] - 0.5)[:, None, None, None].expand(16, 1, 8, 8)
    sigma = torch.full((16,), 2.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        noise = torch.randn(clean.shape, generator=generator)
        loss = (network(clean + 2.0 * noise, sigma, labels) - clean).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # The class alone tells the image: what is left is far below the variance of the data, 1 / 4.
    assert losses[0] > 0.2
    assert max(losses[-5:]) < 0.05
    # Augmentation aside, no weight is idle.
    assert all(weight.grad is not None and weight.grad.any() for weight in network.parameters())


# ---------------------------------------------------------------------------------------------- pieces


def test_the_plain_filter_averages_and_repeats():
    x, kernel = torch.randn((2, 3, 6, 8), generator=torch.Generator().manual_seed(1)), separable_kernel([1, 1])
    torch.testing.assert_close(halve(x, kernel), F.avg_pool2d(x, 2))
    torch.testing.assert_close(double(x, kernel), F.interpolate(x, scale_factor=2.0, mode="nearest"))


@pytest.mark.parametrize("taps", [[1, 1], [1, 3, 3, 1], [1, 2, 5, 5, 2, 1]])
def test_doubling_is_four_times_the_transpose_of_halving(taps):
    generator, kernel = torch.Generator().manual_seed(1), separable_kernel(taps).double()
    large = torch.randn((1, 2, 8, 8), generator=generator, dtype=torch.float64)
    small = torch.randn((1, 2, 4, 4), generator=generator, dtype=torch.float64)
    assert float((double(small, kernel) * large).sum()) == pytest.approx(
        4 * float((halve(large, kernel) * small).sum())
    )


def test_the_blurred_convolution_is_the_plain_one_of_a_blurred_image_at_every_other_pixel():
    layer = BlurredStridedConv(1, 1, 3, [1, 3, 3, 1]).double()
    x = torch.randn((1, 1, 12, 12), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    smooth = blur(x, layer.resample_filter, stride=1, padding=3)  # wide enough that no part of the blur is lost
    everywhere = F.conv2d(smooth, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), everywhere[:, :, 1:-1:2, 1:-1:2])


def test_attention_of_many_heads_is_that_of_torch():
    batch, heads, width, size = 2, 3, 8, 4
    qkv = torch.randn((batch, heads, width, 3, size * size), generator=torch.Generator().manual_seed(1))
    query, key, value = (part.transpose(-1, -2) for part in qkv.unbind(dim=3))
    expected = F.scaled_dot_product_attention(query, key, value).transpose(-1, -2)
    found = attend(qkv.reshape(batch, heads * width * 3, size, size), heads)
    torch.testing.assert_close(found, expected.reshape(batch, heads * width, size, size))

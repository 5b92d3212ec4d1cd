import math

import pytest
import torch

from artc.errors import InputError
from artc.models.edm.networks import build

META = torch.device("meta")

DDPMPP = {"precond": "EDMPrecond", "model_type": "SongUNet", "img_resolution": 32, "img_channels": 3}
DDPMPP |= {"channel_mult": [2, 2, 2], "augment_dim": 9, "dropout": 0.13, "use_fp16": False}
ADM = {
    "precond": "EDMPrecond",
    "model_type": "DhariwalUNet",
    "img_resolution": 64,
    "img_channels": 3,
    "label_dim": 1000,
}
TINY = {"precond": "EDMPrecond", "img_resolution": 8, "img_channels": 1, "model_channels": 8, "channel_mult": [1, 2]}
TINY |= {"num_blocks": 1, "attn_resolutions": [4]}


@pytest.mark.parametrize(
    ("config", "count", "published"),
    [
        (DDPMPP, 55_733_891, 55.7),
        (DDPMPP | {"embedding_type": "fourier", "encoder_type": "residual", "channel_mult_noise": 2}, 56_397_827, 56.4),
        (ADM, 295_899_267, 295.9),
    ],
    ids=["ddpm++", "ncsn++", "adm"],
)
def test_published_networks_have_their_published_size(config, count, published):
    found = sum(weight.numel() for weight in build(config, device=META).parameters())
    assert found == count
    assert found / 1e6 == pytest.approx(published, abs=0.05)


def test_defaults_are_those_of_the_format():
    bare = {"precond": "iDDPMPrecond", "img_resolution": 64, "img_channels": 3, "label_dim": 1000}
    shapes = {name: weight.shape for name, weight in build(bare, device=META).state_dict().items()}
    assert shapes["model.out_conv.weight"] == (6, 192, 3, 3)
    assert shapes.keys() - {"u"} == build(ADM, device=META).state_dict().keys()
    song = build({"precond": "VEPrecond", "img_resolution": 32, "img_channels": 3}, device=META).state_dict()
    assert song["model.dec.4x4_in0.qkv.weight"].shape == (768, 256, 1, 1)
    assert "model.enc.16x16_block3.qkv.weight" in song


@pytest.mark.parametrize("model_type", ["SongUNet", "DhariwalUNet"])
def test_there_is_room_for_the_weights_of_augmentation_labels_and_of_nothing_else(model_type):
    without = build({**TINY, "model_type": model_type}, device=META).state_dict()
    room = build({**TINY, "model_type": model_type, "augment_dim": 9}, device=META).state_dict()
    assert room.keys() - without.keys() == {"model.map_augment.weight"}
    assert room["model.map_augment.weight"].shape == (8, 9)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"precond": "EDMPrecondition"},
            "precond of the configuration is 'EDMPrecondition'. It must be one of EDMPrecond, VPPrecond",
        ),
        ({"precond": ["EDMPrecond"]}, r"precond .* is \['EDMPrecond'\]"),
        ({"model_type": "UNet"}, "model_type .* is 'UNet'. It must be one of DhariwalUNet, SongUNet"),
        ({"model_type": None}, "model_type .* is None"),
        ({"img_resolution": 10**6}, "img_resolution .* is 1000000. It must be a whole number from 1 to 4096"),
        ({"img_resolution": 12, "channel_mult": [1, 1, 1, 1]}, "resolution of 12 cannot be halved 3 times"),
        ({"img_channels": 0}, "img_channels .* is 0"),
        ({"img_channels": True}, "img_channels .* is True"),
        ({"label_dim": -1}, "label_dim .* is -1"),
        ({"label_dim": 10**5000}, "label_dim .* is a number of 16610 bits"),
        ({"model_channels": 10**9}, "model_channels .* is 1000000000"),
        ({"model_channels": 8.0}, r"model_channels .* is 8\.0"),
        ({"model_channels": "128"}, "model_channels .* is '128'"),
        ({"model_channels": 9}, "model_channels .* is 9. It must be an even number"),
        ({"model_channels": 14}, "14 channels cannot be split into 3 equal groups. Multiples of 4, and past 128 of 32"),
        ({"model_channels": 132}, "132 channels cannot be split into 32 equal groups"),
        ({"model_channels": 4096, "channel_mult": [64] * 4}, r"network of [\d,]+ parameters. artc builds at most"),
        ({"channel_mult": []}, r"channel_mult .* is \[\]. It must be a list of 1 to 12 entries"),
        ({"channel_mult": [1] * 10**6}, r"channel_mult .* is \[1, 1, 1, 1, 1, 1, 1, 1, \.\.\.\]"),
        ({"channel_mult": [[[1]], 2]}, r"channel_mult .* is \[\[\.\.\.\], 2\]"),
        ({"channel_mult": {"a": 1}}, "channel_mult .* is of type dict"),
        ({"channel_mult": [1, 10**9]}, r"channel_mult .* is \[1, 1000000000\]"),
        ({"channel_mult_emb": 10**9}, "channel_mult_emb .* is 1000000000"),
        ({"num_blocks": 10**9}, "num_blocks .* is 1000000000"),
        ({"num_blocks": 0}, "num_blocks .* is 0"),
        ({"attn_resolutions": ["16"]}, "attn_resolutions .* is \\['16'\\]"),
        ({"dropout": math.nan}, "dropout .* is nan"),
        ({"use_fp16": 1}, "use_fp16 .* is 1. It must be true or false"),
        ({"sigma_data": 0}, "sigma_data .* is 0"),
        ({"sigma_min": 5, "sigma_max": 5}, "sigma range is 5 to 5"),
        ({"beta_d": 19.9}, "EDMPrecond with SongUNet has no argument 'beta_d'. Known: attn_resolutions"),
        ({"precond": "iDDPMPrecond", "M": 10**9}, "M of iDDPMPrecond with SongUNet is 1000000000"),
        ({"embedding_type": "rotary"}, "embedding_type .* is 'rotary'. It must be one of positional, fourier"),
        ({"encoder_type": "dense"}, "encoder_type .* is 'dense'"),
        ({"decoder_type": "residual"}, "decoder_type .* is 'residual'"),
        (
            {"resample_filter": [1, 2, 1]},
            r"resample_filter .* is \[1, 2, 1\]. It must be a list of 2, 4, ... 16 entries",
        ),
        ({"resample_filter": [1, -1]}, r"resample_filter .* is \[1, -1\]"),
        ({"model_type": "DhariwalUNet", "encoder_type": "skip"}, "DhariwalUNet has no argument 'encoder_type'"),
        ({"model_type": "DhariwalUNet", "model_channels": 196}, "cannot be split into 32 equal groups"),
    ],
)
@pytest.mark.parametrize("device", [META, None], ids=["meta", "cpu"])
def test_a_configuration_that_makes_no_sense_is_refused_before_anything_is_allocated(changes, complaint, device):
    with pytest.raises(InputError, match=complaint):
        build({**TINY, "model_type": "SongUNet", **changes}, device=device)


@pytest.mark.parametrize("name", ["precond", "img_resolution", "img_channels"])
def test_a_configuration_must_name_what_has_no_default(name):
    config = {key: value for key, value in TINY.items() if key != name}
    with pytest.raises(InputError, match=rf"\b{name}\b"):
        build(config, device=META)


def test_attention_heads_must_share_their_channels_equally():
    config = {**TINY, "model_type": "DhariwalUNet", "model_channels": 352, "channel_mult": [1, 1]}
    with pytest.raises(InputError, match="352 channels cannot be shared equally among 5 attention heads"):
        build(config, device=META)

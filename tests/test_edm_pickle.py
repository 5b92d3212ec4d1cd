"""Snapshots of NVlabs EDM, read as data.

Official files are not part of the tests: they are large, and not free to share. The files here are written in the same
format by `tests.edm_pickle`, which `tests/test_edm_pickle_format.py` holds to what Python makes of real torch modules.
"""

import dataclasses
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from artc.errors import InputError
from artc.models.snapshots.unpickling import read_edm
from tests.edm_pickle import (
    GOLDEN,
    SOURCE,
    Call,
    Stored,
    assert_same,
    dumps,
    golden,
    legacy,
    module_state,
    persistent,
    snapshot,
    write_edm,
)

NAMES = sorted(path.stem for path in GOLDEN.glob("*.npz"))
TINY = {"precond": "EDMPrecond", "img_resolution": 8, "img_channels": 1, "label_dim": 0, "model_type": "SongUNet"}


def test_there_are_reference_networks():
    assert len(NAMES) == 7


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(("protocol", "numpy_spelling"), [(3, "numpy.core"), (4, "numpy._core")])
@pytest.mark.parametrize("name", NAMES)
def test_tensors_and_arguments_come_back_as_they_were_written(tmp_path, name, half, protocol, numpy_spelling):
    config, state = golden(name)
    path, spelling = tmp_path / "network.pkl", {"protocol": protocol, "numpy_spelling": numpy_spelling}
    file = read_edm(write_edm(path, config=config, state=state, half=half, **spelling))
    assert_same(file.state, {key: tensor.half() if half else tensor for key, tensor in state.items()})
    assert {"precond": file.class_name, **file.config} == config
    assert file.source_sha256 == hashlib.sha256(SOURCE.encode()).hexdigest()
    assert file.dataset["class_name"] == "training.dataset.ImageFolderDataset"
    assert file.dataset["resolution"] == config["img_resolution"]


@pytest.mark.parametrize(("protocol", "numpy_spelling"), [(3, "numpy._core"), (4, "numpy.core")])
def test_the_other_spellings(tmp_path, protocol, numpy_spelling):
    config, state = golden("edm_ncsnpp_uncond")
    path, spelling = tmp_path / "network.pkl", {"protocol": protocol, "numpy_spelling": numpy_spelling}
    assert_same(read_edm(write_edm(path, config=config, state=state, **spelling)).state, state)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_floating_point_numbers(tmp_path, dtype):
    weight = torch.linspace(-3, 3, 18).reshape(2, 1, 3, 3).to(dtype)
    file = read_edm(write_edm(tmp_path / "x.pkl", config=TINY, state={"model.out_conv.weight": weight}))
    assert file.state["model.out_conv.weight"].dtype == dtype
    assert torch.equal(file.state["model.out_conv.weight"], weight)


def test_an_easydict_at_the_top_and_keys_that_nobody_needs(tmp_path):
    config, state = golden("edm_adm_cond")
    extra = {"encoder": None, "cur_nimg": 200_000_000}
    assert_same(
        read_edm(write_edm(tmp_path / "x.pkl", config=config, state=state, easydict=True, extra_top=extra)).state, state
    )


@pytest.mark.parametrize("count", range(5))
def test_positional_arguments_get_their_names(tmp_path, count):
    config = TINY | {"use_fp16": False, "sigma_min": 0.0, "model_channels": 16}
    order = ("precond", "img_resolution", "img_channels", "label_dim", "use_fp16", "sigma_min", "model_type")
    config = {key: config[key] for key in (*order, "model_channels")}
    state = {"model.out_conv.weight": torch.ones(1, 1, 3, 3)}
    file = read_edm(write_edm(tmp_path / "x.pkl", config=config, state=state, positional=count))
    assert {"precond": file.class_name, **file.config} == config


@pytest.mark.parametrize(
    ("precond", "names"),
    [
        ("EDMPrecond", "img_resolution img_channels label_dim use_fp16 sigma_min sigma_max sigma_data model_type"),
        ("VPPrecond", "img_resolution img_channels label_dim use_fp16 beta_d beta_min M epsilon_t model_type"),
        ("VEPrecond", "img_resolution img_channels label_dim use_fp16 sigma_min sigma_max model_type"),
        ("iDDPMPrecond", "img_resolution img_channels label_dim use_fp16 C_1 C_2 M model_type"),
    ],
)
def test_positional_arguments_of_each_preconditioner(tmp_path, precond, names):
    config = {name: place for place, name in enumerate(names.split())} | {"model_type": "SongUNet"}
    state = {"model.out_conv.weight": torch.ones(1, 1, 3, 3)}
    path = write_edm(tmp_path / "x.pkl", config={"precond": precond, **config}, state=state, positional=len(config))
    assert read_edm(path).config == config


def test_infinite_and_numpy_arguments_are_plain_numbers(tmp_path):
    given = TINY | {"sigma_max": float("inf"), "dropout": np.float32(0.25), "channel_mult": (1, np.int64(2))}
    path = write_edm(tmp_path / "x.pkl", config=given, state={"model.out_conv.weight": torch.ones(1, 1, 3, 3)})
    config = read_edm(path).config
    assert (config["sigma_max"], config["dropout"], config["channel_mult"]) == (float("inf"), 0.25, [1, 2])
    assert [type(value) for value in (config["dropout"], config["channel_mult"][1])] == [float, int]


def test_tensors_that_share_a_storage_in_the_file_share_it_in_memory(tmp_path):
    both = torch.arange(36.0)
    state = {"model.a.weight": both[:9].reshape(1, 1, 3, 3), "model.b.weight": both[18:].reshape(2, 1, 3, 3)}
    file = read_edm(write_edm(tmp_path / "x.pkl", config=TINY, state=state))
    assert_same(file.state, state)
    pointers = [file.state[key].untyped_storage().data_ptr() for key in state]
    assert pointers[0] == pointers[1]


def test_the_same_bytes_are_one_storage_however_often_they_are_asked_for(tmp_path):
    content = legacy(torch.arange(9.0))
    views = [Call("torch._utils._rebuild_tensor_v2", Stored(content), 0, (9,), (1,), False, {}) for _ in range(2)]
    net = persistent("VEPrecond", module_state({"a": views[0], "b": views[1]}, {}, {}, {"img_resolution": 8}))
    path = tmp_path / "x.pkl"
    path.write_bytes(dumps({"ema": net}))
    state = read_edm(path).state
    assert state["a"].data_ptr() == state["b"].data_ptr()
    assert state["b"].tolist() == list(range(9))


def test_strides_are_kept(tmp_path):
    weight = torch.arange(18.0).reshape(2, 1, 3, 3).permute(0, 1, 3, 2)
    file = read_edm(write_edm(tmp_path / "x.pkl", config=TINY, state={"model.a.weight": weight}))
    assert file.state["model.a.weight"].stride() == weight.stride()
    assert torch.equal(file.state["model.a.weight"], weight)


def test_tensors_from_a_gpu_land_on_the_cpu(tmp_path):
    state = {"model.a.weight": torch.arange(9.0).reshape(1, 1, 3, 3)}
    top = snapshot(TINY, state)
    content = dumps(top, protocol=3)
    start = content.index(b"\x80\x02\x8a\n")
    length = int.from_bytes(content[start - 4 : start], "little")
    stream = content[start : start + length].replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:0")
    path = tmp_path / "x.pkl"
    path.write_bytes(content[: start - 4] + len(stream).to_bytes(4, "little") + stream + content[start + length :])
    assert_same(read_edm(path).state, state)


def test_the_tensors_are_ours_to_change(tmp_path):
    path = write_edm(tmp_path / "x.pkl", config=TINY, state={"model.a.weight": torch.zeros(1, 1, 3, 3)})
    before = path.read_bytes()
    weight = read_edm(path).state["model.a.weight"]
    weight += 1
    assert weight.data_ptr() % 16 == 0
    assert path.read_bytes() == before


def test_the_result_is_frozen(tmp_path):
    file = read_edm(write_edm(tmp_path / "x.pkl", config=TINY, state={"model.a.weight": torch.zeros(1, 1, 3, 3)}))
    with pytest.raises(dataclasses.FrozenInstanceError):
        file.state = {}


# What reading costs.


def read_alone(path, *expressions):
    """Values of expressions in a fresh process that has read the file as `file`, and knows peak memory `before` it."""
    code = f"""
import pathlib, re, sys
import numpy, torch
from artc.models.snapshots.unpickling import read_edm
def peak():  # of this process alone; getrusage counts its parent too
    return 1024 * int(re.search("VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
torch.empty(1).numpy()
before = peak()
file = read_edm({os.fspath(path)!r})
print({", ".join(expressions)})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_nothing_that_the_file_names_is_imported(tmp_path):
    config, state = golden("edm_adm_cond")
    path = write_edm(tmp_path / "x.pkl", config=config, state=state)
    roots = "{name.split('.')[0] for name in sys.modules} & {'torch_utils', 'training', 'dnnlib', '_imported_module'}"
    assert read_alone(path, "len(file.state)", f"len({roots})") == [str(len(state)), "0"]


def test_a_large_file_is_in_memory_once(tmp_path):
    state = {f"model.enc.{index}.weight": torch.full((1024, 1024), float(index)) for index in range(10)}
    path = write_edm(tmp_path / "large.pkl", config=TINY, state=state)
    size = path.stat().st_size
    assert size > 40_000_000
    before, after, total = map(
        float, read_alone(path, "before", "peak()", "file.state['model.enc.9.weight'].sum().item()")
    )
    assert total == 9 * 1024**2
    assert size * 0.9 < after - before < size * 1.25


def test_a_refusal_names_the_file_and_what_to_do(tmp_path):
    path = tmp_path / "page.pkl"
    path.write_text("<!DOCTYPE html><title>Not found</title>")
    with pytest.raises(InputError) as caught:
        read_edm(path)
    assert str(caught.value) == (f"'{path}' is a web page, not a model. Download it again, from where NVlabs/edm says.")

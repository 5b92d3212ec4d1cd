"""The format of the snapshots that other tests write: what Python's own picklers make of real torch modules.

The classes below pickle as those of NVlabs EDM do, and nothing of NVlabs is needed: a call of
`torch_utils.persistence._reconstruct_persistent_obj` with the class name, the source and the attributes.
"""

import io
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from artc.models.snapshots.unpickling import read_edm
from tests.edm_pickle import SOURCE, Call, assert_same, dumps


def reconstruct(meta):
    raise AssertionError("the reader called what the file named")


class Persistent(nn.Module):
    """As NVlabs describes it: a module that pickles as its class name, source text and attributes."""

    def __init__(self, *args, **kwargs):
        super().__init__()
        self._init_args, self._init_kwargs = args, kwargs

    def __reduce__(self):
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": type(self).__name__}
        return reconstruct, ({**meta, "state": self.__dict__},)


class SongUNet(Persistent):
    def __init__(self):
        super().__init__(in_channels=1)
        self.skip_scale = np.sqrt(0.5)
        self.register_buffer("resample_filter", torch.ones(1, 1, 2, 2))
        self.register_buffer("scratch", torch.ones(3), persistent=False)
        self.register_buffer("nothing", None)
        self.weight = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.bias = None
        self.enc = nn.ModuleDict({"16x16_conv": FourierEmbedding(), "8x8_conv": FourierEmbedding()})
        self.list = nn.ModuleList([FourierEmbedding()])
        self.tied = self.enc["8x8_conv"].freqs


class FourierEmbedding(Persistent):
    def __init__(self):
        super().__init__(num_channels=16)
        self.register_buffer("freqs", torch.randn(8))
        self.weight = nn.Parameter(torch.randn(5, 2).t())


class VPPrecond(Persistent):
    def __init__(self, img_resolution, img_channels, **kwargs):
        super().__init__(img_resolution, img_channels, **kwargs)
        self.sigma_max = float("inf")
        self.model = SongUNet()


@pytest.fixture
def torch_utils(monkeypatch):
    """`torch_utils.persistence`, there while a file is written."""
    package, module = types.ModuleType("torch_utils"), types.ModuleType("torch_utils.persistence")
    monkeypatch.setitem(sys.modules, "torch_utils", package)
    monkeypatch.setitem(sys.modules, "torch_utils.persistence", module)
    package.persistence, module._reconstruct_persistent_obj = module, reconstruct
    monkeypatch.setattr(reconstruct, "__module__", "torch_utils.persistence")
    monkeypatch.setattr(reconstruct, "__qualname__", "_reconstruct_persistent_obj")


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("pickler", [pickle.Pickler, pickle._Pickler])
def test_files_of_the_real_pickler(tmp_path, torch_utils, pickler, protocol):
    torch.manual_seed(0)
    net = VPPrecond(16, 3, label_dim=np.int64(10), model_type="SongUNet").eval().requires_grad_(False)
    stream = io.BytesIO()
    top = {"ema": net, "loss_fn": Persistent(p=1), "augment_pipe": None, "dataset_kwargs": {"path": "cifar10.zip"}}
    pickler(stream, protocol).dump(top)
    path = tmp_path / "real.pkl"
    path.write_bytes(stream.getvalue())
    file = read_edm(path)
    assert_same(file.state, net.state_dict())
    assert file.class_name == "VPPrecond"
    assert file.config == {"img_resolution": 16, "img_channels": 3, "label_dim": 10, "model_type": "SongUNet"}
    assert file.dataset == {"path": "cifar10.zip"}


def test_the_writer_of_these_tests_writes_what_the_real_pickler_writes(torch_utils):
    class Conv2d(Persistent):
        pass

    state = OrderedDict(weight=torch.ones(2, 2))
    meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": "Conv2d", "state": state}
    real, ours = io.BytesIO(), dumps(Call("torch_utils.persistence._reconstruct_persistent_obj", meta))
    net = Conv2d()
    net.__dict__ = state
    pickle._Pickler(real, 4).dump(net)
    # All but the storage's key, which is an address in memory.
    address = str(state["weight"].untyped_storage()._cdata).encode()
    assert ours.count(address) == real.getvalue().count(address) == 2
    assert ours == real.getvalue()

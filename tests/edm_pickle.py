"""Snapshots in the format of NVlabs EDM, written for tests without any code of NVlabs, torch_utils or dnnlib.

`pickle`'s own Python pickler does the writing; names of modules that do not exist here are emitted as they are. The
attributes are those that `torch.nn.Module` and EDM's classes leave in `__dict__`.
"""

import io
import json
import pickle
from collections import OrderedDict
from functools import cache
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parent / "golden" / "edm"
SOURCE = "# Source text of a network would stand here.\nraise SystemExit('the source was executed')\n"
LOSS_SOURCE = SOURCE.replace("network", "loss")
BUFFERS = ("u", "freqs", "resample_filter")
COMMON = ("precond", "img_resolution", "img_channels", "label_dim", "use_fp16", "sigma_data", "model_type")


DDPMPP = {
    "precond": "EDMPrecond",
    "label_dim": 0,
    "model_type": "SongUNet",
    "embedding_type": "positional",
    "encoder_type": "standard",
    "decoder_type": "standard",
    "channel_mult_noise": 1,
    "resample_filter": [1, 1],
}
"""What every DDPM++ network of EDM has in common."""


def golden(name, folder=GOLDEN):
    """(config, state in float32) of one of the stored reference networks, which have random weights."""
    with np.load(folder / f"{name}.npz") as file:
        state = {key.removeprefix("state/"): file[key] for key in file.files if key.startswith("state/")}
        config = json.loads(str(file["config"]))
    return config, {key: torch.from_numpy(value.astype(np.float32)) for key, value in state.items()}


def trained(name):
    """The same of a network that was trained: `digits_uncond` or `digits_cond`."""
    return golden(name, GOLDEN.parent / "trained")


class Named:
    """A global, written by name."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self, *args):
        raise AssertionError


@cache
def named(path):
    module, _, name = path.rpartition(".")
    return Named(module, name)


class Call:
    """REDUCE of a global with arguments."""

    def __init__(self, path, *args):
        self.path, self.args = path, args


class Made:
    """NEWOBJ of a global, items as of a dictionary, then BUILD with a state."""

    def __init__(self, path, state=None, items=None):
        self.path, self.state, self.items = path, state, items


class Raw:
    """Opcodes, spliced in as they are; they must leave one value on the stack."""

    def __init__(self, opcodes):
        self.opcodes = opcodes


class Stored:
    """A storage, given by the bytes of its legacy stream."""

    def __init__(self, content):
        self.content = content


class NumberType:
    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)


class Pickler(pickle._Pickler):
    def __init__(self, stream, protocol, numpy_spelling="numpy.core"):
        super().__init__(stream, protocol)
        self.numpy_spelling = numpy_spelling
        self.storages = {}

    def reducer_override(self, obj):
        match obj:
            case Call():
                return named(obj.path), obj.args
            case torch.nn.Parameter():
                return named("torch._utils._rebuild_parameter"), (obj.data, False, OrderedDict())
            case torch.Tensor():
                view = (obj.storage_offset(), tuple(obj.shape), obj.stride(), False, OrderedDict())
                return named("torch._utils._rebuild_tensor_v2"), (self.stored(obj), *view)
            case Stored():
                return named("torch.storage._load_from_bytes"), (obj.content,)
            case np.generic():
                scalar = named(f"{self.numpy_spelling}.multiarray.scalar")
                return scalar, (NumberType(obj.dtype), obj.tobytes())
            case NumberType():
                state = (3, obj.dtype.str[0], None, None, None, -1, -1, 0)
                return named("numpy.dtype"), (obj.dtype.str[1:], False, True), state
        return NotImplemented

    def stored(self, tensor):
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in self.storages:
            self.storages[pointer] = Stored(legacy(tensor))
        return self.storages[pointer]

    def save_named(self, obj):
        if self.proto >= 4:
            self.save(obj.module)
            self.save(obj.name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
        self.memoize(obj)

    def save_made(self, obj):
        self.save(named(obj.path))
        self.save(())
        self.write(pickle.NEWOBJ)
        self.memoize(obj)
        if obj.items is not None:
            self._batch_setitems(obj.items.items())
        if obj.state is not None:
            self.save(obj.state)
            self.write(pickle.BUILD)

    def save_raw(self, obj):
        self.write(obj.opcodes)

    dispatch = {**pickle._Pickler.dispatch, Named: save_named, Made: save_made, Raw: save_raw}  # noqa: RUF012  # as in the base


def legacy(tensor):
    """The legacy stream of the whole storage under a tensor."""
    stream = io.BytesIO()
    torch.save(tensor._typed_storage(), stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def dumps(value, protocol=4, numpy_spelling="numpy.core"):
    stream = io.BytesIO()
    Pickler(stream, protocol, numpy_spelling).dump(value)
    return stream.getvalue()


def persistent(class_name, state, *, source=SOURCE, version=6, kind="class"):
    meta = {"type": kind, "version": version, "module_src": source, "class_name": class_name, "state": state}
    return Call("torch_utils.persistence._reconstruct_persistent_obj", meta)


def module_state(parameters, buffers, modules, kwargs=None, **attributes):
    """`__dict__` of an nn.Module of EDM's."""
    state = {"training": False, "_parameters": OrderedDict(parameters), "_buffers": OrderedDict(buffers)}
    state["_non_persistent_buffers_set"] = set()
    hooks = ("backward", "forward", "forward_pre", "state_dict", "load_state_dict_pre", "load_state_dict_post")
    state |= {f"_{name}_hooks": OrderedDict() for name in hooks}
    state |= {"_is_full_backward_hook": None, "_modules": OrderedDict(modules), **attributes}
    return state if kwargs is None else state | {"_init_args": (), "_init_kwargs": kwargs}


def container(modules):
    return Made("torch.nn.modules.container.ModuleDict", module_state({}, {}, modules))


def network(config, state, *, positional=0):
    """The preconditioner of a config as a persistent object that holds the tensors of a state dictionary."""
    tree = {}
    for key, tensor in state.items():
        *path, name = key.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[name] = tensor if name in BUFFERS else torch.nn.Parameter(tensor, requires_grad=False)
    kwargs = {key: value for key, value in config.items() if key != "precond"}
    args = tuple(kwargs.pop(key) for key in list(kwargs)[:positional])
    # Attributes that a preconditioner keeps; infinity is what EDM's own has.
    kept = {key: kwargs[key] for key in COMMON if key in kwargs} | {"sigma_min": 0.0, "sigma_max": float("inf")}
    return persistent(config["precond"], _contents(tree, "", kwargs, config) | kept | {"_init_args": args})


def _object(path, node, config):
    name = path.rpartition(".")[2]
    if path in ("model.enc", "model.dec"):
        return container({key: _object(f"{path}.{key}", child, config) for key, child in node.items()})
    if path == "model":
        class_name, kwargs = config["model_type"], {key: config[key] for key in list(config)[1:]}
    elif "freqs" in node:
        class_name, kwargs = "FourierEmbedding", {"num_channels": 2 * len(node["freqs"])}
    elif "resample_filter" in node or "weight" in node:
        dims = node["weight"].ndim if "weight" in node else 4
        class_name = {1: "GroupNorm", 2: "Linear", 4: "Conv2d"}[dims]
        kwargs = {"init_mode": "kaiming_uniform", "init_weight": np.sqrt(1 / 3), "init_bias": np.sqrt(1 / 3)}
    else:
        class_name, kwargs = "UNetBlock", {"resample_filter": [1, 1], "skip_scale": np.sqrt(0.5), "attention": False}
    attributes = {"in_channels": 16, "dropout": 0.1, "up": "_up" in name, "skip_scale": np.sqrt(0.5), "map_label": None}
    return persistent(class_name, _contents(node, path, kwargs, config) | attributes)


def _contents(node, path, kwargs, config):
    tensors = {key: value for key, value in node.items() if isinstance(value, torch.Tensor)}
    buffers = {key: value for key, value in tensors.items() if key in BUFFERS}
    modules = {
        key: _object(f"{path}.{key}".lstrip("."), value, config) for key, value in node.items() if key not in tensors
    }
    if path == "model" and "map_noise" not in modules:
        embedding = module_state({}, {}, {}, {"num_channels": 16, "endpoint": True}, max_positions=10000)
        modules = {"map_noise": persistent("PositionalEmbedding", embedding), **modules}
    parameters = {key: value for key, value in tensors.items() if key not in BUFFERS}
    if "weight" in tensors and tensors["weight"].ndim == 4:
        buffers = {"resample_filter": None, **buffers}
    return module_state(parameters, buffers, modules, kwargs)


def snapshot(config, state, *, positional=0, easydict=False, extra_top=None):
    """The top level of a snapshot, as objects that `dumps` writes."""
    loss = {"P_mean": -1.2, "P_std": 1.2, "sigma_data": 0.5, "_init_args": (), "_init_kwargs": {}}
    augment = {"p": 0.12, "xflip": 1e8, "yflip": 1.0, "_init_args": (), "_init_kwargs": {"p": 0.12}}
    dataset = {"class_name": "training.dataset.ImageFolderDataset", "path": "train.zip", "use_labels": False}
    top = {
        "ema": network(config, state, positional=positional),
        "loss_fn": persistent("EDMLoss", loss, source=LOSS_SOURCE),
        "augment_pipe": persistent("AugmentPipe", augment, source=LOSS_SOURCE),
        "dataset_kwargs": dataset | {"resolution": config["img_resolution"], "max_size": 50000, "cache": True},
        **(extra_top or {}),
    }
    return Made("dnnlib.util.EasyDict", items=top) if easydict else top


def write_edm(
    path,
    *,
    config,
    state,
    protocol=4,
    numpy_spelling="numpy.core",
    half=False,
    easydict=False,
    positional=0,
    extra_top=None,
):
    """Write a snapshot of the network that `config` describes, with the tensors of `state`; returns the path."""
    if half:
        state = {key: tensor.half() for key, tensor in state.items()}
    top = snapshot(config, state, positional=positional, easydict=easydict, extra_top=extra_top)
    with Path(path).open("wb") as stream:
        Pickler(stream, protocol, numpy_spelling).dump(top)
    return Path(path)


def assert_same(state, expected):
    """Equal names in equal order, shapes, number types and bits."""
    assert list(state) == list(expected)
    for key, tensor in expected.items():
        assert state[key].dtype == tensor.dtype
        assert state[key].shape == tensor.shape
        assert state[key].numpy().tobytes() == tensor.numpy().tobytes(), key

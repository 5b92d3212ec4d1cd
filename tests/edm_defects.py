"""Snapshots of EDM that are well-formed pickles and still wrong: in a tensor's bytes, its shape, or the network.

`DEFECTS[name]` is (bytes of the file, a part of the refusal), as in `tests.edm_attacks`.
"""

import struct
from collections import OrderedDict

import numpy as np
import torch

from tests.edm_attacks import CANARY, CONTAINER, ema, global_, network, text, valid
from tests.edm_pickle import Call, Made, NumberType, Raw, Stored, dumps, legacy, named, persistent

FLOATS = legacy(torch.zeros(9))
SYSTEM, STORAGE, KEYS = (FLOATS.index(b"\x80\x02" + start) for start in (b"}q\0", b"(X", b"]q\0"))
COUNT = FLOATS.rindex(b".\x09") + 1
CALL = b"\x80\x02cposix\nsystem\n" + text(f"touch {CANARY}") + b"\x85R."
TEN_GB = FLOATS.replace(b"K\x09N", b"\x8a\x05" + (2_500_000_000).to_bytes(5, "little") + b"N")


def shaped(offset, size, stride, *rest):
    """A network whose only parameter is this view of nine numbers."""
    return with_parameter(view(Stored(FLOATS), offset, size, stride, *rest))


def with_parameter(tensor):
    return ema({"_parameters": {"w": tensor}})


def view(storage, offset, size, stride, *rest):
    return Call("torch._utils._rebuild_tensor_v2", storage, offset, size, stride, *(rest or (False, OrderedDict())))


def streamed(content):
    """A network whose only parameter is nine numbers with these bytes."""
    return with_parameter(view(Stored(content), 0, (9,), (1,)))


def replaced(old, new):
    assert old in FLOATS
    return streamed(FLOATS.replace(old, new))


def inserted(position, code):
    return streamed(FLOATS[:position] + code + FLOATS[position:])


def big_endian():
    number_type = Raw(
        global_("numpy.dtype")
        + text("f8")
        + b"\x89\x88\x87R(K\3"
        + text(">")
        + b"NNN"
        + b"J\xff\xff\xff\xff" * 2
        + b"K\0tb"
    )
    return valid(x=Call("numpy.core.multiarray.scalar", number_type, b"\0" * 8))


def edm2():
    scale = {"scale": np.ones(4, np.float32), "raw_mean": np.zeros((2, 50))}
    encoder = persistent("StabilityVAEEncoder", {**scale, "_init_args": (), "_init_kwargs": {}})
    top = {"ema": network(class_name="Precond"), "encoder": encoder, "dataset_kwargs": Made("dnnlib.util.EasyDict")}
    return dumps(Made("dnnlib.util.EasyDict", items=top))


BIG = view(Stored(legacy(torch.zeros(250_000))), 0, (250_000,), (1,))

# The bytes of a tensor.
DEFECTS = {
    "code as a storage's type": (
        replaced(b"ctorch\nFloatStorage\n", b"cposix\nsystem\n"),
        "has a tensor that asks for posix.system",
    ),
    "a call before a tensor": (inserted(0, CALL), "has a tensor that asks for posix.system"),
    "a call inside a tensor": (inserted(STORAGE, CALL), "has a tensor that asks for posix.system"),
    "a call in a tensor that is not used": (valid(x=Stored(CALL)), "has a tensor that asks for posix.system"),
    "a name of EDM in a tensor": (replaced(b"ctorch\nFloatStorage\n", b"cbuiltins\nset\n"), "asks for builtins.set"),
    "complex numbers": (replaced(b"FloatStorage", b"ComplexFloatStorage"), "asks for torch.ComplexFloatStorage"),
    "a tensor of 10 GB": (streamed(TEN_GB), "declares 10000000000 bytes of numbers and holds 36"),
    "a tensor of 10 GB, twice": (
        streamed(TEN_GB[:-44] + struct.pack("<Q", 2_500_000_000) + TEN_GB[-36:]),
        "declares 10000000000 bytes of numbers and holds 36",
    ),
    "a tensor that is cut short": (streamed(FLOATS[:-1]), "declares 36 bytes of numbers and holds 35"),
    "a tensor that goes on": (streamed(FLOATS + b"\0"), "declares 36 bytes of numbers and holds 37"),
    "a tensor without numbers": (streamed(FLOATS[:COUNT]), "ends in the middle of its data"),
    "a tensor with two counts": (
        streamed(FLOATS[:COUNT] + b"\x08" + FLOATS[COUNT + 1 :]),
        "declares 36 bytes of numbers",
    ),
    "a stream without storage": (streamed(FLOATS[:STORAGE] + b"\x80\x02N." + FLOATS[KEYS:]), "exactly one storage"),
    "a stream of another key": (inserted(KEYS, b"\x80\x02]X\x01\0\0\0aa."), "exactly one storage"),
    "a stream of another magic": (replaced(FLOATS[4:14], b"\1" * 10), "has a tensor that torch did not write"),
    "big-endian numbers": (
        replaced(b"little_endianq\x02\x88", b"little_endianq\x02\x89"),
        "has a tensor that has big-endian numbers",
    ),
    "another device": (replaced(b"\x03\0\0\0cpu", b"\x04\0\0\0meta"), "stored in an unknown way"),
    "a view as a storage": (replaced(b"K\x09N", b"K\x09K\x01"), "stored in an unknown way"),
    "a stream of protocol 4": (replaced(b"\x80\x02]q\0", b"\x80\x04]q\0"), "no pickle of protocol 2"),
    "a stream with a busy head": (inserted(SYSTEM, b"\x80\x02N" + b"q\0" * 100 + b"."), "more than 40 pickle instr"),
    "a stream with attributes": (inserted(SYSTEM, b"\x80\x02}}b."), "sets attributes"),
    "a few bytes as a tensor": (streamed(b"\x80\x02N."), "makes a storage from arguments"),
}

# The shape of a tensor.
DEFECTS |= {
    "a negative offset": (shaped(-1, (9,), (1,)), "not made of natural numbers"),
    "a negative size": (shaped(0, (-9,), (1,)), "not made of natural numbers"),
    "a negative stride": (shaped(8, (9,), (-1,)), "not made of natural numbers"),
    "a size of True": (shaped(0, (True,), (1,)), "not made of natural numbers"),
    "a size that is text": (shaped(0, ("9",), (1,)), "not made of natural numbers"),
    "an expanded tensor": (shaped(0, (10**12,), (0,)), "repeats its numbers"),
    "an expanded dimension": (shaped(0, (3, 3), (0, 1)), "repeats its numbers"),
    "rows that overlap": (shaped(0, (3, 3), (2, 1)), "repeats its numbers"),
    "a tensor past its storage": (shaped(1, (9,), (1,)), "outside its storage of 9 numbers"),
    "a stride past its storage": (shaped(0, (1,), (2**100,)), "outside its storage of 9 numbers"),
    "a tensor of 2**120 numbers": (shaped(0, (2**60, 2**60), (2**60, 1)), "outside its storage of 9 numbers"),
    "an empty tensor": (shaped(0, (0, 2**62), (1, 1)), "an empty tensor"),
    "more strides than sizes": (shaped(0, (9,), (1, 1)), "a tensor of 1 sizes and 2 strides"),
    "too many dimensions": (shaped(0, (1,) * 9, (1,) * 9), "a tensor of 9 sizes"),
    "a tensor with hooks": (shaped(0, (9,), (1,), False, {"hook": 1}), "makes a tensor from arguments"),
    "a tensor with metadata": (shaped(0, (9,), (1,), False, {}, {}), "makes a tensor from arguments"),
    "a tensor without storage": (with_parameter(view({}, 0, (9,), (1,))), "makes a tensor from arguments"),
    "a parameter without tensor": (
        with_parameter(Call("torch._utils._rebuild_parameter", None, False, {})),
        "makes a parameter from arguments",
    ),
    "thousands of tensors": (
        valid(x=[Stored(bytes(bytearray(FLOATS))) for _ in range(3001)]),
        "more than 3000 tensors",
    ),
    "one tensor under many names": (
        ema({"_parameters": {str(number): BIG for number in range(9)}}),
        "it repeats them on purpose",
    ),
}

# Dictionaries and NumPy's numbers.
DEFECTS |= {
    "a full ordered dictionary": (valid(x=Call("collections.OrderedDict", [])), "makes an ordered dictionary from"),
    "an array of objects": (valid(x=Call("numpy.dtype", "O8", False, True)), "NumPy values of type O8"),
    "a dtype of nothing": (valid(x=Call("numpy.dtype", 8, False, True)), "makes a NumPy dtype from arguments"),
    "a big-endian number": (big_endian(), "attributes of a value of type NumberType"),
    "a number that is cut short": (
        valid(x=Call("numpy.core.multiarray.scalar", NumberType("f8"), b"\0" * 7)),
        "makes a NumPy number from arguments",
    ),
    "an array of another class": (
        valid(x=Call("numpy.core.multiarray._reconstruct", named("builtins.set"), (0,), b"b")),
        "makes a NumPy array from arguments",
    ),
}

# What the network says about itself.
DEFECTS |= {
    "a persistent function": (ema(type="function"), "without type, version"),
    "persistence version 5": (ema(version=5), "of persistence version 5"),
    "a version that is text": (ema(version="6"), "of persistence version unknown"),
    "a class that is no text": (ema(class_name=7), "without type, version"),
    "a source that is no text": (ema(module_src=b"x" * 99), "without type, version"),
    "a state that is a list": (ema(state=[]), "without type, version"),
    "an unknown network": (ema(class_name="Generator"), "of class Generator; artc reads EDMPrecond, VPPrecond"),
    "a class for the terminal": (ema(class_name="\x1b[2J"), r"of class '\x1b[2J'; artc"),
    "an EDM2 network": (edm2(), "an EDM2 network, which artc does not read yet"),
    "no network": (valid(ema=None), "no network under the name 'ema'"),
    "a container as network": (valid(ema=Raw(CONTAINER)), "no network under the name 'ema'"),
    "a list at the top": (dumps([network()]), "no network under the name 'ema'"),
    "a network at the top": (dumps(network()), "no network under the name 'ema'"),
    "nothing at the top": (dumps(None), "no network under the name 'ema'"),
    "arguments that were not recorded": (ema({"_init_args": None}), "does not say what its network was made with"),
    "too many positional arguments": (ema({"_init_args": (0,) * 9}), "9 positional arguments, which has 8"),
    "an argument given twice": (ema({"_init_args": (8,)}), "its argument 'img_resolution' twice"),
    "a tensor as argument": (ema({"_init_kwargs": {"x": torch.zeros(9)}}), "neither text nor a number"),
    "an argument without name": (ema({"_init_kwargs": {7: 1}}), "neither text nor a number"),
    "a list as data set": (valid(dataset_kwargs=[1]), "no dictionary in the description of its data set"),
    "no parameters": (ema({"_parameters": None}), "class EDMPrecond that has no _parameters"),
    "a child that is a number": (ema({"_modules": {"model": 7}}), "at model that is no module"),
    "a parameter that is a number": (ema({"_parameters": {"w": 7}}), "at w that is no tensor"),
    "a buffer that is a storage": (ema({"_buffers": {"w": Stored(FLOATS)}}), "at w that is no tensor"),
    "a name with a dot": (ema({"_parameters": {"a.b": torch.zeros(9)}}), "a name that torch does not allow"),
    "a name that is a number": (ema({"_parameters": {7: torch.zeros(9)}}), "a name that torch does not allow"),
    "a container without contents": (
        ema({"_modules": {"enc": Made("torch.nn.modules.container.ModuleList")}}),
        "class ModuleList that has no _parameters",
    ),
}

"""Hostile pickles that claim to be snapshots of EDM: each by name, with what the reader must say about it.

`ATTACKS[name]` is (bytes of the file, a part of the refusal). One that got its code to run would make the file CANARY
in the current folder. What goes wrong past the pickle itself is in `tests.edm_defects`.
"""

import pickle
import struct

import torch

from tests.edm_pickle import Call, Made, Raw, dumps, named, persistent, snapshot

CANARY = "the-canary-sang"
TOUCH = f"open({CANARY!r}, 'w').close()"
CONFIG = {"precond": "EDMPrecond", "img_resolution": 8, "img_channels": 1, "label_dim": 0, "model_type": "SongUNet"}
STATE = {"model.out_conv.weight": torch.ones(1, 1, 3, 3), "model.out_conv.bias": torch.ones(1)}
TABLES = ("_parameters", "_buffers", "_modules")


def valid(protocol=4, first=None, **top):
    """A snapshot that is fine, but for what replaces or joins its top level; `first` comes before all."""
    return dumps({"first": first, **snapshot(CONFIG, STATE), **top}, protocol)


def network(attributes=None, **meta):
    """The object behind 'ema', with attributes of its state or parts of its meta changed."""
    call = snapshot(CONFIG, STATE)["ema"]
    (fine,) = call.args
    return Call(call.path, {**fine, "state": {**fine["state"], **(attributes or {})}, **meta})


def ema(attributes=None, **meta):
    return valid(ema=network(attributes, **meta))


def opcodes(*parts):
    """Instructions as they are, spliced into a snapshot that is fine otherwise."""
    return valid(extra=Raw(b"".join(parts)))


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def global_(path):
    module, _, attribute = path.rpartition(".")
    return text(module) + text(attribute) + pickle.STACK_GLOBAL


def put(index):
    return b"r" + struct.pack("<I", 2**31 + index)


def get(index):
    return b"j" + struct.pack("<I", 2**31 + index)


# Calls that would do harm, or could help to: what is asked for, with which arguments.
CALLS = {
    "os.system": (f"touch {CANARY}",),
    "posix.system": (f"touch {CANARY}",),
    "nt.system": (f"touch {CANARY}",),
    "builtins.eval": (TOUCH,),
    "builtins.exec": (TOUCH,),
    "builtins.open": (CANARY, "w"),
    "builtins.compile": (TOUCH, "", "exec"),
    "builtins.getattr": ({}, "clear"),
    "builtins.__import__": ("antigravity",),
    "builtins.print": ("hello",),
    "__builtin__.eval": (TOUCH,),
    "__builtin__.set": ([],),
    "subprocess.Popen": (["touch", CANARY],),
    "subprocess.check_output": (["touch", CANARY],),
    "importlib.import_module": ("this",),
    "runpy._run_code": (TOUCH, {}),
    "timeit.timeit": (TOUCH,),
    "pathlib.Path": (CANARY,),
    "shutil.rmtree": ("nowhere",),
    "torch.load": ("evil.pt",),
    "torch.hub.load": ("evil/evil", "evil"),
    "torch.storage._load_from_bytes.__globals__": (),
    "torch.nn.modules.container.Sequential": (),
    "numpy.load": ("evil.npy",),
    "numpy.testing._private.utils.runstring": (TOUCH, {}),
    "functools.partial": (named("builtins.print"), "hello"),
    "operator.attrgetter": ("__class__",),
    "operator.methodcaller": ("clear",),
    "pickle.loads": (b"I1\n.",),
    "_codecs.encode": ("x", "latin1"),
    "collections.namedtuple": ("x", "y"),
    "collections.OrderedDict.fromkeys": ([],),
    "torch_utils.persistence._src_to_module": (TOUCH,),
    "dnnlib.util.construct_class_by_name": ("x",),
    "artc.models.snapshots.unpickling.read_edm": ("x",),
}

# Instructions that no EDM file has, with an operand where they take one.
FORBIDDEN = {
    "PERSID": b"P1\n",
    "BINPERSID": b"NQ",
    "EXT1": b"\x82\x01",
    "EXT2": b"\x83\x01\0",
    "EXT4": b"\x84\x01\0\0\0",
    "INST": b"(X\x01\0\0\0xios\nsystem\n",
    "OBJ": b"(No",
    "NEWOBJ_EX": b"N)}\x92",
    "DUP": b"N2",
    "POP": b"NN0",
    "POP_MARK": b"N(1",
    "STRING": b"S'x'\n",
    "BINSTRING": b"T\x01\0\0\0x",
    "SHORT_BINSTRING": b"U\x01x",
    "UNICODE": b"Vx\n",
    "INT": b"I1\n",
    "LONG": b"L1L\n",
    "LONG4": b"\x8b\xff\xff\xff\x7f",
    "FLOAT": b"F1\n",
    "DICT": b"(d",
    "LIST": b"(l",
    "PUT": b"Np0\n",
    "GET": b"g0\n",
    "FROZENSET": b"(\x91",
    "PROTO": b"\x80\x04N",
    "BINUNICODE8": b"\x8d" + b"\xff" * 8,
    "BINBYTES8": b"\x8e" + b"\xff" * 8,
    "BYTEARRAY8": b"\x96" + b"\xff" * 8,
    "NEXT_BUFFER": b"\x97",
    "READONLY_BUFFER": b"N\x98",
    "0xff": b"\xff",
}

CONTAINER = global_("torch.nn.modules.container.ModuleDict") + b")\x81"
META = text("type") + text("class") + text("version") + b"K\6" + text("module_src") + text("") + text("class_name")
START = global_("torch_utils.persistence._reconstruct_persistent_obj") + b"}(" + META + text("Conv2d") + text("state")
OPEN = (
    START + b"}(" + b"".join(text(table) + b"}" for table in TABLES) + text("m")
)  # a persistent object with a child ...
CLOSE = b"suu\x85R"  # ... which stands between these two
LEAF = OPEN.removesuffix(text("m")) + CLOSE[1:]

LINE = b"]" + LEAF + put(0) + b"a" + b"".join(OPEN + get(n) + CLOSE + put(n + 1) + b"a" for n in range(1000))
TWICE = b"".join(OPEN + get(n) + b"s" + text("n") + get(n) + CLOSE + put(n + 1) + b"a" for n in range(20))
TREE = b"]" + LEAF + put(0) + b"a" + TWICE
ITSELF = CONTAINER + put(0) + b"}(" + b"".join(text(table) + b"}" for table in TABLES) + text("m") + get(0) + b"sub"
LAUGHS = b"]" + put(0) + b"".join(b"]" + put(n) + b"(" + get(n - 1) * 10 + b"e" for n in range(1, 7))
LAUGH = b"(" + LAUGHS + b"t"
SHARED = {"_parameters": dict.fromkeys(map(str, range(6000))), "_buffers": {}, "_modules": {}}
POSIX_SYSTEM = (text("posix"), put(0), text("system"), put(1), b"\x86", get(0), get(1), pickle.STACK_GLOBAL)

# What opens a level of nesting and what closes it.
NESTED = {
    "lists": (b"]", b"a"),
    "dictionaries": (b"}" + text("k"), b"s"),
    "ordered dictionaries": (global_("collections.OrderedDict") + b")R" + text("k"), b"s"),
    "tuples": (b"(", b"t"),
    "tuples of one": (b"", b"\x85"),
    "persistent objects": (OPEN, CLOSE),
}


def nested(kind, levels):
    opening, closing = NESTED[kind]
    return Raw(opening * levels + b"N" + closing * levels)


def with_modules(modules, first=None):
    return valid(3, first, ema=network({"_modules": modules}))


ATTACKS = {
    f"{name} in protocol {protocol}": (
        valid(protocol, x=Call(name, *arguments)),
        f"asks for {name}, which artc never runs",
    )
    for name, arguments in CALLS.items()
    for protocol in (3, 4)
}
ATTACKS |= {
    f"the instruction {name}": (opcodes(code), f"instruction {name}, which artc never follows")
    for name, code in FORBIDDEN.items()
}
ATTACKS |= {
    f"{levels} {kind}": (valid(dataset_kwargs={"x": nested(kind, levels)}), "too deeply")
    for kind in NESTED
    for levels in (1000, 100_000)
}

# Names put together in odd ways, calls of what is no name.
ATTACKS |= {
    "a name from the memo": (opcodes(*POSIX_SYSTEM), "asks for posix.system"),
    "a name cut elsewhere": (opcodes(text("os"), text("path.os.system"), b"\x93"), "asks for os.path.os.system"),
    "a name that is no text": (opcodes(b"K\1", text("system"), b"\x93"), "under a name that is no text"),
    "a name for the terminal": (opcodes(text("os"), text("\x1b[2J"), b"\x93"), r"asks for 'os.\x1b[2J'"),
    "a name without end": (opcodes(b"c" + b"a" * 10_000 + b"\nb\n"), "a name that is cut short or far too long"),
    "a name that nobody calls": (opcodes(global_("posix.system")), "asks for posix.system"),
    "a name as a state": (ema(state=named("collections.OrderedDict")), "without type, version"),
    "a call of a name for objects": (opcodes(global_("dnnlib.util.EasyDict"), b")R"), "calls dnnlib.util.EasyDict"),
    "a call of a dictionary": (opcodes(b"})R"), "calls a value of type dict"),
    "a call of a module": (opcodes(LEAF, b")R"), "calls a value of type Module"),
    "a call without a tuple": (opcodes(global_("builtins.set"), b"]R"), "calls builtins.set"),
    "an object of a name for calls": (opcodes(global_("builtins.set"), b")\x81"), "an object of builtins.set"),
    "an object with arguments": (opcodes(CONTAINER[:-2], b"N\x85\x81"), "an object of torch.nn.modules"),
    "BUILD of a dictionary": (opcodes(b"}}b"), "sets attributes of a value of type dict"),
    "BUILD of a name": (opcodes(global_("builtins.set"), b"}b"), "sets attributes of a value of type Global"),
    "BUILD of a class": (
        opcodes(LEAF, b"}", text("__class__"), text("x"), b"sb"),
        "attributes of a value of type Module",
    ),
    "BUILD of a container, twice": (opcodes(CONTAINER, b"}b}b"), "attributes of a value of type Module"),
    "BUILD with slots": (opcodes(CONTAINER, b"}}\x86b"), "attributes of a value of type Module"),
    "NEWOBJ of a set": (valid(x=Made("builtins.set", state={})), "an object of builtins.set"),
}

# Sizes that are declared, and sizes that are real.
ATTACKS |= {
    "4 GB of bytes": (opcodes(b"B\xff\xff\xff\xff"), "declares 4294967295 bytes where"),
    "4 GB of text": (opcodes(b"X\xff\xff\xff\xff"), "more than 16000000 bytes of text"),
    "text past the end": (opcodes(b"X\xff\xff\0\0"), "ends in the middle of its data"),
    "text that is no UTF-8": (opcodes(b"\x8c\x02\xff\xfe"), "not UTF-8"),
    "a frame past the end": (opcodes(b"\x95" + b"\xff" * 8 + b"N"), "ends inside a frame"),
    "an integer of 255 bytes": (opcodes(b"\x8a\xff" + b"\x7f" * 255), "an integer of 255 bytes"),
    "a million instructions": (opcodes(b"]" + b"Na" * 500_000), "more than 300000 pickle instructions"),
    "a heap of values": (opcodes(b"(" + b"N" * 100_000 + b"t"), "more than 20000 values are waiting"),
    "a tuple as a key": (opcodes(b"}))s"), "uses a value of type tuple as a key"),
    "a deep tuple as a key": (opcodes(b"})" + b"\x85" * 100_000 + b"Ns"), "uses a value of type tuple as a key"),
    "a tuple in a set": (opcodes(b"\x8f()\x90"), "uses a value of type tuple as a key"),
    "a large set": (valid(x=Call("builtins.set", list(range(1000)))), "makes a set from arguments"),
}

# References that multiply.
ATTACKS |= {
    "a list that holds itself": (valid(3, dataset_kwargs={"x": Raw(b"]" + put(0) + get(0) + b"a")}), "too deeply"),
    "a million lists in seven": (valid(3, dataset_kwargs={"x": Raw(LAUGH)}), "more than 10000 values"),
    "a line of a thousand modules": (with_modules({"m": Raw(get(1000))}, Raw(LINE)), "more than 32 levels deep"),
    "2**20 modules": (with_modules({"m": Raw(get(20))}, Raw(TREE)), "n. that stands elsewhere too"),
    "a module that holds itself": (with_modules({"m": Raw(ITSELF)}), "at m.m. that stands elsewhere too"),
    "modules that share a long dictionary": (
        with_modules({str(number): persistent("Conv2d", SHARED) for number in range(20)}),
        "more than 50000 weights and modules",
    ),
    "an unknown reference": (opcodes(get(77)), "recalls a value that it never stored"),
}

# Damage.
ATTACKS |= {
    "a value from an empty stack": (b"\x80\x04\x85.", "takes a value where its instructions have put none"),
    "a mark that was never set": (b"\x80\x04t.", "takes a value where its instructions have put none"),
    "a mark that stays open": (b"\x80\x04(N.", "leaves values behind"),
    "two values": (b"\x80\x04NN.", "leaves values behind"),
    "an item without value": (opcodes(b"}(Nu"), "sets an item without a value"),
    "items of a list": (opcodes(b"](NNu"), "sets items of a value of type list"),
    "appending to a dictionary": (opcodes(b"}Na"), "appends to a value of type dict"),
    "members of a list": (opcodes(b"](N\x90"), "adds members to a value of type list"),
    "bytes after the end": (valid() + b"\0" * 17, "goes on for 17 bytes"),
    "a second pickle": (valid() + valid(), "goes on for"),
    "no end": (valid(3)[:-1], "ends before its last instruction"),
    "two bytes": (b"\x80\x04", "ends before its last instruction"),
}

"""What stands in for the objects of an EDM file: inert records, and the table of every name that such a file may use.

The table holds what snapshots of all four preconditioners with both networks contain, and their losses, augmentation
and data set description; NumPy 1 and 2 spell two of the names differently. No record has a method that a file could
call, and each checks what it is made of, in a time that does not depend on how large its parts are.

| names in the file | what they make |
|---|---|
| `torch_utils.persistence._reconstruct_persistent_obj` | `Module`: class name, attributes, and source that never runs |
| `torch.nn.modules.container.ModuleDict`, `.ModuleList` | `Module` without source |
| `torch._utils._rebuild_tensor_v2`, `._rebuild_parameter` | `TensorRecord` |
| `torch.storage._load_from_bytes` | `StorageRecord` |
| `collections.OrderedDict`, `dnnlib.util.EasyDict` | a dictionary |
| `builtins.set` | a set of text and integers |
| `numpy.dtype`, `numpy.core.multiarray.scalar`, `numpy._core...` | a number of Python |
| `numpy.ndarray`, `numpy.core.multiarray._reconstruct`, `numpy._core...` | `Opaque`: for EDM2, which is refused later |
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from artc.errors import InputError
from artc.models.snapshots.legacy_tensor import StorageRecord, TensorRecord, read_header
from artc.models.snapshots.machine import Dialect, Global, checked_key, shown
from artc.models.snapshots.source import Source, Span

META_VERSION = 6
MAX_STORAGES = 3_000  # the published networks have up to 600
MAX_MEMBERS = 16  # of a set, which here holds the names of a module's non-persistent buffers

# NumPy's code of a dtype: the same for `struct`.
_NUMBERS = {
    "b1": "?",
    "i1": "b",
    "i2": "<h",
    "i4": "<i",
    "i8": "<q",
    "u1": "B",
    "u2": "<H",
    "u4": "<I",
    "u8": "<Q",
    "f2": "<e",
    "f4": "<f",
    "f8": "<d",
}


@dataclass(slots=True, eq=False)
class Module:
    """An object of the file: what class it was of and what attributes it had."""

    class_name: str
    source: str
    state: dict[object, object] | None


@dataclass(frozen=True, slots=True, eq=False)
class NumberType:
    """A NumPy dtype of plain numbers, as `struct` spells it."""

    format: str


class Opaque:
    """An object that artc has no use for."""

    __slots__ = ()


def edm_dialect(source: Source) -> Dialect:
    """The pickles that NVlabs EDM writes; its byte strings lie in `source`."""
    storages: dict[int, StorageRecord] = {}
    calls: dict[str, Callable[[tuple[object, ...]], object]] = {
        "torch_utils.persistence._reconstruct_persistent_obj": _module,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_parameter": _parameter,
        "torch.storage._load_from_bytes": partial(_storage, source, storages),
        "collections.OrderedDict": _ordered,
        "builtins.set": _set,
        "numpy.dtype": _number_type,
        "numpy.core.multiarray.scalar": _scalar,
        "numpy._core.multiarray.scalar": _scalar,
        "numpy.core.multiarray._reconstruct": _array,
        "numpy._core.multiarray._reconstruct": _array,
    }
    names = {name: Global(name=name, call=call) for name, call in calls.items()}
    for kind in ("ModuleDict", "ModuleList"):
        name = f"torch.nn.modules.container.{kind}"
        names[name] = Global(name=name, new=partial(Module, kind, "", None))
    names["dnnlib.util.EasyDict"] = Global(name="dnnlib.util.EasyDict", new=dict)
    names["numpy.ndarray"] = Global(name="numpy.ndarray")
    return Dialect(protocols=(3, 4), names=names, build=_build)


def _module(arguments: tuple[object, ...]) -> Module:
    match arguments:
        case (
            {"type": "class", "version": version, "module_src": str(source), "class_name": str(name), "state": state},
        ):
            if type(version) is not int or version != META_VERSION:
                found = version if type(version) is int else "unknown"
                raise InputError(f"holds an object of persistence version {found}; artc reads {META_VERSION}.")
            if type(state) is dict:
                return Module(name, source, state)
    raise InputError("holds an object without type, version, source, class name or state.")


def _storage(source: Source, known: dict[int, StorageRecord], arguments: tuple[object, ...]) -> StorageRecord:
    match arguments:
        case (Span() as span,):
            # The same bytes are the same storage however often they are asked for, so that all storages together are
            # never larger than the file.
            if span.start not in known:
                if len(known) == MAX_STORAGES:
                    raise InputError(f"holds more than {MAX_STORAGES} tensors, which no EDM model does.")
                known[span.start] = read_header(source, span)
            return known[span.start]
    raise _odd("a storage")


def _tensor(arguments: tuple[object, ...]) -> TensorRecord:
    match arguments:
        case (StorageRecord() as storage, int(offset), tuple(size), tuple(stride), bool(), dict(hooks)) if not hooks:
            return TensorRecord(storage=storage, offset=offset, size=size, stride=stride)
    raise _odd("a tensor")


def _parameter(arguments: tuple[object, ...]) -> TensorRecord:
    match arguments:
        case (TensorRecord() as tensor, bool(), dict(hooks)) if not hooks:
            return tensor
    raise _odd("a parameter")


def _ordered(arguments: tuple[object, ...]) -> dict[str, object]:
    if arguments:
        raise _odd("an ordered dictionary")
    return {}


def _set(arguments: tuple[object, ...]) -> set[str | int]:
    match arguments:
        case (list(members),) if len(members) <= MAX_MEMBERS:
            return {checked_key(member) for member in members}
    raise _odd("a set")


def _number_type(arguments: tuple[object, ...]) -> NumberType:
    match arguments:
        case (str(code), bool() | 0, bool() | 1) if code in _NUMBERS:
            return NumberType(_NUMBERS[code])
        case (str(code), *_):
            raise InputError(f"holds NumPy values of type {shown(code)}, which is no plain number.")
    raise _odd("a NumPy dtype")


def _scalar(arguments: tuple[object, ...]) -> int | float | bool:
    match arguments:
        case (NumberType(format=code), bytes(data)) if len(data) == struct.calcsize(code):
            (value,) = struct.unpack(code, data)
            assert isinstance(value, int | float)
            return value
    raise _odd("a NumPy number")


def _array(arguments: tuple[object, ...]) -> Opaque:
    match arguments:
        case (Global(name="numpy.ndarray"), (0,), bytes()):
            return Opaque()
    raise _odd("a NumPy array")


def _build(target: object, state: object) -> None:
    if type(target) is Module and target.state is None and type(state) is dict:
        target.state = state
        return
    match target, state:
        case NumberType(), (int(), "<" | "|" | "=", None, None, None, int(), int(), int()):
            return
        case Opaque(), (int(), tuple(), NumberType(), bool(), bytes() | Span()):
            return
    raise InputError(f"sets attributes of a value of type {type(target).__name__}, which artc never does.")


def _odd(what: str) -> InputError:
    return InputError(f"makes {what} from arguments that torch and NumPy do not use; it is damaged.")

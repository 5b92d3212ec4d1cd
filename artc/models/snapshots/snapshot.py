"""From inert records to what a network needs: its constructor's arguments by name, and its state dictionary.

No constructor runs. Each record keeps the arguments that its object was made with (`_init_args`, `_init_kwargs`), and
a state dictionary is what `torch.nn.Module.state_dict` would give: of each module its parameters, then its buffers
without the non-persistent ones, then its children; names joined by dots.

Records may refer to each other in any way that a hostile file likes: to themselves, or twice to a child that refers
twice to its own, which are 2^n modules after n levels. So a module is visited once, to a depth, and what is copied is
counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from artc.errors import InputError
from artc.models.snapshots.legacy_tensor import TensorRecord
from artc.models.snapshots.machine import shown
from artc.models.snapshots.records import Module
from artc.models.snapshots.source import MAX_NAME

MAX_DEPTH = 32
MAX_ENTRIES = 50_000
MAX_VALUES = 10_000

_COMMON = ("img_resolution", "img_channels", "label_dim", "use_fp16")

# Positional arguments of each preconditioner's constructor; what follows them is passed on to its network, by name.
PRECONDITIONERS = {
    "EDMPrecond": (*_COMMON, "sigma_min", "sigma_max", "sigma_data", "model_type"),
    "VPPrecond": (*_COMMON, "beta_d", "beta_min", "M", "epsilon_t", "model_type"),
    "VEPrecond": (*_COMMON, "sigma_min", "sigma_max", "model_type"),
    "iDDPMPrecond": (*_COMMON, "C_1", "C_2", "M", "model_type"),
}


def arguments_of(network: Module) -> dict[str, Any]:
    """The arguments that a preconditioner was made with, by name, as plain values; defaults are left out.

    Raises InputError when they were not recorded, are too many, are given twice, or are no plain values.
    """
    assert network.state is not None
    names = PRECONDITIONERS[network.class_name]
    positional, named = network.state.get("_init_args"), network.state.get("_init_kwargs")
    if type(positional) is not tuple or type(named) is not dict:
        raise InputError("does not say what its network was made with; artc cannot rebuild it.")
    if len(positional) > len(names):
        raise InputError(f"gives {network.class_name} {len(positional)} positional arguments, which has {len(names)}.")
    given = dict(zip(names, positional, strict=False))
    for name in named:
        if name in given:
            raise InputError(f"gives {network.class_name} its argument {name!r} twice.")
    return plain({**given, **named}, "the arguments of its network")


def plain(values: object, what: str) -> dict[str, Any]:
    """A dictionary of plain values, copied: text, numbers, booleans, None, and lists and dictionaries of these.

    Raises InputError for anything else, and for values that are nested too deeply or too many.
    """
    counter = iter(range(MAX_VALUES))

    def copied(value: object, depth: int) -> Any:
        if next(counter, None) is None:
            raise InputError(f"holds more than {MAX_VALUES} values in {what}.")
        if depth == 0:
            raise InputError(f"nests {what} too deeply.")
        match value:
            case None | bool() | int() | float() | str():
                return value
            case list() | tuple():
                return [copied(member, depth - 1) for member in value]
            case dict() if all(type(key) is str for key in value):
                return {key: copied(member, depth - 1) for key, member in value.items()}
        raise InputError(f"holds a value in {what} that is neither text nor a number.")

    if type(values) is not dict:
        raise InputError(f"holds no dictionary in {what}.")
    result: dict[str, Any] = copied(values, 8)
    return result


def state_of(network: Module) -> dict[str, TensorRecord]:
    """The state dictionary of a network, in torch's order, of tensors that nobody has read yet.

    Raises InputError for a module without parameters, buffers and children, one that stands at two places, names that
    are no names, and more levels or entries than an EDM network has.
    """
    return dict(_entries(network, "", MAX_DEPTH, set(), iter(range(MAX_ENTRIES))))


def _entries(
    module: Module, prefix: str, depth: int, seen: set[Module], budget: Iterator[int]
) -> Iterator[tuple[str, TensorRecord]]:
    if module in seen:
        raise InputError(f"has a module at {shown(prefix)} that stands elsewhere too.")
    if depth == 0:
        raise InputError(f"nests its network more than {MAX_DEPTH} levels deep.")
    seen.add(module)
    hidden = (module.state or {}).get("_non_persistent_buffers_set")
    for name, value in _table(module, "_parameters", budget):
        yield prefix + name, _tensor(value, prefix + name)
    for name, value in _table(module, "_buffers", budget):
        if not (type(hidden) is set and name in hidden):
            yield prefix + name, _tensor(value, prefix + name)
    for name, value in _table(module, "_modules", budget):
        if type(value) is not Module:
            raise InputError(f"has something at {shown(prefix + name)} that is no module.")
        yield from _entries(value, f"{prefix}{name}.", depth - 1, seen, budget)


def _table(module: Module, kind: str, budget: Iterator[int]) -> Iterator[tuple[str, object]]:
    """The entries of a module's dictionary of that kind; one that is None is registered, and absent."""
    table = (module.state or {}).get(kind)
    if type(table) is not dict:
        raise InputError(f"holds a module of class {shown(module.class_name)} that has no {kind}.")
    for name, value in table.items():
        if next(budget, None) is None:
            raise InputError(f"has more than {MAX_ENTRIES} weights and modules in its network.")
        if type(name) is not str or not name or "." in name or len(name) > MAX_NAME:
            raise InputError(
                f"holds a module of class {shown(module.class_name)} with a name that torch does not allow."
            )
        if value is not None:
            yield name, value


def _tensor(value: object, key: str) -> TensorRecord:
    if type(value) is not TensorRecord:
        raise InputError(f"has something at {shown(key)} that is no tensor.")
    return value

"""The bytes of one storage, as `torch.save` wrote them before its zip format: four small pickles and the numbers.

    pickle  magic number 0x1950a86a20f9469cfc6c
    pickle  protocol version 1001
    pickle  {"protocol_version": 1001, "little_endian": True, "type_sizes": {...}}
    pickle  persistent id ("storage", torch.FloatStorage, key, location, numel, None)
    pickle  [key]
    uint64  numel, then numel numbers, to the last byte

EDM's files hold one such stream for each tensor, and load it with everything a pickle may do. Here it goes through the
machine of `machine` with a table of its own: the names of four storage types, which nothing can call.
`torch.load(..., weights_only=True)` would be safe too, but wants the bytes in memory, and allocates what the stream
declares before it looks whether so much is there. Read like this, the declared size is compared with the bytes that the
file really holds before anything is allocated, and the numbers go from the file into their tensor once.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from artc.errors import InputError
from artc.models.snapshots.machine import Dialect, Global, read_pickle
from artc.models.snapshots.source import Source, Span

if TYPE_CHECKING:
    from torch import Tensor

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
HEADER = 1024  # bytes, of which about 250 are used
INSTRUCTIONS = 40  # of each pickle; the longest has 26
MAX_DIMENSIONS = 8

# Name in the file: name in torch, bytes for each number.
_TYPES = {
    "torch.HalfStorage": ("float16", 2),
    "torch.BFloat16Storage": ("bfloat16", 2),
    "torch.FloatStorage": ("float32", 4),
    "torch.DoubleStorage": ("float64", 8),
}
_NAMES = {name: Global(name=name) for name in _TYPES}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StorageRecord:
    """Numbers in the file that nobody has read: where they start, how many there are, and of what type."""

    dtype: str
    itemsize: int
    numel: int
    start: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TensorRecord:
    """A view of a storage that fits inside it and is no larger; checked when made."""

    storage: StorageRecord
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.size) != len(self.stride) or len(self.size) > MAX_DIMENSIONS:
            raise InputError(f"holds a tensor of {len(self.size)} sizes and {len(self.stride)} strides.")
        if any(type(number) is not int or number < 0 for number in (self.offset, *self.size, *self.stride)):
            raise InputError("holds a tensor whose shape is not made of natural numbers.")
        if 0 in self.size:
            raise InputError("holds an empty tensor, which no EDM model does.")
        last = 0  # how far the dimensions reach so far, from the smallest stride to the largest
        for step, size in sorted(zip(self.stride, self.size, strict=True)):
            if size > 1 and step <= last:
                raise InputError("holds a tensor that repeats its numbers, which no EDM model does.")
            last += (size - 1) * step
        if self.offset + last >= self.storage.numel or any(step > self.storage.numel for step in self.stride):
            raise InputError(f"holds a tensor that reaches outside its storage of {self.storage.numel} numbers.")

    @property
    def numel(self) -> int:
        """How many numbers the tensor has."""
        return prod(self.size)

    @property
    def nbytes(self) -> int:
        """How many bytes its numbers fill."""
        return self.numel * self.storage.itemsize


def read_header(source: Source, span: Span) -> StorageRecord:
    """Where the numbers of a legacy stream lie, and of what type they are; nothing is allocated.

    Raises InputError for a stream that is malformed, that asks for code, or that does not hold what it declares.
    """
    try:
        return _header(source.at(span, HEADER), span)
    except InputError as error:
        raise InputError(f"has a tensor that {error.message}", hint=error.hint) from None


def _header(data: bytes, span: Span) -> StorageRecord:
    header = Source(io.BytesIO(data), len(data))
    plain = Dialect(protocols=(2,), names={}, instructions=INSTRUCTIONS)
    storage = Dialect(protocols=(2,), names=_NAMES, persistent=_stored, instructions=INSTRUCTIONS)
    if read_pickle(header, plain) != MAGIC or read_pickle(header, plain) != VERSION:
        raise InputError("torch did not write, or not in its legacy format.")
    system = read_pickle(header, plain)
    if type(system) is not dict or system.get("little_endian") is not True:
        raise InputError("has big-endian numbers.")
    stored = read_pickle(header, storage)
    keys = read_pickle(header, plain)
    if type(stored) is not _Stored or keys != [stored.key]:
        raise InputError("is not made of exactly one storage.")
    dtype, itemsize = _TYPES[stored.type]
    declared, there = stored.numel * itemsize, span.length - header.position - 8
    if header.number(8) != stored.numel or declared != there:
        raise InputError(f"declares {declared} bytes of numbers and holds {there}; it was cut short or damaged.")
    return StorageRecord(dtype=dtype, itemsize=itemsize, numel=stored.numel, start=span.start + header.position)


def read_tensors(source: Source, records: Mapping[str, TensorRecord]) -> dict[str, Tensor]:
    """Read each storage once, straight into its memory, and return the views of it, in the order of `records`.

    Raises InputError when the tensors are together larger than the file, when memory runs out, or when the file shrank.
    """
    needed = sum(record.nbytes for record in records.values())
    if needed > source.size:
        raise InputError(f"holds tensors of {needed} bytes in a file of {source.size}; it repeats them on purpose.")
    import torch

    storages: dict[StorageRecord, Tensor] = {}
    for storage in {record.storage: None for record in records.values()}:
        try:
            raw = torch.empty(storage.numel * storage.itemsize, dtype=torch.uint8)
        except RuntimeError:
            raise InputError(f"needs {needed} bytes of memory, more than there are.") from None
        source.stream.seek(storage.start)
        if source.stream.readinto(raw.numpy().data) != len(raw):
            raise InputError("became shorter while it was read.")
        storages[storage] = raw.view(getattr(torch, storage.dtype))
    return {
        name: storages[record.storage].as_strided(record.size, record.stride, record.offset)
        for name, record in records.items()
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Stored:
    type: str
    key: str
    numel: int


def _stored(identity: object) -> _Stored:
    match identity:
        case ("storage", Global(name=name), str(key), str(location), int(numel), None) if numel >= 0:
            if re.fullmatch(r"cpu|cuda(:\d+)?", location, re.ASCII):
                return _Stored(name, key, numel)
    raise InputError("is stored in an unknown way.")

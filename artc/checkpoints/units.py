"""Units of finished work, each one file: a safetensors file of its arrays, with its facts as JSON in the header.

A unit is written to a temporary file, forced to the disk and renamed: a kill leaves all of it or none. A disk may do
worse. The header also holds

    SHA-256(key, facts, and for each array by name: its name, dtype, shape and bytes),

and a unit that is cut short, changed or under another key counts as never written: its work is done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from artc.artifact.writing import write_whole

SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What a piece of work left: arrays, and facts that JSON can hold."""

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Units:
    """The units in a folder, by their keys; without a folder there are none, and none is written."""

    folder: Path | None = None

    def keep(self, key: str, unit: Unit) -> None:
        """Write a unit, in place of any other of its key; raises OutputError when the disk does not take it."""
        if self.folder is None:
            return
        # Scalars of NumPy become Python's; infinities and NaN are written as Python writes them, and read back so.
        facts = json.dumps(unit.facts, default=lambda scalar: scalar.item())
        arrays = {name: np.asarray(array, order="C") for name, array in unit.arrays.items()}
        header = {"facts": facts, "sha256": _checksum(key, facts, arrays)}
        write_whole(self._file(key), save(arrays, header), force=True)

    def kept(self, key: str) -> Unit | None:
        """The unit of this key, if it is there and whole."""
        if self.folder is None:
            return None
        try:
            with safe_open(self._file(key), framework="np") as file:
                header = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}
        except (OSError, SafetensorError, ValueError, TypeError, AttributeError):  # the last: a dtype NumPy lacks
            return None
        if header.get("sha256") != _checksum(key, header.get("facts", ""), arrays):
            return None
        return Unit(arrays=arrays, facts=json.loads(header["facts"]))

    def forget(self, key: str) -> None:
        """Let go of a unit."""
        if self.folder is not None:
            self._file(key).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{key}{SUFFIX}"


NOWHERE = Units()
"""Where nothing is kept."""


def _checksum(key: str, facts: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    found = hashlib.sha256(json.dumps([key, facts]).encode())
    for name, array in sorted(arrays.items()):
        found.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        found.update(array.tobytes())
    return found.hexdigest()

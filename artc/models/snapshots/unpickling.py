"""Snapshots of NVlabs EDM (`*.pkl`), read as data: nothing in the file is imported, called or executed.

**The format.** A snapshot is a pickle of protocol 3 or 4:

    {"ema": network, "loss_fn": ..., "augment_pipe": ..., "dataset_kwargs": {...}}

Each object of EDM's own classes is written as a call of `torch_utils.persistence._reconstruct_persistent_obj` with one
dictionary: `type` "class", `version` 6, `module_src` (the text of a Python module), `class_name`, and `state`, which is
the object's `__dict__`: for a network its parameters, buffers, children, and the arguments of its constructor. Tensors
are views of storages, and a storage is a byte string that holds a `torch.save` stream of its own.

**The threat.** `pickle.load` runs whatever the file asks for, three times over: any name that the pickle calls, the
source text in `module_src`, and the pickles inside the tensors. Files of this kind are passed around, so each is taken
to be hostile: it may want to run code, to exhaust memory or time, or to crash the reader.

**The guards**, from the outside in:

1. `file_kind`: a regular file of a sane size that starts like a pickle; others are told what they are.
2. `source`: no more is read, or allocated, than the file holds.
3. `machine`: a pickle machine without import, attribute access and calls; a short list of opcodes,
   bounded in number, nesting and text; a name outside the table is refused by name.
4. `records`: the table, and the inert record that each name makes; source text is hashed, never run.
5. `legacy_tensor`: the same machine for the pickles inside the tensors; declared sizes are compared
   with the bytes that are there; tensors stay inside their storage and together are no larger than the file.
6. `snapshot`: known classes only; each module once, to a depth; arguments as plain values.

One refusal, one sentence: whatever bytes the file holds, `read_edm` returns an `EDMFile` or raises `InputError`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artc.errors import InputError
from artc.models.snapshots.file_kind import check_file, check_kind
from artc.models.snapshots.legacy_tensor import read_tensors
from artc.models.snapshots.machine import read_pickle, shown
from artc.models.snapshots.records import Module, edm_dialect
from artc.models.snapshots.snapshot import PRECONDITIONERS, arguments_of, plain, state_of
from artc.models.snapshots.source import Source

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class EDMFile:
    """What a snapshot says about its network.

    Attributes:
        class_name: the preconditioner: `EDMPrecond`, `VPPrecond`, `VEPrecond` or `iDDPMPrecond`.
        config: arguments of its constructor by name, those of the network inside included; defaults are left out.
        state: its state dictionary, in torch's order and in the file's number types; tensors that share a storage in
            the file share it here.
        source_sha256: SHA-256 of the Python source that the file carries for it, as UTF-8.
        dataset: the training set's description, empty when there is none.
    """

    class_name: str
    config: dict[str, Any]
    state: dict[str, Tensor]
    source_sha256: str
    dataset: dict[str, Any]


def read_edm(path: str | os.PathLike[str]) -> EDMFile:
    """Read the averaged network of a snapshot of NVlabs EDM; nothing in the file is executed.

    Numbers go from the file into their tensors once: the memory that this takes is that of the tensors. Raises
    InputError when there is no such file, when it is no snapshot of EDM, and when anything in it is not what EDM
    writes; a name that the file would have run is given.
    """
    file = os.fspath(path)
    try:
        check_file(Path(file))
        with Path(file).open("rb") as stream:
            source = Source(stream, os.fstat(stream.fileno()).st_size)
            check_kind(source)
            return _edm_file(source)
    except InputError as error:
        raise InputError(f"{file!r} {error.message}", hint=error.hint) from None
    except MemoryError:
        raise InputError(f"Reading {file!r} needs more memory than there is.") from None
    except FileNotFoundError:
        raise InputError(f"There is no file {file!r}.", hint="Check the path.") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"Cannot read {file!r}: {reason}.") from None


def _edm_file(source: Source) -> EDMFile:
    snapshot = read_pickle(source, edm_dialect(source))
    if source.left:
        raise InputError(f"goes on for {source.left} bytes after its end; it is damaged, or hides something.")
    network = snapshot.get("ema") if type(snapshot) is dict else None
    if type(snapshot) is not dict or type(network) is not Module or network.state is None:
        raise InputError("holds no network under the name 'ema'.", hint="Give a network snapshot of NVlabs/edm.")
    if network.class_name == "Precond":
        raise InputError("holds an EDM2 network, which artc does not read yet.")
    if network.class_name not in PRECONDITIONERS:
        known = ", ".join(PRECONDITIONERS)
        raise InputError(f"holds a network of class {shown(network.class_name)}; artc reads {known}.")
    return EDMFile(
        class_name=network.class_name,
        config=arguments_of(network),
        dataset=plain(snapshot.get("dataset_kwargs") or {}, "the description of its data set"),
        source_sha256=hashlib.sha256(network.source.encode()).hexdigest(),
        state=read_tensors(source, state_of(network)),  # last: only now is anything allocated
    )

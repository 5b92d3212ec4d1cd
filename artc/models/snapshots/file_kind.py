"""What a file is that is no snapshot of EDM: said before it is read, from its first bytes."""

from __future__ import annotations

import stat
from pathlib import Path

from artc.errors import InputError
from artc.models.snapshots.source import Source

MAX_BYTES = 8_000_000_000  # the largest published model has 1.2 GB

_DOWNLOAD = "Download it again, from where NVlabs/edm says."
_SNAPSHOT = "Give a network snapshot of NVlabs/edm (.pkl)."

# First bytes: what the file is, and what to do.
_KINDS = (
    (b"PK\x03\x04", "is a zip archive, such as torch.save writes, not a pickle of NVlabs/edm.", _SNAPSHOT),
    (b"\x80\x02\x8a\n", "is a checkpoint in torch's legacy format, not a pickle of NVlabs/edm.", _SNAPSHOT),
    (b"version https://git-lfs", "is a Git LFS pointer, not the model itself.", "Fetch it with `git lfs pull`."),
    (b"\x1f\x8b", "is compressed with gzip.", "Unpack it first."),
    (b"\x89HDF", "is an HDF5 file, not a pickle of NVlabs/edm.", _SNAPSHOT),
    (b"<", "is a web page, not a model.", _DOWNLOAD),
    (b"{", "is JSON, not a model.", _SNAPSHOT),
)


def check_file(path: Path) -> None:
    """Raise InputError for a path that is no regular file, or one that is empty or far too large; OSError for none."""
    facts = path.stat()
    if stat.S_ISDIR(facts.st_mode):
        raise InputError("is a folder.", hint=_SNAPSHOT)
    if not stat.S_ISREG(facts.st_mode):
        raise InputError("is no regular file.", hint=_SNAPSHOT)
    if not facts.st_size:
        raise InputError("is empty.", hint=_DOWNLOAD)
    if facts.st_size > MAX_BYTES:
        raise InputError(f"is larger than {MAX_BYTES // 10**9} GB, which no EDM model is.", hint=_SNAPSHOT)


def check_kind(source: Source) -> None:
    """Raise InputError for a file that does not start like a pickle of protocol 3 or 4; the position stays."""
    first = source.stream.read(512)
    source.stream.seek(0)
    if len(first) > 9 and first[8:9] == b"{" and int.from_bytes(first[:8], "little") < source.size:
        raise InputError("is a safetensors file, not a pickle of NVlabs/edm.", hint=_SNAPSHOT)
    for start, what, hint in _KINDS:
        if first.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(start):
            raise InputError(what, hint=hint)
    if first[:1] != b"\x80" or len(first) < 2:
        raise InputError("is no pickle, and so no model of NVlabs/edm.", hint=_SNAPSHOT)
    if first[1] not in (3, 4):
        raise InputError(f"is a pickle of protocol {first[1]}; models of NVlabs/edm have 3 or 4.", hint=_SNAPSHOT)

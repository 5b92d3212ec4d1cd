"""A file is trusted once: its sha256 is recorded beside it when it is first seen, and compared ever after.

The record of FILE is FILE.sha256.json: `sha256`, `bytes`, `recorded` (UTC) and `source`, the address that it came from.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from artc.artifact.writing import write_whole
from artc.errors import InputError

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a file was when it was first seen, when that was, and where it came from."""

    sha256: str
    bytes: int
    recorded: str
    source: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(self.sha256)
        datetime.fromisoformat(self.recorded.replace("Z", "+00:00"))


def record_of(file: Path) -> Path:
    """Where the checksum of a file is recorded."""
    return file.with_name(f"{file.name}.sha256.json")


def recorded(file: Path) -> Record | None:
    """What was recorded of a file, if anything; raises InputError for a record that cannot be read or understood."""
    path = record_of(file)
    try:
        return Record(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"Cannot read {str(path)!r}: {error.strerror or error}.") from None
    except (ValueError, TypeError, AttributeError):
        hint = "Remove it, and the file it is about is recorded as it is now."
        raise InputError(f"{str(path)!r} is not a record of a checksum.", hint=hint) from None


def sha256_of(file: Path) -> str:
    """The sha256 of a file, in hexadecimal digits; raises OSError."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def record(file: Path, sha256: str, source: str) -> None:
    """Record the sha256 of a file, in place of an older record; raises OutputError."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    found = Record(sha256=sha256, bytes=file.stat().st_size, recorded=now, source=source)
    write_whole(record_of(file), (json.dumps(asdict(found), indent=2) + "\n").encode(), force=True)

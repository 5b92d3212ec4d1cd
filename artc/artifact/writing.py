"""Writing an artifact: pleasant to read, always the same bytes, and whole or not at all.

Whatever fits on one line is on one line; what does not is broken, an array of numbers into full lines and anything else
into one line an item, each two spaces deeper. Fields come in the order of the format, floats as the shortest digits
that read back as the same number.

A policy goes to disk before the document that names it, so that a crash never leaves a document without its policy.
The text goes to a temporary file in the same folder, to the disk, and only then gets its name: a crash leaves the old
file or the new one, never half of either. What cannot be read back is not written.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from artc.artifact.artifact import Artifact
from artc.artifact.codec import to_document
from artc.artifact.reading import loads
from artc.artifact.validation import policy_content
from artc.errors import ArtifactError, OutputError

WIDTH = 120


def write(artifact: Artifact, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write the sealed artifact to `path`, and first its policy, where there is one, to the ONNX file beside it.

    Raises OutputError when the file exists and not `force`, or when the folder is missing or not writable; raises
    ArtifactError, before anything is touched, for an artifact that could not be read back, such as one whose policy
    is neither at hand nor lies beside it.
    """
    path = Path(path)
    artifact = named_for(artifact, path)
    text, policy = dumps(artifact).encode(), artifact.policy
    if policy is None or policy.content is None:
        loads(text, folder=path.parent)
        write_whole(path, text, force=force)
        return
    loads(text)
    check_writable(path, force=force)
    beside, written = path.with_name(policy.file), False
    with contextlib.suppress(ArtifactError):
        written = policy_content(policy.file, policy.sha256, path.parent) == policy.content
    if not written:
        write_whole(beside, policy.content, force=force)
    write_whole(path, text, force=force)


def named_for(artifact: Artifact, path: str | os.PathLike[str]) -> Artifact:
    """The sealed artifact as it is written to `path`: the file of its policy is named after its own.

    mine.art.json has mine.art.onnx beside it. The name is part of the document, and so of the digest.
    """
    policy = artifact.policy
    if policy is None or policy.content is None:
        return artifact
    return replace(artifact, policy=replace(policy, file=policy_beside(path).name)).sealed()


def policy_beside(path: str | os.PathLike[str]) -> Path:
    """Where the policy of an artifact goes that is written to `path`."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(".json") + ".onnx")


def write_whole(path: Path, content: bytes, *, force: bool = False) -> None:
    """Write any file whole or not at all; raises OutputError as `write` does."""
    _refuse_folder(path)
    temporary = _temporary(path)
    try:
        with _explained(path):
            _write_to_disk(temporary, content)
            _publish(temporary, path, force)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def check_writable(path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Raise the OutputError that `write` would, before there is any work to lose."""
    path = Path(path)
    _refuse_folder(path)
    temporary = _temporary(path)
    try:
        with _explained(path):
            if os.path.lexists(path) and not force:
                raise _exists(path)
            _write_to_disk(temporary, b"")
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def dumps(artifact: Artifact) -> str:
    """The text of the sealed artifact, with a final newline; raises ArtifactError for what JSON cannot carry."""
    return _layout(to_document(artifact.sealed()), indent=0, used=WIDTH) + "\n"


def _refuse_folder(path: Path) -> None:
    if not path.name:
        raise OutputError(f"{str(path)!r} names no file.", hint="Give a file name, such as mine.art.json.")
    if path.is_dir():
        raise OutputError(f"{str(path)!r} is a folder.", hint="Name a file in it.")
    if os.path.lexists(path) and not path.is_file() and not path.is_symlink():
        raise OutputError(f"{str(path)!r} is a device or the like, not a file.", hint="Choose another path.")


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _write_to_disk(file: Path, content: bytes) -> None:
    # O_EXCL, in case of a file of that name; 0o666 is what the user's umask then narrows.
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _publish(temporary: Path, path: Path, force: bool) -> None:
    if not force:
        try:
            path.hardlink_to(temporary)  # unlike a rename, it fails when the name is taken, with no gap to race through
            return
        except FileExistsError:
            raise _exists(path) from None
        except OSError:  # a file system without hard links
            if os.path.lexists(path):
                raise _exists(path) from None
    temporary.replace(path)


def _exists(path: Path) -> OutputError:
    return OutputError(f"{str(path)!r} exists already.", hint="Choose another name, or replace it with --force.")


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    folder = str(path.parent)
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        if path.parent.is_dir():  # such as /proc, where no file can be made
            raise OutputError(f"No file can be made in {folder!r}.", hint="Choose another path.") from None
        raise OutputError(f"There is no folder {folder!r}.", hint="Make it first, or choose another path.") from None
    except PermissionError:
        raise OutputError(f"The folder {folder!r} is not writable.", hint="Choose another path.") from None
    except OSError as error:
        raise OutputError(f"Cannot write {str(path)!r}: {error.strerror or error}.") from None


def _layout(value: Any, indent: int, used: int) -> str:
    """JSON text of a value that starts at column `used`, in a container `indent` spaces deep."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or not value or used + len(line) < WIDTH:
        return line
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        names = {name: f"{inner}{json.dumps(name, ensure_ascii=False)}: " for name in value}
        items = [names[name] + _layout(item, indent + 2, len(names[name])) for name, item in value.items()]
        return "{\n" + ",\n".join(items) + "\n" + " " * indent + "}"
    if all(isinstance(item, (int, float)) for item in value):
        return "[\n" + "\n".join(_filled(line[1:-1].split(", "), inner)) + "\n" + " " * indent + "]"
    items = [inner + _layout(item, indent + 2, indent + 2) for item in value]
    return "[\n" + ",\n".join(items) + "\n" + " " * indent + "]"


def _filled(numbers: list[str], inner: str) -> Iterator[str]:
    """Lines of as many numbers as fit, each but the last line ending in a comma."""
    current = inner + numbers[0]
    for number in numbers[1:]:
        if len(current) + 2 + len(number) + 1 > WIDTH:
            yield current + ","
            current = inner + number
        else:
            current += ", " + number
    yield current

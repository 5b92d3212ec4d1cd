"""The folder of an unfinished compilation, beside the file that it is to become: `mnist.art.json.checkpoint`.

    lock                   held by the process that works, and by the operating system taken from one that was killed
    fingerprint.json       what is compiled
    *.safetensors          its units of finished work

Without its fingerprint a folder is no checkpoint, whatever lies in it. So the fingerprint is written before the first
unit, and removed first when the artifact is on the disk: a kill in between leaves nothing that could be taken for
unfinished work. Other files are nobody's business: a folder that holds any is left behind, less what is ours.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from artc.artifact.writing import policy_beside, write_whole
from artc.checkpoints.units import SUFFIX, Units
from artc.errors import InputError, OutputError
from artc.models.published.lock import TakenError, only_one

FINGERPRINT, LOCK = "fingerprint.json", "lock"
_TEMPORARY = re.compile(r"\.[0-9a-f]{8}\.tmp")
_LOCKLESS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def checkpoint_of(output: Path) -> Path:
    """The folder that belongs to an output file."""
    return output.with_name(f"{output.name}.checkpoint")


def sweep(output: Path) -> None:
    """Remove the temporary files of a process that was killed while it wrote `output` or the policy beside it."""
    for path in (output, policy_beside(output)):
        for file in output.parent.iterdir():
            if file.name.startswith(f".{path.name}.") and _TEMPORARY.fullmatch(file.name[len(path.name) + 1 :]):
                file.unlink(missing_ok=True)


def holds_work(folder: Path) -> bool:
    """Whether finished units of an unfinished compilation lie in a folder."""
    return _fingerprint(folder) is not None and any(folder.glob(f"*{SUFFIX}"))


def refuse_unfinished(folder: Path) -> None:
    """Raise OutputError when there is unfinished work that nobody asked to go on with, nor to throw away."""
    if holds_work(folder):
        raise OutputError(
            f"An unfinished compile lies in {str(folder)!r}.",
            hint="Go on with it with --resume, or start over with --force.",
        )


@contextlib.contextmanager
def opened(
    folder: Path, mark: Mapping[str, Any], *, resume: bool = False, force: bool = False, remove: bool = True
) -> Iterator[Units]:
    """Hold a folder for this process and yield its units.

    Left without an error, the checkpoint is removed, if `remove`; after an error it stays if there is work in it.

    Args:
        mark: the fingerprint of what is compiled.
        resume: go on with the unfinished work of the same fingerprint, if there is any.
        force: without `resume`, throw away any unfinished work.

    Raises:
        InputError: the unfinished work is of another fingerprint.
        OutputError: there is unfinished work, and neither of the two was asked for; another process holds the folder;
            or it cannot be made.
    """
    with _held(folder):
        if resume and holds_work(folder):
            _require(folder, mark)
        else:
            if not force:
                refuse_unfinished(folder)
            _empty(folder)
            write_whole(folder / FINGERPRINT, json.dumps(mark, indent=2).encode(), force=True)
        try:
            yield Units(folder)
        except BaseException:
            if not holds_work(folder):
                _empty(folder)
            raise
        if remove:
            _empty(folder)


def first_difference(kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first fact in which two fingerprints differ, such as `request.seed is 0 there and 1 here`; empty if none."""
    before, now = dict(_leaves(kept)), dict(_leaves(wanted))
    for name in {**now, **before}:
        if before.get(name, "absent") != now.get(name, "absent"):
            return f"{name} is {_shown(before, name)} there and {_shown(now, name)} here"
    return ""


def discard(folder: Path) -> None:
    """Remove a checkpoint, if there is one; raises OutputError when another process holds it."""
    if folder.is_dir():
        with _held(folder):
            _empty(folder)


def _fingerprint(folder: Path) -> Any:
    try:
        return json.loads((folder / FINGERPRINT).read_bytes())
    except (OSError, ValueError):  # a file that is cut short vouches for nothing
        return None


def _require(folder: Path, mark: Mapping[str, Any]) -> None:
    kept = _fingerprint(folder)
    difference = first_difference(kept if isinstance(kept, dict) else {}, mark)
    if difference:
        raise InputError(
            f"The unfinished compile in {str(folder)!r} is another one: {difference}.",
            hint="Give its settings again, or start over with --force in place of --resume.",
        )


def _empty(folder: Path) -> None:
    """Remove what is ours, the fingerprint first; the lock is its holder's."""
    (folder / FINGERPRINT).unlink(missing_ok=True)
    for pattern in (f"*{SUFFIX}", f".*{SUFFIX}.*.tmp", f".{FINGERPRINT}.*.tmp"):
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)


def _leaves(facts: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _shown(leaves: Mapping[str, Any], name: str) -> str:
    text = json.dumps(leaves[name]) if name in leaves else "absent"
    return text if len(text) <= 60 else text[:57] + "..."


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Make the folder and hold its lock; in the end the folder goes, if nothing is in it."""
    try:
        with contextlib.ExitStack() as lock:
            _take(folder, lock)
            yield
    finally:
        with contextlib.suppress(OSError):
            if sys.platform == "win32":  # where the lock file outlives the lock; an open one cannot be removed there
                (folder / LOCK).unlink()
            folder.rmdir()


def _take(folder: Path, lock: contextlib.ExitStack) -> None:
    try:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            # The holder before may remove the folder at this moment: then it is made again.
            with contextlib.suppress(FileNotFoundError):
                lock.enter_context(only_one(folder / LOCK))
                return
    except TakenError:
        raise OutputError(
            f"Another process compiles in {str(folder)!r} at this moment.", hint="Wait for it, or choose another path."
        ) from None
    except OSError as error:
        if error.errno not in _LOCKLESS:  # a file system that has no locks takes one process on trust
            raise OutputError(f"Cannot make {str(folder)!r}: {error.strerror or error}.") from None

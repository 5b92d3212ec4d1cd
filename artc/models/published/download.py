"""A large file, fetched whole or not at all, and never twice: what a cut connection left is kept and gone on from.

The bytes go to TARGET.part, and only a complete file gets its name. Beside it, TARGET.part.json keeps the length and
the validator (RFC 9110, section 13.1.5: the ETag, or else the date of the last change) under which it was offered. The
next attempt, in this process or a later one, asks for the rest with `Range` and `If-Range`; a server that no longer has
the same file, or that knows no ranges, sends all of it, and the part is started over.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from http.client import HTTPResponse
from pathlib import Path

from artc.artifact.writing import write_whole
from artc.errors import ArtcError, DownloadError, OutputError
from artc.models.published.lock import TakenError, only_one
from artc.models.published.web import check_address, get, pieces
from artc.progress import Progress

TIMEOUT = 30.0
"""Seconds of silence after which a connection counts as cut."""
TRIES = 5
"""Attempts in a row that bring nothing new before the download is given up."""
PAUSE = 0.5
"""Seconds before the second attempt; each further pause is twice as long."""

_ELSEWHERE = "Set ARTC_CACHE to another folder."
_BETWEEN_UPDATES = 0.1


def download(
    url: str,
    target: Path,
    *,
    check: Callable[[Path], object] = lambda _: None,
    timeout: float = TIMEOUT,
    pause: float = PAUSE,
) -> Generator[Progress, None, Path]:
    """Fetch `url` to `target`, replacing it at the very end; yields the bytes that are there, of how many.

    `check` sees the complete file before it gets its name, and may raise an ArtcError to refuse it; it is then removed.
    Whatever else ends a download, Ctrl-C included, leaves the part, from which the next call goes on. Raises InputError
    for what is no http or https address; DownloadError when the network, the server or what it sends is at fault;
    OutputError when the folder takes no file, has no room, or another process fetches the same file.
    """
    check_address(url)
    part = _Part(path=target.with_name(f"{target.name}.part"), url=url)
    with _explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with only_one(target.with_name(f"{target.name}.lock")):
            length = yield from _all_attempts(part, timeout, pause)
            try:
                check(part.path)
            except ArtcError:
                part.remove()
                raise
            part.publish(target)
    yield Progress(done=length, total=length)
    return target


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """What a server said it would send."""

    url: str
    validator: str
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The part that has come so far."""

    path: Path
    url: str

    @property
    def memo(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def offer(self) -> _Offer | None:
        """What the part is a part of; None when there is nothing to go on from."""
        try:
            offer = _Offer(**json.loads(self.memo.read_bytes()))
            return offer if offer.url == self.url and 0 < self.size() <= offer.length else None
        except (OSError, ValueError, TypeError):  # no memo, or not one of ours
            return None

    def start(self, validator: str | None, length: int) -> None:
        """Begin at nothing. The old bytes go before the new memo comes, so that no crash can mix the two."""
        self.path.write_bytes(b"")
        self.memo.unlink(missing_ok=True)
        if validator is not None:
            text = json.dumps(asdict(_Offer(url=self.url, validator=validator, length=length)))
            write_whole(self.memo, text.encode(), force=True)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.memo.unlink(missing_ok=True)

    def publish(self, target: Path) -> None:
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())  # the bytes reach the disk before the name does
        self.path.replace(target)
        self.memo.unlink(missing_ok=True)


def _all_attempts(part: _Part, timeout: float, pause: float) -> Generator[Progress, None, int]:
    """Attempts until the part is whole, or until too many in a row brought nothing; the length of the file."""
    most, left = part.size() if part.offer() else 0, TRIES
    while True:
        try:
            return (yield from _attempt(part, timeout))
        except DownloadError as error:
            size = part.size()
            left = TRIES if size > most else left
            most, left = max(most, size), left - 1
            if not error.passing or left == 0:
                if part.offer() is not None:
                    error.hint = f"The {size / 1e6:.1f} MB that came are kept; the same command goes on from there."
                raise
        time.sleep(pause * 2 ** (TRIES - 1 - left))


def _attempt(part: _Part, timeout: float) -> Generator[Progress, None, int]:
    offer = part.offer()
    begin = 0 if offer is None else part.size()
    headers = {} if offer is None else {"Range": f"bytes={begin}-", "If-Range": offer.validator}
    if offer is not None and begin == offer.length:  # the last process ended between the last byte and the name
        return begin
    with get(part.url, headers, timeout) as reply:
        if reply.status == 200:
            begin, length = 0, _length(reply, part.url)
            part.start(_validator(reply), length)
        else:
            if offer is None or not _goes_on(reply, offer, begin):
                part.remove()
                raise DownloadError(f"The server of {part.url} gives another part than it was asked for.", passing=True)
            length = offer.length
        _check_room(part.path, length - begin)
        yield from _append(part, reply, begin, length, timeout)
    return length


def _append(
    part: _Part, reply: HTTPResponse, done: int, length: int, timeout: float
) -> Generator[Progress, None, None]:
    yield Progress(done=done, total=length)
    shown = time.monotonic()
    with part.path.open("ab", buffering=0) as file:  # no buffer, so that a killed process leaves all that came
        for piece in pieces(reply, length - done, part.url, timeout):
            if file.write(piece) != len(piece):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done += len(piece)
            if done < length and time.monotonic() - shown >= _BETWEEN_UPDATES:
                yield Progress(done=done, total=length)
                shown = time.monotonic()


def _length(reply: HTTPResponse, url: str) -> int:
    text = reply.headers.get("Content-Length", "")
    if not text.isdecimal() or len(text) > 18 or reply.headers.get("Transfer-Encoding"):
        raise DownloadError(f"The server does not say how long {url} is, so that a cut could not be told from its end.")
    if int(text) == 0:
        raise DownloadError(f"The file at {url} is empty.")
    return int(text)


def _validator(reply: HTTPResponse) -> str | None:
    """What `If-Range` may hold: an ETag that is not weak, or a date."""
    tag: str = reply.headers.get("ETag", "")
    return tag if tag.startswith('"') else reply.headers.get("Last-Modified")


def _goes_on(reply: HTTPResponse, offer: _Offer, begin: int) -> bool:
    """Whether a reply to `Range` is the rest of the same file."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", reply.headers.get("Content-Range", ""))
    same = _validator(reply) in (None, offer.validator)
    return reply.status == 206 and found is not None and same and found.groups() == (str(begin), str(offer.length))


def _check_room(path: Path, needed: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        said = f"{str(path.parent)!r} has room for {free / 1e6:,.0f} MB, and {needed / 1e6:,.0f} MB are to come."
        raise OutputError(said, hint="Make room, or set ARTC_CACHE to another folder.")


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    folder = str(target.parent)
    try:
        yield
    except TakenError:
        raise OutputError(
            f"Another process is fetching {str(target)!r} at this moment.", hint="Wait for it, then try again."
        ) from None
    except (FileExistsError, NotADirectoryError):
        raise OutputError(f"{folder!r} is not a folder.", hint=_ELSEWHERE) from None
    except (PermissionError, FileNotFoundError):  # the second in such places as /proc
        raise OutputError(f"The folder {folder!r} is not writable.", hint=_ELSEWHERE) from None
    except OSError as error:
        raise OutputError(f"Cannot write {str(target)!r}: {error.strerror or error}.", hint=_ELSEWHERE) from None

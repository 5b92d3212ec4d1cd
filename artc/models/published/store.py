"""Where fetched models lie, how they get there, and whether they are still what they were.

They lie in one folder of the user's: `ARTC_CACHE`, or else `artc/models` in the cache folder of the platform. Nobody
publishes checksums of these files, so that each is trusted once, whether artc fetched it or the user put it there; see
`artc.models.checksums`. Nothing here loads network code but `pull`, and nothing loads torch.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from artc.errors import DownloadError, InputError, OutputError
from artc.models.checksums import record, record_of, recorded, sha256_of
from artc.models.published.catalogue import BASE, Published


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A model in the cache, just found to be what was recorded."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Progress of a download: so many bytes there, of so many. A console shows it in megabytes, with its rate."""

    stage: str
    done: int
    total: int
    gap: None = None


def cache_folder() -> Path:
    """The folder of fetched models, which need not exist; raises InputError where no home folder can be found."""
    chosen = os.environ.get("ARTC_CACHE")
    try:
        return Path(chosen).expanduser().absolute() if chosen else _platform_folder() / "artc" / "models"
    except RuntimeError:
        raise InputError("There is no home folder to keep models in.", hint="Set ARTC_CACHE to a folder.") from None


def place(published: Published) -> Path:
    """Where the file of a published model belongs, whether or not it is there."""
    return cache_folder() / published.file


def present(published: Published) -> bool:
    """Whether there is a file of that name in the cache; it is not looked into, so that this takes no time."""
    try:
        return place(published).is_file()
    except OSError:  # a folder that may not be looked into
        return False


def checked(published: Published) -> Stored | None:
    """The model in the cache, after reading all of it; None when it is not there.

    Raises InputError when it is not what was recorded, when it is no whole pickle, or when it cannot be read.
    """
    path = place(published)
    try:
        if not path.exists():
            return None
        sha256 = sha256_of(path)
        if not _known(published, sha256, str(path)):
            _refuse_no_pickle(path, str(path), f"Fetch it with artc models pull {published.name} --force.")
            # A cache that may be read but not written, such as one for all users of a machine, serves unrecorded.
            with contextlib.suppress(OutputError):
                record(path, sha256, "found in the cache")
    except OSError as error:
        raise InputError(f"Cannot read {str(path)!r}: {error.strerror or error}.") from None
    return Stored(path=path, sha256=sha256)


def stored(published: Published) -> Stored:
    """As `checked`, but raises InputError for a model that is not there."""
    found = checked(published)
    if found is None:
        raise InputError(
            f"{published.name} is not in the cache.", hint=f"Get it with artc models pull {published.name}."
        )
    return found


def address(published: Published) -> str:
    """Where it is fetched from: its own address, or the same file under `ARTC_MIRROR`; InputError for a bad mirror."""
    from artc.models.published.web import check_address

    mirror = os.environ.get("ARTC_MIRROR") or BASE
    check_address(mirror, hint="Mend ARTC_MIRROR, or unset it. A file that you have is --model edm:PATH.")
    return f"{mirror.rstrip('/')}/{published.file}"


def by_hand(published: Published) -> str:
    """What to do without a network: which file to fetch, where to put it, and how to use it from anywhere."""
    return (
        f"Fetch {published.address} by other means and put it at {str(place(published))!r}, "
        "or keep it anywhere and say --model edm:PATH."
    )


def pull(published: Published, *, force: bool = False) -> Generator[Transfer, None, Stored]:
    """The model in the cache, fetched if it is not there, or in any case with `force`; yields the bytes that are there.

    Raises what `checked` and `download` raise; a DownloadError also says how to do without a network. A new file that
    is not what was recorded of an earlier one is refused, unless `force`, which records it anew.
    """
    from artc.models.published.download import download

    found = None if force else checked(published)
    if found is not None:
        return found
    url, path, sha256 = address(published), place(published), ""

    def check(file: Path) -> None:
        nonlocal sha256
        _refuse_no_pickle(file, url, by_hand(published))
        sha256 = sha256_of(file)
        if force:
            record_of(path).unlink(missing_ok=True)  # it is of the file that is replaced next
        else:
            _known(published, sha256, url)

    try:
        with contextlib.closing(download(url, path, check=check)) as steps:
            for step in steps:
                yield Transfer(stage="downloading", done=step.done, total=step.total)
    except DownloadError as error:
        error.hint = f"{error.hint} {by_hand(published)}".strip()
        raise
    record(path, sha256, url)
    return Stored(path=path, sha256=sha256)


def _platform_folder() -> Path:
    system: str = sys.platform
    if system == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if system == "darwin":
        return Path.home() / "Library" / "Caches"
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return chosen if chosen.is_absolute() else Path.home() / ".cache"  # XDG has a relative one ignored


def _known(published: Published, sha256: str, what: str) -> bool:
    """Whether it was recorded before; raises InputError when as something else."""
    path = place(published)
    before = recorded(path)
    if before is not None and before.sha256 != sha256:
        raise InputError(
            f"{what!r} differs from what was recorded on {before.recorded[:10]}: its sha256 is another.",
            hint=f"Fetch it again with artc models pull {published.name} --force; "
            f"or, if the change is wanted, remove {str(record_of(path))!r}.",
        )
    return before is not None


def _refuse_no_pickle(file: Path, what: str, hint: str) -> None:
    """Raise InputError unless the file begins and ends as a pickle does, which one that was cut off does not."""
    with file.open("rb") as stream:
        first = stream.read(1)
        stream.seek(-1 if first else 0, os.SEEK_END)
        last = stream.read(1)
    if (first, last) != (b"\x80", b"."):  # the protocol, and STOP
        raise InputError(f"{what!r} is not a whole pickle; it may be cut off, or another kind of file.", hint=hint)

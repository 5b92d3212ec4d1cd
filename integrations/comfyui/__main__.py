"""Build the folder that goes into ComfyUI's `custom_nodes`: the nodes, their pages, and the parts of artc they need.

    python -m artc.integrations.comfyui ~/ComfyUI         with artc installed
    python integrations/comfyui ~/ComfyUI                 in a clone, by any Python from 3.10, with nothing installed
    python integrations/comfyui --output artc-comfyui     the same folder elsewhere, to be published

It stands alone: the standard library, and no import of artc. The folder is written whole or not at all; an older one of
this command's own is replaced, and nothing else is ever overwritten. The same sources give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

NAME = "artc"
RECORD = "pack.json"
"""Lists what this command wrote; a folder that holds anything else is not replaced."""

LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}
"""What file browsers leave in any folder that is looked at."""

ROOMS = (
    "__init__.py",
    "arguments.py",
    "compiling.py",
    "errors.py",
    "journal.py",
    "pipeline.py",
    "planning.py",
    "progress.py",
    "recording.py",
    "request.py",
    "artifact/*.py",
    "checkpoints/*.py",
    "evaluation/__init__.py",
    "evaluation/asking.py",
    "evaluation/endpoint.py",
    "evaluation/grid_walks.py",
    "evaluation/selection.py",
    "learning/*.py",
    "models/__init__.py",
    "models/adapters.py",
    "models/conditioning.py",
    "models/custom.py",
    "models/domains.py",
    "models/guidance.py",
    "models/published/__init__.py",
    "models/published/lock.py",
    "models/ranges.py",
    "models/score_model.py",
    "models/times.py",
    "sampling/**/*.py",
)
"""What the nodes import of artc: no command line, no weights, no readers of other people's files."""

ALONGSIDE = {
    "schemas": ("__init__.py", "*.json"),
    "integrations": (
        "__init__.py",
        "asking.py",
        "choosing.py",
        "fitting.py",
        "samplers.py",
        "comfyui/*.py",
        "policy/*.py",
    ),
}
"""What lies at the top of a clone, and inside artc once it is installed."""

NEXT = """\
Next: start ComfyUI again, and reload its page. The nodes are in sampling > custom_sampling > schedulers.
Artifacts (*.art.json) go into models/art_schedules; ART Compile makes one of your own model.
"""


class Refusal(Exception):
    """A mistake that one sentence explains."""


def sources(here: Path) -> dict[PurePosixPath, Path]:
    """Every file of the pack, by its place in it."""
    top = here.parents[1]
    package = top / NAME if (top / NAME / "artifact").is_dir() else top
    vendor = PurePosixPath("vendor", NAME)
    files = dict(_found(here / "pack", ("**/*",), PurePosixPath()))
    files.update(_found(package, ROOMS, vendor))
    for folder, patterns in ALONGSIDE.items():
        files.update(_found(top / folder, patterns, vendor / folder))
    files.pop(vendor / "integrations/comfyui/__main__.py")
    return dict(sorted(files.items()))


def _found(folder: Path, patterns: Sequence[str], place: PurePosixPath) -> Iterator[tuple[PurePosixPath, Path]]:
    for pattern in patterns:
        found = [path for path in folder.glob(pattern) if path.is_file() and path.name not in LITTER]
        files = [path for path in found if "__pycache__" not in path.parts]
        if not files:
            raise Refusal(f"This copy of artc is not complete: there is no {folder / pattern}.")
        for path in files:
            yield place / path.relative_to(folder).as_posix(), path


def home(comfyui: Path) -> Path:
    """The folder of custom nodes in what the user named: a ComfyUI, or that folder itself."""
    for folder in (comfyui, comfyui / "custom_nodes"):
        if folder.name == "custom_nodes" and folder.is_dir():
            return folder
    nested = comfyui / "ComfyUI"
    hint = f" Did you mean {nested}?" if (nested / "custom_nodes").is_dir() else " Name the folder with main.py in it."
    missing = "has no folder custom_nodes in it" if comfyui.is_dir() else "is not there"
    raise Refusal(f"{comfyui} is no ComfyUI: it {missing}.{hint}")


def check_own(target: Path) -> None:
    """Raise Refusal for a folder that holds anything which this command did not write."""
    way_out = f"Move {target} away first."
    if target.is_symlink():
        raise Refusal(f"{target} is a link, and is left as it is. {way_out}")
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    try:
        record = json.loads((target / RECORD).read_text(encoding="utf-8"))
        known = {*record["files"], RECORD} if record["pack"] == NAME else set()
    except (OSError, ValueError, TypeError, KeyError):
        known = set()
    if not known:
        raise Refusal(f"{target} was not made by this command, and is left as it is. {way_out}")
    there = {
        path.relative_to(target).as_posix()
        for path in target.rglob("*")
        if "__pycache__" not in path.parts and (path.is_symlink() or not path.is_dir())
    }
    foreign = sorted(path for path in there - known if PurePosixPath(path).name not in LITTER)
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise Refusal(f"{target} holds a file that this command did not write: {foreign[0]}{more}. {way_out}")


def build(here: Path, target: Path) -> list[PurePosixPath]:
    """Write the pack to `target`, replacing an older one; returns the places of its files."""
    check_own(target)
    files = sources(here)
    version = re.search(r'^version = "(.+)"$', (here / "pack/pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    record = {"pack": NAME, "version": version and version[1], "files": list(map(str, files))}
    target.parent.mkdir(parents=True, exist_ok=True)
    # A folder whose name ends in .disabled is not loaded, should ComfyUI start at this moment.
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{NAME}-", suffix=".disabled", ignore_cleanup_errors=True
    ) as scratch:
        fresh, old = Path(scratch, "new"), Path(scratch, "old")
        for place, source in files.items():
            (fresh / place).parent.mkdir(parents=True, exist_ok=True)
            (fresh / place).write_bytes(source.read_bytes())
        (fresh / RECORD).write_bytes((json.dumps(record, indent=1) + "\n").encode())
        if target.exists():
            target.rename(old)
        try:
            fresh.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    return list(files)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 done, 2 could not run."""
    parser = argparse.ArgumentParser(prog="artc.integrations.comfyui", description=(__doc__ or "").partition("\n")[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("comfyui", nargs="?", type=Path, help="the folder of a ComfyUI, or its custom_nodes")
    where.add_argument("--output", metavar="FOLDER", type=Path, help="build the pack there instead, to publish it")
    chosen = parser.parse_args(arguments)
    if sys.version_info < (3, 10):  # noqa: UP036 - a clone may be run by whatever Python is there
        parser.error(f"this needs Python 3.10 or newer, not {sys.version.split()[0]}")
    try:
        target = chosen.output.expanduser() if chosen.output else home(chosen.comfyui.expanduser()) / NAME
        replaced = target.exists()
        files = build(Path(__file__).resolve().parent, target)
    except Refusal as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"Nothing was changed: {error.strerror or error}: {error.filename}. Is ComfyUI running?\n")
        return 2
    done = f"{'Replaced' if replaced else 'Built'} {target}: {len(files)} files.\n"
    sys.stdout.write(done if chosen.output else done + NEXT)
    return 0


if __name__ == "__main__":
    sys.exit(main())

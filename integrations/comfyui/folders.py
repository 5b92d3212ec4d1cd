"""The model folder `art_schedules`: where artifacts lie in a ComfyUI, and the only place that the nodes read from.

ComfyUI keeps a table of model folders by kind, which `extra_model_paths.yaml` adds to before any pack is loaded. A kind
that came from there alone has no list of extensions, which means every file; so the pack writes its own, and keeps the
paths. Folders are listed afresh when they change: a new file is seen without a restart.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from artc.artifact.reading import MAX_BYTES
from artc.errors import InputError

KEY = "art_schedules"
EXTENSIONS = {".json"}
NOTHING = f"(no artifact in models/{KEY} yet)"
"""What stands in the list of artifacts while there is none; a list without entries would show nothing at all."""


def register() -> Path:
    """Make `art_schedules` a kind of model folder, and `models/art_schedules` one of its places; returns that folder.

    Does nothing the second time. Without the right to create the folder, it is known but not there.
    """
    paths = import_module("folder_paths")
    own = Path(paths.models_dir) / KEY
    places, _ = paths.folder_names_and_paths.get(KEY, ([], set()))
    if str(own) not in places:
        places.append(str(own))
    paths.folder_names_and_paths[KEY] = (places, EXTENSIONS)
    with suppress(OSError):
        own.mkdir(parents=True, exist_ok=True)
    return own


def artifact_names() -> list[str]:
    """The artifacts there are, by their paths below the folder; never empty, because a widget needs a value."""
    register()
    return list(import_module("folder_paths").get_filename_list(KEY)) or [NOTHING]


def find(name: object) -> Path:
    """The file of an artifact in the list; raises InputError for one that is not there, or lies outside the folders.

    ComfyUI checks a name against the list before it runs a node, but not one that another node hands over. This does
    not rely on that, and follows no link out.
    """
    own = register()
    if not isinstance(name, str):
        raise InputError(f"artifact is the name of a file in models/{KEY}, not {type(name).__name__}.")
    if name == NOTHING:
        raise InputError(
            "There is no artifact to choose yet.", hint=f"Make one with ART Compile, or put one into {os.fspath(own)}."
        )
    folders = [Path(folder) for folder in import_module("folder_paths").get_folder_paths(KEY)]
    try:
        homes = [folder.resolve() for folder in folders]
        for folder in folders:
            file = (folder / name).resolve()
            if not any(file.is_relative_to(home) for home in homes):
                raise InputError(
                    f"{name!r} leads out of the folder {os.fspath(folder)}.",
                    hint="Copy the file there, or name its own folder in extra_model_paths.yaml.",
                )
            if file.suffix.lower() in EXTENSIONS and file.is_file():
                return file
    except (OSError, ValueError, RuntimeError):  # a name that is too long, has a null character, or links in a ring
        pass
    raise InputError(f"There is no artifact {name!r} in models/{KEY}.", hint="Press R in ComfyUI to list them again.")


def fingerprint(name: str | None) -> str | float:
    """SHA-256 of an artifact's bytes; not a number, which equals nothing, where there is no file to read.

    So it is for None too: a name that another node hands over is not known yet when ComfyUI asks.

    No more is read of a file than `artc.load` would read.
    """
    try:
        with find(name).open("rb") as stream:
            return hashlib.sha256(stream.read(MAX_BYTES + 1)).hexdigest()
    except (InputError, OSError):
        return float("nan")

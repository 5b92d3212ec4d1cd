"""Where a compiled artifact goes: a file of its own, by a name that is one on every system."""

from __future__ import annotations

import itertools
import os
import re
from importlib import import_module
from pathlib import Path

from artc.artifact import Artifact
from artc.errors import InputError, OutputError

from . import folders

NAME = re.compile(r"[\w(]([\w .()+-]*[\w()+-])?")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""What Windows keeps for devices, with any ending."""


def checked_name(name: str) -> str:
    """The name without its ending; raises InputError for one that is no plain file name on every system."""
    word = name.strip().removesuffix(".json").removesuffix(".art")
    if not NAME.fullmatch(word) or RESERVED.fullmatch(word) or len(word.encode()) > 200:
        raise InputError(
            f"{name!r} cannot be the name of a file.",
            hint="Use letters, digits, spaces and any of . _ - + ( ), without a folder: such as mine.",
        )
    return word


def save(artifact: Artifact, name: str) -> str:
    """Write `name.art.json`, or with the first number that is free; returns the name of the file.

    A name that any folder of artifacts has is taken: the node that reads them could not tell the two apart.
    """
    own = folders.register()
    places = [Path(place) for place in import_module("folder_paths").get_folder_paths(folders.KEY)]
    for number in itertools.count(1):
        file = f"{name}.art.json" if number == 1 else f"{name}_{number:05}.art.json"
        if any(os.path.lexists(place / file) for place in places):
            continue
        try:
            artifact.save(own / file)
        except OutputError:
            if os.path.lexists(own / file):  # made by another in the meantime
                continue
            raise
        return file
    raise AssertionError

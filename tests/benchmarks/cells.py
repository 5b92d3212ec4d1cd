"""Studies of hours, made of cells: each is written as soon as it is measured, and a study goes on from what is there.

A cell is one line of JSON under a key, the hash of everything that its value depends on. A run that is killed loses the
cell it was at and nothing else: a line that was cut short is no JSON, and is passed over.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def key_of(**facts: Any) -> str:
    """The key of a cell: equal for equal facts, in any order."""
    text = json.dumps(facts, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def read_cells(path: Path) -> dict[str, dict[str, Any]]:
    """The cells of a file by their keys; none where there is no file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {cell["key"]: cell for cell in map(_cell, lines) if "key" in cell}


def _cell(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def keep_cell(path: Path, known: dict[str, dict[str, Any]], cell: dict[str, Any]) -> dict[str, Any]:
    """Add a cell to the known ones, and write it behind the others, on a line of its own even after one cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = path.read_bytes() if path.exists() else b""
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if content and not content.endswith(b"\n") else "") + json.dumps(cell) + "\n")
    known[cell["key"]] = cell
    return cell

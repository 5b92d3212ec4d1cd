"""Storing a result: JSON with versions, device, command and date, and nothing typed by hand."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

import artc
from artc.console import Console

RESULTS = Path(__file__).parent / "results"


def record(name: str, facts: Mapping[str, Any]) -> None:
    """Write `results/NAME.json` and say so."""
    document = {
        "benchmark": name,
        "command": f"python -m tests.benchmarks.{name}",
        "at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "artc": artc.__version__,
        "torch": torch.__version__.split("+")[0],
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        **facts,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    Console().say(f"wrote {path}")


def load(name: str) -> dict[str, Any]:
    """A stored result."""
    document: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return document


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], best: Sequence[int | None] = ()) -> None:
    """Print a titled table."""
    Console().say(title)
    Console().table(columns, rows, best)

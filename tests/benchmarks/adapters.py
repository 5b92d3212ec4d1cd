"""What an artifact costs a sampler: reading the file and handing its grid over, before torch has any part in it.

Three readings are timed. The first reading of a file checks everything: schema, digest, meaning. The same bytes read
again are known. Without jsonschema, as inside ComfyUI, the schema is run by artc's own few lines.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.resources import files
from statistics import median
from typing import Any
from unittest import mock

import torch

from artc.artifact import read, reading
from artc.integrations.choosing import sigmas_for
from artc.integrations.k_diffusion import sigmas

from .record import record, show

REPEATS = 200


def milliseconds(work: Callable[[], Any]) -> dict[str, float]:
    """Median and least wall time of a piece of work."""
    work()
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - began))
    return {"median_ms": median(times), "least_ms": min(times)}


def run() -> None:
    """Measure all of it."""
    path = str(files("artc.artifacts") / "mnist" / "mnist.art.json")

    def anew() -> None:
        reading._checked.cache_clear()
        read(path)

    x = torch.zeros(1)
    facts = {"file first read": milliseconds(anew)}
    with mock.patch.dict(sys.modules, {"jsonschema": None}):
        facts["first read, without jsonschema"] = milliseconds(anew)
    facts["file read again"] = milliseconds(lambda: read(path))
    facts["file read again, and its grid picked"] = milliseconds(lambda: sigmas_for(path, "heun", nfe=9))
    facts["the same, as a tensor for k-diffusion"] = milliseconds(lambda: sigmas(path, nfe=9, sampler="heun", like=x))
    rows = [(name, f"{one['median_ms']:.3f} ms", f"{one['least_ms']:.3f} ms") for name, one in facts.items()]
    show("What an artifact costs a sampler", ("what", "median", "least"), rows)
    record("adapters", {"repeats": REPEATS, "results": facts})


if __name__ == "__main__":
    run()

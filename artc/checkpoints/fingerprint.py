"""What decides the result of a compilation, so that nobody goes on with the work of another.

The number of threads is no part of it. Nor is the code of a model made in Python, which cannot be known: who changes it
starts over.
"""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from artc import __version__
from artc.artifact.codec import check_plain, to_document
from artc.models.score_model import ScoreModel, device_name
from artc.request import Request

FORMAT = 1
"""Of the units; raised when an older artc could not read them."""


def fingerprint(model: ScoreModel, request: Request) -> dict[str, Any]:
    """The facts as plain JSON; raises ArtifactError for a record of the model that JSON cannot hold."""
    check_plain(model.record)
    facts = {
        "checkpoint": FORMAT,
        "artc": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "device": device_name(model.device),
        "model": {
            **to_document(model.info),
            "dtype": str(model.dtype),
            "fine": model.fine is not None,
            "batch": model.batch,
            "labels": model.labels,
            "record": dict(model.record),
        },
        "request": asdict(request),
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    return plain

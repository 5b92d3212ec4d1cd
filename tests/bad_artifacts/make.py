"""Makes the bad artifacts of this folder out of the golden one: `python -m tests.bad_artifacts.make`.

Each file has one defect, is named after its error code, and is otherwise sound: defects of meaning carry the digest of
what they say, so that nothing but their meaning is wrong.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.golden.example import GOLDEN, golden_document, resealed

HERE = Path(__file__).parent
POLICY = HERE / "policy.art.onnx"


def _set(document: dict[str, Any], *keys: str | int, to: object) -> None:
    *parents, last = keys
    target: Any = document
    for key in parents:
        target = target[key]
    target[last] = to


def _policy(document: dict[str, Any], file: str, content: bytes) -> None:
    document["policy"] = {
        "file": file,
        "sha256": hashlib.sha256(content).hexdigest(),
        "opset": 18,
        "inputs": ["features"],
        "output": "theta",
        "features": ["clock", "progress"],
    }


SHAPE: dict[str, Callable[[dict[str, Any]], object]] = {
    "format": lambda d: _set(d, "format", to="safetensors"),
    "version": lambda d: (_set(d, "format_version", to="2.0"), d.pop("warp")),
    "schema-version": lambda d: _set(d, "format_version", to="one"),
    "schema-missing": lambda d: d["model"].pop("sigma_max"),
    "schema-type": lambda d: _set(d, "schedules", 0, "sigmas", 1, to="15.0"),
    "schema-origin": lambda d: _set(d, "schedules", 1, "origin", to="guessed"),
    "schema-bool": lambda d: _set(d, "schedules", 0, "steps", to=True),
    "digest": lambda d: _set(d, "schedules", 1, "sigmas", 1, to=6.25),
}

MEANING: dict[str, Callable[[dict[str, Any]], object]] = {
    "not-decreasing": lambda d: _set(d, "schedules", 1, "sigmas", 1, to=63.0),
    "end": lambda d: _set(d, "schedules", 1, "sigmas", 2, to=0.002),
    "steps": lambda d: (_set(d, "schedules", 1, "steps", to=1), _set(d, "schedules", 1, "solver", to="new")),
    "nfe": lambda d: _set(d, "schedules", 1, "nfe", to=4),
    "model-sigmas": lambda d: _set(d, "schedules", 0, "model_sigmas", to=[63.0, 3.5, 14.0]),
    "model-sigmas-length": lambda d: _set(d, "schedules", 1, "model_sigmas", to=[63.0, 6.0, 1.0]),
    "model-sigmas-start": lambda d: _set(d, "schedules", 1, "model_sigmas", to=[62.0, 6.0]),
    "model-sigmas-floor": lambda d: _set(d, "schedules", 1, "model_sigmas", to=[63.0, 0.001]),
    "model-sigmas-solver": lambda d: (
        d["schedules"][1].update(solver="rk4", model_sigmas=[63.0, 6.0]),
        _set(d, "schedules", 1, "nfe", to=5),
    ),
    "sigma-range": lambda d: _set(d, "model", "sigma_min", to=63.0),
    "sigma-range-flow": lambda d: _set(d, "model", "domain", to="flow"),
    "sigma-max": lambda d: _set(d, "schedules", 1, "sigmas", 0, to=62.0),
    "warp": lambda d: _set(d, "warp", "sigma", 1, to=64.0),
    "warp-clock": lambda d: _set(d, "warp", "clock", 2, to=0.75),
    "warp-length": lambda d: d["warp"]["clock"].insert(1, 0.25),
    "grid": lambda d: _set(d, "schedules", 0, "sigmas", 2, to=3.000001),
    "duplicate-schedule": lambda d: d["schedules"].append(d["schedules"][0]),
    "stiffness": lambda d: d["stiffness"]["mean"].pop(),
    "stiffness-order": lambda d: _set(d, "stiffness", "sigma", 1, to=0.5),
    "policy-path": lambda d: _policy(d, "../policy.art.onnx", b"policy"),
    "policy-missing": lambda d: _policy(d, "absent.art.onnx", b"policy"),
    "policy-hash": lambda d: _policy(d, POLICY.name, b"another policy"),
}


def texts() -> dict[str, bytes]:
    """The bad artifacts by name. The large ones are not among them: a test makes them."""
    golden = GOLDEN.read_bytes()
    bad = {
        "utf-8": golden.replace("ß".encode(), b"\xdf"),
        "json-cut": golden[:1000],
        "json-empty": b"",
        "duplicate-key": golden.replace(b'"policy": null', b'"policy": null, "policy": null'),
        "non-finite-nan": golden.replace(b'"value": 0.21', b'"value": NaN'),
        "non-finite-large": golden.replace(b'"value": 0.21', b'"value": -1e999'),
        "integer": golden.replace(b'"samples": 256', b'"samples": 9007199254740993'),
        "integer-long": golden.replace(b'"samples": 256', b'"samples": ' + b"9" * 5000),
        "surrogate": golden.replace(b'"name": "powers"', b'"name": "\\ud83d"'),
        "nesting": golden.replace(b"[0.5, 1e+23, 1e-07]", b"[" * 70 + b"]" * 70),
    }
    for name, change in SHAPE.items():
        document = golden_document()
        change(document)
        bad[name] = _text(document)
    for name, change in MEANING.items():
        document = golden_document()
        change(document)
        bad[name] = _text(resealed(document))
    return bad


def _text(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


if __name__ == "__main__":
    POLICY.write_bytes(b"policy")
    for name, text in texts().items():
        (HERE / f"{name}.art.json").write_bytes(text)

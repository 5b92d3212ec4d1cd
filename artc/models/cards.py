"""Model cards: the JSON beside each embedded network that says how it came to be. Read without torch."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from typing import Any

from artc.errors import InputError


def card(name: str) -> dict[str, Any]:
    """The card of an embedded network: data, images seen, seed, time, final loss, sha256 and measured figures."""
    text = (files("artc.models") / "embedded" / f"{name}.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def denoisers() -> list[str]:
    """Names of the embedded networks that are denoisers: their cards state an architecture to build."""
    cards = (files("artc.models") / "embedded").iterdir()
    names = sorted(item.name.removesuffix(".json") for item in cards if item.name.endswith(".json"))
    return [name for name in names if "architecture" in card(name)]


def weight_bytes(name: str) -> bytes:
    """The safetensors file of an embedded network; raises InputError when it is not the one its card describes."""
    content = (files("artc.models") / "embedded" / f"{name}.safetensors").read_bytes()
    if hashlib.sha256(content).hexdigest() != card(name)["sha256"]:
        raise InputError(
            f"The embedded weights {name}.safetensors do not match their card.", hint="Install artc again."
        )
    return content

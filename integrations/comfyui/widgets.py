"""The inputs of a node in the form in which ComfyUI asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Widgets = dict[str, tuple[Any, dict[str, Any]]]
"""By name the kind of an input, or its choices, and its options."""

COUNT = {"default": 8, "min": 1, "max": 10000}
"""Options of a number of steps, or of calls."""


def explained(widgets: Widgets, tooltips: Mapping[str, str]) -> Widgets:
    """The same inputs, each with its tooltip."""
    return {name: (kind, {**more, "tooltip": tooltips[name]}) for name, (kind, more) in widgets.items()}

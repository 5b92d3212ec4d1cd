"""Numbers as every host reads them: plain decimals, shortest digits that give the same float64 back.

Never an exponent. A field of ComfyUI that collects numbers reads `1e-4` as 1 and -4, and `80` is no float in some
languages: a point and a digit after it are always there.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from decimal import Decimal

from artc.errors import InputError


def plain(value: float) -> str:
    """The shortest plain decimal that reads back as this float64, such as 80.0 or 0.00002; infinities as inf, -inf."""
    if not math.isfinite(value):
        return repr(value)
    text = format(Decimal(repr(value)), "f")
    return text if "." in text else f"{text}.0"


def listed(values: Iterable[float]) -> str:
    """Plain decimals between commas, one line."""
    return ", ".join(map(plain, values))


def bracketed(values: Iterable[float]) -> str:
    """The same as a list of Python, JSON and most other languages."""
    return f"[{listed(values)}]"


def check_single(sigmas: Sequence[float], host: str) -> None:
    """Raise InputError when a host that keeps sigmas in float32 cannot tell two neighbours apart.

    A step of no length makes multistep solvers divide by zero.
    """
    kept = [_single(sigma) for sigma in sigmas]
    for place in range(1, len(kept)):
        if not math.isfinite(kept[place - 1]) or kept[place] >= kept[place - 1]:
            pair = f"{plain(sigmas[place - 1])} and {plain(sigmas[place])}"
            raise InputError(
                f"{host} keeps sigmas in float32, which cannot tell {pair} apart.", hint="Use fewer steps."
            )


def _single(value: float) -> float:
    """The float32 next to a float64, infinite beyond its range."""
    return float(struct.unpack("f", struct.pack("f", value))[0])

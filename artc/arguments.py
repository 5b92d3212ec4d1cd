"""Arguments of the Python API, held to what they must be."""

from __future__ import annotations

from operator import index
from typing import SupportsIndex

from artc.errors import BudgetError, InputError


def whole(value: SupportsIndex, what: str, least: int = 1) -> int:
    """A whole number of Python or NumPy as Python's; raises InputError, for an NFE BudgetError, for anything else."""
    try:
        number = index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        kind = BudgetError if what == "NFE" else InputError
        raise kind(f"The {what} must be a whole number of at least {least}, not {value!r}.")
    return number

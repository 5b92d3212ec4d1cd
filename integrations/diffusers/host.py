"""The package diffusers, imported when it is needed."""

from __future__ import annotations

from typing import Any

from artc.errors import InputError


def diffusers_package() -> Any:
    """The package; raises InputError that says how to install it."""
    try:
        import diffusers
    except ImportError as error:
        hint = 'Install it: pip install "artc[diffusers]".'
        raise InputError(f"This needs the package diffusers ({error}).", hint=hint) from error
    return diffusers

"""Schedules of an artifact in k-diffusion, which itself is never imported: its samplers take any grid as a tensor."""

from ..asking import asked
from .grids import nfe, sigmas

__all__ = ["asked", "nfe", "sigmas"]

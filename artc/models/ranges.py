"""The noise range that a model is compiled for: what was asked, held to what the model itself knows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from artc.errors import InputError

if TYPE_CHECKING:
    from artc.models.score_model import ScoreModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What `--sigma-min` and `--sigma-max` ask for; None leaves an end to the model. Raises InputError for nonsense."""

    sigma_min: float | None = None
    sigma_max: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("sigma_min", self.sigma_min), ("sigma_max", self.sigma_max)):
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} must be a positive number, not {value:g}.")


def limited(model: ScoreModel, asked: Range) -> ScoreModel:
    """The model on the range that is asked for, or on its own where that is narrower: then it says so, and records it.

    Its `info` holds the range taken when nothing is asked, and `own_range` what the network itself knows.
    """
    own = model.own_range or (model.info.sigma_min, model.info.sigma_max)
    wanted = (
        model.info.sigma_min if asked.sigma_min is None else asked.sigma_min,
        model.info.sigma_max if asked.sigma_max is None else asked.sigma_max,
    )
    taken = (max(wanted[0], own[0]), min(wanted[1], own[1]))
    notices = [
        f"{model.info.name} knows sigma from {own[0]:g} to {own[1]:g}: {end} is {got:g}, not {want:g}."
        for end, want, got in zip(("sigma_min", "sigma_max"), wanted, taken, strict=True)
        if want != got
    ]
    record: dict[str, Any] = {"sigma_asked": list(wanted)} if notices else {}
    return replace(
        model,
        info=replace(model.info, sigma_min=taken[0], sigma_max=taken[1]),
        record={**model.record, **record},
        notices=(*model.notices, *notices),
    )

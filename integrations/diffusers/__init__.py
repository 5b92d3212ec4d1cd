"""Schedules of an artifact in diffusers: schedulers that walk compiled grids, and the way from a pipeline to one.

    pipe.scheduler = scheduled(pipe.scheduler, "my.art.json", nfe=9)

`scheduled` makes of a scheduler one that walks compiled grids; `sigmas_for` makes the list for pipelines that take
`sigmas`; `compile_pipeline` compiles an artifact for a pipeline and prompts. Importing this imports no diffusers.

A pipeline saved with such a scheduler names this module and the scheduler's class, such as ArtHeunDiscreteScheduler:
diffusers finds it here once this module is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .applying import scheduled, sigmas_for
    from .pipelines import compile_pipeline

__all__ = ["compile_pipeline", "scheduled", "sigmas_for"]

_HOMES = {"compile_pipeline": "pipelines", "scheduled": "applying", "sigmas_for": "applying"}


def __getattr__(name: str) -> Any:
    """Import a public name on first use; make the class of a scheduler when it is first asked for."""
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    if name == "SchedulerMixin":  # diffusers looks here what a class of this module is, and so how to load it
        from .host import diffusers_package

        return diffusers_package().SchedulerMixin
    if name.startswith("Art"):
        from .schedulers import scheduler_class

        return scheduler_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

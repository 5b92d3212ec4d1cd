"""Long work is a generator: it yields small frozen updates and returns its result, and the caller owns the rest."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Shown = TypeVar("Shown")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """So much done, of so much."""

    done: int
    total: int


class Steps(Protocol):
    """Any update that counts: so much done, of so much."""

    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...


def mapped(work: Generator[Item, None, Result], change: Callable[[Item], Shown]) -> Generator[Shown, None, Result]:
    """The same work, showing other updates."""
    while True:
        try:
            update = next(work)
        except StopIteration as finished:
            result: Result = finished.value
            return result
        yield change(update)


def shifted(
    work: Generator[Steps, None, Result], before: int, total: int, *, worth: int | None = None
) -> Generator[Progress, None, Result]:
    """The same work as a part of a larger one: `before` of its `total` is done, and this part is `worth` so much of it.

    Left out, the part is worth what it counts itself.
    """

    def placed(step: Steps) -> Progress:
        return Progress(done=before + (step.done if worth is None else worth * step.done // step.total), total=total)

    return mapped(work, placed)


def drain(work: Generator[Item, None, Result], on_update: Callable[[Item], object] = lambda _: None) -> Result:
    """Run a generator to its end, showing each update to `on_update`, and return its result."""
    outcome: list[Result] = []

    def watched() -> Generator[Item, None, None]:
        outcome.append((yield from work))

    for update in watched():
        on_update(update)
    return outcome[0]

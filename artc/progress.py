"""Long work is a generator: it yields small frozen updates and returns its result, and the caller owns the rest."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """So much done, of so much."""

    done: int
    total: int


def drain(work: Generator[Item, None, Result], on_update: Callable[[Item], object] = lambda _: None) -> Result:
    """Run a generator to its end, showing each update to `on_update`, and return its result."""
    outcome: list[Result] = []

    def watched() -> Generator[Item, None, None]:
        outcome.append((yield from work))

    for update in watched():
        on_update(update)
    return outcome[0]

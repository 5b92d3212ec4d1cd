"""What long work is taken up from again after its process was killed.

A room that works for long is handed a `Journal` and names the pieces of its work by keys; where the answers are kept,
and whether at all, is no affair of its own. It asks for two things:

* `journal.once(key, work)` runs a piece of work, or, where an earlier run finished it, answers with what it returned;
* `journal.snapshots(key)` keeps the state of a piece in the middle, so that a long one need not begin at its beginning.

A piece that is taken up again must go on as if it had never stopped: whatever it draws at random comes from a generator
of its own seed, or is part of its snapshot.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from artc.progress import Steps

Arrays = Mapping[str, NDArray[np.generic]]
Facts = Mapping[str, Any]
Result = TypeVar("Result")


class Snapshots(Protocol):
    """The state of one piece of work: arrays, and facts that JSON can hold. Only the latest is kept."""

    def latest(self) -> tuple[Arrays, Facts] | None:
        """The state that an earlier run left, if it left any."""
        ...

    def put(self, arrays: Arrays, facts: Facts) -> None:
        """Keep this state in place of the one before. May be called as often as one likes: not every one is written."""
        ...


class Journal(Protocol):
    """The pieces of one work, by keys of letters, digits, `_` and `-`; the same key always names the same piece."""

    def once(self, key: str, work: Generator[Steps, None, Result], /) -> Generator[Steps, None, Result]:
        """Run this piece, or answer with what it returned in an earlier run."""
        ...

    def snapshots(self, key: str, /) -> Snapshots:
        """Where this piece keeps its state; call it when the piece begins."""
        ...


@dataclass(frozen=True, slots=True)
class Blank:
    """A journal in which nothing is ever written."""

    def once(self, key: str, work: Generator[Steps, None, Result], /) -> Generator[Steps, None, Result]:  # noqa: ARG002 - the protocol's
        """The work itself."""
        return work

    def snapshots(self, key: str, /) -> BlankSnapshots:  # noqa: ARG002 - the protocol's
        """None of them."""
        return BlankSnapshots()


@dataclass(frozen=True, slots=True)
class BlankSnapshots:
    """No state is kept."""

    def latest(self) -> None:
        """Nothing."""

    def put(self, arrays: Arrays, facts: Facts) -> None:
        """Let go of it."""


BLANK: Journal = Blank()

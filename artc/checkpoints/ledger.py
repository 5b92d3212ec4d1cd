"""The journal of a compilation: finished work is kept with what it cost, so that a resumed run adds up to the same.

A unit states the model calls and the seconds that its work took. A run that recalls it counts them as its own: the
artifact says what the whole compilation cost, however often it was killed, except for the work that a kill undid.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import torch

from artc.checkpoints.codecs import CODECS
from artc.checkpoints.units import Unit, Units
from artc.journal import Arrays, Facts, Result
from artc.models.score_model import Probe
from artc.progress import Progress, Steps

INTERVAL = 1.0
"""Seconds between two snapshots of the same work: at most so much of it is done again."""


@dataclass(slots=True, kw_only=True)
class Cost:
    """Model calls, seconds inside the denoiser, and seconds in all."""

    calls: int = 0
    denoiser: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The journal over a folder of units.

    Attributes:
        probes: where the model calls of this run are counted.
        device: where the tensors of recalled work belong.
        part: what the keys of this part of the work begin with.
        recalled: the cost of what was recalled.
    """

    units: Units
    probes: Sequence[Probe]
    device: torch.device
    interval: float = INTERVAL
    part: str = ""
    recalled: Cost = field(default_factory=Cost)

    def within(self, part: str) -> Ledger:
        """The same ledger for a part of the work, whose keys are then its own."""
        return Ledger(
            units=self.units,
            probes=self.probes,
            device=self.device,
            interval=self.interval,
            part=f"{self.part}{part}-",
            recalled=self.recalled,
        )

    def cost(self) -> Cost:
        """What was spent so far, in this run and on what was recalled; the seconds count from any beginning."""
        return Cost(
            calls=self.recalled.calls + sum(probe.calls for probe in self.probes),
            denoiser=self.recalled.denoiser + sum(probe.seconds for probe in self.probes),
            seconds=self.recalled.seconds + time.perf_counter(),
        )

    def once(self, key: str, work: Generator[Steps, None, Result], /) -> Generator[Steps, None, Result]:
        """Run this piece and keep what it returns, or recall it."""
        name = f"{self.part}{key}"
        found = self.recall(name)
        if found is not None:
            yield Progress(done=1, total=1)
            result: Result = CODECS[found.facts["kind"]].decode(
                Unit(arrays=found.arrays, facts=found.facts["value"]), self.device
            )
            return result
        before = self.cost()
        result = yield from work
        kind = type(result).__name__
        self.keep(name, CODECS[kind].encode(result), before, kind)
        self.units.forget(_snapshot(name))
        return result

    def snapshots(self, key: str, /) -> Kept:
        """The snapshots of this piece."""
        return Kept(self, _snapshot(f"{self.part}{key}"))

    def keep(self, name: str, unit: Unit, before: Cost, kind: str) -> None:
        """Write a unit with what it has cost since `before`."""
        now = self.cost()
        spent = [now.calls - before.calls, now.denoiser - before.denoiser, now.seconds - before.seconds]
        self.units.keep(name, Unit(arrays=unit.arrays, facts={"kind": kind, "cost": spent, "value": unit.facts}))

    def recall(self, name: str) -> Unit | None:
        """A unit that was kept, its cost now counted."""
        found = self.units.kept(name)
        if found is not None:
            calls, denoiser, seconds = found.facts["cost"]
            self.recalled.calls += calls
            self.recalled.denoiser += denoiser
            self.recalled.seconds += seconds
        return found


class Kept:
    """The state of one piece of work in the ledger, written at most once an interval."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger, self._name = ledger, name
        self._before, self._last = ledger.cost(), time.perf_counter()

    def latest(self) -> tuple[Arrays, Facts] | None:
        """The state that an earlier run left, its cost now counted."""
        found = self._ledger.recall(self._name)
        return None if found is None else (found.arrays, found.facts["value"])

    def put(self, arrays: Arrays, facts: Facts) -> None:
        """Keep this state, unless the one before is younger than the interval."""
        if time.perf_counter() - self._last < self._ledger.interval:
            return
        self._ledger.keep(self._name, Unit(arrays=arrays, facts=facts), self._before, "snapshot")
        self._last = time.perf_counter()


def _snapshot(name: str) -> str:
    return f"{name}.snapshot"

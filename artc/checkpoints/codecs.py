"""How the results of finished work are kept as arrays and facts, and made again from them, bit for bit.

A stage whose results shall be kept has a line in `CODECS`. Floats in facts are written by Python's shortest digits,
which read back as the same number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artc.artifact import Coordinate, Warp
from artc.artifact.codec import from_document, to_document
from artc.checkpoints.units import Unit
from artc.evaluation.asking import Asked
from artc.learning.local_error import LocalError, LocalErrors
from artc.learning.matching import Matched
from artc.learning.methods import Learned
from artc.learning.reached import Reached
from artc.learning.state_record import PolicyFound
from artc.sampling.bank import BankBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """From a result to its unit, and back to a result whose tensors are on a device."""

    encode: Callable[[Any], Unit]
    decode: Callable[[Unit, torch.device], Any]


def tensor_unit(tensor: Tensor) -> Unit:
    """One tensor."""
    return Unit(arrays={"tensor": tensor.cpu().numpy()}, facts={})


def tensor_of(unit: Unit, device: torch.device) -> Tensor:
    """The tensor again."""
    return _on(unit.arrays["tensor"], device)


def batch_unit(batch: BankBatch) -> Unit:
    """One batch of the trajectory bank."""
    arrays = {one.name: getattr(batch, one.name) for one in fields(batch)}
    return Unit(arrays={**arrays, "ends": batch.ends.cpu().numpy()}, facts={})


def batch_of(unit: Unit, device: torch.device) -> BankBatch:
    """The batch again."""
    arrays: dict[str, Any] = {**unit.arrays, "ends": _on(unit.arrays["ends"], device)}
    return BankBatch(**arrays)


def learned_unit(learned: Learned) -> Unit:
    """What a method found; its grids are the arrays."""
    facts = {
        "warp": to_document(learned.warp),
        "origin": learned.origin,
        "config": learned.config,
        "diagnostics": learned.diagnostics,
    }
    return Unit(arrays={str(steps): nodes for steps, nodes in learned.progress.items()}, facts=facts)


def learned_of(unit: Unit, _device: torch.device) -> Learned:
    """The same again."""
    progress = {int(steps): nodes for steps, nodes in unit.arrays.items()}
    rest = {name: value for name, value in unit.facts.items() if name != "warp"}
    return Learned(warp=from_document(Warp, unit.facts["warp"]), progress=progress, **rest)


def matched_unit(matched: Matched) -> Unit:
    """What a search found."""
    return Unit(arrays={}, facts=asdict(matched))


def matched_of(unit: Unit, _device: torch.device) -> Matched:
    """The same again."""
    return Matched(**{**unit.facts, "sigmas": tuple(unit.facts["sigmas"])})


def local_errors_unit(measured: LocalErrors) -> Unit:
    """The clocks are the arrays, by the solver."""
    facts = {
        "coordinate": asdict(measured.coordinate),
        "exponents": {solver: found.exponent for solver, found in measured.found.items()},
    }
    return Unit(arrays={solver: found.clock for solver, found in measured.found.items()}, facts=facts)


def local_errors_of(unit: Unit, _device: torch.device) -> LocalErrors:
    """The same again."""
    exponents = unit.facts["exponents"]
    found = {solver: LocalError(clock=unit.arrays[solver], exponent=exponents[solver]) for solver in exponents}
    return LocalErrors(coordinate=Coordinate(**unit.facts["coordinate"]), found=found)


def reached_unit(reached: Reached) -> Unit:
    """The grids are facts."""
    return Unit(arrays={}, facts={"found": {solver: [*map(list, grids)] for solver, grids in reached.found.items()}})


def reached_of(unit: Unit, _device: torch.device) -> Reached:
    """The same again."""
    return Reached(found={solver: tuple(map(tuple, grids)) for solver, grids in unit.facts["found"].items()})


def asked_unit(asked: Asked) -> Unit:
    """Model sigmas, and how near they come."""
    return Unit(arrays={}, facts=asdict(asked))


def asked_of(unit: Unit, _device: torch.device) -> Asked:
    """The same again."""
    lists: dict[str, Any] = {name: tuple(value) for name, value in unit.facts.items() if isinstance(value, list)}
    return Asked(**{**unit.facts, **lists})


def policy_unit(policy: PolicyFound) -> Unit:
    """A policy and what was measured of it."""
    content = np.frombuffer(policy.content, dtype=np.uint8)
    return Unit(arrays={"content": content}, facts={"config": policy.config, "diagnostics": policy.diagnostics})


def policy_of(unit: Unit, _device: torch.device) -> PolicyFound:
    """The same again."""
    return PolicyFound(content=unit.arrays["content"].tobytes(), **unit.facts)


def _on(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(array)).to(device)


CODECS: Mapping[str, Codec] = {
    "Tensor": Codec(encode=tensor_unit, decode=tensor_of),
    "BankBatch": Codec(encode=batch_unit, decode=batch_of),
    "Learned": Codec(encode=learned_unit, decode=learned_of),
    "PolicyFound": Codec(encode=policy_unit, decode=policy_of),
    "LocalErrors": Codec(encode=local_errors_unit, decode=local_errors_of),
    "Reached": Codec(encode=reached_unit, decode=reached_of),
    "Matched": Codec(encode=matched_unit, decode=matched_of),
    "Asked": Codec(encode=asked_unit, decode=asked_of),
}
"""By the name of the result's class."""

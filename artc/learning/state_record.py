"""A policy that reads the state, as an artifact takes it: its file, its settings, and what it is worth.

`share` is the part of the state gain that the policy reaches on trajectories held out, when it looks K times:

    (J* - J_policy) / (J* - E J*_i),

1 for a policy that knows each trajectory to its end, 0 for the best time-only clock. `spread` is how differently it
walks them: the standard deviation over trajectories of its speed, relative to the mean, at each of its looks.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from artc.artifact import Coordinate, ModelInfo
from artc.errors import InputError
from artc.learning.closed_form import closed_form
from artc.learning.objective import energy_of
from artc.learning.state_features import courses_of
from artc.learning.state_onnx import INSTALL, NO_ONNX, policy_onnx
from artc.learning.state_policy import roll_out
from artc.learning.state_training import JUDGED_STEPS, StateConfig, StateUpdate, TrainedPolicy, learn_policy
from artc.sampling.bank import TrajectoryBank

NOTHING_TO_GAIN = 1e-6
"""A state gain, relative to J*, below which there is no share to speak of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFound:
    """The ONNX file, the settings of its training, and what was measured of it."""

    content: bytes
    config: Mapping[str, Any]
    diagnostics: Mapping[str, Any]


def check_policy(info: ModelInfo) -> None:
    """Raise InputError, before there is work to lose, where no policy can be made."""
    if info.domain != "ve":
        raise InputError(
            f"A policy is for models of x = x0 + sigma n, and {info.name!r} is a flow model.",
            hint="Leave the policy out: schedules read no state.",
        )
    if importlib.util.find_spec("onnx") is None:
        raise InputError(NO_ONNX, hint=INSTALL)


def find_policy(
    training: TrajectoryBank, held_out: TrajectoryBank, coordinate: Coordinate, seed: int
) -> Generator[StateUpdate, None, PolicyFound]:
    """Train a policy around the best time-only clock of the training trajectories and measure it, yielding progress."""
    config, energy = StateConfig(), energy_of(training, coordinate)
    trained = yield from learn_policy(training, energy, closed_form(energy), config, seed)
    diagnostics = {
        "stage": trained.stage,
        "saved_on_those_set_aside": trained.saved,
        **worth(trained, held_out, coordinate),
    }
    return PolicyFound(content=policy_onnx(trained.policy), config=asdict(config), diagnostics=diagnostics)


def worth(trained: TrainedPolicy, held_out: TrajectoryBank, coordinate: Coordinate) -> dict[str, Any]:
    """The share of the state gain and the spread of the speed on trajectories held out."""
    policy = trained.policy
    courses = courses_of(held_out, energy_of(held_out, coordinate), policy.warp, policy.frame.scale)
    best, known = courses.bounds
    walked = {looks: roll_out(policy.weights, policy.frame, courses, looks) for looks in JUDGED_STEPS}
    speed = walked[max(JUDGED_STEPS)].speed
    saved = {str(looks): best - float(rolled.costs.mean()) for looks, rolled in walked.items()}
    worthwhile = best - known > NOTHING_TO_GAIN * best
    return {
        "state_gain": 1.0 - known / best,
        "share": {looks: less / (best - known) for looks, less in saved.items()} if worthwhile else {},
        "spread": (speed.std(axis=1) / speed.mean(axis=1)).tolist(),
    }

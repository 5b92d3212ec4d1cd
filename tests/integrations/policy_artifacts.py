"""Artifacts with a policy: one that was trained, and one whose policy walks the distilled clock."""

from dataclasses import replace
from functools import cache

import numpy as np

from artc.artifact import Schedule
from artc.artifact.policy import policy_record
from artc.learning.state_onnx import policy_onnx
from artc.learning.state_policy import fresh
from tests.golden.example import example
from tests.policies import trained


def artifact_of(policy, **model):
    """An artifact that holds one grid of the policy's warp, and the policy."""
    warp = policy.warp
    schedule = Schedule(solver="heun", nfe=9, steps=5, sigmas=warp.baked(5), origin="distilled")
    info = replace(example().model, **{"sigma_min": 0.002, "sigma_max": warp.sigma_max, **model})
    return example(
        model=info, schedules=(schedule,), warp=warp, policy=policy_record(policy_onnx(policy)), stiffness=None
    )


@cache
def learned_artifact():
    """With a policy that learned from the 1-D mixture."""
    return artifact_of(trained().policy)


@cache
def silent_artifact():
    """With a policy that has nothing to say."""
    return artifact_of(replace(trained().policy, weights=fresh(4, np.random.default_rng(0))))

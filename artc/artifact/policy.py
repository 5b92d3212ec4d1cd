"""The policy of an artifact, run: an ONNX graph that answers the next sigma of each sample of a batch.

A policy is asked once a step, after the call of the model that the step begins with:

    sigma_next = graph(clock, clock_next, sigma, sigma_before, rms_x, rms_denoised, rms_difference,
                       mean_x, mean_denoised, rms_change)

each a float32 `(B,)`. The clock is the sampler's own, from 0 to 1 in as many steps as it likes: t_k = k / K, and the
last step, clock_next = 1, always answers 0. `rms_change` is the root mean square of D less the D of the step before,
whose sigma is `sigma_before`; at the first step it is 0, and `sigma_before` is `sigma`. Root mean squares and means are
taken over all dimensions of a sample; noise is written x = x0 + sigma n. What the graph makes of them is its own
affair: a host needs onnxruntime, and no torch, no training code and no table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from artc.artifact.artifact import Artifact
from artc.artifact.types import Policy
from artc.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

INPUTS = (
    "clock",
    "clock_next",
    "sigma",
    "sigma_before",
    "rms_x",
    "rms_denoised",
    "rms_difference",
    "mean_x",
    "mean_denoised",
    "rms_change",
)
OUTPUT = "sigma_next"
FEATURES = ("log_rms_x", "log_rms_denoised", "log_rms_difference", "mean_x", "mean_denoised", "log_change", "lag")
OPSET, IR_VERSION = 17, 8
"""Old enough for every onnxruntime since 1.13, and with every operator that the graph needs in float64."""

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def policy_record(content: bytes, file: str = "policy.art.onnx") -> Policy:
    """The record of a policy's file, with its contents; the file gets its final name when the artifact is saved."""
    sha256 = hashlib.sha256(content).hexdigest()
    return Policy(
        file=file, sha256=sha256, opset=OPSET, inputs=INPUTS, output=OUTPUT, features=FEATURES, content=content
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySession:
    """A policy ready to be asked, and the provider that it really runs on."""

    session: Any
    provider: str

    def next_sigma(self, inputs: Mapping[str, ArrayLike]) -> NDArray[np.float32]:
        """The next sigma `(B,)` from every one of `INPUTS`, `(B,)` each."""
        import numpy as np

        fed = {name: np.ascontiguousarray(inputs[name], dtype=np.float32) for name in INPUTS}
        found: NDArray[np.float32] = self.session.run((OUTPUT,), fed)[0]
        return found


def open_policy(artifact: Artifact, device: str = "cpu") -> PolicySession:
    """Load the policy of an artifact for a device of torch's name; without the CUDA provider it runs on the CPU.

    Raises InputError when the artifact has no policy or was not read from a file, when onnxruntime is not installed,
    and when the policy is no graph that it can run or asks for other inputs than these.
    """
    policy = artifact.policy
    if policy is None:
        raise InputError(
            f"The artifact of {artifact.model.name!r} has no policy.", hint="Its schedules need none: use one of those."
        )
    if policy.content is None:
        raise InputError("The policy lies in a file of its own.", hint="Read the artifact from its file.")
    try:
        import onnxruntime
    except ImportError:
        raise InputError(
            "A policy is run by onnxruntime, which is not installed.",
            hint='Install it: pip install "artc[cpu]", or "artc[gpu]" for CUDA.',
        ) from None
    kind, _, index = device.partition(":")
    on_gpu = kind == "cuda" and CUDA in onnxruntime.get_available_providers()
    providers = [(CUDA, {"device_id": index or "0"}), CPU] if on_gpu else [CPU]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a few thousand multiplications: waking threads would take longer
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(policy.content, options, providers=providers)
    except Exception as error:  # noqa: BLE001 - onnxruntime raises a dozen kinds, none of them under one name
        reason = str(error).splitlines()[0][:160]
        raise InputError(f"onnxruntime cannot load the policy {policy.file!r}: {reason}") from None
    asked, answered = ([node.name for node in nodes] for nodes in (session.get_inputs(), session.get_outputs()))
    if (asked, answered) != ([*INPUTS], [OUTPUT]):
        raise InputError(
            f"The policy takes {', '.join(asked)}, and this artc gives {', '.join(INPUTS)}.",
            hint="It was made by another version: upgrade artc.",
        )
    return PolicySession(session=session, provider=session.get_providers()[0])

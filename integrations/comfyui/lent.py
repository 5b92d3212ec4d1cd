"""SIGMAS that stay what they were, whatever a sampler does to them.

ComfyUI keeps what a node gave and gives it again, without a copy, to every sampler that asks. On the CPU the samplers
uni_pc and uni_pc_bh2 work in that tensor: they write 0.001 over its last value, 0, and every later picture from the
same node ends at 0.001 instead. (On a GPU they get a copy.) The tensor cannot be protected: a tensor that refuses to be
written to would stop the sampler, and one that is no plain tensor would surprise another node.

So each tensor that was given away is remembered beside its values, weakly, and mended before anyone looks at it again:

* at the start of a prompt, when ComfyUI asks the node that gave it whether it changed, and
* at the start of every node of that prompt, where ComfyUI tells those who follow its progress.

It is mended in place: parts that other nodes cut from it, such as those of SplitSigmas, share its memory and are
mended with it.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from artc.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

_lent: list[tuple[weakref.ref[Tensor], Tensor]] = []


def lend(sigmas: Sequence[float] | NDArray[np.float64]) -> Tensor:
    """The grid as ComfyUI wants it, float32 (steps + 1,) on the CPU, new each time and watched from now on.

    Raises InputError for a grid that float32 cannot tell apart: a step of no length would divide by zero.
    """
    import torch

    values = torch.tensor(sigmas, dtype=torch.float64).to(torch.float32)
    if (values[1:] >= values[:-1]).any():
        raise InputError("Two sigmas of this schedule are the same in float32, in which ComfyUI samples.")
    given = values.clone()
    _lent[:] = [(known, kept) for known, kept in _lent if known() is not None]
    _lent.append((weakref.ref(given), values))
    watch()
    return given


def mend() -> None:
    """Write back every value that was changed in a tensor which is still in use."""
    import torch

    with torch.inference_mode():  # ComfyUI runs nodes in it, and what was made there can only be written there
        for known, kept in _lent:
            given = known()
            if given is not None and not torch.equal(given, kept):
                given.copy_(kept)


def watch() -> None:
    """Mend now, and before each node of the prompt that is running: every prompt has to be watched anew.

    Where ComfyUI gives no notice of its nodes, only now.
    """
    mend()
    try:
        progress = import_module("comfy_execution.progress")
        mender = type("Mender", (progress.ProgressHandler,), {"start_handler": lambda *_: mend()})
    except (ImportError, AttributeError):
        return
    progress.add_progress_handler(mender("artc"))

"""A model that ends its process in the middle of a compilation: after so many calls, as the environment says.

`ARTC_FUSE=12,kill` lets twelve calls through and kills the process with SIGKILL at the next; `ARTC_FUSE=12,interrupt`
is Ctrl-C at that moment.
"""

import os
import signal

import torch

import artc

calls = 0


def made(batch=4):
    """Mixed Gaussian data of two dimensions; the fuse is new."""
    global calls  # noqa: PLW0603 - a fuse is a fact of the process
    calls = 0
    return artc.score_model(denoiser, shape=(2,), sigma_min=0.002, sigma_max=80.0, batch=batch)


def denoiser(x, sigma):
    global calls  # noqa: PLW0603
    calls += 1
    limit, _, end = os.environ.get("ARTC_FUSE", "").partition(",")
    if limit and calls > int(limit):
        if end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyboardInterrupt
    level = (sigma.square() + 0.01)[:, None]
    near = torch.tanh(x / level)  # the mean of two points at -1 and 1, each a Gaussian of width 0.1
    return (0.01 * x + sigma.square()[:, None] * near) / level

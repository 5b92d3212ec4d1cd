"""SIGMAS that a sampler wrote into are what they were before anyone else looks at them.

`uni_pc` stands here for ComfyUI's sampler of that name, which ends in `timesteps = sigmas[:]; timesteps[-1] = 0.001`.
"""

import gc
import sys
import weakref

import pytest
import torch

from artc.errors import InputError
from artc.integrations.comfyui import lent

GRID = (80.0, 10.0, 1.0, 0.0)


def uni_pc(sigmas: torch.Tensor) -> None:
    timesteps = sigmas[:]
    timesteps[-1] = 0.001


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_what_uni_pc_wrote_is_mended_in_the_tensor_and_in_the_parts_cut_from_it(comfy, mode):
    with mode():
        sigmas = lent.lend(GRID)
        low = sigmas[2:]
        uni_pc(low)
        sigmas[0] = 1000.0
    assert sigmas.tolist() != list(GRID)
    lent.mend()
    assert sigmas.tolist() == list(GRID)
    assert low.tolist() == [1.0, 0.0]


def test_each_tensor_is_plain_float32_on_the_cpu_and_a_new_one(comfy):
    first, second = lent.lend(GRID), lent.lend(GRID)
    assert type(first) is torch.Tensor
    assert (first.dtype, first.device.type, first.shape) == (torch.float32, "cpu", (4,))
    uni_pc(first)
    assert second.tolist() == list(GRID)


def test_the_start_of_every_node_mends(comfy):
    sigmas = lent.lend(GRID)
    uni_pc(sigmas)
    comfy.progress.start_node()
    assert sigmas.tolist() == list(GRID)


def test_a_prompt_that_takes_the_node_from_the_cache_has_to_watch_again(comfy):
    sigmas = lent.lend(GRID)
    comfy.progress.new_prompt()
    uni_pc(sigmas)
    comfy.progress.start_node()
    assert sigmas[-1] != 0
    lent.watch()
    comfy.progress.start_node()
    assert sigmas.tolist() == list(GRID)


def test_without_notices_of_nodes_lending_still_works(comfy, monkeypatch):
    monkeypatch.setitem(sys.modules, "comfy_execution.progress", None)
    assert lent.lend(GRID).tolist() == list(GRID)


def test_what_nobody_uses_is_forgotten(comfy):
    gone = weakref.ref(lent.lend(GRID))
    gc.collect()
    assert gone() is None
    kept = lent.lend(GRID)
    assert [known() is kept for known, _ in lent._lent if known() is None or known() is kept] == [True]


def test_an_empty_grid_is_an_empty_tensor(comfy):
    assert lent.lend(()).shape == (0,)


@pytest.mark.parametrize("grid", [(1.0, 1.0 - 1e-9, 0.0), (1.0, 1e-50, 0.0)])
def test_sigmas_that_float32_cannot_tell_apart_are_refused(comfy, grid):
    with pytest.raises(InputError, match="the same in float32"):
        lent.lend(grid)

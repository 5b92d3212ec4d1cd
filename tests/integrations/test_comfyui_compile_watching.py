"""What ART Compile shows while it runs, where it may be stopped, and what it tells a network."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from artc.integrations.comfyui import compiling, watching
from artc.pipeline import Update


class Bar:
    def __init__(self, total):
        self.total, self.seen = total, []

    def update_absolute(self, value):
        self.seen.append((value, self.total))


@pytest.fixture
def watched(monkeypatch):
    """What a compilation shows, and a switch that interrupts it."""
    state = SimpleNamespace(interrupted=False, bars=[], said=[])

    class Interrupted(Exception):
        pass

    def throw():
        if state.interrupted:
            raise Interrupted

    def bar(total):
        state.bars.append(Bar(total))
        return state.bars[-1]

    state.error = Interrupted
    sender = SimpleNamespace(send_progress_text=lambda text, node: state.said.append((node, text)))
    for name, contents in {
        "comfy": {},
        "comfy.utils": {"ProgressBar": bar},
        "comfy.model_management": {"throw_exception_if_processing_interrupted": throw},
        "comfy_execution": {},
        "comfy_execution.utils": {"get_executing_context": lambda: SimpleNamespace(node_id="7")},
        "server": {"PromptServer": SimpleNamespace(instance=sender)},
    }.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    return state


def test_the_bar_counts_model_calls_and_a_stage_that_calls_none_moves_nothing(watched):
    show = watching.Watched({"trajectories": 100, "comparing": 40, "checking": 60})
    (bar,) = watched.bars
    assert bar.total == 200
    show(Update(stage="trajectories", done=0, total=10))
    show(Update(stage="trajectories", done=10, total=10))
    show(Update(stage="training", done=3, total=3))
    show(Update(stage="comparing", done=4, total=8))
    show(Update(stage="checking", done=1, total=2))
    assert bar.seen == [(0, 200), (100, 200), (100, 200), (120, 200), (170, 200)]
    show = watching.Watched({"trajectories": 100, "comparing": 40, "refining": 300, "checking": 60})
    assert watched.bars[-1].total == 500
    for stage in ("trajectories", "comparing", "refining", "checking"):
        show(Update(stage=stage, done=5, total=5))
    assert watched.bars[-1].seen == [(100, 500), (140, 500), (440, 500), (500, 500)]
    assert watched.said[-2:] == [("7", "refining: 5 of 5"), ("7", "checking on new noises: 5 of 5")]


def test_the_bar_is_not_moved_a_thousand_times_a_second(watched, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(watching.time, "monotonic", lambda: now[0])
    show = watching.Watched({"trajectories": 1000})
    for done in range(1001):
        now[0] += 0.001
        show(Update(stage="trajectories", done=done, total=1000))
    moved = [value for value, _ in watched.bars[0].seen]
    assert 9 <= len(moved) <= 12
    assert (moved[0], moved[-1]) == (0, 1000)


def test_every_update_and_every_model_call_looks_for_an_interrupt(watched):
    show = watching.Watched({"trajectories": 10})
    told = {"sample_sigmas": torch.tensor([4.0, 0.0])}
    options = {"model_options": {"transformer_options": told}, "denoise_mask": None}
    denoiser = compiling._on_cpu(lambda x, sigma, **_: x, options, torch.device("cpu"))
    show(Update(stage="trajectories", done=0, total=10))
    denoiser(torch.zeros(1, 2), torch.ones(1))
    watched.interrupted = True
    with pytest.raises(watched.error):
        show(Update(stage="trajectories", done=1, total=10))
    with pytest.raises(watched.error):
        denoiser(torch.zeros(1, 2), torch.ones(1))


def test_where_no_server_shows_it_nothing_is_said(watched, monkeypatch):
    monkeypatch.delitem(sys.modules, "server")
    watching.Watched({"trajectories": 10})(Update(stage="trajectories", done=10, total=10))
    assert watched.bars[0].seen == [(10, 10)]
    assert watched.said == []


def test_a_network_is_told_its_sigma_and_nothing_of_the_calls_before(watched):
    told, seen = {"sample_sigmas": torch.tensor([4.0, 0.0])}, []
    options = {"model_options": {"transformer_options": told}, "seed": 5, "denoise_mask": torch.ones(1)}

    def denoise(x, sigma, **extra):
        seen.append((told["sample_sigmas"].tolist(), sigma.tolist(), x.dtype, extra["denoise_mask"], extra["seed"]))
        return x / 2

    denoiser = compiling._on_cpu(denoise, options, torch.device("cpu"))
    x = torch.ones(2, 3)
    for sigma in (4.0, 0.5, 2.0):
        denoised = denoiser(x, torch.full((2,), sigma))
        assert denoised.equal(x / 2)
    assert [grid for grid, *_ in seen] == [[4.0, 0.0], [4.0, 0.5, 0.0], [4.0, 2.0, 0.0]]
    assert {(tuple(sigma), dtype, mask, seed) for _, sigma, dtype, mask, seed in seen} == {
        ((sigma,) * 2, torch.float32, None, 5) for sigma in (4.0, 0.5, 2.0)
    }

"""EDM's own sampler on the grid of an artifact: bit for bit, at the cost that was promised, or refused in a sentence.

The sampler here is a stand-in with the interface of EDM's; how the real one was run is in the integration's README.
"""

import copy
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import artc
from artc.errors import ArtifactError, BudgetError, InputError, UnknownNameError
from artc.integrations import edm
from artc.integrations.edm import ScheduledNetwork, scheduled
from tests.integrations import edm_stand_in
from tests.integrations.edm_stand_in import GaussianNetwork, ablation_sampler, edm_sampler
from tests.integrations.made import MNIST, artifact, flow_artifact, shrinking

GRID = (80.0, 10.0 / 3, 0.7, 0.1, 0.0)
README = Path(edm.__file__).with_name("README.md").read_text(encoding="utf-8")


def on(*grid, net=None, solver="heun", **options):
    net = GaussianNetwork() if net is None else net
    return scheduled(net, artifact(grid, solver=solver), steps=len(grid) - 1, solver=solver, **options)


def ones():
    return torch.ones(2, 1, 2, 2)


def draw(net, sampler=edm_sampler, latents=None, **settings):
    return sampler(net, ones() if latents is None else latents, num_steps=net.num_steps, **settings)


def asked_by_heun(grid):
    nodes = list(grid[:-1])
    return [nodes[0], *(node for node in nodes[1:] for _ in range(2))]


@pytest.mark.parametrize("nfe", [3, 5, 9, 13, 19])
def test_the_sampler_walks_the_grid_of_the_artifact_bit_for_bit_and_ends_where_the_formula_says(nfe):
    (held,) = [one for one in artc.load(MNIST).schedules if (one.solver, one.nfe) == ("heun", nfe)]
    net = scheduled(GaussianNetwork(), MNIST, nfe=nfe)
    end = draw(net)
    assert net.asked == asked_by_heun(held.sigmas)
    assert len(net.asked) == nfe == net.nfe == 2 * net.num_steps - 1
    assert net.sigmas.tolist() == list(held.sigmas)
    expected = held.sigmas[0] * shrinking(held.sigmas, 0.5, "heun")
    torch.testing.assert_close(end, expected * ones().double(), rtol=1e-12, atol=0)


def test_the_sampler_notices_no_difference_when_the_artifact_holds_its_own_grid():
    torch.manual_seed(0)
    latents, own, net = torch.randn(2, 1, 2, 2), GaussianNetwork(), GaussianNetwork(dtype=torch.float32)
    edm_sampler(own, latents, num_steps=7, sigma_max=80.0)
    grid = (*dict.fromkeys(own.asked), 0.0)
    results = []
    for one in (net, on(*grid, net=net)):
        torch.manual_seed(1)
        results.append(edm_sampler(one, latents, num_steps=7, S_churn=5, S_min=0.01, S_max=50))
    assert torch.equal(*results)


def test_one_step_works_where_the_formula_of_the_sampler_divides_by_zero():
    assert not draw(type("Plain", (GaussianNetwork,), {"num_steps": 1})()).isfinite().any()
    net = on(80.0, 0.0)
    torch.testing.assert_close(draw(net), 80.0 * shrinking((80.0, 0.0), 0.5, "heun") * ones().double())
    assert net.asked == [80.0]
    assert net.nfe == 1


def test_euler_runs_in_the_ablation_sampler():
    net = on(*GRID, solver="euler")
    end = draw(net, ablation_sampler, solver="euler")
    assert net.asked == list(GRID[:-1])
    assert net.nfe == 4
    torch.testing.assert_close(end, 80.0 * shrinking(GRID, 0.5, "euler") * ones().double(), rtol=1e-12, atol=0)


def test_added_noise_raises_the_levels_and_leaves_the_grid():
    net, gamma = on(*GRID), 0.1
    draw(net, S_churn=4 * gamma, S_min=0.5, S_max=50, S_noise=0)
    raised = [level + gamma * level if 0.5 <= level <= 50 else level for level in GRID[:-1]]
    assert net.asked == [raised[0], *(level for pair in zip(GRID[1:], raised[1:], strict=False) for level in pair)]


def test_class_labels_and_further_arguments_reach_the_network():
    net, labels = on(*GRID), torch.eye(3)[:2]
    draw(net, class_labels=labels)
    assert len(net.labels) == 7
    assert all(given is labels for given in net.labels)
    assert net(ones(), torch.tensor(0.5), class_labels=labels).shape == (2, 1, 2, 2)


# ------------------------------------------------------------------------------- networks that know certain levels only

LEVELS = (90.0, 79.0, 3.5, 3.25, 0.75, 0.125, 0.0625)


def test_a_network_of_certain_levels_is_walked_on_those_nearest_to_the_grid():
    net = on(*GRID, net=GaussianNetwork(levels=LEVELS))
    assert net.sigmas.tolist() == [79.0, 3.25, 0.75, 0.125, 0.0]
    draw(net)
    assert net.asked == asked_by_heun([79.0, 3.25, 0.75, 0.125, 0.0])


def test_levels_raised_by_noise_are_rounded_by_the_network():
    net = on(*GRID, net=GaussianNetwork(levels=LEVELS))
    draw(net, S_churn=1, S_noise=0)
    assert set(net.asked) <= set(LEVELS)
    assert 90.0 in net.asked
    assert 3.5 in net.asked
    assert net.round_sigma(torch.tensor(0.11), return_index=True) == 5


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ((80.0, 79.5, 0.7, 0.0), r"sigma = 80 and 79\.5 of the schedule both become 79\."),
        ((80.0, 0.72, 0.7000001, 0.0), r"sigma = 0\.72 and 0\.7000001 of the schedule both become 0\.75\."),
    ],
)
def test_two_sigmas_that_a_network_rounds_to_one_are_named(grid, said):
    with pytest.raises(InputError, match=said):
        on(*grid, net=GaussianNetwork(levels=LEVELS))


def test_a_sigma_that_a_network_rounds_to_nothing_is_named():
    with pytest.raises(InputError, match=r"sigma = 0\.03 and 0 of the schedule both become 0\."):
        on(80.0, 0.03, 0.0, net=GaussianNetwork(levels=(80.0, 0.1, 0.0)))


# --------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("steps", [3, 5, 18])
def test_another_number_of_steps_is_refused(steps):
    with pytest.raises(InputError, match=rf"takes {steps} steps, and the schedule has 4\. .*num_steps=4"):
        edm_sampler(on(*GRID), ones(), num_steps=steps)


def test_a_flow_schedule_is_refused():
    with pytest.raises(InputError, match=r"compiled for 'written', where x = \(1 - sigma\) x0"):
        scheduled(GaussianNetwork(), flow_artifact(), steps=3)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"sigma_min": 0.2}, r"goes down to sigma = 0\.1, and GaussianNetwork knows sigma from 0\.2 to inf"),
        ({"sigma_max": 79.0}, r"starts at sigma = 80, and GaussianNetwork knows sigma from 0 to 79"),
    ],
)
def test_noise_that_the_network_does_not_know_is_refused(limits, said):
    with pytest.raises(InputError, match=said):
        on(*GRID, net=GaussianNetwork(**limits))
    assert on(*GRID, net=GaussianNetwork(sigma_min=0.1, sigma_max=80.0)).num_steps == 4


def test_budgets_solvers_and_files_are_refused_as_everywhere(tmp_path):
    net = GaussianNetwork()
    with pytest.raises(BudgetError, match="No schedule for heun at NFE 7; the artifact holds heun 3, heun 5"):
        scheduled(net, MNIST, nfe=7)
    with pytest.raises(BudgetError, match="heun cannot make exactly 8"):
        scheduled(net, MNIST, nfe=8)
    for solver in ("hune", "heunpp2"):  # whether there is a sampler of that name or not
        with pytest.raises(UnknownNameError, match="Did you mean heun"):
            scheduled(net, MNIST, nfe=9, solver=solver)
    with pytest.raises(InputError, match="no file"):
        scheduled(net, tmp_path / "none.art.json", nfe=9)
    (tmp_path / "broken.art.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ArtifactError):
        scheduled(net, tmp_path / "broken.art.json", nfe=9)
    assert scheduled(net, MNIST, nfe=7, resample=True).num_steps == 4


def test_the_contents_of_a_file_are_no_network():
    with pytest.raises(InputError, match=r"dict cannot.*data\['ema'\]"):
        scheduled({"ema": GaussianNetwork()}, MNIST, nfe=9)


# ----------------------------------------------------------------------------------------------- a network in all else


def test_it_is_the_network_in_all_else():
    inner = GaussianNetwork(spread=0.25, sigma_max=100.0)
    net = on(*GRID, net=inner)
    assert (net.img_channels, net.img_resolution, net.label_dim, net.sigma_max) == (1, 2, 3, 100.0)
    assert net.network is inner
    assert net.asked is inner.asked
    assert net.state_dict() == inner.state_dict()
    net.use_fp16 = True
    assert inner.use_fp16
    assert repr(net) == "GaussianNetwork on 4 steps, sigma = 80 to 0.1 and 0"
    with pytest.raises(AttributeError, match="no_such"):
        _ = net.no_such


def test_methods_that_return_the_network_return_it_with_its_schedule():
    net = on(*GRID)
    for moved in (net.to("cpu"), net.eval(), net.requires_grad_(False), net.eval().double()):
        assert moved is net
    assert not net.training


def test_a_network_that_says_nothing_of_noise_is_taken_to_know_all():
    class Silent:
        def __call__(self, x, sigma, labels=None):
            return 0 * x

    net = on(*GRID, net=Silent())
    assert (net.sigma_min, net.sigma_max) == (0, float("inf"))
    for level in (torch.tensor(0.3), torch.ones(2, 1, 1, 1)):
        assert net.round_sigma(level) is level
    assert draw(net).abs().max() == 0


def test_a_second_schedule_replaces_the_first():
    inner = GaussianNetwork()
    net = scheduled(scheduled(inner, MNIST, nfe=9), MNIST, nfe=5)
    assert net.network is inner
    assert net.num_steps == 3


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_keeps_its_schedule(copied):
    net = copied(on(*GRID))
    assert isinstance(net, ScheduledNetwork)
    assert net.nfe == 7
    np.testing.assert_array_equal(net.sigmas, GRID)
    assert draw(net).isfinite().all()


def test_the_grid_comes_in_the_dtype_of_the_sampler():
    for dtype in (torch.float32, torch.float64):
        found = on(*GRID).round_sigma(torch.zeros(4, dtype=dtype))
        assert torch.equal(found, torch.tensor(GRID[:-1], dtype=torch.float64).to(dtype))


# ----------------------------------------------------------------------------------------------- image to image, README


def test_the_tail_of_a_schedule_starts_from_a_noised_image():
    net = on(*GRID, denoise=0.5)
    assert net.sigmas.tolist() == [0.7, 0.1, 0.0]
    assert net.nfe == 3
    image, noise = 0.25 * ones().double(), 2 * ones().double()
    end = draw(net, latents=image / net.sigmas[0] + noise)
    assert net.asked == [0.7, 0.1, 0.1]
    expected = (0.25 + 0.7 * 2) * shrinking((0.7, 0.1, 0.0), 0.5, "heun")
    torch.testing.assert_close(end, expected * ones().double(), rtol=1e-12, atol=0)
    with pytest.raises(InputError, match=r"denoise = 0\.1 leaves no step of 4"):
        on(*GRID, denoise=0.1)


def test_the_calls_of_guidance_are_counted_as_the_artifact_counts_them():
    guided = artifact(GRID, guidance=2.0)
    assert scheduled(GaussianNetwork(), guided, nfe=14).nfe == 14
    assert scheduled(GaussianNetwork(), guided, nfe=14, denoise=0.5).nfe == 6


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch):
    code = next(
        code for code in re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE) if "pkl" in code
    )
    assert len(code.splitlines()) <= 10
    (tmp_path / "mine.art.json").write_bytes(MNIST.read_bytes())
    with (tmp_path / "net.pkl").open("wb") as file:
        pickle.dump({"ema": GaussianNetwork()}, file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "generate", edm_stand_in)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    net = names["net"]
    assert len(net.asked) == 9
    expected = 80.0 * shrinking(tuple(net.sigmas.tolist()), 0.5, "heun")
    torch.testing.assert_close(names["images"], names["latents"].double() * expected, rtol=1e-6, atol=0)

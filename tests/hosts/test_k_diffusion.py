"""The real samplers of k-diffusion 0.1.1.post1 on grids of an artifact: what they spend, and where they end."""

import inspect
import math
import re
import sys
from pathlib import Path

import pytest
import torch

from artc.artifact import read
from artc.errors import InputError
from artc.integrations import k_diffusion as integration
from artc.integrations.k_diffusion import nfe, sigmas
from artc.integrations.samplers import GRIDLESS, SAMPLERS
from tests.hosts.k_diffusion_host import FOLDER, STUBS, k_diffusion
from tests.integrations.made import MNIST, shrinking

pytestmark = [
    pytest.mark.skipif(not FOLDER.is_dir(), reason="k-diffusion is not there: run `make test-hosts`"),
    # torchsde remarks on the last bit of float32 noise levels.
    pytest.mark.filterwarnings("ignore:Should have:UserWarning"),
]

TAKING_A_GRID = [
    "dpm_2",
    "dpm_2_ancestral",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_2s_ancestral",
    "dpmpp_3m_sde",
    "dpmpp_sde",
    "euler",
    "euler_ancestral",
    "heun",
    "lms",
]
BREAKING = ("dpmpp_2m_sde", "dpmpp_3m_sde")
SPREAD = 0.5
STEPS = (1, 2, 3, 5, 7, 10)


class Counting:
    """D(x; sigma) of data N(0, SPREAD^2), and how often it was asked, at which sigmas."""

    def __init__(self):
        self.seen = []

    def __call__(self, x, sigma):
        assert sigma.shape == (len(x),)
        assert sigma.dtype == x.dtype
        self.seen.append(float(sigma[0]))
        return x * (SPREAD**2 / (SPREAD**2 + sigma.reshape(-1, 1) ** 2))


def function(name):
    return getattr(k_diffusion().sampling, f"sample_{name}")


def run(name, grid, **options):
    """The end point of unit noise 1, and the denoiser that was asked for it."""
    denoiser, x = Counting(), torch.ones(2, 3, dtype=grid.dtype) * grid[0]
    return function(name)(denoiser, x, grid, disable=True, **options), denoiser


def test_every_sampler_of_k_diffusion_is_known_by_whether_it_takes_a_grid():
    found = inspect.getmembers(k_diffusion().sampling, inspect.isfunction)
    takes = {
        name.removeprefix("sample_"): "sigmas" in inspect.signature(sampler).parameters
        for name, sampler in found
        if name.startswith("sample_")
    }
    assert sorted(name for name in takes if takes[name]) == TAKING_A_GRID
    assert {name for name in takes if not takes[name]} == set(GRIDLESS)
    assert set(TAKING_A_GRID) <= set(SAMPLERS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("name", "steps"), [(name, n) for name in TAKING_A_GRID for n in STEPS if n > 1 or name not in BREAKING]
)
def test_a_sampler_spends_what_the_table_says_and_ends_in_the_data(name, steps, dtype):
    torch.manual_seed(0)
    grid = sigmas(MNIST, steps=steps, sampler=function(name), like=torch.ones(1, dtype=dtype), resample=True)
    assert len(grid) == steps + 1
    end, denoiser = run(name, grid)
    assert len(denoiser.seen) == nfe(name, steps)
    assert end.dtype == dtype
    assert end.abs().max() < 4 * SPREAD
    assert max(denoiser.seen) == grid[0]
    assert min(denoiser.seen) >= grid[-2] * (1 - 1e-6)


@pytest.mark.parametrize("name", BREAKING)
def test_two_samplers_break_on_one_step_and_are_refused_it(name):
    with pytest.raises(UnboundLocalError):
        run(name, torch.tensor([80.0, 0.0]))
    with pytest.raises(InputError, match="one step"):
        sigmas(MNIST, steps=1, sampler=name, resample=True)


@pytest.mark.parametrize("name", sorted(GRIDLESS))
def test_a_sampler_that_takes_no_grid_is_refused_by_its_name(name):
    with pytest.raises(InputError, match=f"^{name} takes no grid"):
        sigmas(MNIST, nfe=9, sampler=function(name))


@pytest.mark.parametrize("budget", [3, 5, 9, 13, 19])
@pytest.mark.parametrize("name", ["heun", "euler"])
def test_heun_and_euler_ask_at_every_sigma_of_the_schedule_and_end_where_the_formula_says(name, budget):
    (schedule,) = [one for one in read(MNIST).schedules if (one.solver, one.nfe) == (name, budget)]
    grid = sigmas(MNIST, nfe=budget, sampler=name, like=torch.ones(1, dtype=torch.float64))
    end, denoiser = run(name, grid)
    nodes = list(schedule.sigmas[:-1])
    asked = nodes if name == "euler" else [nodes[0], *(node for node in nodes[1:] for _ in range(2))]
    assert denoiser.seen == asked
    expected = schedule.sigmas[0] * shrinking(schedule.sigmas, SPREAD, name)
    torch.testing.assert_close(end, torch.full_like(end, expected), rtol=1e-12, atol=0)


@pytest.mark.parametrize("budget", STEPS)
def test_dpmpp_2m_ends_where_a_loop_in_plain_numbers_does(budget):
    grid = sigmas(MNIST, nfe=budget, sampler="dpmpp_2m", like=torch.ones(1, dtype=torch.float64), resample=True)
    end, denoiser = run("dpmpp_2m", grid)
    assert denoiser.seen == grid[:-1].tolist()
    x, before, last = float(grid[0]), None, None
    for now, then in zip(grid.tolist(), grid[1:].tolist(), strict=False):
        guess = denoised = x * SPREAD**2 / (SPREAD**2 + now**2)
        if before is not None and then > 0:
            ratio = math.log(last / now) / math.log(now / then)
            guess = denoised + (denoised - before) / (2 * ratio)
        x = then / now * x + (1 - then / now) * guess
        before, last = denoised, now
    torch.testing.assert_close(end, torch.full_like(end, x), rtol=1e-9, atol=0)


def test_the_tail_of_a_grid_starts_from_a_noised_image():
    grid = sigmas(MNIST, nfe=19, denoise=0.5, like=torch.ones(1, dtype=torch.float64))
    image, denoiser = torch.full((2, 3), 0.25, dtype=torch.float64), Counting()
    end = function("heun")(denoiser, image + grid[0], grid, disable=True)  # noise of 1 everywhere
    assert len(denoiser.seen) == nfe("heun", 5) == 9
    expected = (0.25 + float(grid[0])) * shrinking(tuple(grid.tolist()), SPREAD, "heun")
    torch.testing.assert_close(end, torch.full_like(end, expected), rtol=1e-12, atol=0)


def test_a_wrapper_of_k_diffusion_is_asked_for_its_range():
    steps = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = (1 - steps).cumprod(0).float()
    wrapper = k_diffusion().external.DiscreteEpsDDPMDenoiser(torch.nn.Identity(), kept, quantize=False)
    assert float(wrapper.sigma_max) == pytest.approx(14.6146, abs=1e-3)
    with pytest.raises(InputError, match=r"starts at sigma = 80, and DiscreteEpsDDPMDenoiser knows .* to 14\.6146"):
        sigmas(MNIST, nfe=9, model=wrapper)
    assert len(sigmas(MNIST, nfe=9, model=k_diffusion().external.VDenoiser(torch.nn.Identity()))) == 6


def test_importing_it_leaves_no_stand_in_behind():
    k_diffusion()
    assert "k_diffusion" not in sys.modules
    assert not any(name in sys.modules and not hasattr(sys.modules[name], "__file__") for name in STUBS)
    assert str(FOLDER) not in sys.path


def test_the_example_of_the_readme_runs_in_the_real_sampler(tmp_path, monkeypatch):
    readme = Path(integration.__file__).with_name("README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", readme, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "mine.art.json").write_bytes(MNIST.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "k_diffusion", k_diffusion())
    names = {"model": Counting(), "shape": (2, 3)}
    exec(compile(code, "README.md", "exec"), names)
    assert len(names["model"].seen) == 9
    torch.testing.assert_close(
        names["samples"],
        names["noise"] * 80 * shrinking(tuple(names["grid"].tolist()), SPREAD, "heun"),
        rtol=1e-4,
        atol=0,
    )


def test_a_very_long_step_in_float32_costs_an_ancestral_sampler_one_call_less():
    """What the README warns of: it begins, by the luck of rounding, below 1/2000 of the sigma before."""
    for ratio, spent in ((1 / 1500, 3), (1 / 5000, 2)):
        for name in ("dpm_2_ancestral", "dpmpp_2s_ancestral"):
            _, denoiser = run(name, torch.tensor([80.0, 80.0 * ratio, 0.0]))
            assert len(denoiser.seen) == spent

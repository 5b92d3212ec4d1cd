"""The tensor that a `sample_*` is given: its values, dtype and device, and whom it is refused to.

`tests/hosts/test_k_diffusion.py` gives it to the real samplers.
"""

import re
import subprocess
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from artc.errors import BudgetError, InputError, UnknownNameError
from artc.integrations import k_diffusion
from artc.integrations.samplers import find_sampler
from tests.integrations.made import MNIST, artifact, flow_artifact

GRID = (80.0, 10.5, 1.5, 0.3, 0.0)
README = Path(k_diffusion.__file__).with_name("README.md").read_text(encoding="utf-8")


def sigmas(*, grid=GRID, **options):
    return k_diffusion.sigmas(artifact(grid), **{"steps": len(grid) - 1, **options})


def test_without_a_state_the_grid_is_in_float32_on_the_processor():
    grid = sigmas()
    assert grid.dtype == torch.float32
    assert grid.device.type == "cpu"
    assert grid.tolist() == torch.tensor(GRID).tolist()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_the_grid_takes_the_dtype_of_the_state(dtype):
    grid = sigmas(like=torch.ones(1, dtype=dtype))
    assert grid.dtype == dtype
    assert torch.equal(grid, torch.tensor(GRID, dtype=torch.float64).to(dtype))
    assert grid[-1] == 0


def test_the_grid_takes_the_device_of_the_state():
    assert sigmas(like=torch.empty(1, device="meta")).device.type == "meta"


def test_float64_is_the_artifact_bit_for_bit():
    held = sigmas(grid=(80.0, 1 / 3, 0.1, 0.0), like=torch.ones(1, dtype=torch.float64))
    assert held.tolist() == [80.0, 1 / 3, 0.1, 0.0]


@pytest.mark.parametrize("like", ["cuda", 3, torch.float16, torch.zeros(1, dtype=torch.int64), np.zeros(1)])
def test_the_state_is_a_tensor_of_floats(like):
    kind = "torch.int64" if isinstance(like, torch.Tensor) else type(like).__name__
    with pytest.raises(InputError, match=f"like is the state x, a tensor of floats, and this is {kind}"):
        sigmas(like=like)


def test_sigmas_that_fall_together_in_half_precision_are_named():
    with pytest.raises(InputError, match=r"In bfloat16 the sigmas 1\.001 and 1 are one and the same.*float32"):
        sigmas(grid=(80.0, 1.001, 1.0, 0.0), like=torch.ones(1, dtype=torch.bfloat16))
    with pytest.raises(InputError, match="In float16 the sigmas 1e-08 and 0 are"):
        sigmas(grid=(80.0, 1e-8, 0.0), like=torch.ones(1, dtype=torch.float16))


def test_the_budget_is_in_calls_of_the_sampler_that_will_run():
    held = artifact(GRID)
    assert len(k_diffusion.sigmas(held, nfe=7, sampler="sample_dpm_2_ancestral")) == 5
    with pytest.raises(BudgetError, match="dpm_2 cannot make exactly 8"):
        k_diffusion.sigmas(held, nfe=8, sampler="dpm_2")
    with pytest.raises(BudgetError, match="No schedule for euler at NFE 4"):
        k_diffusion.sigmas(held, nfe=4, sampler="euler")


@pytest.mark.parametrize(
    ("name", "spent"), [("heun", [1, 3, 5, 35]), ("sample_lms", [1, 2, 3, 18]), ("dpmpp_sde", [1, 3, 5, 35])]
)
def test_what_a_sampler_spends_on_some_steps(name, spent):
    assert [k_diffusion.nfe(name, steps) for steps in (1, 2, 3, 18)] == spent


@pytest.mark.parametrize("name", ["dpm_fast", "sample_dpm_adaptive"])
def test_a_sampler_without_a_grid_is_refused(name):
    for asked in (lambda: sigmas(sampler=name), lambda: k_diffusion.nfe(name, 5)):
        with pytest.raises(InputError, match=f"^{name.removeprefix('sample_')} takes no grid"):
            asked()


def test_an_unknown_sampler_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean euler"):
        sigmas(sampler="sample_eular")


@pytest.mark.parametrize("name", ["dpmpp_2m_sde", "dpmpp_3m_sde"])
def test_one_step_is_refused_to_the_samplers_that_break_on_it(name):
    held = artifact((80.0, 0.0), (80.0, 1.0, 0.0), solver="dpmpp_2m")
    with pytest.raises(InputError, match=f"^{name} of k-diffusion breaks on a grid of one step"):
        k_diffusion.sigmas(held, nfe=1, sampler=name)
    assert len(k_diffusion.sigmas(held, nfe=2, sampler=name)) == 3
    assert len(k_diffusion.sigmas(held, nfe=1, sampler="dpmpp_2m")) == 2


def test_the_tail_starts_where_its_first_step_does():
    assert torch.equal(sigmas(denoise=0.5), torch.tensor(GRID[2:]))
    with pytest.raises(InputError, match=r"denoise = 0\.1 leaves no step of 4"):
        sigmas(denoise=0.1)


def test_a_flow_schedule_is_refused_until_flow_is_said_and_the_other_way_round():
    flow = flow_artifact()
    with pytest.raises(InputError, match=r"compiled for 'written', where x = \(1 - sigma\) x0"):
        k_diffusion.sigmas(flow, steps=3)
    assert k_diffusion.sigmas(flow, steps=3, domain="flow").tolist() == torch.tensor([0.99, 0.8, 0.3, 0.0]).tolist()
    with pytest.raises(InputError, match=r"in k-diffusion x = \(1 - sigma\) x0"):
        sigmas(domain="flow")


@pytest.mark.parametrize("name", ["dpm_2_ancestral", "dpmpp_sde"])
def test_a_sampler_that_adds_noise_is_refused_to_a_flow_model(name):
    with pytest.raises(InputError, match=f"{name} adds noise as x = x0"):
        k_diffusion.sigmas(flow_artifact(), steps=3, sampler=name, domain="flow")
    assert len(sigmas(sampler=name)) == 5


class Knowing:
    def __init__(self, low, high, **layers):
        self.sigma_min, self.sigma_max = torch.tensor(low), torch.tensor(high)
        vars(self).update(layers)


@pytest.mark.parametrize(
    "wrap", [lambda model: model, lambda model: SimpleNamespace(inner_model=SimpleNamespace(inner_model=model))]
)
def test_a_grid_that_leaves_the_noise_a_model_knows_is_refused(wrap):
    with pytest.raises(InputError, match=r"starts at sigma = 80, and \w+ knows sigma from 0\.1 to 14\.6"):
        sigmas(model=wrap(Knowing(0.1, 14.6)))
    with pytest.raises(InputError, match=r"goes down to sigma = 0\.3, and \w+ knows sigma from 0\.4 to 90"):
        sigmas(model=wrap(Knowing(0.4, 90.0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(sigmas(model=wrap(Knowing(0.3, 80.0)))) == 5


def test_half_a_range_is_none():
    assert len(sigmas(model=SimpleNamespace(sigma_min=torch.tensor(1.0), sigma_max=None))) == 5
    with pytest.raises(InputError, match="SimpleNamespace knows sigma from 1 to 80"):
        sigmas(model=SimpleNamespace(sigma_min=torch.tensor(1.0), inner_model=Knowing(1.0, 80.0)))


def test_the_outermost_range_is_the_one_that_counts():
    assert len(sigmas(model=Knowing(0.01, 80.0, inner_model=Knowing(0.5, 1.0)))) == 5


def test_a_model_that_knows_more_noise_is_remarked_upon_but_not_for_a_tail():
    with pytest.warns(UserWarning, match="below the 150 that Knowing can start from") as warned:
        k_diffusion.sigmas(artifact(GRID), steps=4, model=Knowing(0.01, 150.0))
    assert warned[0].filename == __file__  # the user's line, not ours
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sigmas(model=Knowing(0.01, 150.0), denoise=0.5)


def test_k_diffusion_itself_is_not_imported():
    code = f"""
import sys
from artc.integrations.k_diffusion import sigmas
assert sigmas({str(MNIST)!r}, nfe=9).shape == (6,)
assert not [name for name in sys.modules if name.split(".")[0] == "k_diffusion"]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def euler(model, x, sigmas, disable=None):
    """A stand-in for `sample_euler`, by its formula: x' = x + (sigma' - sigma) (x - D) / sigma."""
    for now, then in pairwise(sigmas):
        x = x + (then - now) * (x - model(x, now.expand(len(x)))) / now
    return x


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    assert len(code.splitlines()) <= 10
    (tmp_path / "mine.art.json").write_bytes(MNIST.read_bytes())
    monkeypatch.chdir(tmp_path)
    asked = []

    def model(x, sigma):
        asked.append(float(sigma[0]))
        return 0 * x + 0.25

    # Its sampler is Heun's; the stand-in walks the same grid in half the calls.
    stand_in = SimpleNamespace(sampling=SimpleNamespace(sample_heun=euler))
    stand_in.sampling.sample_heun.__name__ = "sample_heun"
    monkeypatch.setitem(sys.modules, "k_diffusion", stand_in)
    names = {"model": model, "shape": (2, 1, 4, 4)}
    exec(compile(code, "README.md", "exec"), names)
    assert asked == k_diffusion.sigmas("mine.art.json", nfe=9)[:-1].tolist()
    torch.testing.assert_close(names["samples"], torch.full((2, 1, 4, 4), 0.25))


def test_the_table_of_the_readme_is_that_of_the_code():
    rows = re.findall(r"^\| (`.*`) \| (N|2N - 1) \| (?:its own|relative: `(\w+)`) \|$", README, flags=re.MULTILINE)
    told = {name: (nfe, relative) for names, nfe, relative in rows for name in re.findall(r"`(\w+)`", names)}
    assert len(told) == 11
    for name, (nfe, relative) in told.items():
        known = find_sampler(name)
        assert known.nfe(7) == {"N": 7, "2N - 1": 13}[nfe]
        assert (known.solver, known.kin) == (relative or name, bool(relative))

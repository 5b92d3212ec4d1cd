"""Our sampler for EDM2: where it ends, what it asks of which network, and what it refuses."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from artc.errors import BudgetError, InputError, UnknownNameError
from artc.integrations import edm
from artc.integrations.edm import sampler_fn
from tests.integrations import edm2_stand_in
from tests.integrations.edm2_stand_in import Network
from tests.integrations.made import MNIST, artifact, flow_artifact, shrinking

GRID = (80.0, 10.0 / 3, 0.7, 0.1, 0.0)
README = Path(edm.__file__).with_name("README.md").read_text(encoding="utf-8")
TWICE = [GRID[0], *(node for node in GRID[1:-1] for _ in range(2))]


def on(*grid, solver="heun", **options):
    return sampler_fn(artifact(grid, solver=solver), steps=len(grid) - 1, solver=solver, **options)


def exact():
    return Network(dtype=torch.float64)


def ones():
    return torch.ones(2, 1, 2, 2)


@pytest.mark.parametrize(
    ("solver", "asked"), [("heun", TWICE), ("euler", list(GRID[:-1])), ("dpmpp_2m", list(GRID[:-1]))]
)
def test_each_solver_asks_at_the_sigmas_of_the_grid(solver, asked):
    net, sampler = exact(), on(*GRID, solver=solver)
    end = sampler(net, ones(), dtype=torch.float64)
    assert net.asked == asked
    assert len(asked) == sampler.nfe
    assert sampler.num_steps == 4
    if solver != "dpmpp_2m":
        expected = 80.0 * shrinking(GRID, 0.5, solver)
        torch.testing.assert_close(end, expected * ones().double(), rtol=1e-12, atol=0)


def test_it_computes_in_float32_unless_told_otherwise():
    net = Network()
    end = on(*GRID)(net, ones().double())
    assert end.dtype == torch.float32
    assert net.asked == torch.tensor(TWICE).tolist()
    torch.testing.assert_close(end, 80.0 * shrinking(GRID, 0.5, "heun") * ones(), rtol=1e-5, atol=0)


def test_guidance_pushes_away_from_the_guiding_network_and_asks_each_once_a_value():
    net, guide, labels = exact(), Network(spread=2.0, dtype=torch.float64), torch.eye(2)
    end = on(80.0, 0.7, 0.0)(net, ones(), labels, guide, guidance=3.0, dtype=torch.float64)
    assert net.asked == guide.asked == [80.0, 0.7, 0.7]
    assert all(given is labels for given in net.labels + guide.labels)

    def denoised(x, sigma):
        strong, weak = 0.25 * x / (0.25 + sigma**2), 4 * x / (4 + sigma**2)
        return 3 * strong - 2 * weak

    x = 80.0
    slope = (x - denoised(x, 80.0)) / 80.0
    ahead = x + (0.7 - 80.0) * slope
    x += (0.7 - 80.0) * (slope + (ahead - denoised(ahead, 0.7)) / 0.7) / 2
    torch.testing.assert_close(end, denoised(x, 0.7) * ones().double(), rtol=1e-12, atol=0)


def test_what_networks_put_out_in_float32_is_put_together_in_the_dtype_of_the_sampler():
    net, guide = Network(), Network(spread=2.0)
    end = on(80.0, 0.0)(net, ones(), None, guide, guidance=3.0, dtype=torch.float64)
    strong, weak = (float(torch.tensor(80 * v / (v + 80.0**2), dtype=torch.float32)) for v in (0.25, 4.0))
    torch.testing.assert_close(end, (3 * strong - 2 * weak) * ones().double(), rtol=1e-13, atol=0)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_sampler_in_half_precision_stays_in_it(guidance):
    assert on(*GRID)(Network(), ones(), None, Network(), guidance=guidance, dtype=torch.float16).dtype == torch.float16


def test_the_calls_of_guidance_are_counted_as_the_artifact_counts_them():
    guided = artifact(GRID, guidance=2.0)
    assert sampler_fn(guided, nfe=14).nfe == 14
    assert sampler_fn(guided, nfe=14, denoise=0.5).nfe == 6


def test_without_guidance_the_guiding_network_is_not_asked():
    net, guide = exact(), exact()
    on(*GRID)(net, ones(), None, guide)
    assert len(net.asked) == 7
    assert guide.asked == []


def test_one_step_is_one_call():
    net = exact()
    end = on(80.0, 0.0)(net, ones(), dtype=torch.float64)
    assert net.asked == [80.0]
    torch.testing.assert_close(end, 80.0 * 0.25 / (0.25 + 6400) * ones().double())


def test_the_tail_starts_from_a_noised_image():
    net, sampler = exact(), on(*GRID, denoise=0.5)
    end = sampler(net, 0.25 * ones() / sampler.sigmas[0] + 2 * ones(), dtype=torch.float64)
    assert net.asked == [0.7, 0.1, 0.1]
    assert sampler.nfe == 3
    expected = (0.25 + 0.7 * 2) * shrinking((0.7, 0.1, 0.0), 0.5, "heun")
    torch.testing.assert_close(end, expected * ones().double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"num_steps": 32}, "num_steps is 32, and the schedule has 4 steps"),
        ({"num_steps": 5}, "num_steps is 5, and the schedule has 4 steps"),
        ({"S_churn": 40}, "S_churn = 40 adds noise"),
        ({"sigma_max": 80}, "sigma_max says nothing"),
        ({"rho": 7}, "rho says nothing"),
        ({"gamma": 7}, "gamma says nothing"),
        ({"guidance": 1.5}, "Guidance of 1.5 needs a network"),
    ],
)
def test_what_a_schedule_leaves_no_room_for_is_refused_by_name(arguments, said):
    net = exact()
    with pytest.raises(InputError, match=said):
        on(*GRID)(net, ones(), **arguments)
    assert net.asked == []


def test_what_has_no_effect_without_added_noise_is_accepted_as_the_command_line_passes_it():
    on(*GRID)(
        exact(), ones(), num_steps=4, S_churn=0, S_min=0, S_max=float("inf"), S_noise=1, randn_like=torch.randn_like
    )


def test_schedules_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"compiled for 'written', where x = \(1 - sigma\) x0.*in EDM2"):
        sampler_fn(flow_artifact(), steps=3)
    with pytest.raises(UnknownNameError, match=r"Unknown solver 'dpm_2'\..*dpmpp_2m"):
        sampler_fn(MNIST, nfe=9, solver="dpm_2")
    with pytest.raises(BudgetError, match="No schedule for heun at NFE 7"):
        sampler_fn(MNIST, nfe=7)
    net = exact()
    net.sigma_min, net.sigma_max = 0.01, 50.0
    with pytest.raises(InputError, match=r"starts at sigma = 80, and Network knows sigma from 0\.01 to 50"):
        on(*GRID)(net, ones())


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    (code,) = (block for block in blocks if "sampler_fn" in block)
    assert len(code.splitlines()) <= 10
    (tmp_path / "mine.art.json").write_bytes(MNIST.read_bytes())
    monkeypatch.chdir(tmp_path)
    net, guide = Network(), Network(spread=0.6)

    def generate_images(path, *, gnet, **settings):
        assert (path, gnet) == ("net2.pkl", "gnet2.pkl")
        edm2_stand_in.generate_images(net, gnet=guide, outdir=tmp_path, **settings)
        yield SimpleNamespace(images=torch.zeros(4, 3, 2, 2))

    monkeypatch.setitem(sys.modules, "generate_images", SimpleNamespace(generate_images=generate_images))
    exec(compile(code, "README.md", "exec"), {})
    assert len(net.asked) == len(guide.asked) == 9
    assert capsys.readouterr().out == "torch.Size([4, 3, 2, 2])\n"

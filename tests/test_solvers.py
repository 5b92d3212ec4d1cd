import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from artc.artifact import ModelInfo, nfe_of, steps_for
from artc.errors import DenoiserError, InputError, UnknownNameError
from artc.models.analytic import Gaussian, three_modes
from artc.models.score_model import Latents, Probe, ScoreModel
from artc.sampling.grids import baseline
from artc.sampling.solvers import SOLVERS, find_solver
from artc.sampling.trajectories import sample, walk
from tests.walking import column, end_of, model_of

FALLING = st.lists(st.integers(1, 10_000), min_size=1, max_size=8, unique=True).map(
    lambda ticks: [tick / 100 for tick in sorted(ticks, reverse=True)]
)

ORDERS = [
    *(("euler", 1), ("heun", 2), ("rk4", 4), ("dpmpp_2m", 2), ("dpmpp_3m", 2)),
    *(("unipc_2", 3), ("unipc_3", 4), ("deis_2", 2), ("deis_3", 3)),
]
"""On a grid uniform in ln sigma; iPNDM has its order on another, see test_multistep_solvers.py."""


# -------------------------------------------------------------------------------------------- accuracy


@pytest.mark.parametrize(("solver", "order"), ORDERS)
def test_the_error_of_a_solver_falls_with_its_order(solver, order, field):
    gaussian, start, counts = Gaussian(mean=0.3, std=0.5), column(12.0, -7.0, 3.0), (32, 64, 128, 256)
    exact = gaussian.trajectory(start, 10.0, 0.05)
    reached = [end_of(field(gaussian), start, np.geomspace(10, 0.05, steps + 1), solver) for steps in counts]
    errors = [float((x - exact).abs().max()) for x in reached]
    assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(order, abs=0.2)
    assert find_solver(solver).order == order


@pytest.mark.parametrize(
    ("solver", "sigmas", "reached"),
    [
        # D = x / 2, so that dx/dsigma = x / (2 sigma), from x = 8 at sigma = 4.
        ("euler", [4, 2], 8 - 2 * 1),
        ("euler", [4, 2, 1], 6 - 1 * 1.5),
        ("heun", [4, 2], 8 - 2 * (1 + 1.5) / 2),
        ("rk4", [4, 2], 8 - 2 * (1 + 2 * (7 / 6) + 2 * (41 / 36) + 103 / 72) / 6),
        ("dpmpp_2m", [4, 2], 6),
        ("dpmpp_2m", [4, 2, 1], 6 / 2 + (3 - (4 - 3) / 2) / 2),  # r = 1: D* = 3 - 1/2
        ("dpmpp_2m", [4, 2, 0.5], 6 / 4 + (3 - (4 - 3)) * 3 / 4),  # r = 1/2: D* = 3 - 1
        ("heun", [4, 2, 0], 5.5 / 2),
        ("rk4", [4, 2, 0], 407 / 144),
        ("dpmpp_2m", [4, 2, 0], 3),
    ],
)
def test_steps_calculated_by_hand(solver, sigmas, reached):
    assert float(end_of(lambda x, sigma: x / 2, column(8.0), sigmas, solver)) == pytest.approx(reached, rel=1e-14)


@given(st.sampled_from(sorted(SOLVERS)), FALLING, st.booleans(), st.floats(-50, 50), st.floats(-50, 50))
def test_towards_a_single_clean_point_every_solver_is_exact(solver, sigmas, to_zero, point, x):
    sigmas = [*sigmas, 0.0] if to_zero else [200.0, *sigmas]
    reached = end_of(lambda x, sigma: torch.full_like(x, point), column(x), sigmas, solver)
    # DEIS carries the rounding of its slopes out along a parabola: from two steps of 0.01 to one of 100, by some 1e9.
    close = 1e-5 if solver == "deis_3" else 1e-8
    assert float(reached) == pytest.approx(point + sigmas[-1] / sigmas[0] * (x - point), abs=close)


@pytest.mark.parametrize("solver", SOLVERS)
def test_one_step_to_zero_answers_the_denoised_value_itself(solver, field):
    noise, denoise = column(-1.3, 0.2, 0.9), field(three_modes())
    assert torch.equal(
        sample(lambda _: denoise, Latents(noise=noise), [2.0, 0.0], SOLVERS[solver]), denoise(2.0 * noise, 2.0)
    )


# ----------------------------------------------------------------------------------------------- walks


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_solver_keeps_nothing_between_calls(solver, field):
    denoise, grids = field(three_modes()), (baseline("edm", 6, 0.01, 20.0), baseline("logsnr", 6, 0.01, 5.0))
    starts = column(3.0, -8.0), column(1.0, 2.0, -4.0)
    alone = [[visit.x for visit in walk(denoise, *pair, SOLVERS[solver])] for pair in zip(starts, grids, strict=True)]
    both = zip(*(walk(denoise, *pair, SOLVERS[solver]) for pair in zip(starts, grids, strict=True)), strict=True)
    for k, visits in enumerate(both):
        assert torch.equal(visits[0].x, alone[0][k])
        assert torch.equal(visits[1].x, alone[1][k])


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_visit_shows_the_denoised_value_where_its_step_began(solver, field):
    denoise, x, sigmas = field(three_modes()), column(3.0, -8.0), [20.0, 4.0, 1.0, 0.0]
    for k, visit in enumerate(walk(denoise, x, sigmas, SOLVERS[solver])):
        assert (visit.index, visit.sigma, visit.sigma_next) == (k, sigmas[k], sigmas[k + 1])
        assert torch.equal(visit.denoised, denoise(x, sigmas[k]))
        x = visit.x


def test_samples_do_not_depend_on_how_they_are_batched(field):
    denoise, latents = field(three_modes()), Latents(noise=torch.linspace(-2, 2, 7, dtype=torch.float64)[:, None])
    whole = sample(lambda _: denoise, latents, [5.0, 1.0, 0.0], SOLVERS["heun"])
    parts = sample(lambda _: denoise, latents, [5.0, 1.0, 0.0], SOLVERS["heun"], batch=3)
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("steps", range(1, 7))
def test_counted_calls_are_those_of_the_budget(steps):
    multistep = "dpmpp_2m dpmpp_3m ipndm_2 ipndm_3 ipndm_4 unipc_2 unipc_3 deis_2 deis_3"
    wanted = {"euler": steps, "heun": 2 * steps - 1, "rk4": 4 * steps - 3, **dict.fromkeys(multistep.split(), steps)}
    assert wanted.keys() == SOLVERS.keys()
    for solver, calls in wanted.items():
        probe = Probe(model_of(three_modes()))
        sample(probe.on, Latents(noise=column(-1.0, 0.0, 1.0)), baseline("edm", steps, 0.002, 80.0), SOLVERS[solver])
        assert probe.calls == 3 * calls
        assert nfe_of(solver, steps) == calls
        assert steps_for(solver, calls) == steps


def test_an_unknown_solver_names_the_close_ones():
    with pytest.raises(UnknownNameError, match=r"solver 'huen'. Did you mean heun"):
        find_solver("huen")


# ----------------------------------------------------------------------------------------------- probe


def test_a_probe_calls_the_model_in_its_own_dtype_and_answers_in_that_of_the_sampler():
    seen = []

    def denoiser(x, sigma):
        seen.append((x.dtype, sigma))
        return x / 3

    probe = Probe(model_of(denoiser, dtype=torch.float32))
    found = probe(column(1.0, 2.0).requires_grad_(), 0.1)
    assert seen[0][0] == torch.float32
    assert torch.equal(seen[0][1], torch.tensor([0.1, 0.1], dtype=torch.float32))
    assert found.dtype == torch.float64
    assert torch.equal(found, (torch.tensor([[1.0], [2.0]]) / 3).double())
    assert not found.requires_grad
    assert probe.calls == 2
    assert probe.seconds > 0


@pytest.mark.parametrize(
    ("denoiser", "complaint"),
    [
        (lambda x, sigma: x[:, 0], r"shape \(2,\) for an input of shape \(2, 1\) at sigma = 0.25"),
        (lambda x, sigma: x.double(), "torch.float64 for torch.float32 at sigma = 0.25"),
        (lambda x, sigma: x.detach().numpy(), "ndarray, not a tensor, at sigma = 0.25"),
        (lambda x, sigma: None, "NoneType, not a tensor, at sigma = 0.25"),
        (lambda x, sigma: x / torch.tensor([[0.0], [1.0]]), "infinity in 1 of 2 values at sigma = 0.25"),
        (lambda x, sigma: x * float("nan"), "NaN or infinity in 2 of 2 values at sigma = 0.25"),
    ],
)
def test_a_denoiser_that_breaks_its_contract_is_named_with_the_sigma(denoiser, complaint):
    probe = Probe(model_of(denoiser, dtype=torch.float32))
    with pytest.raises(DenoiserError, match=complaint):
        probe(column(1.0, 2.0), 0.25)


def test_latents_are_standard_normal_and_known_by_their_seed():
    model = model_of(three_modes(), shape=(2, 5))
    noise = model.latents(1000, seed=4).noise
    assert noise.shape == (1000, 2, 5)
    assert torch.equal(noise, model.latents(1000, seed=4).noise)
    assert not torch.equal(noise, model.latents(1000, seed=5).noise)
    # 10,000 numbers: five standard errors.
    assert abs(float(noise.mean())) < 5 / 100
    assert abs(float(noise.square().mean()) - 1) < 5 * 2**0.5 / 100


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (-1.0, 1.0), (0.1, float("inf"))])
def test_a_model_needs_a_range_of_noise(low, high):
    info = {"name": "odd", "source": "python:test", "sha256": None, "domain": "ve", "shift": None, "shape": (1,)}
    rest = {"prediction": "denoised", "conditioning": "none", "sigma_data": None}
    odd = ModelInfo(**info, **rest, sigma_min=low, sigma_max=high)
    with pytest.raises(InputError, match="sigma range of odd"):
        ScoreModel(denoiser=three_modes(), info=odd, device=torch.device("cpu"))

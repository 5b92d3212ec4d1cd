"""Selected schedules keep to the domain of their model, and to the noise that it knows."""

import numpy as np
import pytest

import artc
from artc.artifact import Coordinate, steps_for
from artc.evaluation.selection import for_solvers
from artc.learning.local_error import LocalError, LocalErrors
from artc.learning.methods import certificate_of
from artc.learning.reached import Reached
from artc.models.domains import domain_sigma
from artc.sampling.grids import GRIDS
from tests.test_selection import Case, scheduled
from tests.toy_models import flow_model


def straight(info, clock=(0.0, 1.0)):
    """Local errors that are the same everywhere in progress: the order-aware grid is uniform in it."""
    low, high = (
        float(sigma / (1 - sigma)) if info.domain == "flow" else sigma for sigma in (info.sigma_min, info.sigma_max)
    )
    one = LocalError(clock=np.array(clock), exponent=2.0)
    return LocalErrors(coordinate=Coordinate(low, high), found={"heun": one, "euler": one, "dpmpp_2m": one})


def test_order_aware_grids_are_those_of_each_schedules_solver_and_steps(load):
    info, schedules = load("gaussian").info, {key: scheduled(*key) for key in (("heun", 5), ("euler", 5), ("euler", 1))}
    found = for_solvers(straight(info), Reached(found={}), schedules, info)
    assert {key: list(grids) for key, grids in found.items()} == {key: ["order-aware"] for key in schedules}
    for (solver, nfe), grids in found.items():
        steps = steps_for(solver, nfe)
        uniform = 0.002 * ((1 + 40000.0) ** (1 - np.arange(steps + 1) / steps) - 1)
        np.testing.assert_allclose(grids["order-aware"], uniform, rtol=1e-9, atol=1e-12)


def test_an_order_aware_grid_does_not_go_below_what_the_model_knows(load):
    info = load("gaussian").info
    (grid,) = for_solvers(straight(info), Reached(found={}), {("euler", 40): scheduled("euler", 40)}, info)[
        "euler", 40
    ].values()
    assert (grid[0], grid[-2], grid[-1], len(grid)) == (80.0, 0.002, 0.0, 41)  # free, it would end with 0.0006
    assert (np.diff(grid) < 0).all()


def test_a_flow_schedule_is_selected_in_its_own_domain(energies):
    model = flow_model("three")
    key, high = ("dpmpp_2m", 6), model.info.sigma_max
    (grid,) = for_solvers(straight(model.info), Reached(found={}), {key: scheduled(*key)}, model.info)[key].values()
    uniform = 0.002 * ((1 + 40000.0) ** (1 - np.arange(7) / 6) - 1)
    np.testing.assert_allclose(grid, uniform / (1 + uniform), rtol=1e-9, atol=1e-12)
    learned = (high, *domain_sigma([20.0, 5.0, 1.5, 0.5, 0.2], "flow").tolist(), 0.0)
    it = Case(model, energies, keys=[key], grid=learned, more={key: {"order-aware": grid}})
    assert set(it.known(key)) == {"schedule", "order-aware", *GRIDS}
    selected = it.select()
    kept, found = selected.schedules[key], selected.refinements["dpmpp_2m 6"]
    assert (kept.origin, found["kept"]) == ("refined", "matched")
    assert (kept.sigmas[0], kept.sigmas[-1]) == (high, 0.0)
    assert all(model.info.sigma_min <= sigma < 1 for sigma in kept.sigmas[:-1])
    assert it.error(kept.sigmas, "dpmpp_2m") == found["refined"] < min(it.known(key).values())
    assert kept.certificate == certificate_of(kept.sigmas, it.held_out, it.info)


@pytest.mark.parametrize("nfe", [3, 9, 13])
def test_a_network_that_refuses_what_it_does_not_know_is_compiled_all_the_same(nfe):
    times = artc.flow_times(sigma_min=0.02)

    def velocity(x, time):
        s = time[:, None]
        return (s - (1 - s) / 4) / ((1 - s) ** 2 / 4 + s**2) * x

    model = artc.score_model(artc.adapt(velocity, predicts="velocity", times=times), shape=(8,), device="cpu")
    settings = {"method": "closed-form", "trajectories": 16}
    artifact = artc.compile(model, nfe=[nfe], **settings)
    assert artifact.schedules[0].sigmas[-2] >= 0.02
    many = artc.compile(model, nfe=[200], solver="euler", trials=0, **settings).schedules[0].sigmas
    assert many[-2] == 0.02
    assert artifact.resampled([301]).schedules[-1].sigmas[-2] == 0.02

"""What ComfyUI's samplers spend on a grid, counted inside the model, against the table that budgets are read from."""

import numpy as np
import pytest

from artc.integrations.samplers import GRIDLESS, SAMPLERS, WALKED_BY
from tests.hosts.toy_walk import toy_end

STEPS = (1, 2, 3, 5, 8)
UNEVEN = (14.0, 6.0, 3.0, 1.2, 0.7, 0.2, 0.0)


@pytest.fixture(scope="module")
def names(comfyui):
    return comfyui.choices("KSamplerSelect", "sampler_name")


def calls(comfyui, sampler, grid, **settings):
    return comfyui.run(comfyui.sampling(grid, sampler=sampler, kind="eps", **settings)).report()["calls"]


def grid_of(steps, end=0.0):
    return [*np.geomspace(14.0, 0.1, steps).tolist(), end]


def test_every_sampler_of_comfyui_has_a_row_or_a_reason_why_not(names):
    assert [name for name in names if name not in SAMPLERS and name not in GRIDLESS] == []


def test_every_sampler_spends_what_its_row_says(comfyui, names):
    rows = {name: [SAMPLERS[name].nfe(steps) for steps in STEPS] for name in names if name in SAMPLERS}
    assert rows == {name: [calls(comfyui, name, grid_of(steps)) for steps in STEPS] for name in rows}


def samples(comfyui, sampler, grid):
    """What a sampler makes of two noises and the toy model."""
    run = comfyui.run(comfyui.sampling(grid, sampler=sampler, kind="edm", seed=5, batch=2))
    return np.asarray(run.report()["samples"])


@pytest.mark.parametrize("solver", WALKED_BY)
def test_a_sampler_that_is_a_solver_of_artc_ends_where_its_walk_ends(comfyui, solver):
    found = samples(comfyui, WALKED_BY[solver], UNEVEN)
    np.testing.assert_allclose(found, toy_end(UNEVEN, solver, seed=5, batch=2), rtol=0, atol=1e-4)


def test_deis_is_a_relative_of_deis_3_and_no_more(comfyui):
    """Its polynomial is one in another time than sigma, so that its weights are others on uneven steps."""
    ours = toy_end(UNEVEN, "deis_3", seed=5, batch=2).numpy()
    assert np.abs(samples(comfyui, "deis", UNEVEN) - ours).max() > 0.01


def test_guidance_makes_the_calls_wider_and_not_more(comfyui):
    for name, nfe in (("euler", 4), ("heun", 7)):
        graph = comfyui.sampling(grid_of(4), sampler=name, cfg=7.0)
        report = comfyui.run(graph).report()
        assert (report["calls"], report["rows"]) == (nfe, 2 * nfe)


def test_a_sampler_without_a_grid_does_as_its_reason_says(comfyui, names):
    assert set(names) >= set(GRIDLESS)
    # The grid's ends alone matter to them: one in the middle moved far away changes no sample.
    for name in GRIDLESS:
        near, far = (
            comfyui.run(comfyui.sampling([14.0, middle, 0.1, 0.0], sampler=name, kind="eps")).report()["samples"]
            for middle in (1.0, 13.0)
        )
        assert near == far

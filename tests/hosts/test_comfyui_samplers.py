"""What ComfyUI's samplers spend on a grid, counted inside the model, against the table that budgets are read from."""

import numpy as np
import pytest

from artc.integrations.samplers import GRIDLESS, SAMPLERS

STEPS = (1, 2, 3, 5, 8)


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

"""A range narrower than asked is said and recorded, and nothing is clamped in silence."""

import math
from dataclasses import replace

import pytest

import artc
from artc.errors import InputError
from artc.models.ranges import Range, limited
from tests.toy_models import vp_model

VE = replace(vp_model(), own_range=(0.02, 100.0))


def test_within_what_the_model_knows_nothing_is_said():
    model = limited(VE, Range(sigma_min=0.05, sigma_max=100.0))
    assert (model.info.sigma_min, model.info.sigma_max) == (0.05, 100.0)
    assert (model.notices, dict(model.record)) == ((), {})


def test_the_usual_range_is_narrowed_aloud():
    model = limited(VE, Range())
    assert (model.info.sigma_min, model.info.sigma_max) == (0.02, 80.0)
    assert model.notices == ("custom knows sigma from 0.02 to 100: sigma_min is 0.02, not 0.002.",)
    assert model.record == {"sigma_asked": [0.002, 80.0]}


def test_both_ends_are_narrowed_aloud_and_reach_the_artifact():
    model = limited(VE, Range(sigma_min=0.001, sigma_max=300.0))
    assert len(model.notices) == 2
    artifact = artc.compile(model, nfe=[3], method="closed-form", trajectories=16)
    assert artifact.sigmas(nfe=3)[0] == 100.0
    assert artifact.provenance.config["model"] == {"sigma_asked": [0.001, 300.0]}


def test_a_model_without_limits_takes_any_range():
    model = limited(replace(vp_model(), own_range=(0.0, math.inf)), Range(sigma_min=1e-4, sigma_max=500.0))
    assert (model.info.sigma_min, model.info.sigma_max, model.notices) == (1e-4, 500.0, ())


def test_a_model_that_states_no_own_range_knows_the_one_it_is_used_on():
    model = limited(vp_model(), Range(sigma_max=100.0))
    assert model.info.sigma_max == 80.0
    assert "sigma_max is 80, not 100" in model.notices[0]


@pytest.mark.parametrize("asked", [Range(sigma_min=200.0), Range(sigma_max=0.01), Range(sigma_min=5.0, sigma_max=5.0)])
def test_a_range_with_nothing_in_it_is_refused(asked):
    with pytest.raises(InputError, match="sigma_min < sigma_max"):
        limited(VE, asked)


def test_what_was_said_and_recorded_before_is_kept():
    earlier = replace(VE, notices=("Its samples are latents.",), record={"labels": "uniform"})
    assert limited(earlier, Range(sigma_min=0.05)).notices == earlier.notices
    assert limited(earlier, Range(sigma_min=0.05)).record == earlier.record
    model = limited(earlier, Range())
    narrowed = "custom knows sigma from 0.02 to 100: sigma_min is 0.02, not 0.002."
    assert model.notices == ("Its samples are latents.", narrowed)
    assert model.record == {"labels": "uniform", "sigma_asked": [0.002, 80.0]}

"""Which schedules are refined, and how far: losers only, and never out of the range that the model knows."""

import pytest

import artc
from artc.artifact import Coordinate
from artc.learning.refining import refine
from artc.progress import drain
from tests.toy_models import vp_model

QUICK = {"method": "closed-form", "trajectories": 16}


def test_a_tie_is_no_loss():
    artifact = artc.compile(vp_model(), nfe=[1], solver="euler", **QUICK)  # every grid of one step is the same
    assert artifact.schedules[0].origin == "closed-form"
    assert artifact.provenance.diagnostics["refinements"] == {}


def test_no_node_is_moved_below_what_the_model_knows():
    coordinate = Coordinate(0.002, 80.0)
    asked = []

    def lower_is_better(sigmas):
        asked.append(sigmas[-2])
        return sigmas[-2]

    free = drain(refine(lower_is_better, (80.0, 1.0, 0.1, 0.0), coordinate))
    held = drain(refine(lower_is_better, (80.0, 1.0, 0.1, 0.0), coordinate, floor=0.02))
    assert free.sigmas[-2] < 0.02 <= held.sigmas[-2] < 0.05
    assert min(asked) < 0.02


@pytest.mark.parametrize("nfe", [3, 9, 13])
def test_a_network_that_refuses_what_it_does_not_know_is_compiled_all_the_same(nfe):
    times = artc.flow_times(sigma_min=0.02)

    def velocity(x, time):
        s = time[:, None]
        return (s - (1 - s) / 4) / ((1 - s) ** 2 / 4 + s**2) * x

    model = artc.score_model(artc.adapt(velocity, predicts="velocity", times=times), shape=(8,), device="cpu")
    artifact = artc.compile(model, nfe=[nfe], **QUICK)
    assert artifact.schedules[0].sigmas[-2] >= 0.02
    many = artc.compile(model, nfe=[200], solver="euler", **QUICK).schedules[0].sigmas
    assert many[-2] == 0.02
    assert artifact.resampled([301]).schedules[-1].sigmas[-2] == 0.02

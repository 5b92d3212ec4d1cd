"""Refining moves the nodes of one grid, downhill only; and only where a hand-made grid was better."""

import numpy as np
import pytest
import torch

import artc
from artc.artifact import Coordinate
from artc.errors import InputError
from artc.evaluation.endpoint import Teacher, endpoint_error
from artc.learning.methods import certificate_of
from artc.learning.objective import energy_of
from artc.learning.refining import most_trials, refine
from artc.models.domains import unscaled
from artc.models.score_model import Probe
from artc.progress import drain
from artc.sampling.bank import build_bank
from artc.sampling.solvers import SOLVERS
from artc.sampling.trajectories import sample
from tests.toy_models import flow_model, vp_model

RANGE = Coordinate(0.002, 80.0)


def distance_to(target):
    """How far a grid is from a target, in progress; and the grids that were asked for."""
    asked = []

    def error(sigmas):
        asked.append(sigmas)
        return float(np.abs(RANGE.progress(np.array(sigmas)) - RANGE.progress(np.array(target))).sum())

    return error, asked


@pytest.mark.parametrize("target", [[80.0, 3.0, 0.0], [80.0, 20.0, 4.0, 0.5, 0.0], [80.0, 60.0, 1.0, 0.01, 0.0]])
def test_a_grid_is_found_from_far_away(target):
    error, asked = distance_to(target)
    start = [*np.geomspace(80.0, 0.002, len(target) - 1), 0.0]
    found = drain(refine(error, start, RANGE))
    assert found.error < 0.1 * error(start)
    np.testing.assert_allclose(found.sigmas[1:-1], target[1:-1], rtol=0.3)
    assert found.trials == len(asked) - 1 <= most_trials(len(target) - 1) == 40 * (len(target) - 2) + 1
    for grid in asked:
        assert (grid[0], grid[-1], len(grid)) == (80.0, 0.0, len(target))
        assert (np.diff(grid) < 0).all()


def test_the_search_never_ends_above_where_it_began():
    start = (80.0, 5.0, 1.0, 0.0)
    error, _ = distance_to(start)
    found = drain(refine(error, start, RANGE))
    assert (found.sigmas, found.error) == (start, 0.0)
    rough = np.random.default_rng(0)
    assert drain(refine(lambda _: rough.random(), start, RANGE)).error <= np.random.default_rng(0).random()


def test_a_grid_without_free_nodes_stays():
    found = drain(refine(lambda sigmas: 1.0, (80.0, 0.0), RANGE))
    assert (found.sigmas, found.trials) == ((80.0, 0.0), 1)


def test_progress_ends_within_its_total():
    error, _ = distance_to([80.0, 20.0, 4.0, 0.5, 0.0])
    shown = []
    drain(refine(error, [80.0, 1.0, 0.1, 0.01, 0.0], RANGE), shown.append)
    assert [update.done for update in shown] == sorted({update.done for update in shown})
    assert shown[-1].done <= shown[-1].total == most_trials(4) == 121


def test_the_bank_keeps_the_end_points_of_its_first_trajectories():
    model = vp_model("clusters")
    latents = model.latents(10, seed=1)
    walking = build_bank(Probe(model).on, latents, sigma_min=0.002, sigma_max=80.0, nodes=128, ends=7, batch=4)
    ends = drain(walking).ends
    taught = Teacher(steps=128).endpoints(Probe(model).on, latents.first(7), model.info)
    assert ends.shape == (7, 16)
    assert endpoint_error(ends, taught).value < 5e-3  # far below what a few steps err by


def test_a_schedule_that_loses_is_refined_and_then_wins_on_other_noises():
    settings = {"nfe": [3, 9], "solver": "heun", "method": "closed-form", "trajectories": 64}
    learned = artc.compile(vp_model("three"), refine=False, **settings)
    refined = artc.compile(vp_model("three"), **settings)
    assert [schedule.origin for schedule in learned.schedules] == ["closed-form"] * 2
    assert learned.provenance.diagnostics["refinements"] == {}
    first, found = refined.schedules[0], refined.provenance.diagnostics["refinements"]["heun 3"]
    assert first.origin == "refined"
    assert found["refined"] <= found["start"] < found["learned"]
    measured = first.evaluation[0]
    assert measured.value < learned.schedules[0].evaluation[0].value
    assert measured.value < 1.02 * min(measured.baselines.values())
    assert first.certificate.objective >= first.certificate.lower_bound
    kept = [schedule for schedule in refined.schedules if schedule.origin == "closed-form"]
    assert all(schedule in learned.schedules for schedule in kept)


def test_refining_is_deterministic_and_counts_its_calls():
    settings = {"nfe": [3], "method": "closed-form", "trajectories": 16}
    once, twice = (artc.compile(vp_model("three"), **settings) for _ in range(2))
    assert once.digest == twice.digest
    trials = once.provenance.diagnostics["refinements"]["heun 3"]["trials"]
    plain = artc.compile(vp_model("three"), refine=False, **settings)
    extra = once.provenance.score_evals - plain.provenance.score_evals
    assert extra == 16 * 3 * (1 + 4 + trials)  # itself, four hand-made grids, the search; on all 16 noises


def test_a_search_may_be_cut_short():
    tried = []
    for trials in (1, 4):
        artifact = artc.compile(vp_model("three"), nfe=[3], trajectories=16, method="closed-form", trials=trials)
        tried.append(artifact.provenance.diagnostics["refinements"]["heun 3"]["trials"])
        assert artifact.provenance.config["trials"] == trials
    assert tried == [2, 5]  # where it begins, and so many for its one free node
    with pytest.raises(InputError, match="number of trials"):
        artc.compile(vp_model("three"), nfe=[3], trials=0)


def test_a_flow_schedule_is_refined_in_its_own_domain():
    model = flow_model("three", sigma_min=1e-3, sigma_max=1.0)
    artifact = artc.compile(model, nfe=[3], method="closed-form", trajectories=32)
    schedule = artifact.schedules[0]
    assert (schedule.origin, schedule.sigmas[0], schedule.sigmas[-1]) == ("refined", 1.0, 0.0)
    assert 0 < schedule.sigmas[1] < 1
    reached = sample(Probe(model).on, model.latents(64, seed=9), schedule.sigmas, SOLVERS["heun"])
    assert torch.isfinite(reached).all()
    assert schedule.certificate.gap > 0


def test_a_number_of_noises_that_makes_no_sense_is_refused():
    from artc.request import Request

    with pytest.raises(InputError, match="refine"):
        Request(nfe=(3,), refine=-1)
    with pytest.raises(InputError, match="refine"):
        Request(nfe=(3,), refine=1)


@pytest.mark.parametrize("kind", ["vp", "flow"])
def test_the_certificate_of_a_refined_schedule_is_taken_on_trajectories_it_never_saw(kind):
    model = vp_model("three") if kind == "vp" else flow_model("three", sigma_min=1e-3, sigma_max=1.0)
    artifact = artc.compile(model, nfe=[3], method="closed-form", trajectories=64, seed=3)
    (schedule,) = artifact.schedules
    assert schedule.origin == "refined"
    seen = unscaled(model)
    low, high = seen.info.sigma_min, seen.info.sigma_max
    bank = drain(build_bank(Probe(seen).on, model.latents(64, seed=6), sigma_min=low, sigma_max=high, nodes=128))
    learned_on, held_out = (energy_of(part, Coordinate(low, high)) for part in bank.split(16))
    assert (len(learned_on.cells), len(held_out.cells)) == (48, 16)
    assert schedule.certificate == certificate_of(schedule.sigmas, held_out, model.info)
    other = certificate_of(schedule.sigmas, learned_on, model.info)
    assert (schedule.certificate.objective, schedule.certificate.lower_bound) != (other.objective, other.lower_bound)

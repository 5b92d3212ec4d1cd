"""Nodes and model sigmas moved at once: what is weighed, what the grid alone may lose, and what is written."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from artc.artifact import Coordinate, Schedule
from artc.evaluation.asking import ALLOWANCE, Asked, asked_facts, with_model_sigmas
from artc.evaluation.endpoint import Teacher, endpoint_error
from artc.evaluation.grid_walks import JointWalker, shown_sigmas
from artc.learning.asking import most_together
from artc.learning.methods import certificate_of
from artc.learning.objective import Energy
from artc.models.score_model import Probe
from artc.progress import drain
from artc.sampling.solvers import SOLVERS
from artc.sampling.trajectories import sample
from tests.test_asking import asked_on, clusters, problem

MOVES = np.array([0.1, -0.2, 0.05, 0.3, -0.1, 0.02, 0.2, -0.05])


def joint(fields, latents, ends, info, schedule, weight=0.5):
    return JointWalker(
        fields=fields,
        latents=latents,
        ends=ends,
        info=info,
        sigmas=schedule.sigmas,
        model_sigmas=tuple(0.9 * one if k else one for k, one in enumerate(schedule.sigmas[:-1])),
        solver=SOLVERS[schedule.solver],
        weight=weight,
    )


@pytest.mark.parametrize("solver", ["euler", "heun", "dpmpp_2m"])
def test_the_square_is_that_of_both_errors_and_what_is_known_of_the_grid_is_not_walked_again(solver):
    model = clusters()
    fields, latents, ends, info, schedule = problem(model, solver, 5, count=6)
    walker = joint(fields, latents, ends, info, schedule)
    base = walker(MOVES)
    grid, shown = walker.moved(MOVES)
    assert grid == (*shown_sigmas(schedule.sigmas, MOVES[:4], info), 0.0)
    np.testing.assert_allclose(shown[1:], 0.9 * np.array(schedule.sigmas[1:-1]) * np.exp(MOVES[4:]), rtol=1e-12)
    both, alone = (
        endpoint_error(sample(fields, latents, grid, SOLVERS[solver], model_sigmas=one), ends).value
        for one in (shown, None)
    )
    assert base.error == pytest.approx(both**2 + 0.25 * alone**2, rel=1e-12)
    for place in range(8):
        moved = MOVES + 0.01 * (np.arange(8) == place)
        calls = Probe(model)
        there = joint(calls.on, latents, ends, info, schedule)(moved, place, base)
        assert torch.equal(there.residual, walker(moved).residual)
        assert calls.calls == 6 * schedule.nfe * (2 if place < 4 else 1)


def test_at_its_bounds_both_lists_decrease_and_end_no_lower_than_the_model_knows():
    walker = joint(*problem(clusters(), "euler", 5, count=2))
    low, high = walker.bounds()
    for moves in (low, high, np.where(np.arange(8) % 2, low, high), np.where(np.arange(8) % 2, high, low)):
        for one in walker.moved(moves):
            assert (np.diff(one) < 0).all()
            assert min(value for value in one if value > 0) >= walker.info.sigma_min


# ------------------------------------------------------------------------------------------- what is found


@pytest.fixture(scope="module")
def settled():
    """Clusters, four steps of Euler, 32 noises to fit to and as many to watch."""
    return problem(clusters(), "euler", 4, count=64)


def test_the_grid_alone_loses_no_more_than_allowed_and_unseen_noises_end_nearer(settled):
    fields, latents, ends, info, schedule = settled
    apart = drain(asked_on(*settled, allowance=0.0))
    found = drain(asked_on(*settled))
    assert (apart.sigmas, apart.moved, apart.before) == (schedule.sigmas, False, apart.watched)
    assert found.moved
    assert found.before == apart.watched
    assert found.watched[0] <= (1 + ALLOWANCE) * found.before[0]
    assert found.watched[1] < found.before[1]
    half = len(latents) // 2
    watched, wanted = latents.part(slice(half, None)), ends[half:]
    for shown, value in ((None, found.watched[0]), (found.model_sigmas, found.watched[1])):
        walked = sample(fields, watched, found.sigmas, SOLVERS["euler"], model_sigmas=shown)
        assert endpoint_error(walked, wanted).value == pytest.approx(value, rel=1e-12)
    fresh = clusters().latents(1024, 99)
    reference = Teacher(steps=64).endpoints(fields, fresh, info)
    there, before = (
        endpoint_error(
            sample(fields, fresh, one.sigmas, SOLVERS["euler"], model_sigmas=one.model_sigmas), reference
        ).value
        for one in (found, apart)
    )
    assert there < before


@pytest.mark.parametrize("solver", ["euler", "heun", "dpmpp_2m"])
def test_a_ceiling_is_never_passed(solver):
    given = problem(clusters(), solver, 4, count=64)
    plain = drain(asked_on(*given, allowance=0.0)).before[0]
    found = drain(asked_on(*given, allowance=0.5, ceiling=plain))
    assert found.watched[0] <= plain


def test_one_step_has_nothing_to_move():
    assert most_together(1) == 0
    assert not drain(asked_on(*problem(clusters(), "euler", 1))).moved


# ------------------------------------------------------------------------------------------- what is written


def asked_for(schedule, **facts):
    known = {"fitted": (0.4, 0.2), "watched": (0.41, 0.2), "before": (0.41, 0.2), "walks": 9}
    return Asked(**{"sigmas": schedule.sigmas, "model_sigmas": schedule.sigmas[:-1], **known, **facts})


def test_a_moved_grid_is_written_with_its_own_certificate_and_origin():
    info = clusters().info
    held_out = Energy(coordinate=Coordinate(info.sigma_min, info.sigma_max), cells=np.array([[3.0, 1.0, 6.0, 12.0]]))
    schedule = Schedule(solver="euler", nfe=3, steps=3, sigmas=(80.0, 5.0, 0.5, 0.0), origin="closed-form")
    given = {("euler", 3): schedule, ("heun", 1): replace(schedule, solver="heun", nfe=1, steps=1, sigmas=(80.0, 0.0))}
    moved = (80.0, 6.0, 0.4, 0.0)
    one = asked_for(schedule, sigmas=moved, model_sigmas=(80.0, 5.0, 0.3), watched=(0.42, 0.15))
    written = with_model_sigmas(given, {("euler", 3): one}, held_out, info)
    assert written["heun", 1] == given["heun", 1]
    found = written["euler", 3]
    assert (found.sigmas, found.model_sigmas, found.origin) == (moved, (80.0, 5.0, 0.3), "refined")
    assert found.certificate == certificate_of(moved, held_out, info)
    kept = with_model_sigmas(given, {("euler", 3): asked_for(schedule)}, held_out, info)["euler", 3]
    assert kept == replace(schedule, model_sigmas=schedule.sigmas[:-1])
    assert asked_facts({("euler", 3): one})["euler 3"] == {
        "without": 0.42,
        "with": 0.15,
        "kept": True,
        "before": {"without": 0.41, "with": 0.2},
    }
    assert "before" not in asked_facts({("euler", 3): asked_for(schedule)})["euler 3"]

import numpy as np
import pytest
import torch

from artc.artifact import Schedule
from artc.errors import InputError
from artc.evaluation.endpoint import Teacher, as_evaluation, compare, endpoint_error, paired_wins
from artc.models.score_model import Probe
from artc.progress import drain
from artc.sampling.grids import GRIDS, baseline


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


def heun(steps, grid="edm"):
    sigmas = tuple(baseline(grid, steps, 0.002, 80.0).tolist())
    return Schedule(solver="heun", nfe=2 * steps - 1, steps=steps, sigmas=sigmas, origin="refined")


def test_the_error_of_two_samples_by_hand():
    found = endpoint_error(tensor([[1, 0], [0, 0]]), tensor([[0, 0], [0, 2]]))
    assert found.squares.tolist() == [0.5, 2.0]
    assert found.value == pytest.approx(1.25**0.5)
    # std of (1/2, 2) is 1.5 / sqrt(2); of their mean 0.75; of its root 0.75 / (2 root)
    assert found.stderr == pytest.approx(0.75 / (2 * 1.25**0.5))


def test_samples_of_any_shape_are_averaged_over_all_their_dimensions():
    samples = torch.zeros((3, 2, 2), dtype=torch.float32)
    found = endpoint_error(samples + tensor([1, 2, 3]).reshape(3, 1, 1), samples)
    assert found.squares.tolist() == [1.0, 4.0, 9.0]


def test_the_standard_error_is_that_of_a_bootstrap():
    rng = np.random.default_rng(0)
    samples = rng.gamma(2.0, size=(300, 1))
    found = endpoint_error(tensor(samples), torch.zeros((300, 1)))
    again = [np.sqrt((samples[rng.integers(0, 300, 300)] ** 2).mean()) for _ in range(2000)]
    assert found.stderr == pytest.approx(np.std(again), rel=0.1)


def test_identical_samples_have_no_error():
    found = endpoint_error(tensor([[1, 2], [3, 4]]), tensor([[1, 2], [3, 4]]))
    assert (found.value, found.stderr) == (0, 0)


@pytest.mark.parametrize(("ours", "theirs"), [((3, 2), (3, 1)), ((3, 2), (2, 2)), ((1, 2), (1, 2)), ((0, 2), (0, 2))])
def test_what_cannot_be_paired_is_refused(ours, theirs):
    with pytest.raises(InputError, match="cannot be paired"):
        endpoint_error(torch.zeros(ours), torch.zeros(theirs))


def test_wins_are_counted_per_noise_and_ties_are_none():
    reference = torch.zeros((4, 1))
    ours = endpoint_error(tensor([[1], [2], [0], [5]]), reference)
    theirs = endpoint_error(tensor([[-2], [2], [1], [-4]]), reference)
    assert paired_wins(ours, theirs) == 0.5
    assert paired_wins(theirs, ours) == 0.25


def test_the_teacher_reaches_the_exact_end_of_gaussian_trajectories(load):
    model, probe = load("gaussian"), Probe(load("gaussian"))
    latents = model.latents(4, seed=1)
    reached = Teacher(steps=64).endpoints(probe.on, latents, model.info)
    assert probe.calls == 4 * Teacher(steps=64).calls == 4 * 127
    torch.testing.assert_close(reached, 80 * 0.5 / (0.25 + 80**2) ** 0.5 * latents.noise, rtol=5e-3, atol=0)


def test_schedules_meet_every_baseline_at_equal_and_counted_calls(load):
    model, probe, shown = load("mixture-1d"), Probe(load("mixture-1d")), []
    schedules = {("heun", 7): heun(4), ("heun", 3): heun(2, "uniform")}
    errors = drain(compare(probe.on, model.latents(5, 2), model.info, schedules, Teacher(steps=6)), shown.append)
    assert probe.calls == 5 * (11 + (7 + 3) * (1 + len(GRIDS)))
    done = [update.done for update in shown]
    assert [done[0], done[6], done[-1], shown[-1].total] == [
        0,
        5 * 11,
        probe.calls,
        probe.calls,
    ]  # 6: after the teacher
    assert done == sorted(done)
    assert {key: set(found) for key, found in errors.items()} == {key: {"schedule", *GRIDS} for key in schedules}
    # A schedule that is a baseline has that baseline's error, and no other's.
    assert torch.equal(errors["heun", 7]["schedule"].squares, errors["heun", 7]["edm"].squares)
    assert torch.equal(errors["heun", 3]["schedule"].squares, errors["heun", 3]["uniform"].squares)
    assert not torch.equal(errors["heun", 7]["schedule"].squares, errors["heun", 7]["edm-free"].squares)


def test_a_schedule_that_is_the_teachers_has_no_error(load):
    model, teacher = load("mixture-1d"), Teacher(steps=5)
    errors = drain(compare(Probe(model).on, model.latents(3, 2), model.info, {("heun", 9): heun(5)}, teacher))
    assert errors["heun", 9]["schedule"].value == 0


def test_an_evaluation_records_what_was_measured():
    reference = torch.zeros((2, 1))
    errors = {"schedule": endpoint_error(tensor([[1], [1]]), reference)}
    errors |= {"edm": endpoint_error(tensor([[3], [3]]), reference)}
    found = as_evaluation(errors, seed=7, teacher=Teacher(steps=12))
    assert (found.metric, found.value, found.stderr, found.samples, found.seed) == ("endpoint_rms", 1.0, 0.0, 2, 7)
    assert found.teacher == {"solver": "heun", "steps": 12}
    assert found.baselines == {"edm": 3.0}

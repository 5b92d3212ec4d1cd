"""A network that is shown another sigma: what that means by hand, for every solver, and who cannot be."""

import pytest
import torch

from artc.artifact import BUDGETS, Schedule
from artc.errors import InputError
from artc.evaluation.drawing import draw
from artc.evaluation.endpoint import Teacher, as_evaluations, compare, endpoint_error
from artc.models.analytic import Gaussian
from artc.models.score_model import Probe
from artc.progress import drain
from artc.sampling.solvers import SOLVERS
from artc.sampling.trajectories import asked, sample, walk
from tests.integrations.made import calls_at, shrinking
from tests.walking import column, end_of, model_of

GRID, SHOWN = (80.0, 10.0, 2.0, 0.5, 0.0), (80.0, 8.0, 2.5, 0.4)
SPREAD = 0.5


class Recorded:
    """Gaussian data, and the sigmas that it was asked at."""

    def __init__(self):
        self.sigmas = []

    def __call__(self, x, sigma):
        self.sigmas.append(float(sigma))
        return x * SPREAD**2 / (SPREAD**2 + sigma**2)


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_the_network_is_shown_the_other_sigma_and_the_solver_goes_on_with_its_own(solver):
    network, start = Recorded(), column(3.0, -1.0)
    end = end_of(network, start, GRID, solver, model_sigmas=SHOWN)
    torch.testing.assert_close(end, start * shrinking(GRID, SPREAD, solver, SHOWN), rtol=1e-12, atol=0)
    assert network.sigmas == calls_at(SHOWN, solver)


@pytest.mark.parametrize("solver", [name for name in SOLVERS if not BUDGETS[name].between_nodes])
def test_shown_the_grid_itself_nothing_changes(solver):
    start = column(3.0, -1.0)
    assert torch.equal(
        end_of(Recorded(), start, GRID, solver, model_sigmas=GRID[:-1]), end_of(Recorded(), start, GRID, solver)
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_table_of_budgets_says_who_asks_between_the_nodes(solver):
    network = Recorded()
    end_of(network, column(1.0), GRID, solver)
    assert (set(network.sigmas) != set(GRID[:-1])) == BUDGETS[solver].between_nodes


def test_a_solver_that_asks_between_the_nodes_is_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"asks at sigma = 45, which is no node of the grid"):
        end_of(Recorded(), column(1.0), GRID, "rk4", model_sigmas=SHOWN)


@pytest.mark.parametrize("shown", [(80.0, 8.0, 2.5), (80.0, 8.0, 2.5, 0.4, 0.1)])
def test_there_is_one_for_each_step(shown):
    with pytest.raises(InputError, match=f"4 steps need as many model sigmas, and there are {len(shown)}"):
        asked(Recorded(), GRID, shown)
    assert asked(field := Recorded(), GRID, None) is field


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_walk_can_be_begun_again_at_any_step(solver):
    visits = list(walk(Recorded(), column(3.0), GRID, SOLVERS[solver]))
    for k in (1, 2, 3):
        before = visits[k - 1]
        rest = list(walk(Recorded(), before.x, GRID[k:], SOLVERS[solver], memory=before.memory))
        assert [visit.x.item() for visit in rest] == [visit.x.item() for visit in visits[k:]]


def test_samples_and_drawings_use_them():
    model = model_of(Gaussian(mean=0.0, std=SPREAD))
    fields, latents, solver = Probe(model).on, model.latents(5, 0), SOLVERS["heun"]
    found = sample(fields, latents, GRID, solver, model_sigmas=SHOWN, batch=2)
    torch.testing.assert_close(found, 80.0 * latents.noise * shrinking(GRID, SPREAD, "heun", SHOWN), rtol=1e-12, atol=0)
    held = Schedule(solver="heun", nfe=7, steps=4, sigmas=GRID, model_sigmas=SHOWN, origin="refined")
    panels = draw(model, held, compare=("edm",), count=5, seed=0)
    assert panels["compiled"].tolist() == found.tolist()


# ------------------------------------------------------------------------------------------- errors


def test_a_schedule_with_model_sigmas_is_measured_twice_and_a_plain_one_once():
    model = model_of(Gaussian(mean=0.0, std=SPREAD))
    fields, latents = Probe(model).on, model.latents(8, 0)
    plain = Schedule(solver="heun", nfe=7, steps=4, sigmas=GRID, origin="refined")
    both = Schedule(solver="euler", nfe=4, steps=4, sigmas=GRID, model_sigmas=SHOWN, origin="refined")
    teacher = Teacher(steps=16)
    schedules = {("heun", 7): plain, ("euler", 4): both}
    updates = []
    errors = drain(compare(fields, latents, model.info, schedules, teacher), updates.append)
    assert updates[-1].done == updates[-1].total
    reference = teacher.endpoints(fields, latents, model.info)
    for metric, shown in (("schedule", None), ("endpoint_rms_with_model_sigmas", SHOWN)):
        wanted = endpoint_error(sample(fields, latents, GRID, SOLVERS["euler"], model_sigmas=shown), reference)
        assert errors["euler", 4][metric].squares.tolist() == wanted.squares.tolist()
    first, second = as_evaluations(errors["euler", 4], seed=3, teacher=teacher)
    assert (first.metric, first.value) == ("endpoint_rms", errors["euler", 4]["schedule"].value)
    assert second.metric == "endpoint_rms_with_model_sigmas"
    assert second.value == errors["euler", 4]["endpoint_rms_with_model_sigmas"].value != first.value
    assert dict(first.baselines) == dict(second.baselines)
    assert set(first.baselines) == {"uniform", "logsnr", "edm", "edm-free"}
    assert len(as_evaluations(errors["heun", 7], seed=3, teacher=teacher)) == 1

"""The list of sigmas that a scheduler of diffusers turns into the compiled grid."""

import math
import re

import numpy as np
import pytest

from artc.errors import InputError
from artc.integrations.diffusers import scheduled, sigmas_for
from tests.integrations.diffusers_loops import FLOW_GRID, artifact_of, flow, nodes, of
from tests.tiny_diffusers import diffusers, offline  # noqa: F401  # offline works by being here

# Raised inside diffusers, by its own code.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers.*")


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize(
    ("settings", "mu"),
    [
        ({"shift": 1.0}, None),
        ({"shift": 3.0}, None),
        ({"use_dynamic_shifting": True}, 1.15),
        ({"use_dynamic_shifting": True, "time_shift_type": "linear"}, 2.5),
    ],
)
def test_a_list_of_sigmas_ends_on_the_compiled_grid_after_the_shift_of_the_scheduler_itself(settings, mu, steps):
    stock, sigmas = flow(**settings), nodes(steps, FLOW_GRID)
    given = sigmas_for(stock, artifact_of(sigmas, domain="flow"), steps=steps, mu=mu)
    stock.set_timesteps(sigmas=given, mu=mu)
    assert len(given) == steps
    assert stock.sigmas.tolist() == pytest.approx(sigmas, rel=3e-7)
    assert stock.timesteps.tolist() == pytest.approx([1000 * sigma for sigma in sigmas[:-1]], rel=3e-7)


def test_a_list_of_sigmas_for_euler_is_the_grid_with_its_zero():
    stock, sigmas = of("Euler", use_karras_sigmas=True), nodes(5)
    given = sigmas_for(stock, artifact_of(sigmas), nfe=5)
    assert given == list(sigmas)
    stock.set_timesteps(sigmas=given)
    assert stock.sigmas.tolist() == np.asarray(sigmas, dtype=np.float32).tolist()


def test_a_list_that_ends_at_shift_terminal_is_exact():
    stock, sigmas = flow(shift=2.0, shift_terminal=0.05), nodes(4, FLOW_GRID)
    stock.set_timesteps(sigmas=sigmas_for(stock, artifact_of(sigmas, domain="flow"), nfe=4))
    assert stock.sigmas.tolist() == pytest.approx(sigmas, rel=1e-6)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: of("Heun"), "HeunDiscreteScheduler takes no list of sigmas as it is. `scheduled` makes"),
        (diffusers.EDMEulerScheduler, "EDMEulerScheduler takes no list"),
        (diffusers.DDIMScheduler, "DDIMScheduler takes no list"),
        (lambda: flow(use_karras_sigmas=True), "with use_karras_sigmas=True changes any sigmas"),
        (lambda: flow(use_exponential_sigmas=True), "with use_exponential_sigmas=True changes any sigmas"),
        (lambda: flow(shift_terminal=0.1), "with shift_terminal=0.1 changes any sigmas"),
        (lambda: flow(use_dynamic_shifting=True), "With dynamic shifting the list depends on mu"),
        (lambda: flow(invert_sigmas=True), "invert_sigmas=True"),
        (lambda: of("Euler"), "Its sigmas mean nothing there"),
    ],
)
def test_where_a_list_would_be_changed_there_is_none(make, complaint):
    with pytest.raises(InputError, match=re.escape(complaint)):
        sigmas_for(make(), artifact_of(nodes(4, FLOW_GRID), domain="flow"), steps=4)


@pytest.mark.parametrize("mu", ["1", math.nan, math.inf, -math.inf, 1e4, -1.0, 0.0])
def test_a_mu_that_shifts_to_nowhere_is_refused(mu):
    linear = mu in (-1.0, 0.0)  # as an exponent they are good
    stock = flow(use_dynamic_shifting=True, time_shift_type="linear" if linear else "exponential")
    with pytest.raises(InputError, match=f"There is no shift by mu = {mu!r}"):
        sigmas_for(stock, artifact_of(nodes(4, FLOW_GRID), domain="flow"), steps=4, mu=mu)


def test_a_scheduler_that_walks_a_grid_takes_no_list():
    artifact = artifact_of(nodes(4))
    with pytest.raises(InputError, match="ArtEulerDiscreteScheduler takes no list"):
        sigmas_for(scheduled(of("Euler"), artifact), artifact, steps=4)

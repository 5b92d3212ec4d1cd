"""Whether a schedule fits the model of a host, by numbers on both sides of each limit."""

import math

import numpy as np
import pytest

from artc.errors import InputError, UnknownNameError
from artc.integrations.fitting import HostModel, check_domain, check_fit, tail
from tests.integrations.made import artifact, flow_artifact

VE = artifact((14.6, 3.0, 0.03, 0.0)).model
FLOW = flow_artifact().model


def host(sigma_min=0.0, sigma_max=math.inf, domain="ve"):
    return HostModel(name="the host's model", domain=domain, sigma_min=sigma_min, sigma_max=sigma_max)


@pytest.mark.parametrize(
    ("info", "domain", "ours", "theirs"),
    [
        (VE, "flow", "'written', where x = x0 + sigma n,", "in the host's model x = (1 - sigma) x0 + sigma n"),
        (FLOW, "ve", "'written', where x = (1 - sigma) x0 + sigma n,", "in the host's model x = x0 + sigma n"),
    ],
)
def test_the_other_domain_is_refused_with_both_formulas(info, domain, ours, theirs):
    for check in (
        lambda: check_domain(info, domain, "the host's model"),
        lambda: check_fit(info, (0.9, 0.1, 0.0), host(domain=domain)),
    ):
        with pytest.raises(InputError) as caught:
            check()
        assert ours in caught.value.message
        assert theirs in caught.value.message
        assert "compile a schedule for this model" in caught.value.hint


@pytest.mark.parametrize("domain", ["VE", "eps", None, 3])
def test_a_third_domain_is_refused_with_the_two_there_are(domain):
    with pytest.raises(UnknownNameError, match=f"Unknown domain '{domain}'. Known: flow, ve"):
        check_domain(VE, domain, "a")


def test_the_same_domain_passes():
    check_domain(VE, "ve", "a")
    check_domain(FLOW, "flow", "a")
    assert check_fit(FLOW, (0.99, 0.8, 0.3, 0.0), host(0.001, 1.0, "flow")) == ()


def test_an_unknown_range_takes_any_grid():
    assert check_fit(VE, (1e9, 1e-9, 0.0), host()) == ()


@pytest.mark.parametrize(
    ("sigma_max", "fits"), [(14.6, True), (14.5860, True), (14.5840, False), (20.0, True), (1.0, False)]
)
def test_a_start_above_what_the_model_knows_is_refused_from_a_thousandth_on(sigma_max, fits):
    # 14.6 / 1.001 = 14.58541...
    if fits:
        check_fit(VE, (14.6, 3.0, 0.0), host(0.001, sigma_max))
        return
    with pytest.raises(InputError) as caught:
        check_fit(VE, (14.6, 3.0, 0.0), host(0.001, sigma_max))
    assert caught.value.message == (
        f"The schedule starts at sigma = 14.6, and the host's model knows sigma from 0.001 to {sigma_max:g}."
    )


@pytest.mark.parametrize(
    ("sigma_min", "fits"), [(0.03, True), (0.03002, True), (0.03004, False), (2.0, False), (0.0, True)]
)
def test_a_last_sigma_below_what_the_model_knows_is_refused_from_a_thousandth_on(sigma_min, fits):
    # 0.03 / 0.999 = 0.03003003...; the trailing 0 is no noise level that the model is asked about.
    if fits:
        check_fit(VE, (14.6, 3.0, 0.03, 0.0), host(sigma_min, 14.6))
        return
    with pytest.raises(
        InputError, match=r"The schedule goes down to sigma = 0\.03, and the host's model knows sigma from"
    ):
        check_fit(VE, (14.6, 3.0, 0.03, 0.0), host(sigma_min, 14.6))


def test_one_step_is_held_against_both_ends():
    assert check_fit(VE, (5.0, 0.0), host(1.0, 5.0)) == ()
    with pytest.raises(InputError, match="sigma = 5"):
        check_fit(VE, (5.0, 0.0), host(1.0, 4.0))
    with pytest.raises(InputError, match="sigma = 5"):
        check_fit(VE, (5.0, 0.0), host(6.0, 9.0))


@pytest.mark.parametrize(
    ("sigma_max", "noted"), [(14.6, False), (15.3, False), (15.4, True), (120.0, True), (math.inf, False)]
)
def test_starting_well_below_what_the_model_can_start_from_is_noted(sigma_max, noted):
    # 14.6 / 0.95 = 15.368...
    notes = check_fit(VE, (14.6, 3.0, 0.0), host(0.0, sigma_max))
    wanted = f"It starts at sigma = 14.6, below the {sigma_max:g} that the host's model can start from."
    assert notes == ((wanted,) if noted else ())


@pytest.mark.parametrize(
    ("denoise", "kept"),
    [
        (1.0, [9.0, 5.0, 3.0, 1.0, 0.0]),
        (0.75, [5.0, 3.0, 1.0, 0.0]),
        (0.6, [3.0, 1.0, 0.0]),
        (0.25, [1.0, 0.0]),
        (0.13, [1.0, 0.0]),
        (0.125, []),  # half a step is rounded to the even number, none, as in ComfyUI
        (0.0, []),
    ],
)
def test_the_tail_is_the_end_of_the_grid_node_for_node(denoise, kept):
    assert tail(np.array([9.0, 5.0, 3.0, 1.0, 0.0]), np.float32(denoise)).tolist() == kept
    assert tail((9.0, 5.0, 3.0, 1.0, 0.0), denoise) == tuple(kept)


@pytest.mark.parametrize("denoise", [-0.01, 1.01, math.nan, math.inf, None, "0.5", True, [1], 10**400])
def test_a_part_that_is_no_number_from_0_to_1_is_refused(denoise):
    with pytest.raises(InputError, match="denoise is a part of the schedule, from 0 to 1, not"):
        tail(np.array([9.0, 0.0]), denoise)

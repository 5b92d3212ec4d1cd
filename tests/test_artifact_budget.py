import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artc.artifact import BUDGETS, nfe_of, steps_for
from artc.errors import BudgetError, UnknownNameError

unhurried = settings(deadline=None)  # a busy machine is no defect

SOLVERS = st.sampled_from(sorted(BUDGETS))


@pytest.mark.parametrize(
    ("solver", "order", "nfes"),
    [
        ("euler", 1, [1, 2, 3, 10]),
        ("heun", 2, [1, 3, 5, 19]),
        ("rk4", 4, [1, 5, 9, 37]),
        ("dpmpp_2m", 2, [1, 2, 3, 10]),
        ("dpmpp_3m", 2, [1, 2, 3, 10]),
        ("ipndm_2", 2, [1, 2, 3, 10]),
        ("ipndm_3", 3, [1, 2, 3, 10]),
        ("ipndm_4", 4, [1, 2, 3, 10]),
        ("unipc_2", 3, [1, 2, 3, 10]),
        ("unipc_3", 4, [1, 2, 3, 10]),
        ("deis_2", 2, [1, 2, 3, 10]),
        ("deis_3", 3, [1, 2, 3, 10]),
    ],
)
def test_the_table_by_hand(solver, order, nfes):
    assert BUDGETS[solver].name == solver
    assert BUDGETS[solver].order == order
    assert [nfe_of(solver, steps) for steps in (1, 2, 3, 10)] == nfes


@unhurried
@given(SOLVERS, st.integers(1, 10_000))
def test_steps_for_inverts_nfe_of(solver, steps):
    assert steps_for(solver, nfe_of(solver, steps)) == steps


@unhurried
@given(SOLVERS, st.integers(1, 1000))
def test_a_budget_is_exact_or_refused(solver, nfe):
    possible = {nfe_of(solver, steps) for steps in range(1, 1001)}
    if nfe in possible:
        assert nfe_of(solver, steps_for(solver, nfe)) == nfe
    else:
        below, above = max(p for p in possible if p < nfe), min(p for p in possible if p > nfe)
        with pytest.raises(BudgetError, match=rf"\b{nfe}\b.* {below} and {above}\."):
            steps_for(solver, nfe)


@pytest.mark.parametrize("nfe", [0, -1])
def test_below_the_smallest_budget_the_smallest_is_named(nfe):
    with pytest.raises(BudgetError, match=r"smallest NFE is 1\."):
        steps_for("heun", nfe)


def test_a_grid_has_a_step():
    with pytest.raises(BudgetError, match="at least one step, not 0"):
        nfe_of("euler", 0)


def test_an_unknown_solver_names_the_close_one():
    for call in (nfe_of, steps_for):
        with pytest.raises(UnknownNameError, match=r"Unknown solver 'huen'\. Did you mean heun\?"):
            call("huen", 3)


def test_the_cost_of_a_denoised_value_by_hand():
    assert [nfe_of("heun", steps, 3) for steps in (1, 2, 4)] == [3, 9, 21]
    assert [steps_for("heun", nfe, 3) for nfe in (3, 9, 21)] == [1, 2, 4]


@pytest.mark.parametrize(
    ("nfe", "cost", "said"),
    [
        (4, 1, "exactly 4 denoiser calls. The nearest NFE it can make are 3 and 5."),
        (4, 2, "exactly 4 denoiser calls with guidance, which doubles them. The nearest NFE it can make are 2 and 6."),
        (4, 3, "exactly 4 denoiser calls. The nearest NFE it can make are 3 and 9."),
        (2, 3, "2 denoiser calls. The smallest NFE is 3."),
    ],
)
def test_only_guidance_at_two_calls_is_said_to_double(nfe, cost, said):
    with pytest.raises(BudgetError) as caught:
        steps_for("heun", nfe, cost)
    assert str(caught.value) == f"heun cannot make {said}"

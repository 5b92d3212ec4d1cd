"""What the samplers of the hosts spend. The numbers themselves are held against the real hosts in `tests/hosts`."""

from functools import partial

import pytest

from artc.artifact import BUDGETS, nfe_of
from artc.errors import BudgetError, InputError, UnknownNameError
from artc.integrations.samplers import GRIDLESS, OWN, SAMPLERS, Sampler, find_own, find_sampler, name_of

# Counted by running each sampler of ComfyUI 0.8.0 on a grid of 8 steps that ends in 0, those of k-diffusion among them.
ON_EIGHT_STEPS = {
    8: "euler euler_ancestral lms dpmpp_2m dpmpp_2m_sde dpmpp_3m_sde ddim ddpm lcm ipndm ipndm_v deis res_multistep"
    " gradient_estimation er_sde sa_solver uni_pc uni_pc_bh2",
    15: "heun dpm_2 dpm_2_ancestral dpmpp_2s_ancestral dpmpp_sde seeds_2 exp_heun_2_x0 sa_solver_pece",
    21: "heunpp2",
    22: "seeds_3",
}


@pytest.mark.parametrize(("nfe", "names"), ON_EIGHT_STEPS.items())
def test_eight_steps_cost_what_was_counted(nfe, names):
    assert {name: SAMPLERS[name].nfe(8) for name in names.split()} == dict.fromkeys(names.split(), nfe)


@pytest.mark.parametrize("name", ["heun", "euler", "dpmpp_2m"])
def test_a_sampler_that_is_a_solver_of_artc_spends_what_that_solver_spends(name):
    assert not SAMPLERS[name].kin
    assert SAMPLERS[name].solver == name
    assert [SAMPLERS[name].nfe(steps) for steps in range(1, 20)] == [nfe_of(name, steps) for steps in range(1, 20)]


def test_every_other_sampler_borrows_from_a_solver_that_there_is_and_says_so():
    renamed = {"ipndm": "ipndm_4"}  # the same rule by another name
    assert {name: one.solver for name, one in SAMPLERS.items() if not one.kin and name not in BUDGETS} == renamed
    kin = {name: one for name, one in SAMPLERS.items() if name not in BUDGETS and name not in renamed}
    assert {one.solver for one in kin.values()} == {"heun", "euler", "dpmpp_2m", "deis_3", "unipc_3"}
    assert all(one.kin and one.name == name for name, one in kin.items())
    assert {name for name, one in SAMPLERS.items() if one.second} == {*renamed, "deis", "uni_pc", "uni_pc_bh2"}
    for one in SAMPLERS.values():  # whatever it walks, it spends the same
        assert len({nfe_of(solver, 7) for solver in one.solvers}) == 1
    assert not set(SAMPLERS) & set(GRIDLESS)


def test_variants_of_a_sampler_cost_what_it_costs_itself():
    for name, one in SAMPLERS.items():
        plain = name.removesuffix("_gpu").removesuffix("_cfg_pp")
        assert (one.calls, one.saved, one.solver) == (
            SAMPLERS[plain].calls,
            SAMPLERS[plain].saved,
            SAMPLERS[plain].solver,
        )


@pytest.mark.parametrize("cost", [1, 2])
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_steps_for_a_budget_spend_that_budget(name, cost):
    one = SAMPLERS[name]
    assert [one.nfe(one.steps_for(one.nfe(steps, cost), cost), cost) for steps in range(1, 12)] == [
        one.nfe(steps, cost) for steps in range(1, 12)
    ]


@pytest.mark.parametrize(
    ("name", "nfe", "cost", "near"),
    [("heun", 8, 1, "7 and 9"), ("heun", 2, 1, "1 and 3"), ("heun", 9, 2, "6 and 10"), ("heunpp2", 10, 1, "9 and 12")],
)
def test_a_budget_that_a_sampler_cannot_make_is_refused_with_those_around_it(name, nfe, cost, near):
    with pytest.raises(BudgetError, match=f"{name} cannot make exactly {nfe} denoiser calls.*are {near}") as refusal:
        SAMPLERS[name].steps_for(nfe, cost)
    assert ("guidance" in str(refusal.value)) == (cost == 2)


@pytest.mark.parametrize("what", [0, -3, True, 2.5, 9.0, "9", [9], None, float("nan")])
def test_steps_and_calls_are_whole_numbers_from_1(what):
    with pytest.raises(InputError, match=r"The number of steps must be a whole number of at least 1, not "):
        SAMPLERS["euler"].nfe(what)
    with pytest.raises(BudgetError, match=r"The NFE must be a whole number of at least 1, not "):
        SAMPLERS["heun"].steps_for(what)


def sample_heun(model, x, sigmas):
    raise NotImplementedError


@pytest.mark.parametrize("spelling", ["heun", "sample_heun", sample_heun, partial(partial(sample_heun), None)])
def test_a_sampler_goes_by_its_name_the_name_of_its_function_or_the_function(spelling):
    assert name_of(spelling) == "heun"
    assert find_sampler(spelling) is SAMPLERS["heun"]


@pytest.mark.parametrize("name", GRIDLESS)
def test_a_sampler_without_a_grid_is_refused_by_its_name(name):
    with pytest.raises(InputError, match=f"^{name} takes no grid: it .*heun"):
        find_sampler(f"sample_{name}")


def test_an_unknown_sampler_is_answered_with_the_close_ones():
    with pytest.raises(UnknownNameError, match=r"'hune'.*Did you mean heun"):
        find_sampler("hune")


def test_a_host_that_has_nothing_but_solvers_of_artc_is_asked_for_one_of_them():
    assert OWN == ("euler", "heun", "dpmpp_2m")
    assert [find_own(name) for name in OWN] == [SAMPLERS[name] for name in OWN]
    for name in ("dpm_2", "sample_heun", ["heun"], None):
        with pytest.raises(UnknownNameError, match="Unknown solver"):
            find_own(name)


def test_what_is_neither_name_nor_function_is_no_sampler():
    with pytest.raises(InputError, match="not Sampler"):
        find_sampler(Sampler(name="heun", solver="heun"))  # type: ignore[arg-type]

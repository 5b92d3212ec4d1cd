"""Which grid a host's sampler gets, and how little it costs to hand it over."""

import shutil
import subprocess
import sys
import timeit
from dataclasses import replace

import numpy as np
import pytest

import artc
from artc.errors import ArtifactError, BudgetError, InputError
from artc.integrations.choosing import opened, schedule_for, sigmas_for
from tests.integrations.made import MNIST, artifact

GRIDS = ((63.0, 7.0, 1.0, 0.0), (63.0, 20.0, 7.0, 1.0, 0.25, 0.0))


def test_a_path_and_the_artifact_read_from_it_are_the_same(tmp_path):
    read = artc.load(MNIST)
    assert opened(read) is read
    assert opened(MNIST) == opened(str(MNIST)) == read


@pytest.mark.parametrize(
    ("sampler", "budget", "steps"),
    [("heun", {"nfe": 5}, 3), ("heun", {"steps": 3}, 3), ("sample_dpm_2", {"nfe": 9}, 5), ("heunpp2", {"nfe": 6}, 3)],
)
def test_a_sampler_gets_the_grid_on_which_it_spends_the_budget(sampler, budget, steps):
    found = schedule_for(artifact(*GRIDS), sampler, **budget)
    assert found.sigmas == GRIDS[steps == 5]


@pytest.mark.parametrize(
    ("sampler", "solver"), [("ipndm", "ipndm_4"), ("deis", "deis_3"), ("uni_pc", "unipc_3"), ("uni_pc_bh2", "unipc_3")]
)
def test_a_sampler_without_a_schedule_for_its_own_solver_takes_that_of_its_relative(sampler, solver):
    relative, own = artifact(*GRIDS, solver="dpmpp_2m"), artifact(GRIDS[0], solver=solver)
    both = replace(own, schedules=own.schedules + relative.schedules, digest="")
    for budget in ({"nfe": 3}, {"steps": 3}):
        assert schedule_for(relative, sampler, **budget).solver == "dpmpp_2m"
        assert schedule_for(both, sampler, **budget).solver == solver
        assert schedule_for(both, sampler, **budget, solver="dpmpp_2m").solver == "dpmpp_2m"
    assert schedule_for(both, sampler, nfe=5).solver == "dpmpp_2m"
    assert schedule_for(both, sampler, nfe=4, resample=True).solver == solver
    assert schedule_for(relative, sampler, nfe=4, resample=True).solver == "dpmpp_2m"
    with pytest.raises(BudgetError, match=f"No schedule for {solver} at NFE 4"):
        schedule_for(own, sampler, nfe=4)


def test_an_artifact_under_guidance_is_asked_in_the_calls_that_it_counts():
    guided = artifact(*GRIDS, guidance=3.0)
    assert schedule_for(guided, "heun", nfe=10).sigmas == GRIDS[0]
    assert schedule_for(guided, "heunpp2", nfe=12).sigmas == GRIDS[0]
    with pytest.raises(BudgetError, match="exactly 9 denoiser calls where guidance takes 2"):
        schedule_for(guided, "heun", nfe=9)


def test_a_budget_that_is_not_held_is_answered_with_those_that_are():
    with pytest.raises(BudgetError, match=r"heun at NFE 7; the artifact holds heun 5, heun 9.*resample=True"):
        schedule_for(artifact(*GRIDS), "dpm_2", nfe=7)
    with pytest.raises(BudgetError, match=r"heun of 4 steps; the artifact holds heun 3, heun 5"):
        schedule_for(artifact(*GRIDS), "heun", steps=4)


@pytest.mark.parametrize("budget", [{}, {"nfe": 5, "steps": 3}])
def test_one_budget_is_asked_for_neither_none_nor_two(budget):
    with pytest.raises(BudgetError, match="one of them"):
        schedule_for(artifact(*GRIDS), "heun", **budget)


@pytest.mark.parametrize("resample", [False, True])
@pytest.mark.parametrize("budget", [{"nfe": "9"}, {"nfe": True}, {"nfe": 0}, {"steps": 2.5}, {"steps": "3"}])
def test_a_budget_is_a_whole_number(budget, resample):
    for ask in (schedule_for, lambda held, solver, **given: held.schedule(solver=solver, **given)):
        with pytest.raises((BudgetError, InputError), match="must be a whole number of at least 1, not "):
            ask(artifact(*GRIDS), "heun", resample=resample, **budget)
    for wrong in ("9", True, 0, 2.5):
        with pytest.raises(BudgetError, match="The NFE must be a whole number of at least 1, not "):
            artifact(*GRIDS).resampled([wrong])
    assert schedule_for(artifact(*GRIDS), "heun", nfe=np.int64(9)).steps == 5


@pytest.mark.parametrize("held", [None, 3, b"mine.art.json", {}])
def test_what_is_neither_an_artifact_nor_a_path_is_refused(held):
    with pytest.raises(InputError, match=f"from the path of a file, not from {type(held).__name__}"):
        opened(held)


def test_a_file_that_is_no_artifact_is_named(tmp_path):
    (tmp_path / "net.pkl").write_bytes(b"\x80")
    with pytest.raises(ArtifactError) as refused:
        opened(tmp_path / "net.pkl")
    assert refused.value.message == f"{tmp_path / 'net.pkl'} is not a valid artifact: $: byte 0 is not UTF-8."
    assert (refused.value.code, refused.value.path) == ("utf-8", "$")


def test_a_resampled_grid_is_the_warp_read_at_equal_parts():
    held = artc.load(MNIST)
    found = sigmas_for(held, "heun", nfe=7, resample=True)
    np.testing.assert_array_equal(found, held.warp.baked(4, held.model.sigma_min))


def test_a_resampled_schedule_counts_the_calls_of_guidance():
    guided = artifact(*GRIDS, guidance=3.0)
    assert guided.schedule(steps=4, resample=True).nfe == 14
    assert schedule_for(guided, "heun", nfe=14, resample=True).steps == 4


@pytest.mark.parametrize(("denoise", "kept"), [(1.0, 5), (0.9, 4), (0.6, 3), (0.5, 2), (0.4, 2), (0.2, 1), (0.11, 1)])
def test_denoise_keeps_the_end_of_the_grid(denoise, kept):
    found = sigmas_for(artifact(*GRIDS), "heun", nfe=9, denoise=denoise)
    assert found.dtype == np.float64
    assert found.tolist() == list(GRIDS[1][-(kept + 1) :])


@pytest.mark.parametrize("denoise", [0.0, 0.1])
def test_denoise_that_leaves_no_step_is_refused_with_that_of_one(denoise):
    with pytest.raises(InputError, match=rf"denoise = {denoise:g} leaves no step of 5\. One step is denoise = 0\.2\."):
        sigmas_for(artifact(*GRIDS), "heun", nfe=9, denoise=denoise)


def test_what_is_handed_over_is_a_copy():
    held = artifact(*GRIDS)
    sigmas_for(held, "heun", nfe=5)[-1] = 0.001  # as ComfyUI's uni_pc does
    assert sigmas_for(held, "heun", nfe=5)[-1] == 0


def test_a_file_that_was_read_before_gives_its_grid_in_less_than_five_milliseconds(tmp_path):
    """One is promised, and a twentieth of one measured; a busy machine may take five."""
    path = shutil.copy(MNIST, tmp_path / "mine.art.json")
    hand_over = timeit.Timer(lambda: sigmas_for(path, "dpm_2", nfe=9, denoise=0.6))
    hand_over.timeit(1)
    assert min(hand_over.repeat(number=10, repeat=5)) / 10 < 5e-3


def test_a_grid_is_chosen_without_torch_and_exported_without_numpy():
    code = f"""
import sys
import artc.integrations.edm, artc.integrations.k_diffusion
from artc.integrations.exporting import export
assert len(export({str(MNIST)!r}, "csv", nfe=9, solver="heun", denoise=0.6).values) == 4
assert "numpy" not in sys.modules
from artc.integrations.choosing import sigmas_for
assert len(sigmas_for({str(MNIST)!r}, "heun", nfe=9)) == 6
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)

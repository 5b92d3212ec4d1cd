"""Exported numbers: plain decimals that read back as the same floats, and timesteps of a table."""

import json
import math
import re
import struct

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from artc.errors import InputError, UnknownNameError
from artc.integrations.exporting import TARGETS, export, find_table
from artc.integrations.exporting.decimals import plain
from tests.integrations.exported import scraped
from tests.integrations.made import artifact

NUMBER = re.compile(r"-?[0-9]+\.[0-9]+")


def single(value: float) -> float:
    return struct.unpack("f", struct.pack("f", value))[0]


# ---------------------------------------------------------------------------------------------- decimals


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (80.0, "80.0"),
        (0.0, "0.0"),
        (1e-05, "0.00001"),
        (1.5e-07, "0.00000015"),
        (1e22, "10000000000000000000000.0"),
        (0.1, "0.1"),
        (1 / 3, "0.3333333333333333"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
    ],
)
def test_a_number_is_the_shortest_plain_decimal(value, text):
    assert plain(value) == text


@given(st.floats(min_value=0.0, allow_nan=False, allow_infinity=False))
def test_every_float_reads_back_as_itself_and_is_a_plain_decimal(value):
    assert NUMBER.fullmatch(plain(value))
    assert float(plain(value)) == value
    assert scraped(plain(value)) == [value]


def test_the_scraper_reads_an_exponent_as_two_numbers_as_comfyui_does():
    assert scraped("1e-4, 0.5") == [1.0, -4.0, 0.5]


GRIDS = st.lists(st.floats(min_value=1e-30, max_value=1e6), min_size=1, max_size=24, unique=True)


@given(GRIDS, st.sampled_from(["edm", "k-diffusion", "comfyui", "a1111", "diffusers", "csv"]))
def test_no_target_writes_an_exponent_and_all_keep_every_bit(levels, target):
    levels = sorted(levels, reverse=True)
    assume(all(single(high) > single(low) for high, low in zip(levels, [*levels[1:], 0.0], strict=True)))
    grid = (*levels, 0.0)
    made = export(artifact(grid, sigma_min=1e-31), target, steps=len(levels))
    with_zero = target in ("k-diffusion", "comfyui", "diffusers", "csv")
    wanted = list(grid) if with_zero else levels
    assert list(made.values) == wanted
    rows = [line for line in made.text.splitlines() if not line.startswith("#")]
    if target == "csv":
        numbers = [float(row.split(",")[1]) for row in rows[1:]]
        assert not any("e" in row for row in rows[1:])
    else:
        assert "e" not in rows[0].replace("inf", "").removeprefix("sigmas = ")
        numbers = scraped(rows[0])
    assert numbers == wanted


@given(
    st.lists(st.floats(min_value=1e-3, max_value=1.0), min_size=1, max_size=24, unique=True),
    st.floats(min_value=0.2, max_value=12.0),
)
def test_a_flow_shifted_again_is_the_artifacts(levels, shift):
    levels = sorted(levels, reverse=True)
    assume(all(single(high) > single(low) for high, low in zip(levels, [*levels[1:], 0.0], strict=True)))
    made = export(artifact((*levels, 0.0), domain="flow", sigma_min=1e-4), "diffusers", steps=len(levels), shift=shift)
    before = np.array(scraped(made.text.splitlines()[-1]))
    assert before.tolist() == list(made.values)
    np.testing.assert_allclose(shift * before / (1 + (shift - 1) * before), levels, rtol=1e-12)


def test_a_shift_that_is_undone_in_float32_leaves_its_numbers_apart():
    flow = artifact((1.0, 0.99999, 0.5, 0.0), domain="flow", sigma_min=0.01)
    assert len(export(flow, "diffusers", steps=3).values) == 3
    with pytest.raises(InputError, match=r"in float32, which cannot tell 1\.0 and 0\.99999998"):
        export(flow, "diffusers", steps=3, shift=0.001)


@pytest.mark.parametrize("target", ["comfyui", "diffusers", "a1111"])
@pytest.mark.parametrize("grid", [(80.0, 80.0 - 1e-9, 0.0), (80.0, 1e-60, 0.0), (1e60, 1.0, 0.0)])
def test_a_host_of_float32_is_not_given_what_it_cannot_tell_apart(grid, target):
    with pytest.raises(InputError, match=r"keeps sigmas in float32, which cannot tell \S+ and \S+ apart"):
        export(artifact(grid), target, steps=2)
    assert export(artifact(grid), "edm", steps=2).values == grid[:-1]


# ------------------------------------------------------------------------------------------------ tables


def sd_sigmas() -> np.ndarray:
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    bars = np.cumprod(1 - betas)
    return np.sqrt((1 - bars) / bars)


def test_the_default_table_is_stable_diffusions():
    np.testing.assert_allclose(find_table("sd").sigmas, sd_sigmas(), rtol=1e-10)
    # The ends that every host of Stable Diffusion prints.
    assert (find_table("sd").sigmas[0], find_table("sd").sigmas[-1]) == pytest.approx((0.029167, 14.614641), abs=1e-6)


@given(st.lists(st.floats(min_value=0.0295, max_value=14.6), min_size=1, max_size=12))
def test_whole_timesteps_are_the_nearest_of_the_table(levels):
    table, sigmas = find_table("sd"), sd_sigmas()
    for level in levels:
        distance = np.abs(sigmas - level)
        assert distance[table.nearest(level)] == pytest.approx(distance.min(), rel=1e-9, abs=1e-12)


@given(st.floats(min_value=0.0292, max_value=14.6146))
def test_a_fractional_timestep_is_on_the_line_between_two_entries(level):
    table, sigmas = find_table("sd"), sd_sigmas()
    step = table.between(level)
    assert np.interp(step, np.arange(1000), sigmas) == pytest.approx(level, rel=1e-9)
    assert table.at(step) == pytest.approx(level, rel=1e-12)


def test_the_ends_of_a_table_are_timesteps_too():
    table = find_table("sd")
    assert [table.nearest(table.sigmas[t]) for t in (0, 1, 998, 999)] == [0, 1, 998, 999]
    assert [table.between(table.sigmas[t]) for t in (0, 1, 998, 999)] == [0, 1, 998, 999]
    # A float32 that is a little beyond the end is that end.
    near = (table.sigmas[-1] * 1.0009, table.sigmas[0] * 0.9991)
    assert table.beyond(near) is None
    assert (table.between(near[0]), table.nearest(near[1])) == (999, 0)


def test_a_schedule_states_its_whole_timesteps_and_what_they_are_off_by():
    grid = (14.6146, 5.0, 1.0, 0.2, 0.0)
    made = export(artifact(grid, sigma_min=0.03), "diffusers", steps=4)
    document, sigmas = made.document(), sd_sigmas()
    nearest = [int(np.abs(sigmas - level).argmin()) for level in grid[:-1]]
    assert document["timesteps"] == nearest
    assert all(isinstance(step, int) for step in document["timesteps"])
    errors = np.abs(sigmas[nearest] - grid[:-1]) / grid[:-1]
    np.testing.assert_allclose(document["timestep_errors"], errors, rtol=1e-6, atol=1e-12)
    assert f"off by up to {100 * errors.max():.2g} % of sigma" in made.text
    assert "Stable Diffusion" in document["table"]
    assert "assumed" in document["notes"]["timesteps"]


@pytest.mark.parametrize(
    ("grid", "why"),
    [
        ((80.0, 1.0, 0.0), "sigma = 80 is outside of 0.02917 to 14.6146"),
        ((14.632, 1.0, 0.0), "sigma = 14.632 is outside of"),  # by 1.2 thousandths
        ((14.0, 0.02913, 0.0), "sigma = 0.02913 is outside of"),
        ((14.0, 0.002, 0.0), "sigma = 0.002 is outside of 0.02917 to 14.6146"),
        ((14.0, 0.0301, 0.03, 0.0), "two sigmas are nearest to timestep 0"),
    ],
)
def test_a_schedule_that_the_table_cannot_hold_has_no_timesteps(grid, why):
    made = export(artifact(grid), "diffusers", steps=len(grid) - 1)
    assert (made.document()["timesteps"], made.document()["table"]) == (None, None)
    assert why in dict(made.notes)["timesteps"]
    assert "timesteps" not in made.text
    # Whoever named the table is told so.
    with pytest.raises(InputError, match=f"The schedule has no timesteps: {why}"):
        export(artifact(grid), "diffusers", steps=len(grid) - 1, table="sd")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("[1]", "is not the configuration of a scheduler"),
        ("{", "is not a JSON file"),
        ('{"shift": 3.0}', "has no beta_schedule that artc knows, but None. Known: linear, scaled_linear"),
        ('{"beta_schedule": ["linear"]}', r"has no beta_schedule that artc knows, but \['linear'\]"),
        ('{"beta_schedule": "linear", "beta_start": "a"}', "that is no number"),
        ('{"beta_schedule": "linear", "num_train_timesteps": 1}', "which make no table"),
        ('{"beta_schedule": "linear", "num_train_timesteps": 1000.5}', "which make no table"),
        ('{"beta_schedule": "linear", "num_train_timesteps": 100001}', "which make no table"),
        ('{"beta_schedule": "linear", "beta_end": 2.0}', "which make no table"),
        ('{"trained_betas": [-0.1, 0.5]}', "The betas are not between 0 and 1"),
        ('{"trained_betas": [0.1], "rescale_betas_zero_snr": true}', "does not rise"),
        ('{"trained_betas": [0.1, 0], "rescale_betas_zero_snr": true}', "does not rise"),
        ('{"a": ' * 100_000, "is not a JSON file"),
        ('{"beta_schedule": "linear", "num_train_timesteps": 1e400}', "that is no number"),
        ('{"beta_schedule": "linear", "beta_end": 1' + 400 * "0" + "}", "that is no number"),
        ('{"trained_betas": "linear", "beta_schedule": "linear"}', "trained_betas that are no list of numbers"),
        ('{"trained_betas": 3}', "trained_betas that are no list of numbers"),
        ('{"trained_betas": [0.1, NaN]}', "trained_betas that are no list of numbers"),
        ('{"trained_betas": [0.1, 1.5]}', "The betas are not between 0 and 1"),
        ('{"trained_betas": [0.1]}', "does not rise"),
        ('{"trained_betas": []}', "does not rise"),
        ('{"trained_betas": [0.1, -0.05]}', "does not rise"),
    ],
)
def test_a_file_that_describes_no_table_is_refused_in_a_sentence(config, said, tmp_path):
    (tmp_path / "scheduler_config.json").write_text(config, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        find_table(str(tmp_path / "scheduler_config.json"))


def test_a_table_is_a_name_or_a_file(tmp_path):
    with pytest.raises(UnknownNameError, match=r"Unknown table 'sdx'. Did you mean sd\?"):
        find_table("sdx")
    with pytest.raises(InputError, match=r"Cannot read .*absent\.json"):
        find_table(tmp_path / "absent.json")
    config = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}
    (tmp_path / "a.json").write_text(json.dumps(config), encoding="utf-8")
    assert find_table(str(tmp_path / "a.json")).sigmas == find_table("ddpm").sigmas
    (tmp_path / "b.json").write_text('{"beta_schedule": "linear"}', encoding="utf-8")
    assert find_table(str(tmp_path / "b.json")).sigmas == find_table("ddpm").sigmas


def test_the_targets_are_those_of_the_command_line():
    assert set(TARGETS) == {"edm", "k-diffusion", "comfyui", "diffusers", "a1111", "csv"}

"""Studies that take hours: what is kept is found again, whatever happened to the run that kept it."""

import json
from dataclasses import replace

import pytest

from artc.artifact import Warp
from tests.benchmarks.cells import keep_cell, key_of, read_cells
from tests.benchmarks.frechet import NAMES, NFES, SEEDS, Cell, Study, results_of

FACTS = {"weights": "a", "classifier": "b", "data": "c", "samples": 300}
CELLS = len(NAMES) * sum(map(len, NFES.values())) + 1


def test_a_cell_is_found_under_its_key(tmp_path):
    path, known = tmp_path / "runs" / "cells.jsonl", {}
    assert read_cells(path) == {}
    for value in (0.1 + 0.2, 7.0):
        keep_cell(path, known, {"key": str(value), "value": value})
    assert known == read_cells(path)
    assert read_cells(path) == {str(value): {"key": str(value), "value": value} for value in (0.1 + 0.2, 7.0)}


@pytest.mark.parametrize("kept", range(1, 25))
def test_a_line_that_was_cut_short_costs_that_cell_alone(tmp_path, kept):
    path, line = tmp_path / "cells.jsonl", json.dumps({"key": "second", "v": 2})
    keep_cell(path, {}, {"key": "first"})
    with path.open("a", encoding="utf-8") as file:
        file.write(line[:kept])
    assert list(read_cells(path)) == ["first"]
    keep_cell(path, {}, {"key": "third"})
    assert list(read_cells(path)) == ["first", "third"]


def test_a_key_changes_with_every_fact_and_with_no_order():
    whole = {"seed": 0, "solver": "heun", "sigmas": (80.0, 1.0, 0.0), **FACTS}
    changed = [{**whole, name: "another"} for name in whole] + [{**whole, "sigmas": (80.0, 1.0 + 2**-52, 0.0)}]
    keys = {key_of(**facts) for facts in [whole, *changed]}
    assert len(keys) == 1 + len(changed)
    assert key_of(**dict(reversed(whole.items()))) in keys


@pytest.fixture
def study(tmp_path, load):
    """The study of the digits, without its data and without a compiled warp."""
    found = object.__new__(Study)
    found.model, found.path, found.known, found.facts = load("mnist"), tmp_path / "cells.jsonl", {}, FACTS
    found.floor, found.samples = {"images": 10, "frechet": 0.5}, 300
    return found


def test_every_cell_of_the_study_has_a_key_of_its_own_that_its_grids_name_is_no_part_of(study):
    cells = [cell for seed in (0, 1) for cell in study.plan(seed, tuple(NFES), compile_it=False)]
    assert [cell.nfe for cell in cells[:8]] == [5, 5, 5, 5, 9, 9, 9, 9]  # and of the learned grid there is none yet
    assert len({study.key(cell) for cell in cells}) == len(cells)
    assert study.key(replace(cells[0], grid="another name")) == study.key(cells[0])


def test_results_say_how_much_of_the_study_they_are(study):
    def keep(cell: Cell, value: float) -> None:
        study.keep({"key": study.key(cell), "frechet": value})

    warp = {"clock": (0.0, 0.5, 1.0), "sigma": (80.0, 3.0, 0.0), "offset": 0.002}
    assert results_of(study, SEEDS)["cells"] == 0
    study.warp = lambda seed, compile_it: None if seed == 2 and not compile_it else Warp(**warp)
    for seed in (0, 1):
        for cell in study.plan(seed, ("rk4",), compile_it=True):
            if cell.nfe == 9:
                keep(cell, {"art-rl": 1.0, "edm": 2.0 + seed, "edm-free": 1.5 - seed}.get(cell.grid, 9.0))
    found = results_of(study, SEEDS)
    assert (found["cells"], found["of"], found["complete"]) == (10, 3 * CELLS, False)
    (row,) = found["results"]
    assert (row["solver"], row["nfe"], row["steps"]) == ("rk4", 9, 3)
    assert row["grids"]["edm"] == {"mean": 2.5, "std": pytest.approx(0.5**0.5), "seeds": {"0": 2.0, "1": 3.0}}
    assert row["art-rl_is_nearer"] == {"uniform": [2, 2], "logsnr": [2, 2], "edm": [2, 2], "edm-free": [1, 2]}


def test_a_study_is_complete_when_every_cell_of_every_seed_is_there(study):
    study.warp = lambda seed, compile_it: Warp((0.0, 0.4, 1.0), (80.0, 2.0, 0.0), 0.002)
    plan = [cell for seed in SEEDS for cell in study.plan(seed, tuple(NFES), compile_it=False)]
    assert len(plan) == len(SEEDS) * CELLS
    for cell in plan[:-1]:
        study.keep({"key": study.key(cell), "frechet": 1.0})
    assert not results_of(study, SEEDS)["complete"]
    study.keep({"key": study.key(plan[-1]), "frechet": 3.0})
    again = results_of(study, SEEDS)
    assert again["complete"]
    assert again["teacher"]["mean"] == pytest.approx((1 + 1 + 3) / 3)
    study.known = read_cells(study.path)
    assert results_of(study, SEEDS) == again

"""The study of artc beside other methods: every cell once, and a page whose numbers are those of its cells."""

import pytest

from artc.artifact import nfe_of
from artc.evaluation.endpoint import Teacher, endpoint_error
from artc.models.score_model import Probe
from artc.peers import PEERS
from artc.sampling.grids import grid_for
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample
from tests.benchmarks import results_page
from tests.benchmarks.cells import read_cells
from tests.benchmarks.peers import HAND_MADE, LEARNED, OURS, PLANNED, Settings, Study, budgets, spendable

TINY = Settings(noises=8, teacher_steps=6)


def study(tmp_path, version="1"):
    return Study("mixture-64d", tmp_path / "cells.jsonl", version, "cpu", TINY)


def test_a_cell_is_the_error_of_its_grid_and_is_measured_once(tmp_path, load):
    model = load("mixture-64d")
    cells = list(study(tmp_path).run(("edm", "kl-optimal", "oss"), "heun", (3, 5)))
    assert [(cell["method"], cell["nfe"]) for cell in cells] == [
        (name, nfe) for name in ("edm", "kl-optimal", "oss") for nfe in (3, 5)
    ]
    latents, probe = model.latents(8, 20_261_124), Probe(model)
    ends = Teacher(steps=6).endpoints(probe.on, latents, model.info)
    walked = sample(probe.on, latents, grid_for("edm", 3, model.info).tolist(), find_solver("heun"))
    assert cells[1]["error"] == endpoint_error(walked, ends).value
    assert cells[1]["sigmas"] == grid_for("edm", 3, model.info).tolist()
    assert all(nfe_of(cell["solver"], cell["steps"]) == cell["nfe"] for cell in cells)
    again = study(tmp_path)
    assert list(again.run(("edm", "kl-optimal", "oss"), "heun", (3, 5))) == []
    assert again.probe.calls == 0
    assert list(read_cells(tmp_path / "cells.jsonl").values()) == cells


def test_another_version_of_artc_leaves_the_cells_of_its_peers(tmp_path):
    first, second = study(tmp_path), study(tmp_path, version="2")
    same = {name: first.key(name, "heun", 5) == second.key(name, "heun", 5) for name in (OURS, *PEERS, *HAND_MADE)}
    assert same == {name: name != OURS for name in same}


@pytest.mark.slow
def test_artc_is_compiled_once_for_all_budgets(tmp_path):
    ours = study(tmp_path)
    cells = list(ours.run((OURS,), "euler", (3, 4)))
    plain = [cell for cell in cells if cell["method"] == OURS]
    assert [cell["nfe"] for cell in plain] == [3, 4]
    assert plain[0]["calls"] == plain[1]["calls"] > 0
    assert list(study(tmp_path).run((OURS,), "euler", (3, 4))) == []


def test_budgets():
    assert budgets("3-6,9") == [3, 4, 5, 6, 9]
    assert spendable("heun", budgets("3-10")) == [3, 5, 7, 9]
    assert spendable("euler", budgets("3-5")) == [3, 4, 5]


def line(method, error, *, model="m", nfe=3, calls=10, shared=7, seed=0):
    facts = {"model": model, "solver": "euler", "nfe": nfe, "noises": 8, "teacher_steps": 6, "seed": seed}
    return {**facts, "method": method, "error": error, "stderr": 0.01, "calls": calls, "shared": shared, "seconds": 2.0}


LINES = [
    line(OURS, 9.0),  # measured again below
    *(line(name, 0.5) for name in PLANNED),
    line("oss", 0.4),
    line("ld3", 0.1),
    line("edm", 0.8),
    line(OURS, 0.2, calls=50, shared=40),
    *(line(name, 0.4, nfe=4) for name in PLANNED),
    line("edm", 1.0, nfe=4),
    line(OURS, 0.8, nfe=4, calls=50, shared=40),
]


def test_ratios_are_to_the_best_of_each_group_where_all_of_it_is_known():
    cells = results_page.sorted_out(LINES)
    assert results_page.ratios(cells, OURS, PLANNED) == [0.5, 2.0]
    assert results_page.ratios(cells, OURS, ("ld3",)) == [2.0]
    assert results_page.ratios(cells, OURS, ("ld3-shifted",)) == []
    assert results_page.ratios(cells, "artc-model-sigmas", ("edm",)) == []


def test_the_page_says_what_its_cells_say():
    page = results_page.page(LINES)
    rows = [[part.strip() for part in text.strip("|").split("|")] for text in page.splitlines() if text[:1] == "|"]
    best = next(row for row in rows if row[:2] == [OURS, f"the best of {', '.join(PLANNED)}"])
    assert best[2:] == ["**1.000**", "2", "1", "2.00", "1.000"]
    three = next(row for row in rows if row[0] == "3")
    assert three[1] == "0.2000 (0.0100)"
    assert "**0.1000** (0.0100)" in three
    assert three[-4:] == ["ld3", "2.00", "ld3", "-"]
    assert [OURS, "60"] in rows
    assert ["oss", "13"] in rows
    assert [LEARNED[1], "-"] in rows
    assert "9.0000" not in page


def test_a_list_is_held_against_lists_and_model_sigmas_against_all():
    lines = [line(OURS, 0.2), line("artc-model-sigmas", 0.1), line("oss", 0.4), line("ld3-shifted", 0.05)]
    (row,) = [text for text in results_page.page(lines).splitlines() if text.startswith("| 3 |")]
    assert row.endswith("| oss | 0.50 | ld3-shifted | 2.00 |")


def test_several_seeds_are_told_apart():
    other = [line(name, 0.5, seed=1) for name in PLANNED] + [line(OURS, 0.6, seed=1)]
    page = results_page.page([*LINES, *other])
    assert "| artc | `m` | 1 | 0.500 | 1.200 | 70.7% |" in page  # sd of 0.2 and 0.6 over their mean
    alone = results_page.page(LINES)
    assert "## Seeds" not in alone
    best = [text for text in page.splitlines() if text.startswith(f"| {OURS} | the best of")]
    assert best == [text for text in alone.splitlines() if text.startswith(f"| {OURS} | the best of")]

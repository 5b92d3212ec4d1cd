"""The grids of `peers` from more noises: each walked once, judged by mean square and by median."""

import pytest
import torch

from artc.evaluation.endpoint import EndpointError
from tests.benchmarks import results_page
from tests.benchmarks.more_noises import figures, run
from tests.benchmarks.peers import LEARNED, OURS, PLANNED, WITH_MODEL_SIGMAS, Settings, Study, grids_of

PEERS_TINY = Settings(noises=8, teacher_steps=6)
MORE_TINY = Settings(noises=16, noise=1, teacher_steps=6)
METHODS = ("edm", "edm-free")


@pytest.fixture
def grids(tmp_path):
    path = tmp_path / "peers.jsonl"
    for seed in (0, 1):
        list(Study("mixture-64d", path, "1", "cpu", PEERS_TINY, seed=seed).run(METHODS, "euler", (3, 4)))
    return path


def more(tmp_path):
    return Study("mixture-64d", tmp_path / "more.jsonl", "1", "cpu", MORE_TINY)


def test_the_figures_of_an_error():
    squares = torch.cat([torch.full((199,), 1.0), torch.tensor([99.0, 102.0])])
    found = figures(EndpointError(value=1.4, stderr=0.3, squares=squares))
    assert (found["error"], found["stderr"], found["median"]) == (1.4, 0.3, 1.0)
    assert found["furthest"] == pytest.approx(201 / 400)


def test_grids_of_the_first_seed_are_walked_once(tmp_path, grids):
    chosen = grids_of(grids, "mixture-64d", ("euler",), (4, 3), METHODS)
    assert [(grid["nfe"], grid["method"], grid["seed"]) for grid in chosen] == [
        (nfe, name, 0) for nfe in (4, 3) for name in METHODS
    ]
    cells = list(run(more(tmp_path), chosen))
    assert [(cell["nfe"], cell["method"]) for cell in cells] == [(grid["nfe"], grid["method"]) for grid in chosen]
    assert all(cell["error"] != grid["error"] for cell, grid in zip(cells, chosen, strict=True))
    again = more(tmp_path)
    assert list(run(again, chosen)) == []
    assert again.probe.calls == 0


def test_methods_that_found_the_same_grid_share_its_walk(tmp_path, grids):
    (first, *_) = grids_of(grids, "mixture-64d", ("euler",), (3,), METHODS)
    study = more(tmp_path)
    (one,) = run(study, [first])
    calls = study.probe.calls
    (other,) = run(study, [{**first, "method": "another"}])
    assert study.probe.calls == calls > 0
    assert (other["error"], other["median"]) == (one["error"], one["median"])
    assert other["key"] != one["key"]


def line(method, error, middle, furthest):
    where = {"model": "m", "solver": "euler", "nfe": 3, "method": method, "seed": 0}
    return {**where, "error": error, "stderr": 0.01, "median": middle, "furthest": furthest, "noises": 1024}


def test_the_section_has_ratios_of_both_and_the_furthest():
    lines = [line(OURS, 0.2, 0.2, 0.25), *(line(name, 0.4, 0.1, 0.5) for name in PLANNED)]
    text = results_page.more_section(lines)
    rows = [[part.strip() for part in row.strip("|").split("|")] for row in text.splitlines() if row[:1] == "|"]
    assert [row[2] for row in rows if row[0] == OURS and len(row) > 2] == ["**0.500**", "**2.000**"]
    assert [OURS, "25.0%"] in rows
    assert ["oss", "50.0%"] in rows
    assert not [row for row in rows if row[0] in (WITH_MODEL_SIGMAS, *LEARNED)]
    assert "1,024" in text
    assert results_page.more_section([]) == ""

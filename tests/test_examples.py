"""The bundled artifacts are valid, and belong to the models that ship beside them."""

import json
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from artc.artifact import BUDGETS, nfe_of, read, violations
from artc.models.cards import card

FOLDER = Path(str(files("artc.artifacts")))
EXAMPLES = sorted(FOLDER.rglob("*.art.json"))


def test_there_are_examples_for_heun_and_euler() -> None:
    solvers = {schedule.solver for path in EXAMPLES for schedule in read(path).schedules}
    assert {"heun", "euler"} <= solvers <= set(BUDGETS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_valid_and_made_for_the_model_that_ships(path: Path) -> None:
    assert violations(path) == []
    artifact = read(path)
    assert artifact.model.sha256 == card(artifact.model.name)["sha256"]
    assert artifact.model.source == f"embedded:{path.parent.name}"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_states_its_certificate_and_its_baselines(path: Path) -> None:
    for schedule in read(path).schedules:
        assert schedule.nfe == nfe_of(schedule.solver, schedule.steps)
        stated = schedule.certificate
        assert stated is not None
        # What was refined was moved away from the optimum of the surrogate, on purpose.
        assert 0 <= stated.gap <= (0.02 if schedule.origin == "distilled" else 1.0)
        assert np.isclose(stated.gap, stated.objective / stated.lower_bound - 1)
        (measured,) = schedule.evaluation
        assert set(measured.baselines) == {"edm", "edm-free", "logsnr", "uniform"}


def test_the_readme_of_the_examples_gives_the_command_of_each() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLES:
        command = re.search(rf"artc compile .*-o artifacts/{path.parent.name}/{re.escape(path.name)}", text)
        assert command is not None
        seed = read(path).provenance.seed
        assert f"--seed {seed}" in command[0] or seed == 0


def test_the_card_of_the_embedded_model_states_what_it_was_trained_on_and_how_it_does() -> None:
    facts = card("mnist")
    assert facts["bytes"] <= 5_000_000
    assert 500_000 <= facts["parameters"] <= 1_500_000
    assert sum(run["seconds"] for run in facts["training"]) >= 3600
    assert facts["figures"]["samples"] >= 2000
    assert facts["figures"]["confident_above_0.9"] >= 0.9
    assert all(0.05 <= share <= 0.16 for share in facts["figures"]["digit_shares"])
    assert json.dumps(facts)

"""The bundled artifacts are valid, and belong to the models that ship beside them."""

import json
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from artc.artifact import BUDGETS, nfe_of, read, violations
from artc.models.cards import card, denoisers

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


# Fewest parameters and most bytes of a denoiser, the least time it was trained for, and how even its classes must be.
LIMITS = {"mnist": (500_000, 5_000_000, 3600, 0.05, 0.16), "cifar10": (1_000_000, 8_000_000, 7200, 0.02, 0.3)}


@pytest.mark.parametrize("name", denoisers())
def test_the_card_of_an_embedded_model_states_what_it_was_trained_on_and_how_it_does(name: str) -> None:
    facts = card(name)
    parameters, most, seconds, rarest, commonest = LIMITS[name]
    assert parameters <= facts["parameters"] <= facts["bytes"] / 4 <= most / 4
    assert sum(run["seconds"] for run in facts["training"]) >= seconds
    assert facts["figures"]["samples"] >= 2000
    assert all(rarest <= share <= commonest for share in facts["figures"]["class_shares"])
    assert sum(facts["figures"]["class_shares"]) == pytest.approx(1, abs=1e-3)
    assert json.dumps(facts)


def test_the_classifier_is_sure_of_most_of_the_digits() -> None:
    assert card("mnist")["figures"]["confident_above_0.9"] >= 0.9


def test_a_model_whose_samples_are_far_from_photographs_says_so() -> None:
    for name in set(denoisers()) - {"mnist"}:
        found = card(name)["figures"]
        assert found["frechet"] > found["real_images"]["frechet"] > 0
        assert f"{found['frechet']:.2f} from the test images" in found["in_words"]
        assert found["remark"]

"""The sigmas shown to the network, as an artifact holds them: their rule, their place, and who may do without."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artc.artifact import Schedule, dumps, loads, read
from artc.artifact.rules import FORMAT_VERSION
from artc.errors import ArtifactError
from tests.golden.example import ASKED, GOLDEN, asked_example, example, golden_document, resealed

unhurried = settings(deadline=None)  # a busy machine is no defect


def schedule(*shown, solver="heun", nfe=5):
    return Schedule(
        solver=solver, nfe=nfe, steps=3, sigmas=(63.0, 15.0, 3.0, 0.0), model_sigmas=shown, origin="refined"
    )


def test_what_artc_makes_now_is_of_format_1_1_and_what_it_read_stays_what_it_was(tmp_path):
    assert FORMAT_VERSION == "1.1"
    assert type(example())(**{name: getattr(example(), name) for name in PARTS}).format_version == "1.1"
    read(GOLDEN).save(tmp_path / "old.art.json")
    assert (tmp_path / "old.art.json").read_bytes() == GOLDEN.read_bytes()
    assert read(GOLDEN).format_version == "1.0"


PARTS = ("model", "schedules", "warp", "stiffness", "provenance", "created")


def test_the_golden_artifact_of_1_1_byte_for_byte(tmp_path):
    asked_example().save(tmp_path / "a.art.json")
    assert (tmp_path / "a.art.json").read_bytes() == ASKED.read_bytes()
    again = read(ASKED)
    assert again == asked_example().sealed()
    assert again.schedules[0].model_sigmas == (63.0, 2**3.5 - 1, 2**2.5 - 1)
    assert again.schedules[1].model_sigmas is None
    assert dumps(again).encode() == ASKED.read_bytes()


def test_a_schedule_without_them_has_no_such_field():
    document = json.loads(ASKED.read_bytes())
    assert ["model_sigmas" in held for held in document["schedules"]] == [True, False]
    assert "model_sigmas" not in dumps(example())
    # Null says the same, for whoever writes documents with every field.
    document["schedules"][1]["model_sigmas"] = None
    assert loads(json.dumps(resealed(document))) == replace(asked_example(), digest=resealed(document)["digest"])


def test_the_grid_of_a_host_that_takes_a_list_is_the_same_with_them_and_without():
    assert asked_example().sigmas(nfe=5).tolist() == example().sigmas(nfe=5).tolist()


@pytest.mark.parametrize(
    ("shown", "path", "said"),
    [
        ((63.0, 14.0), "$.model_sigmas", "3 steps need as many model sigmas, and there are 2"),
        ((63.0, 14.0, 3.0, 0.0), "$.model_sigmas", "3 steps need as many"),
        ((60.0, 14.0, 3.0), "$.model_sigmas[0]", "the first must be that of the grid, 63.0, not 60.0"),
        ((63.0, 14.0, 14.0), "$.model_sigmas[2]", "decrease strictly"),
        ((63.0, 63.0, 14.0), "$.model_sigmas[1]", "decrease strictly"),
        ((63.0, 14.0, 0.0), "$.model_sigmas[2]", "0.0 is no noise at all"),
        ((63.0, 14.0, -1.0), "$.model_sigmas[2]", "-1.0 is no noise at all"),
        ((63.0, float("nan"), 3.0), "$.model_sigmas[1]", "decrease strictly"),
    ],
)
def test_what_a_schedule_refuses_by_itself(shown, path, said):
    with pytest.raises(ArtifactError, match=said) as caught:
        schedule(*shown)
    assert (caught.value.code, caught.value.path) == ("model-sigmas", path)


def test_solvers_that_ask_at_the_nodes_may_have_them_and_rk4_may_not():
    for solver, nfe in (("euler", 3), ("dpmpp_2m", 3), ("heun", 5), ("of the future", 7)):
        assert schedule(63.0, 14.0, 3.5, solver=solver, nfe=nfe).model_sigmas == (63.0, 14.0, 3.5)
    with pytest.raises(ArtifactError, match="rk4 also asks the network between the nodes"):
        schedule(63.0, 14.0, 3.5, solver="rk4", nfe=9)


def test_the_least_noise_that_the_model_knows_is_a_rule_of_the_artifact():
    low = schedule(63.0, 14.0, 0.001)
    with pytest.raises(ArtifactError, match=r"0\.001 is below the model's sigma_min, 0\.002") as caught:
        example(schedules=(low,))
    assert caught.value.path == "$.schedules[0].model_sigmas[2]"
    assert example(schedules=(schedule(63.0, 14.0, 0.002),)).schedules[0].model_sigmas[-1] == 0.002


@unhurried
@given(st.lists(st.floats(0.002, 62.9), min_size=2, max_size=2, unique=True))
def test_any_that_keep_the_rule_survive_a_round_trip(found):
    artifact = example(schedules=(schedule(63.0, max(found), min(found)),))
    text = dumps(artifact)
    assert loads(text) == artifact.sealed()
    assert dumps(loads(text)) == text


@pytest.mark.parametrize("shown", [[], ["63"], [63.0, 14.0, 0], "63", {"0": 63.0}, [63.0, None, 3.0]])
def test_another_shape_is_refused_by_the_schema(shown):
    document = golden_document()
    document["schedules"][0]["model_sigmas"] = shown
    with pytest.raises(ArtifactError) as caught:
        loads(json.dumps(resealed(document)))
    assert caught.value.code == "schema"

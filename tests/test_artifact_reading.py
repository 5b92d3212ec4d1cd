"""Each defect of an artifact is refused with its own code and JSON path."""

import importlib.util
import json
import re
import typing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artc.artifact import Policy, loads, read, violations
from artc.artifact.reading import MAX_BYTES
from artc.artifact.types import Origin
from artc.errors import ArtifactError, InputError
from tests.bad_artifacts import make
from tests.golden.example import GOLDEN, example, golden_document, resealed

unhurried = settings(deadline=None)  # a busy machine is no defect

BAD = Path(make.__file__).parent
PATHS = {
    "utf-8": "$",
    "json-cut": "$",
    "json-empty": "$",
    "nesting": "$.provenance.diagnostics.entropy" + "[0]" * 62,
    "duplicate-key": "$.policy",
    "non-finite-nan": "$.schedules[0].evaluation[0].value",
    "non-finite-large": "$.schedules[0].evaluation[0].value",
    "integer": "$.schedules[0].evaluation[0].samples",
    "integer-long": "$.schedules[0].evaluation[0].samples",
    "surrogate": "$.model.name",
    "format": "$.format",
    "version": "$.format_version",
    "schema-version": "$.format_version",
    "schema-missing": "$.model",
    "schema-type": "$.schedules[0].sigmas[1]",
    "schema-origin": "$.schedules[1].origin",
    "schema-bool": "$.schedules[0].steps",
    "digest": "$.digest",
    "not-decreasing": "$.schedules[1].sigmas[1]",
    "end": "$.schedules[1].sigmas[2]",
    "steps": "$.schedules[1].steps",
    "nfe": "$.schedules[1].nfe",
    "model-sigmas": "$.schedules[0].model_sigmas[2]",
    "model-sigmas-length": "$.schedules[1].model_sigmas",
    "model-sigmas-start": "$.schedules[1].model_sigmas[0]",
    "model-sigmas-floor": "$.schedules[1].model_sigmas[1]",
    "model-sigmas-solver": "$.schedules[1].model_sigmas",
    "sigma-range": "$.model.sigma_min",
    "sigma-range-flow": "$.model.sigma_max",
    "sigma-max": "$.schedules[1].sigmas[0]",
    "warp": "$.warp.sigma[1]",
    "warp-clock": "$.warp.clock[2]",
    "warp-length": "$.warp",
    "grid": "$.schedules[0].sigmas[2]",
    "duplicate-schedule": "$.schedules[2]",
    "stiffness": "$.stiffness.mean",
    "stiffness-order": "$.stiffness.sigma[2]",
    "policy-path": "$.policy.file",
    "policy-missing": "$.policy.file",
    "policy-hash": "$.policy.sha256",
}
MADE_BY_PYTHON_ONLY = {"value", "extra"}
"""Defects that a Python object can have and no JSON text can."""


def codes_in_the_source() -> set[str]:
    folder = Path(importlib.util.find_spec("artc.artifact").origin).parent
    text = "".join(file.read_text(encoding="utf-8") for file in folder.glob("*.py"))
    return set(re.findall(r'ArtifactError\(\s*"([a-z0-9-]+)"', text))


CODES = codes_in_the_source()


def code_of(name: str) -> str:
    return max((code for code in CODES if name == code or name.startswith(code + "-")), key=len)


@pytest.mark.parametrize("name", PATHS)
def test_a_bad_artifact_is_refused_with_its_code_and_path(name):
    with pytest.raises(ArtifactError) as caught:
        read(BAD / f"{name}.art.json")
    error = caught.value
    assert (error.code, error.path) == (code_of(name), PATHS[name])
    assert error.exit_code == 1
    assert str(error).startswith(error.path + ": ")
    assert "\n" not in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize("name", PATHS)
def test_validate_starts_with_what_read_raises(name):
    found = violations(BAD / f"{name}.art.json")
    assert (found[0].code, found[0].path) == (code_of(name), PATHS[name])
    assert len(found) == 1


def test_there_is_a_bad_artifact_for_every_code_and_the_folder_is_as_made():
    files = {file.name.removesuffix(".art.json"): file.read_bytes() for file in BAD.glob("*.art.json")}
    assert files == make.texts()
    assert set(PATHS) == set(files)
    assert {code_of(name) for name in files} == CODES - MADE_BY_PYTHON_ONLY - {"size"}


def test_a_large_file_is_refused_before_it_is_parsed(tmp_path):
    file = tmp_path / "large.art.json"
    assert MAX_BYTES == 8_000_000
    file.write_bytes(GOLDEN.read_bytes().ljust(MAX_BYTES))
    assert read(file) == example().sealed()
    file.write_bytes(b"\xff" * (MAX_BYTES + 1))
    with pytest.raises(ArtifactError, match="larger than 8 MB") as caught:
        read(file)
    assert (caught.value.code, caught.value.path) == ("size", "$")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 3_000_000])
def test_deep_nesting_is_refused_rather_than_a_crash(text):
    with pytest.raises(ArtifactError) as caught:
        loads(text)
    assert caught.value.code == "nesting"


@pytest.mark.parametrize("text", ["null", "[]", "{}", '"art-schedule"', '{"format": ["art-schedule"]}'])
def test_other_json_is_said_to_be_no_artifact(text):
    with pytest.raises(ArtifactError, match="not an artc artifact") as caught:
        loads(text)
    assert caught.value.code == "format"


def test_a_text_cut_short_says_where():
    with pytest.raises(ArtifactError, match=r"not JSON: .* at line \d+ column \d+\. If it was cut short"):
        read(BAD / "json-cut.art.json")


@unhurried
@given(st.integers(0, len(GOLDEN.read_bytes()) - 2))
def test_no_golden_file_cut_short_is_read(length):
    with pytest.raises(ArtifactError):
        loads(GOLDEN.read_bytes()[:length])


@unhurried
@given(st.data())
def test_a_changed_byte_is_never_read_as_another_artifact(data):
    content = bytearray(GOLDEN.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    try:
        found = loads(bytes(content))
    except ArtifactError:
        return
    # White space, another spelling of a number, or the times, which the digest leaves out.
    assert found == example(created=found.created).sealed()


def test_the_first_stage_wins():
    text = GOLDEN.read_text(encoding="utf-8")
    broken = text.replace('"value": 0.21', '"value": NaN').replace('"seed": 1,', '"seed": 1, "seed": 1,')
    with pytest.raises(ArtifactError) as caught:
        loads(broken.replace('"end"', ""))
    assert caught.value.code == "duplicate-key"
    # A newer major version is told to upgrade, however little of the document this version understands.
    with pytest.raises(ArtifactError, match="made by a newer artc: upgrade") as caught:
        loads('{"format": "art-schedule", "format_version": "10.3"}')
    assert caught.value.code == "version"
    with pytest.raises(ArtifactError, match="No artc wrote that format"):
        loads('{"format": "art-schedule", "format_version": "0.9"}')


def test_validate_lists_every_violation_of_the_schema(tmp_path):
    document = golden_document()
    document["model"]["shape"] = []
    document["schedules"][1]["nfe"] = 0
    del document["created"]["at"]
    file = tmp_path / "bad.art.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    found = violations(file)
    assert {error.code for error in found} == {"schema"}
    assert {error.path for error in found} == {"$.model.shape", "$.schedules[1].nfe", "$.created"}


def test_validate_lists_the_digest_and_every_violation_of_meaning(tmp_path):
    document = golden_document()
    document["schedules"][0]["sigmas"][1:3] = [3.0, 15.0]
    document["schedules"][1]["steps"] = 4
    file = tmp_path / "bad.art.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    assert [(error.code, error.path) for error in violations(file)] == [
        ("digest", "$.digest"),
        ("not-decreasing", "$.schedules[0].sigmas[2]"),
        ("steps", "$.schedules[1].steps"),
        ("nfe", "$.schedules[1].nfe"),
        ("grid", "$.schedules[0].sigmas[1]"),
        ("grid", "$.schedules[0].sigmas[2]"),
    ]


def test_a_sound_artifact_has_no_violations():
    assert violations(GOLDEN) == []


@pytest.mark.parametrize(("relative", "accepted"), [(0.9e-9, True), (1.1e-9, False)])
def test_grids_agree_with_the_warp_to_1e_minus_9(relative, accepted):
    document = golden_document()
    document["schedules"][0]["sigmas"][2] = 3 * (1 + relative)
    text = json.dumps(resealed(document))
    if accepted:
        loads(text)
    else:
        with pytest.raises(ArtifactError, match="is not the warp at 2/3"):
            loads(text)


@pytest.mark.parametrize("origin", typing.get_args(Origin))
def test_only_grids_said_to_come_from_the_warp_must_agree_with_it(origin):
    document = golden_document()
    document["schedules"][1]["origin"] = origin
    text = json.dumps(resealed(document))
    if origin in ("dp", "online", "order-aware", "refined"):
        assert loads(text).schedules[1].origin == origin
    else:
        with pytest.raises(ArtifactError, match=rf"not the warp at 1/2, 7\.0\. The origin '{origin}'"):
            loads(text)


def test_a_grid_finer_than_its_warp_can_be_is_refused():
    document = golden_document()
    document["warp"]["sigma"][1] = 63.0 - 2**-47  # the next smaller float64
    grid = document["schedules"][0]
    grid.update(solver="euler", nfe=8, steps=8, sigmas=[63.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
    with pytest.raises(ArtifactError, match="too steep for 8 steps") as caught:
        loads(json.dumps(resealed(document)))
    assert (caught.value.code, caught.value.path) == ("grid", "$.schedules[0].sigmas")


def test_a_solver_of_the_future_is_accepted():
    document = golden_document()
    document["schedules"][1].update(solver="rk9", nfe=17)
    assert loads(json.dumps(resealed(document))).sigmas(nfe=17, solver="rk9").tolist() == [63.0, 6.5, 0.0]


def test_the_policy_file_is_checked_only_where_it_can_be():
    text = (BAD / "policy-hash.art.json").read_text(encoding="utf-8")
    assert loads(text).policy.file == "policy.art.onnx"
    with pytest.raises(ArtifactError, match="has the SHA-256"):
        loads(text, folder=BAD)


@pytest.mark.parametrize("file", ["/etc/passwd", "a/b", "..", ".", "", "a\\b", "C:x.onnx", "a\0b"])
def test_a_policy_is_never_looked_for_elsewhere(file):
    policy = Policy(file=file, sha256="0" * 64, opset=18, inputs=("x",), output="y", features=("z",))
    with pytest.raises(ArtifactError) as caught:
        example(policy=policy)
    assert (caught.value.code, caught.value.path) == ("policy-path", "$.policy.file")


def test_a_policy_beside_the_artifact_is_accepted(tmp_path):
    document = golden_document()
    make._policy(document, "policy.art.onnx", b"policy")
    (tmp_path / "policy.art.onnx").write_bytes(b"policy")
    (tmp_path / "a.art.json").write_text(json.dumps(resealed(document)), encoding="utf-8")
    assert read(tmp_path / "a.art.json").policy.opset == 18


@pytest.mark.parametrize("name", ["absent.art.json", "", "no/such/folder.art.json", "nul\0l"])
def test_a_file_that_cannot_be_read_is_not_a_verdict(tmp_path, name):
    for call in (read, violations):
        with pytest.raises(InputError) as caught:
            call(f"{tmp_path}/{name}")
        assert caught.value.exit_code == 2


@pytest.mark.parametrize(("nfe", "accepted"), [(10, True), (5, False), (15, False), (20, False)])
def test_a_guided_schedule_spends_exactly_two_calls_a_value(nfe, accepted):
    document = golden_document()
    document["model"]["guidance"] = {"scale": 2.0, "calls": 2}
    document["schedules"][0]["nfe"], document["schedules"][1]["nfe"] = nfe, 6
    text = json.dumps(resealed(document))
    if accepted:
        assert [schedule.nfe for schedule in loads(text).schedules] == [10, 6]
    else:
        with pytest.raises(ArtifactError, match=f"heun spends 10 denoiser calls on 3 steps, not {nfe}") as caught:
            loads(text)
        assert (caught.value.code, caught.value.path) == ("nfe", "$.schedules[0].nfe")

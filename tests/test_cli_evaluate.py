"""`artc evaluate`: the same facts as tables, JSON, pictures and a page; verdicts as codes; mistakes as sentences."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import artc as package
from artc.artifact import loads, write
from artc.evaluation.diagnostics import figure
from tests.cli import artc, compiled, names_in, put, refused, spawn
from tests.golden.example import GOLDEN

FEW_CALLS = "The teacher's 15 calls are few beside 5: its own error is part of every figure.\n"  # always told
QUICK = ("--samples", "16", "--teacher-steps", "8")
FAIR = ("--samples", "16", "--teacher-steps", "64")  # who is nearest to a coarse teacher need not be near to the truth
MNIST = Path(__file__).parents[1] / "artifacts" / "mnist" / "mnist.art.json"


@pytest.fixture
def loser(tmp_path):
    """An artifact whose only schedule is a grid that others beat."""
    from artc.sampling.grids import baseline

    artifact = loads(compiled("mixture-1d"))
    sigmas = tuple(baseline("logsnr", 3, 0.002, 80.0).tolist())
    bad = replace(artifact.schedules[1], sigmas=sigmas, origin="refined", certificate=None, evaluation=())
    path = tmp_path / "bad.art.json"
    write(replace(artifact, schedules=(bad,), digest=""), path)
    return path


def test_the_table_holds_the_numbers_of_the_json(tmp_path):
    path = put(tmp_path, "mixture-64d")
    shown, told = artc("evaluate", path, *QUICK), artc("evaluate", path, *QUICK, "--json")
    assert (shown.code, told.code) == (0, 0), shown.err + told.err
    document = told.document
    lines = [line.split() for line in shown.out.splitlines() if line.startswith("heun ")]
    assert len(lines) == len(document["schedules"]) == 2
    for line, facts in zip(lines, document["schedules"], strict=True):
        assert line[:4] == ["heun", str(facts["nfe"]), str(facts["steps"]), facts["origin"]]
        errors = [facts["endpoint"], *(facts["baselines"][name]["endpoint"] for name in document["against"])]
        assert line[4] == figure(errors[0]["error"])
        assert line[5] == figure(errors[0]["stderr"])
        assert line[6:10] == [figure(error["error"]) for error in errors[1:]]
        best = facts["baselines"][line[12]]["endpoint"]
        assert line[10:] == [f"{best['ratio']:.3f}", f"{best['ratio_stderr']:.3f}", line[12], f"{best['wins']:.0%}"]
        assert best["error"] == min(error["error"] for error in errors[1:])
    assert document["measured"]["endpoint"] == {"samples": 16}
    for fact in ("16 noises", "PCG64 of NumPy, seed 0; no compilation draws by it", "8 heun steps, 15 calls a sample"):
        assert fact in shown.out
    assert re.search(r"teacher: [\d.]+ s\ncomparing: [\d.]+ s\n", shown.err)
    assert told.document["path"] == str(path)


def test_python_and_the_command_find_the_same(tmp_path):
    path = put(tmp_path, "mixture-1d")
    document = artc("evaluate", path, *QUICK, "--nfe", "3,7", "--against", "edm-free, uniform", "--json").document
    options = {"samples": 16, "teacher_steps": 8, "nfe": [3, 7], "against": ["edm-free", "uniform"]}
    facts = json.loads(json.dumps(package.evaluate(path, **options).facts()))
    assert document["schedules"] == facts["schedules"]
    assert document["against"] == ["edm-free", "uniform"]
    assert [schedule["origin"] for schedule in document["schedules"]] == ["refined", "resampled"]


def test_quiet_says_nothing_and_json_is_all_of_stdout(tmp_path):
    path = put(tmp_path, "mixture-1d")
    outcome = artc("evaluate", path, *QUICK, "-q")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", FEW_CALLS)
    assert json.loads(artc("evaluate", path, *FAIR, "-q", "--json").out)["won"] is True


# -------------------------------------------------------------------------------------------- verdicts


def test_a_loss_is_exit_code_1_only_where_a_win_is_required(loser):
    assert artc("evaluate", loser, *QUICK).code == 0
    outcome = artc("evaluate", loser, *QUICK, "--require-win")
    assert outcome.code == 1
    assert "1 of 1 schedules is worse than a baseline, of edm, edm-free, logsnr and uniform." in outcome.out
    assert re.search(r"  heun 5 loses to uniform: end-point error [\d.]+ against [\d.]+", outcome.out)
    document = artc("evaluate", loser, *QUICK, "--require-win", "--json").document
    assert document["won"] is False
    for loss in document["losses"]:
        facts = document["schedules"][0]
        assert loss["ours"] == facts["endpoint"]["error"] > loss["theirs"]
        assert loss["theirs"] == facts["baselines"][loss["baseline"]]["endpoint"]["error"]


def test_a_win_and_a_tie_are_exit_code_0(loser, tmp_path):
    assert artc("evaluate", loser, *QUICK, "--require-win", "--against", "logsnr").code == 0
    assert artc("evaluate", put(tmp_path, "mixture-1d"), *FAIR, "--require-win").code == 0


def test_the_report_is_written_before_the_verdict(loser, tmp_path):
    outcome = artc(
        "evaluate", loser, *QUICK, "--require-win", "--report", tmp_path / "r.html", "--plot", tmp_path / "p.svg"
    )
    assert outcome.code == 1
    assert {"r.html", "p.svg"} <= set(names_in(tmp_path))


# ----------------------------------------------------------------------------------------------- files


def test_pictures_and_a_page_of_digits(tmp_path):
    files = {"plot": "p.png", "grid": "g.png", "report": "r.html"}
    options = [word for name, file in files.items() for word in (f"--{name}", tmp_path / file)]
    few = ("--samples", "4", "--fid-samples", "4", "--teacher-steps", "2", "--nfe", "3", "--against", "edm")
    outcome = artc("evaluate", MNIST, *few, "--metric", "endpoint,frechet", *options, "--json")
    assert outcome.code == 0, outcome.err
    document = outcome.document
    assert document["files"] == {name: str(tmp_path / file) for name, file in files.items()}
    assert names_in(tmp_path) == ["g.png", "p.png", "r.html"]
    assert (tmp_path / "g.png").read_bytes()[:4] == (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    shown = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert shown.count("<img ") == 2 * 3, "the teacher, the schedule and edm, for Heun and for Euler"
    assert "Frechet distance at equal cost" in shown
    assert [facts["solver"] for facts in document["schedules"]] == ["heun", "euler"]
    assert all(facts["frechet"] >= 0 for facts in document["schedules"])
    assert document["measured"]["frechet"]["features"] == "lenet"
    assert "4 samples are few for 84 features" in outcome.err


def test_a_report_that_exists_is_kept_unless_forced(tmp_path):
    path, page = put(tmp_path, "mixture-1d"), tmp_path / "r.html"
    page.write_text("old", encoding="utf-8")
    outcome = artc("evaluate", path, *QUICK, "--report", page)
    assert outcome.code == 2
    assert "exists" in outcome.err
    assert page.read_text(encoding="utf-8") == "old"
    assert artc("evaluate", path, *QUICK, "--report", page, "--force").code == 0
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert names_in(tmp_path) == ["mixture-1d.art.json", "r.html"]


# ------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--against", "edmm"], "Unknown baseline 'edmm'. Did you mean edm"),
        (
            ["--against", "edm,"],
            "Unknown baseline ''. Known: ays, dmn, edm, edm-free, gits, kl-optimal, ld3, ld3-shifted,",
        ),
        (["--metric", "fid"], "Unknown metric 'fid'. Known: endpoint, frechet."),
        (["--metric", "frechet"], "The Frechet distance is one of images, and samples of mixture-1d are 1."),
        (["--nfe", "4"], "heun cannot make exactly 4 denoiser calls. The nearest NFE it can make are 3 and 5."),
        (["--nfe", "x"], "--nfe 'x' is not a whole number from 1 to 1000."),
        (["--solver", "hune"], "Unknown solver 'hune'. Did you mean heun?"),
        (["--samples", "1"], "One sample has no spread: the number of samples is at least 2."),
        (["--samples", "0"], "The number of samples must be a whole number of at least 1, not 0."),
        (["--fid-samples", "1"], "the number of Frechet samples is at least 2."),
        (["--teacher-steps", "0"], "The number of the teacher's steps must be a whole number of at least 1, not 0."),
        (["--seed", "-1"], "The seed must be a whole number of at least 0, not -1."),
        (["--device", "cudda"], "Unknown device 'cudda'. Did you mean cuda"),
        (["--labels", "1"], "mixture-1d is unconditional: labels make no sense for it."),
        (
            ["--model", "gaussian"],
            "gaussian is not the model that the artifact was made for: its shape is (16,)",
        ),
        (["--model", "gausian"], "Unknown model 'gausian'. Did you mean gaussian?"),
        (["--model", "edm:none.pkl"], "none.pkl"),
        (["--features", "lenet"], "Features and a reference are for the Frechet distance. Ask for the metric frechet."),
        (["--plot", "a.gif"], "'a.gif' is not a picture file. End it in one of .png, .svg, .pdf."),
        (["--plot", "none/a.png"], "none"),
        (["--grid", "a.png"], "Samples of shape 1 are not images. Leave out --grid."),
        (["--report", "a.txt"], "'a.txt' is no page. End it in .html."),
        (["--report", "none/a.html"], "none"),
        (["--report", "."], "is no page"),
    ],
)
def test_a_mistake_is_a_sentence_before_any_work(options, said, tmp_path, monkeypatch):
    def reached(*_arguments, **_options):
        raise AssertionError("the work had begun")

    path = put(tmp_path, "mixture-1d")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("artc.evaluation.scoring.sample_steps", reached)
    assert said in refused("evaluate", path, *options)
    assert names_in(tmp_path) == [path.name]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--features", "none.onnx"], "There is no file 'none.onnx' to take features with."),
        (["--features", "text.pt"], "'text.pt' is no TorchScript file."),
        (["--features", "resnet"], "The features resnet cannot be taken of images (4, 1, 32, 32)"),
        (["--reference", "none.npz"], "There is no file 'none.npz' to compare with."),
        (["--reference", "labels.npz"], "'labels.npz' holds no images that can be told: labels (4,)."),
    ],
)
def test_features_and_references_that_are_none_are_told(options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pt").write_text("hello", encoding="utf-8")
    np.savez(tmp_path / "labels.npz", labels=np.arange(4))
    few = ("--metric", "frechet", "--fid-samples", "4", "--nfe", "3", "--teacher-steps", "1")
    outcome = artc("evaluate", MNIST, *few, *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"error: {said}" in outcome.err
    assert "Traceback" not in outcome.err


def test_an_artifact_that_is_none_could_not_be_measured(tmp_path):
    """Exit code 1 is a verdict on what was measured; here nothing was."""
    bad = GOLDEN.parents[1] / "bad_artifacts" / "digest.art.json"
    assert "is not a valid artifact" in refused("evaluate", bad)
    assert "none.art.json" in refused("evaluate", tmp_path / "none.art.json")
    (tmp_path / "text.art.json").write_text("hello", encoding="utf-8")
    assert "text.art.json is not a valid artifact" in refused("evaluate", tmp_path / "text.art.json")


def test_changed_weights_are_another_model(tmp_path):
    artifact = loads(MNIST.read_bytes())
    write(replace(artifact, model=replace(artifact.model, sha256="0" * 64), digest=""), tmp_path / "a.art.json")
    said = refused("evaluate", tmp_path / "a.art.json")
    assert "mnist is not the model that the artifact was made for: its sha256 is" in said


def test_the_installed_program_measures_too(tmp_path):
    outcome = spawn("evaluate", put(tmp_path, "mixture-1d"), *FAIR, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document["won"] is True

"""A mistake gets a clear sentence and the right exit code; nothing is lost, and no time is spent before it is told."""

import json
from pathlib import Path

import pytest
import torch

from artc.artifact import BUDGETS
from tests.bad_artifacts import make
from tests.cli import QUICK, artc, compiled, names_in, put, refused, spawn
from tests.golden.example import GOLDEN

BAD = {path.name.removesuffix(".art.json"): path for path in sorted(GOLDEN.parents[1].glob("bad_artifacts/*.art.json"))}
COMPILE = ["compile", "--model", "gaussian", "--nfe", "3"]


@pytest.fixture(autouse=True)
def no_work(monkeypatch, tmp_path):
    """An empty folder, and work that fails when it is reached at all."""

    def reached(*_arguments, **_options):
        raise AssertionError("the work had begun")

    compiled("gaussian")  # the artifact that `put` gives, made while it still can be
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("artc.pipeline.compile_steps", reached)
    monkeypatch.setattr("artc.evaluation.drawing.sample", reached)


# ----------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "gausian"], "Unknown model 'gausian'. Did you mean gaussian?"),
        (["--model", "xyz"], "Unknown model 'xyz'. Known: "),
        (["--model", "xyz"], "edm-afhqv2, edm-cifar10, edm-cifar10-cond, "),
        (["--model", ""], "Unknown model ''. Known: "),
        (["--method", "art-lr"], "Unknown method 'art-lr'. Did you mean art-rl?"),
        (["--solver", "hune"], "Unknown solver 'hune'. Did you mean heun?"),
        (
            ["--solver", "heun,"],
            f"Unknown solver ''. Known: {', '.join(sorted(BUDGETS))}.",
        ),
        (["--solver", "heun,heun"], "heun is given twice."),
        (["--device", "cudda"], "Unknown device 'cudda'. Did you mean cuda"),
        (["--nfe", "4"], "heun cannot make exactly 4 denoiser calls. The nearest NFE it can make are 3 and 5."),
        (["--nfe", "0"], "--nfe '0' is not a whole number from 1 to 1000. Try --nfe 3,9,13."),
        (["--nfe", "-3"], "--nfe '-3' is not a whole number"),
        (["--nfe", "nine"], "--nfe 'nine' is not a whole number"),
        (["--nfe", "3.0"], "--nfe '3.0' is not a whole number"),
        (["--nfe", ""], "--nfe '' is not a whole number"),
        (["--nfe", "3,,5"], "--nfe '' is not a whole number"),
        (["--nfe", "1001"], "--nfe '1001' is not a whole number from 1 to 1000."),
        (["--nfe", "9" * 5000], "is not a whole number from 1 to 1000."),
        (["--nfe", "3,5,3"], "--nfe 3 is given twice."),
        (["--seed", "-1"], "A seed is a whole number from 0 to 4294967295, not -1."),
        (["--seed", str(2**70)], "A seed is a whole number from 0 to 4294967295"),
        (["--seed", "one"], "Invalid value for '--seed'"),
        (["--trajectories", "2"], "Use at least 8 trajectories."),
        (["--otput", "x"], "No such option: --otput"),
        (["--otput", "x"], "--output"),
    ],
)
def test_compile_refuses_what_makes_no_sense(arguments, said, tmp_path):
    assert said in refused(*COMPILE, *arguments)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["inspct", "x"], "No such command 'inspct'. Did you mean 'inspect'? See artc --help."),
        (["models", "shwo"], "No such command 'shwo'. Did you mean 'show'? See artc models --help."),
        (["models", "show", "mnits"], "Unknown model 'mnits'. Did you mean mnist?"),
        (["inspect"], "Missing argument 'ARTIFACT'. See artc inspect --help."),
        (["inspect", GOLDEN, "--jsn"], "No such option: --jsn"),
        (["compile", "--model", "gaussian"], "Missing option '--nfe'. See artc compile --help."),
        (["inspect", "absent.art.json"], "There is no file 'absent.art.json'. Make one with `artc compile`."),
        (["validate", "absent.art.json"], "There is no file 'absent.art.json'."),
        (["inspect", "."], "Cannot read '.': Is a directory."),
        (["inspect", GOLDEN, "--plot", "x.txt"], "'x.txt' is not a picture file. End it in one of .png, .svg, .pdf."),
        (["inspect", GOLDEN, "--plot", "no/x.png"], "There is no folder 'no'. Make it first, or choose another path."),
        (["resample", GOLDEN, "--nfe", "4", "-o", "x"], "heun cannot make exactly 4 denoiser calls."),
        (["resample", GOLDEN, "--nfe", "7", "--solver", "rk5", "-o", "x"], "Unknown solver 'rk5'. Did you mean rk4?"),
    ],
)
def test_the_other_commands_refuse_what_makes_no_sense(arguments, said, tmp_path):
    assert said in refused(*arguments)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nfe", "7"], "No schedule for heun at NFE 7; the artifact holds heun 3, heun 5."),
        (["--solver", "euler"], "No schedule for euler at NFE 5"),
        (["--compare", "emd"], "Unknown grid 'emd'. Did you mean edm"),
        (["--compare", "edm,"], "Unknown grid ''. Known: edm, edm-free, logsnr, uniform."),
        (["--device", "gpux"], "Unknown device 'gpux'."),
        (["--seed", "-1"], "A seed is a whole number from 0"),
        (["-n", "0"], "Invalid value for '--count'"),
        (["-o", "x.png"], "Samples of shape 16 are not images. Write them to a .npz file."),
        (["-o", "x.jpeg"], "'x.jpeg' is not a picture file. End it in one of .png, .svg, .pdf."),
        (["-o", "no/x.npz"], "There is no folder 'no'."),
        (["-o", "."], "'.' is not a picture file."),
    ],
)
def test_sample_refuses_what_makes_no_sense(arguments, said, tmp_path):
    artifact = put(tmp_path, "gaussian")
    assert said in refused("sample", artifact, "--nfe", "5", "-o", "x.npz", *arguments)
    assert names_in(tmp_path) == [artifact.name]


def test_a_model_made_in_python_is_sampled_in_python(tmp_path):
    said = refused("sample", GOLDEN, "--nfe", "5", "-o", "x.npz")
    assert "made for python:tests:powers, which artc does not load by itself. Name the model with --model." in said
    assert "artc.load(path).sigmas(nfe=...)" in said
    assert names_in(tmp_path) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA, so that asking for it is no mistake")
def test_a_machine_without_cuda_says_so(tmp_path):
    assert "has no CUDA. Use --device cpu, or auto." in refused(*COMPILE, "--device", "cuda")
    assert names_in(tmp_path) == []


# ------------------------------------------------------------------------------------------- outputs


@pytest.mark.parametrize("command", [COMPILE, ["resample", GOLDEN, "--nfe", "7"]])
@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("old", "'old' exists already. Choose another name, or replace it with --force."),
        ("no/x.art.json", "There is no folder 'no'. Make it first, or choose another path."),
        ("old/x.art.json", "There is no folder 'old'."),
        ("folder", "'folder' is a folder. Name a file in it."),
        ("x" * 300, "File name too long"),
    ],
)
def test_an_output_that_cannot_be_is_refused_and_the_old_file_stays(command, output, said, tmp_path):
    (tmp_path / "old").write_bytes(b"precious\0")
    (tmp_path / "folder").mkdir()
    assert said in refused(*command, "-o", output)
    assert (tmp_path / "old").read_bytes() == b"precious\0"
    assert names_in(tmp_path) == ["folder", "old"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that not even the superuser may write")
def test_a_folder_that_cannot_be_written_is_refused():
    assert "/proc/self" in refused(*COMPILE, "-o", "/proc/self/x.art.json")
    assert "/proc/self" in refused("inspect", GOLDEN, "--plot", "/proc/self/x.png")


# ----------------------------------------------------------------------------------------- artifacts


def test_there_are_bad_artifacts_to_try():
    assert set(BAD) == set(make.texts())
    assert {"json-cut", "duplicate-key", "non-finite-nan", "digest", "version", "not-decreasing", "end"} <= set(BAD)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_artifact_is_a_negative_verdict(name, tmp_path):
    before = BAD[name].read_bytes()
    document = artc("validate", BAD[name], "--json")
    assert (document.code, document.err, document.document["valid"]) == (1, "", False)
    (violation,) = document.document["violations"]
    assert name.startswith(violation["code"])

    told = artc("validate", BAD[name])
    first, second = told.out.splitlines()
    assert (told.code, told.err, first) == (1, "", f"{BAD[name]} is not valid.")
    assert second.startswith(f"  {violation['path']}: ")
    assert second.endswith(f" [{violation['code']}]")

    said = refused("inspect", BAD[name], code=1)
    assert said.startswith(f"error: {BAD[name]} is not a valid artifact: {violation['message']}")
    assert BAD[name].read_bytes() == before
    for command in (["sample", BAD[name], "-o", "x.npz"], ["resample", BAD[name], "-o", "x.art.json"]):
        assert violation["message"] in refused(*command, "--nfe", "5", code=1)
    assert names_in(tmp_path) == []


def test_a_newer_artifact_says_to_upgrade():
    assert "upgrade artc" in refused("inspect", BAD["version"], code=1)


def test_validate_lists_every_violation_on_a_line_of_its_own(tmp_path):
    document = json.loads(GOLDEN.read_text(encoding="utf-8"))
    document["schedules"][0]["sigmas"][-1] = 0.5
    document["schedules"][1]["steps"] = 7
    (tmp_path / "a.art.json").write_text(json.dumps(document), encoding="utf-8")
    lines = artc("validate", "a.art.json").out.splitlines()
    assert lines[0] == "a.art.json is not valid."
    assert [line.split(": ")[0].strip() for line in lines[1:4]] == [
        "$.digest",
        "$.schedules[0].sigmas[3]",
        "$.schedules[1].steps",
    ]


# -------------------------------------------------------------------------------- the program itself


@pytest.mark.parametrize("extra", [["--model", "gausian"], ["--nfe", "4"], ["--otput", "x"]])
def test_the_program_ends_as_main_does(extra):
    outcome = spawn(*COMPILE, *extra)
    assert outcome == artc(*COMPILE, *extra)
    assert outcome.code == 2


@pytest.mark.parametrize("arguments", [["--debug", *COMPILE], [*COMPILE, "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(arguments):
    outcome = spawn(*arguments, "--nfe", "4")
    assert outcome.code != 0
    assert outcome.err.startswith("Traceback (most recent call last):")
    assert "BudgetError: heun cannot make exactly 4 denoiser calls." in outcome.err


def test_a_defect_of_artc_asks_to_be_reported_in_two_lines(tmp_path):
    outcome = artc(*COMPILE, *QUICK)  # its work fails here
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.splitlines() == [
        "error: AssertionError: the work had begun",
        "       This is a defect of artc: please report it with the output of the same command and --debug.",
    ]
    assert names_in(tmp_path) == []

"""Every kind of source through the command line, as a user has it: files, folders, Python, classes, flows."""

import json
import re
import shutil

import pytest
import torch

import artc as library
from artc.cli.compile import default_name
from artc.models.edm.networks import build
from tests.cli import QUICK, artc, names_in
from tests.edm_pickle import write_edm

FAST = (*QUICK, "--quiet")

MY_MODELS = """
import torch
import artc

def velocity(size=4, shift=3.0):
    def network(x, time):  # exact for data N(0, 1/4): v = n - x0 given x = (1 - s) x0 + s n
        s = time[:, None]
        variance = (1 - s) ** 2 / 4 + s ** 2
        return (s - (1 - s) / 4) / variance * x
    denoiser = artc.adapt(network, predicts="velocity", times=artc.flow_times())
    return artc.score_model(
        denoiser, shape=(size,), sigma_min=0.001, sigma_max=1.0, domain="flow", shift=shift, prediction="velocity"
    )
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edm_file(stem="net", seed=0, **changes):
    """A network of EDM's architecture as small as it gets, with random weights, in a file of EDM's format."""
    config = {
        "precond": "EDMPrecond",
        "img_resolution": 4,
        "img_channels": 1,
        "label_dim": 0,
        "model_type": "SongUNet",
        "model_channels": 4,
        "channel_mult": [1],
        "num_blocks": 1,
        "attn_resolutions": [],
        **changes,
    }
    torch.manual_seed(seed)
    write_edm(f"{stem}.pkl", config=config, state=build(config).state_dict())


def test_an_edm_file_is_compiled_inspected_and_sampled(folder):
    edm_file()
    done = artc("compile", "--model", "edm:net.pkl", "--nfe", "3,9", *QUICK)
    assert done.code == 0, done.err
    assert done.out.endswith("wrote net.art.json\n")
    model = library.load("net.art.json").model
    assert (model.name, model.source, model.shape) == ("net", "edm:net.pkl", (1, 4, 4))
    assert len(model.sha256) == 64
    assert "edm:net.pkl, shape 1 x 4 x 4, domain ve" in artc("inspect", "net.art.json").out
    drawn = artc("sample", "net.art.json", "--nfe", "3", "-n", "2", "--compare", "edm-free", "-o", "s.png")
    assert (drawn.code, "s.png" in names_in(folder)) == (0, True)


def test_an_artifact_notices_that_its_file_has_changed_or_gone(folder):
    edm_file()
    assert artc("compile", "--model", "edm:net.pkl", "--nfe", "3", *FAST).code == 0
    shutil.copy("net.pkl", "elsewhere.pkl")
    edm_file(seed=1)
    refused = artc("sample", "net.art.json", "--nfe", "3", "-n", "2", "-o", "s.png")
    assert (refused.code, "edm:net.pkl is not the model" in refused.err) == (2, True)
    assert (
        artc("sample", "net.art.json", "--nfe", "3", "-n", "2", "-o", "s.png", "--model", "edm:elsewhere.pkl").code == 0
    )
    (folder / "net.pkl").unlink()
    refused = artc("sample", "net.art.json", "--nfe", "3", "-n", "2", "-o", "s.png")
    assert (refused.code, "There is no file 'net.pkl'" in refused.err) == (2, True)


def test_a_range_narrower_than_asked_is_said_and_recorded(folder):
    edm_file(precond="VEPrecond")
    done = artc("compile", "--model", "edm:net.pkl", "--nfe", "3", *QUICK)
    assert "net knows sigma from 0.02 to 100: sigma_min is 0.02, not 0.002." in done.err
    assert "the model knows 0.02 and above (80 to 0.002 was asked)" in artc("inspect", "net.art.json").out
    done = artc("compile", "--model", "edm:net.pkl", "--nfe", "3", "--sigma-min", "0.05", *QUICK, "--force")
    assert "knows sigma" not in done.err
    assert library.load("net.art.json").model.sigma_min == 0.05
    assert artc("sample", "net.art.json", "--nfe", "3", "-n", "2", "-o", "s.png").code == 0
    refused = artc("compile", "--model", "edm:net.pkl", "--nfe", "3", "--sigma-min", "500", *QUICK, "--force")
    assert (refused.code, "0 < sigma_min < sigma_max" in refused.err) == (2, True)


def test_classes_and_guidance_by_the_command_line(folder):
    edm_file(label_dim=10, label_dropout=0.1)
    done = artc(
        "compile", "--model", "edm:net.pkl", "--nfe", "6", "--guidance", "2", "--labels", "0,3", *QUICK, "--json"
    )
    assert done.code == 0, done.err
    assert done.document["model"]["guidance"] == 2.0
    assert [schedule["steps"] for schedule in done.document["schedules"]] == [2]
    said = artc("inspect", "net.art.json").out
    assert "labels 0, 3, guidance 2: 2 calls for each denoised value, counted in every NFE" in said
    assert artc("sample", "net.art.json", "--nfe", "6", "-n", "2", "--labels", "3", "-o", "s.npz").code == 0
    for words, complaint in (
        (
            ("--nfe", "9", "--guidance", "2"),
            "9 denoiser calls with guidance, which doubles them.",
        ),
        (("--nfe", "3", "--labels", "10"), "The label 10 makes no sense: net has classes 0 to 9."),
        (("--nfe", "3", "--labels", "cat"), "--labels 'cat' are not whole numbers"),
        (("--nfe", "6", "--guidance", "nan"), "guidance scale must be a number"),
    ):
        refused = artc("compile", "--model", "edm:net.pkl", *words, *QUICK, "--force")
        assert (refused.code, complaint in refused.err) == (2, True), refused.err


def test_bfloat16_is_put_on_record_and_taken_again(folder):
    edm_file()
    assert artc("compile", "--model", "edm:net.pkl", "--nfe", "3", "--precision", "bfloat16", *FAST).code == 0
    assert library.load("net.art.json").provenance.config["model"]["precision"] == "bfloat16"
    assert artc("sample", "net.art.json", "--nfe", "3", "-n", "2", "-o", "s.npz").code == 0
    refused = artc(
        "compile", "--model", "edm:net.pkl", "--nfe", "3", "--precision", "float16", "--device", "cpu", "--force"
    )
    assert (refused.code, "float16 needs CUDA" in refused.err) == (2, True)


def test_a_flow_network_of_ones_own_end_to_end(folder):
    (folder / "my_models_of_this_test.py").write_text(MY_MODELS)
    place = "my_models_of_this_test:velocity"
    done = artc(
        "compile",
        "--model",
        place,
        "--model-arg",
        "size=6",
        "--nfe",
        "4,8",
        "--solver",
        "euler",
        *QUICK,
        "-o",
        "f.art.json",
    )
    assert done.code == 0, done.err
    artifact = library.load("f.art.json")
    assert (artifact.model.domain, artifact.model.shift, artifact.model.shape) == ("flow", 3.0, (6,))
    assert artifact.provenance.config["model"] == {"arguments": {"size": 6}}
    grid = artifact.sigmas(nfe=8)
    assert grid[0] == 1.0
    assert "shifted" in done.out
    said = artc("inspect", "f.art.json", "--plot", "f.png").out
    assert "domain flow" in said
    assert re.search(r"shift +3, already inside sigma", said)
    assert artc("sample", "f.art.json", "--nfe", "4", "-o", "s.npz").code == 2  # an artifact never names what to run
    again = ("sample", "f.art.json", "--nfe", "4", "-n", "200", "-o", "s.npz", "--model", place, "--compare", "shifted")
    assert artc(*again, "--model-arg", "size=6").code == 0
    wrong = artc(*again)
    assert (wrong.code, "is not the model that the artifact was made for" in wrong.err) == (2, True)
    assert artc("resample", "f.art.json", "--nfe", "6", "-o", "g.art.json").code == 0
    assert json.loads((folder / "g.art.json").read_text())["schedules"][-1]["sigmas"][0] == 1.0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--model", "edm:nothing.pkl"), "There is no file 'nothing.pkl'"),
        (("--model", "edm:."), "is a folder"),
        (("--model", "diffusers:nothing"), "nothing"),
        (("--model", "no_module_of_mine:make"), "There is no Python module 'no_module_of_mine'"),
        (("--model", "os:getcwd"), "gives a str, not an artc.ScoreModel"),
        (("--model", "mnist", "--model-arg", "size=3"), "takes no --model-arg size"),
        (("--model", "my:make", "--model-arg", "size"), "is not of the form name=value"),
        (("--model", "mnist", "--precision", "bfloat16"), "precision can be chosen for EDM files"),
        (("--model", "mnist", "--guidance", "2", "--nfe", "6"), "mnist is unconditional: guidance"),
        (("--model", "mnist", "--labels", "1"), "mnist is unconditional: labels"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence_and_leaves_nothing(folder, words, complaint):
    refused = artc("compile", "--nfe", "3", *words, *FAST, "-o", "x.art.json")
    assert refused.code == 2
    assert complaint in refused.err
    assert "Traceback" not in refused.err
    assert len(refused.err.strip().splitlines()) <= 2
    assert names_in(folder) == []


@pytest.mark.parametrize(
    ("kind", "place", "name"),
    [
        ("edm", "runs/net.pkl", "net"),
        ("edm", "C:\\nets\\net.pkl", "net"),
        ("edm", ".pkl", "edm"),
        ("edm", "кот.pkl", "кот"),
        ("diffusers", "/abs/folder/", "folder"),
        ("diffusers", "./tiny", "tiny"),
        ("diffusers", "..", "diffusers"),
        ("python", "my.models:make", "my.models-make"),
        ("name", "mnist", "mnist"),
    ],
)
def test_the_default_name_of_an_artifact_is_a_plain_file_name(kind, place, name):
    assert default_name(kind, place) == f"{name}.art.json"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--model", "edm-cifar10", "--labels", "3"), "edm-cifar10 is unconditional"),
        (("--model", "edm-cifar10", "--guidance", "2"), "edm-cifar10 is unconditional"),
        (("--model", "edm-cifar10-cond", "--labels", "10"), "has classes 0 to 9, not 10"),
        (("--model", "edm-cifar10", "--precision", "float16", "--device", "cpu"), "float16 needs CUDA"),
        (("--model", "edm-cifar10", "--sigma-min", "nan"), "sigma_min must be a positive number"),
        (("--model", "edm-cifar10", "--sigma-max", "inf"), "sigma_max must be a positive number"),
    ],
)
def test_what_is_known_before_a_download_is_refused_before_it(folder, words, complaint, monkeypatch):
    monkeypatch.setenv("ARTC_CACHE", str(folder / "cache"))
    refused = artc("compile", "--nfe", "6" if "--guidance" in words else "3", *words, *FAST)
    assert (refused.code, complaint in refused.err, "fetching" in refused.err) == (2, True, False), refused.err


def test_the_quiet_are_told_of_a_narrower_range_and_json_has_it_too(folder):
    edm_file(precond="VEPrecond")
    done = artc("compile", "--model", "edm:net.pkl", "--nfe", "3", *FAST)
    assert "sigma_min is 0.02, not 0.002" in done.err
    assert artc("inspect", "net.art.json", "--json").document["sigma_asked"] == [0.002, 80.0]


def test_a_module_that_prints_or_leaves_spoils_nothing(folder):
    (folder / "loud_module_of_mine.py").write_text("print('hello')\n" + MY_MODELS)
    done = artc(
        "compile", "--model", "loud_module_of_mine:velocity", "--nfe", "3", *QUICK, "--json", "-o", "x.art.json"
    )
    assert done.document["model"]["domain"] == "flow"
    (folder / "leaving_module_of_mine.py").write_text("raise SystemExit(0)")
    left = artc("compile", "--model", "leaving_module_of_mine:make", "--nfe", "3", *FAST)
    assert (left.code, "raised SystemExit: 0" in left.err) == (2, True)

"""What the commands do when all is well: the facts on stdout, the progress on stderr, the files as they should be."""

import itertools
import json
import re
from dataclasses import replace
from functools import partial

import matplotlib.image
import numpy as np
import pytest
import torch

from artc import __version__
from artc.artifact import read
from artc.evaluation.diagnostics import figure
from artc.evaluation.summary import summary
from artc.learning.actor_critic import LearnerConfig
from artc.models.published.catalogue import PUBLISHED
from artc.models.registry import MODELS
from artc.sampling.grids import edm
from tests.cli import QUICK, artc, compiled, names_in, put, spawn
from tests.golden.example import ASKED, GOLDEN, example

COMMANDS = ("compile", "inspect", "validate", "resample", "sample", "evaluate", "export", "models")


# --------------------------------------------------------------------------------------------- compile


def test_compile_shows_what_it_found_and_where_it_went(tmp_path):
    path = tmp_path / "a.art.json"
    outcome = artc("compile", "--model", "gaussian", "--nfe", "3,5", *QUICK, "-o", path)
    assert outcome.code == 0
    made = read(path)
    lines = outcome.out.splitlines()
    assert lines[0].startswith("gaussian: 2 schedules by closed-form, ")
    assert lines[0].endswith("% above the lower bound")
    assert lines[-1] == f"wrote {path}"
    for schedule in made.schedules:
        (row,) = (line.split() for line in lines if line.startswith(f"{schedule.solver} {schedule.nfe:>6}"))
        done = schedule.evaluation[0]
        assert row[2:4] == [str(schedule.steps), schedule.origin]
        assert row[4:6] == [figure(done.value), figure(done.stderr)]
        assert row[6:10] == [figure(done.baselines[name]) for name in ("edm", "edm-free", "logsnr", "uniform")]
    later = "".join(rf"{stage}: \d+\.\d s, gap \S+%\n" for stage in ("distilling", "comparing", "refining", "checking"))
    assert re.fullmatch(r"trajectories: \d+\.\d s\n" + later, outcome.err)


def test_compile_prints_the_same_facts_as_one_document(tmp_path):
    path = tmp_path / "a.art.json"
    outcome = artc(
        "compile", "--model", "mixture-1d", "--nfe", "5", "--solver", "heun, euler", *QUICK, "-o", path, "--json"
    )
    assert outcome.code == 0
    assert outcome.document == {"path": str(path), **json.loads(json.dumps(summary(read(path))))}
    assert [(one["solver"], one["nfe"]) for one in outcome.document["schedules"]] == [("heun", 5), ("euler", 5)]
    assert "checking" in outcome.err


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_quiet_leaves_the_document_and_nothing_else(tmp_path, extra):
    path = tmp_path / "a.art.json"
    outcome = artc("compile", "--model", "gaussian", "--nfe", "3", *QUICK, "-o", path, "-q", *extra)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == "" if not extra else outcome.document["path"] == str(path)
    assert names_in(tmp_path) == ["a.art.json"]


@pytest.mark.parametrize("method", ["art-rl", "closed-form"])
def test_a_seed_decides_every_byte_but_the_times(tmp_path, method, monkeypatch):
    hurried = partial(LearnerConfig, steps=24, rollouts=16, iterations=30, warmup=2, knots=6)
    monkeypatch.setattr("artc.learning.methods.LearnerConfig", hurried)
    files, digests = [], []
    for number, seed in enumerate((4, 4, 5)):
        path = tmp_path / f"{number}.art.json"
        settings = ("--method", method, "--trajectories", "16", "--seed", seed)
        document = artc("compile", "--model", "mixture-1d", "--nfe", "3,5", *settings, "-o", path, "--json").document
        digests.append(document["digest"])
        timeless, found = re.subn(rb'"created": \{.*?\n  \}', b"", path.read_bytes(), flags=re.DOTALL)
        assert found == 1
        files.append(timeless)
    assert digests[0] == digests[1] != digests[2]
    assert files[0] == files[1] != files[2]


def test_without_an_output_the_file_is_named_after_the_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert artc("compile", "--model", "gaussian", "--nfe", "3", *QUICK).out.endswith("wrote gaussian.art.json\n")
    assert names_in(tmp_path) == ["gaussian.art.json"]


def test_force_replaces_the_file(tmp_path):
    path = tmp_path / "a.art.json"
    path.write_text("old")
    assert artc("compile", "--model", "gaussian", "--nfe", "3", *QUICK, "-o", path, "--force").code == 0
    assert [schedule.nfe for schedule in read(path).schedules] == [3]


# -------------------------------------------------------------------------------------------- inspect


def test_inspect_shows_every_fact_a_reader_needs():
    lines = artc("inspect", GOLDEN).out.splitlines()
    document = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert lines[:8] == [
        "powers: 2 schedules by art-rl",
        "  model    python:tests:powers, shape 1 x 2 x 2, domain ve",
        "  weights  not recorded",
        "  sigma    63 to 0; the model knows 0.002 and above",
        "  made by  artc 0.1.0, torch 2.13.0, on cpu, seed 0",
        "  cost     31,232 denoiser calls, 50.2 s",
        "  state    a clock that reads the state could save 4.1% more",
        f"  digest   {document['digest']}",
    ]
    assert lines[8:] == [
        "",
        "solver  NFE  steps  origin      error      +-     edm  edm-free  logsnr  uniform  vs best",
        "------  ---  -----  ---------  ------  ------  ------  --------  ------  -------  ---------------",
        "heun      5      3  distilled  0.2100  0.0100  0.3600    0.3000  0.6200   0.3500  0.70 x edm-free",
        "heun      3      2  refined         -       -       -         -       -        -  -",
        "",
        "heun 5: 63  15  3  0",
        "heun 3: 63  6.5  0",
    ]


def test_inspect_shows_model_sigmas_beside_the_grid_that_is_walked():
    lines = artc("inspect", ASKED).out.splitlines()
    assert "heun      5      3  distilled  0.2100  0.0100        0.1250  0.3600    0.3000" in "\n".join(lines)
    assert lines[-3:] == [
        "heun 5: 63  15  3  0",
        "heun 5, shown to the network: 63  10.31  4.657",
        "heun 3: 63  6.5  0",
    ]


def test_inspect_prints_the_same_facts_as_one_document():
    outcome = artc("inspect", GOLDEN, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.document == json.loads(json.dumps(summary(read(GOLDEN))))


def test_inspect_draws_a_picture_and_says_so_beside_the_document(tmp_path):
    outcome = artc("inspect", GOLDEN, "--plot", tmp_path / "a.png", "--json")
    assert outcome.document["model"]["name"] == "powers"
    assert outcome.err == f"wrote {tmp_path / 'a.png'}\n"
    assert matplotlib.image.imread(tmp_path / "a.png").std() > 0.05


# ------------------------------------------------------------------------------------------- validate


def test_validate_says_that_a_sound_artifact_is_valid():
    assert artc("validate", GOLDEN).out == f"{GOLDEN} is valid.\n"
    assert artc("validate", GOLDEN, "--json").document == {"path": str(GOLDEN), "valid": True, "violations": []}


# ------------------------------------------------------------------------------------------- resample


def test_resample_adds_grids_of_the_warp_and_leaves_the_others(tmp_path):
    path, before = tmp_path / "more.art.json", GOLDEN.read_bytes()
    outcome = artc("resample", GOLDEN, "--nfe", "5,11", "-o", path)
    assert outcome.out.endswith(f"wrote {path}\n")
    made = read(path)
    assert made.schedules[:2] == example().schedules
    assert (made.schedules[2].nfe, made.schedules[2].origin) == (11, "resampled")
    # The golden warp is 2^u - 1, u from 6 to 0.
    assert made.schedules[2].sigmas == pytest.approx([63, 31, 15, 7, 3, 1, 0])
    assert re.search(r"^heun   +11      6  resampled( +-){6}  -$", outcome.out, re.MULTILINE)
    assert GOLDEN.read_bytes() == before


def test_resample_may_write_over_what_it_read(tmp_path):
    path = tmp_path / "a.art.json"
    path.write_bytes(GOLDEN.read_bytes())
    document = artc("resample", path, "--nfe", "4", "--solver", "dpmpp_2m", "-o", path, "--force", "--json").document
    assert document == {"path": str(path), **json.loads(json.dumps(summary(read(path))))}
    assert [(one["solver"], one["nfe"]) for one in document["schedules"]] == [("heun", 5), ("heun", 3), ("dpmpp_2m", 4)]


# --------------------------------------------------------------------------------------------- sample


def heun(noise, sigmas):
    """Samples of N(0, 1/4) data, written without the package: dx/dsigma = x sigma / (1/4 + sigma^2)."""
    x = noise * sigmas[0]
    for high, low in itertools.pairwise(sigmas):
        slope = x * high / (0.25 + high**2)
        ahead = x + (low - high) * slope
        x = ahead if low == 0 else x + (low - high) * (slope + ahead * low / (0.25 + low**2)) / 2
    return x


def test_samples_follow_the_schedule_and_the_baseline_from_one_noise(tmp_path):
    artifact, numbers = put(tmp_path, "gaussian"), tmp_path / "x.npz"
    outcome = artc("sample", artifact, "--nfe", 5, "-n", 6, "--seed", 3, "--compare", "edm", "-o", numbers)
    assert outcome.out == f"wrote {numbers}: compiled, edm; 6 samples each, heun, 5 calls\n"
    noise = torch.randn((6, 16), generator=torch.Generator().manual_seed(3), dtype=torch.float64).numpy()
    with np.load(numbers) as archive:
        found = dict(archive)
    assert set(found) == {"compiled", "edm"}
    np.testing.assert_allclose(found["compiled"], heun(noise, read(artifact).sigmas(nfe=5)), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["edm"], heun(noise, edm(3, 0.002, 80.0)), rtol=1e-9, atol=1e-12)


def test_sample_prints_its_facts_as_one_document(tmp_path):
    artifact, numbers = put(tmp_path, "gaussian"), tmp_path / "x.npz"
    facts = artc("sample", artifact, "--nfe", "3", "-n", "2", "-o", numbers, "--json").document
    expected = {"path": str(numbers), "panels": ["compiled"], "count": 2, "solver": "heun", "nfe": 3, "seed": 0}
    assert facts == {**expected, "model_sigmas": False}
    assert artc("sample", artifact, "--nfe", "3", "-n", "2", "-o", numbers, "--quiet").out == ""


def test_samples_of_an_image_model_are_a_picture(tmp_path, load):
    example(model=replace(load("mnist").info, sigma_max=63.0)).save(tmp_path / "a.art.json")
    outcome = artc("sample", tmp_path / "a.art.json", "--nfe", 3, "-n", 2, "--compare", "edm", "-o", tmp_path / "x.png")
    assert outcome.code == 0, outcome.err
    picture = matplotlib.image.imread(tmp_path / "x.png")[:, :, :3]
    halves = np.array_split(picture, 2, axis=1)
    assert all(half.std() > 0.02 for half in halves)
    assert not np.array_equal(halves[0], halves[1])


# --------------------------------------------------------------------------------- models, help, version


def test_models_lists_every_model_with_its_shape():
    listed = artc("models", "list")
    assert artc("models") == listed
    for name, entry in {**MODELS, **PUBLISHED}.items():
        shape = " x ".join(map(str, entry.shape))
        place = "in the package" if name in MODELS else "(in the cache|to download)"
        assert re.search(rf"^{name} +{shape} +{place} +{re.escape(entry.summary)}$", listed.out, re.MULTILINE)
    document = artc("models", "list", "--json").document
    assert {one["name"]: tuple(one["shape"]) for one in document} == {
        name: entry.shape for name, entry in {**MODELS, **PUBLISHED}.items()
    }


def test_an_embedded_model_is_shown_with_its_card():
    document = artc("models", "show", "mnist", "--json").document
    assert document["shape"] == [1, 32, 32]
    shown = artc("models", "show", "mnist").out
    assert re.search(rf"^  sha256 +{document['sha256']}$", shown, re.MULTILINE)
    assert re.search(r"^  architecture\.channels +1$", shown, re.MULTILINE)
    assert artc("models", "show", "gaussian").out.splitlines()[0] == "  name     gaussian"


def test_artc_alone_shows_the_help_with_a_whole_sentence_for_each_command():
    outcome = spawn()
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == spawn("--help").out == spawn("-h").out
    for command in COMMANDS:
        assert re.search(rf"^  {command} +[A-Z].*\.$", outcome.out, re.MULTILINE)
    assert "..." not in outcome.out.split("Commands:")[1]
    assert "--debug" in outcome.out


@pytest.mark.parametrize(
    "command", [(name,) for name in COMMANDS] + [("models", one) for one in ("list", "show", "pull")]
)
def test_every_command_explains_itself_in_eighty_columns(command):
    outcome = artc(*command, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: artc {' '.join(command)} ")
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_the_version_is_that_of_the_package():
    assert spawn("--version").out == f"artc {__version__}\n"


def test_the_program_compiles_and_keeps_its_streams_apart(tmp_path):
    path = tmp_path / "a.art.json"
    outcome = spawn("compile", "--model", "gaussian", "--nfe", "3,5", *QUICK, "-o", path, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document["digest"] == json.loads(compiled("gaussian"))["digest"]
    stages = ["trajectories", "distilling", "comparing", "refining", "checking"]
    assert [line.split(":")[0] for line in outcome.err.splitlines()] == stages
    assert "\x1b" not in outcome.out + outcome.err
    assert names_in(tmp_path) == ["a.art.json"]


@pytest.mark.parametrize("arguments", [["inspect", GOLDEN], ["models", "list"], ["validate", GOLDEN], ["inspct"]])
def test_a_pipe_gets_no_escapes_and_nothing_is_cut(arguments):
    outcome = spawn(*arguments)
    assert outcome == artc(*arguments)
    assert "\x1b" not in outcome.out + outcome.err
    assert "…" not in outcome.out

"""`artc export`: the numbers alone on stdout, what to know of them on stderr, and files as they should be."""

import json
import shutil

import pytest

from tests.cli import artc, names_in, refused, spawn
from tests.golden.example import GOLDEN, example
from tests.integrations.made import MNIST, flow_artifact

LINE = "63.0, 15.0, 3.0, 0.0"
"""The golden grid of NFE 5."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# ---------------------------------------------------------------------------------------- what it prints


def test_the_line_for_comfyui_is_all_of_stdout():
    outcome = artc("export", GOLDEN, "--nfe", "5", "--to", "comfyui")
    assert (outcome.code, outcome.out) == (0, f"{LINE}\n")
    assert outcome.err.splitlines() == [
        "powers: heun, 3 steps, 5 denoiser calls, distilled, domain ve",
        "  sampler    heun",
        "  numbers    4, one more than steps: the last step goes to the 0 at the end",
        "  paste      into the node ManualSigmas, wired to SamplerCustom or SamplerCustomAdvanced",
    ]


def test_the_installed_program_prints_the_same():
    arguments = ("export", MNIST, "--steps", "5", "--solver", "heun", "--to", "csv")
    assert spawn(*arguments) == artc(*arguments)


def test_a_budget_is_calls_or_steps():
    assert artc("export", GOLDEN, "--steps", "3", "--to", "comfyui").out == f"{LINE}\n"
    assert artc("export", GOLDEN, "--nfe", "3", "--to", "edm").out == "[63.0, 6.5]\n"
    # The golden warp is 2^u - 1, u from 6 to 0; (2^6 - 1) is read at a sixth and so on.
    resampled = artc("export", GOLDEN, "--nfe", "11", "--resample", "--to", "k-diffusion").out
    assert json.loads(resampled) == pytest.approx([63, 31, 15, 7, 3, 1, 0])
    most = artc("export", GOLDEN, "--steps", "1000", "--resample", "--to", "csv").out
    assert most.splitlines()[-1].startswith("1000,0.0,")


def test_the_document_has_the_facts_and_stderr_nothing():
    outcome = artc("export", GOLDEN, "--nfe", "5", "--to", "k-diffusion", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    document = outcome.document
    assert document["text"] == f"[{LINE}]"
    assert document["sigmas"] == document["values"] == [63.0, 15.0, 3.0, 0.0]
    named = {
        name: document[name] for name in ("artifact", "path", "target", "model", "solver", "nfe", "steps", "count")
    }
    assert named == {
        "artifact": str(GOLDEN),
        "path": None,
        "target": "k-diffusion",
        "model": "powers",
        "solver": "heun",
        "nfe": 5,
        "steps": 3,
        "count": 4,
    }
    assert document["notes"]["sampler"] == "sample_heun"


def test_a_flow_says_its_shift_before_and_after():
    flow_artifact().save("flow.art.json")
    document = artc("export", "flow.art.json", "--steps", "3", "--to", "diffusers", "--shift", "2", "--json").document
    assert (document["domain"], document["shift"], document["pre_shift"]) == ("flow", 2.0, True)
    assert document["sigmas"] == [0.99, 0.8, 0.3, 0.0]
    assert document["values"] == pytest.approx([0.99 / 1.01, 0.8 / 1.2, 0.3 / 1.7])


def test_a_table_of_a_file_is_read(tmp_path):
    config = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02, "num_train_timesteps": 1000}
    (tmp_path / "scheduler_config.json").write_text(json.dumps(config), encoding="utf-8")
    command = ("export", GOLDEN, "--nfe", "5", "--to", "diffusers", "--json", "--table")
    document = artc(*command, "scheduler_config.json").document
    assert document["table"] == "the table of scheduler_config.json"
    assert document["timesteps"] == artc(*command, "ddpm").document["timesteps"]
    assert len(document["timesteps"]) == 3


# ------------------------------------------------------------------------------------------------ files


def test_a_file_gets_the_text_and_is_not_written_over(tmp_path):
    outcome = artc("export", GOLDEN, "--nfe", "5", "--to", "comfyui", "-o", "sigmas.txt")
    assert (outcome.code, outcome.out) == (0, "wrote sigmas.txt\n")
    assert (tmp_path / "sigmas.txt").read_text(encoding="utf-8") == f"{LINE}\n"
    said = refused("export", GOLDEN, "--nfe", "3", "--to", "comfyui", "-o", "sigmas.txt")
    assert "'sigmas.txt' exists already. Choose another name, or replace it with --force." in said
    assert (tmp_path / "sigmas.txt").read_text(encoding="utf-8") == f"{LINE}\n"
    document = artc("export", GOLDEN, "--nfe", "3", "--to", "comfyui", "-o", "sigmas.txt", "--force", "--json").document
    assert document["path"] == "sigmas.txt"
    assert (tmp_path / "sigmas.txt").read_text(encoding="utf-8") == "63.0, 6.5, 0.0\n"
    assert names_in(tmp_path) == ["sigmas.txt"]


def test_the_artifact_is_never_the_file(tmp_path):
    shutil.copy(GOLDEN, "a.art.json")
    said = refused("export", "a.art.json", "--nfe", "5", "--to", "csv", "-o", "./a.art.json", "--force")
    assert "'a.art.json' is the artifact itself." in said
    (tmp_path / "link").symlink_to("a.art.json")
    assert "'link' is the artifact itself." in refused(
        "export", "a.art.json", "--nfe", "5", "--to", "csv", "-o", "link", "--force"
    )
    assert (tmp_path / "a.art.json").read_bytes() == GOLDEN.read_bytes()
    assert "There is no folder 'no'." in refused("export", GOLDEN, "--nfe", "5", "--to", "csv", "-o", "no/x.csv")


# --------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            [],
            "Which schedule of the artifact? Give its NFE or its steps. It holds heun at NFE 5 (3 steps), heun",
        ),
        (["--nfe", "5", "--steps", "3"], "Which schedule? Give its NFE or its steps, one of them."),
        (
            ["--nfe", "7"],
            "No schedule for heun at NFE 7; the artifact holds heun 5, heun 3. Read it from the warp: resample=True",
        ),
        (["--steps", "7"], "No schedule for heun of 7 steps; the artifact holds heun 3, heun 2."),
        (["--nfe", "4", "--resample"], "heun cannot make exactly 4 denoiser calls. The nearest NFE it can make are 3"),
        (["--nfe", "0"], "Invalid value for '--nfe'"),
        (["--steps", "1001"], "Invalid value for '--steps'"),
        (["--nfe", "3,5"], "Invalid value for '--nfe'"),
        (["--nfe", "5", "--solver", "huen"], "Unknown solver 'huen'. Did you mean heun?"),
        (["--nfe", "5", "--to", "comfi"], "Unknown target 'comfi'. Did you mean comfyui?"),
        (["--nfe", "5", "--to", "invokeai"], "Known: a1111, comfyui, csv, diffusers, edm, k-diffusion."),
        (["--nfe", "5", "--shift", "3"], "comfyui shifts nothing that it is given."),
        (["--nfe", "5", "--to", "diffusers", "--shift", "3"], "The artifact is of no flow model"),
        (["--nfe", "5", "--table", "sd"], "A table is for timesteps, and comfyui counts in none."),
        (["--nfe", "5", "--to", "diffusers", "--table", "sd"], "no timesteps: sigma = 63 is outside of 0.02917 to"),
        (["--nfe", "5", "--to", "diffusers", "--table", "x.json"], "Cannot read 'x.json': No such file"),
        (["--nfe", "5", "--denoise", "2"], "from 0 to 1, not 2.0."),
        (["--nfe", "5", "--denoise", "0.1"], "denoise = 0.1 leaves no step of 3. One step is denoise = 0.333."),
        (["--nfe", "5", "-o", "."], "'.' names no file."),
    ],
)
def test_a_mistake_is_a_sentence(arguments, said, tmp_path):
    given = arguments if "--to" in arguments else [*arguments, "--to", "comfyui"]
    assert said in refused("export", GOLDEN, *given)
    assert names_in(tmp_path) == []


def test_two_solvers_must_be_told_apart():
    assert "Name one of heun, euler." in refused("export", MNIST, "--nfe", "9", "--to", "comfyui")
    assert "Missing option '--to'" in refused("export", MNIST, "--nfe", "9")


def test_a_bad_artifact_is_a_negative_verdict():
    bad = GOLDEN.parents[1] / "bad_artifacts" / "digest.art.json"
    assert f"{bad} is not a valid artifact" in refused("export", bad, "--nfe", "5", "--to", "csv", code=1)
    assert "There is no file" in refused("export", "absent.art.json", "--nfe", "5", "--to", "csv")


def test_a_name_of_a_stranger_steers_no_terminal():
    artifact = example()
    object.__setattr__(artifact.model, "name", "x\x1b[31m")
    artifact.save("a.art.json")
    assert "\x1b" not in artc("export", "a.art.json", "--nfe", "5", "--to", "comfyui").err

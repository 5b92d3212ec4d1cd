"""`artc compile --resume`: killed at any moment, a compile goes on; a wrong request is refused with a way on."""

import json
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from artc.artifact import read
from artc.learning.state_training import StateConfig
from tests.cli import artc, names_in, refused, spawn
from tests.cli import environment as settings

ROOT = Path(__file__).resolve().parents[1]
COMPILE = (
    "compile",
    "--model",
    "tests.fused_model:made",
    "--method",
    "closed-form",
    "--trajectories",
    "8",
    "--nfe",
    "3",
)
QUICK = (*COMPILE, "--no-refine")
NAME = "tests.fused_model-made.art.json"
FOLDER = f"{NAME}.checkpoint"


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def interrupted(monkeypatch):
    """A compile stopped by Ctrl-C at a call of its model."""

    def at(calls, *arguments):
        with monkeypatch.context() as fused:
            fused.setenv("ARTC_FUSE", f"{calls},interrupt")
            return artc(*QUICK, *arguments)

    return at


@pytest.fixture
def finished(monkeypatch):
    """The work fails when it is reached."""

    def reached(*_arguments, **_options):
        raise AssertionError("the work had begun")

    return lambda: monkeypatch.setattr("artc.pipeline.compile_steps", reached)


def mortal(patch, changes):
    """Let so many changes of the disk through, and none after them; returns the list of those that were let through."""
    seen = []

    def watch(change):
        def watched(path, *arguments, **options):
            if isinstance(path, Path) and path.name == "lock":  # which the system takes away
                return change(path, *arguments, **options)
            if len(seen) == changes:
                raise Killed
            seen.append(change.__name__)
            return change(path, *arguments, **options)

        return watched

    patch.setattr(os, "fsync", watch(os.fsync))
    for name in ("mkdir", "unlink", "replace", "hardlink_to", "rmdir"):
        patch.setattr(Path, name, watch(getattr(Path, name)))
    return seen


def expected(command, tmp_path):
    """The digest of the same compile when nothing disturbs it."""
    (tmp_path / "apart").mkdir()
    path = tmp_path / "apart" / NAME
    return artc(*command, "-o", path, "--json").document["digest"]


def test_a_compile_killed_twice_ends_with_the_same_artifact(tmp_path):
    digest = expected(COMPILE, tmp_path)
    # The bank is 2 x 128 calls of the denoiser, and some hundred more follow.
    for calls, resume in ((200, []), (150, ["--resume"])):
        env = settings(ARTC_FUSE=f"{calls},kill", PYTHONPATH=str(ROOT))
        outcome = spawn(*COMPILE, *resume, env=env)
        assert outcome.code == -signal.SIGKILL
        assert names_in(tmp_path) == ["apart", FOLDER]
    assert "lock" in names_in(tmp_path / FOLDER)  # nobody took it away but the system
    outcome = artc(*COMPILE, "--resume", "--json")
    assert (outcome.code, outcome.document["digest"]) == (0, digest)
    assert names_in(tmp_path) == ["apart", NAME]


@pytest.mark.parametrize(("extra", "early", "late"), [([], 9, 15), (["--policy"], 0, 18)])
def test_a_kill_between_any_two_changes_on_the_disk_loses_nothing(extra, early, late, tmp_path, monkeypatch):
    hurried = partial(StateConfig, start=3, iterations=0, judged=1)
    monkeypatch.setattr("artc.learning.state_record.StateConfig", hurried)
    command, folder = (*QUICK, "--model-arg", "batch=64", *extra), tmp_path / "new"
    digest = expected(command, tmp_path)
    files = names_in(tmp_path / "apart")
    folder.mkdir()
    monkeypatch.chdir(folder)
    with monkeypatch.context() as living:
        changes = mortal(living, None)
        artc(*command)
    total = len(changes)
    assert total > 3 * 8  # units, of the bank, the method, the teacher and five grids; each is written in the same way
    for moment in (*range(early), *range(total - late, total)):
        for file in folder.iterdir():
            file.unlink()
        with monkeypatch.context() as dying:
            mortal(dying, moment)
            with pytest.raises(Killed):
                artc(*command)
        outcome = artc(*command, "--resume", "--json")
        assert (outcome.code, outcome.document["digest"]) == (0, digest), moment
        assert read(NAME).digest == digest
        assert names_in(folder) == files


def test_ctrl_c_says_how_to_go_on(tmp_path, interrupted):
    outcome = interrupted(300)
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err.splitlines()[-1] == "Stopped; continue with the same command and --resume."
    assert names_in(tmp_path) == [FOLDER]
    assert artc(*QUICK, "--resume").code == 0
    assert names_in(tmp_path) == [NAME]


def test_ctrl_c_before_anything_is_done_leaves_nothing(tmp_path, interrupted):
    outcome = interrupted(5)
    assert (outcome.code, outcome.err) == (130, "Interrupted; nothing was written.\n")
    assert names_in(tmp_path) == []


def test_unfinished_work_is_not_passed_over(tmp_path, interrupted, finished, monkeypatch):
    interrupted(300)
    finished()
    with monkeypatch.context() as early:  # before the model is loaded
        early.delattr("artc.models.sources.load")
        said = refused(*QUICK)
    assert f"An unfinished compile lies in '{FOLDER}'. Go on with it with --resume, or start over with --force." in said
    said = refused(*QUICK, "--seed", "1", "--resume")
    assert "is another one: request.seed is 0 there and 1 here." in said
    assert said.endswith("or start over with --force in place of --resume.")
    assert "another one: request.refine is 0 there and 48 here" in refused(*COMPILE, "--resume", "--force")


def test_force_starts_over(tmp_path, interrupted):
    interrupted(300)
    assert interrupted(300, "--force").code == 130  # the calls of the first are not remembered
    assert artc(*QUICK, "--seed", "1", "--force").code == 0
    assert names_in(tmp_path) == [NAME]
    assert read(NAME).provenance.seed == 1


def test_resume_with_nothing_to_resume_begins_and_says_so(tmp_path):
    outcome = artc(*QUICK, "--resume")
    assert outcome.code == 0
    assert outcome.err.startswith(f"No unfinished compile lies in '{FOLDER}': this one begins at the start.\n")
    quiet = artc(*QUICK, "--resume", "-q", "-o", "other.art.json")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert read("other.art.json").digest == read(NAME).digest


@pytest.mark.parametrize("extra", [[], ["--force"]])
def test_what_is_finished_is_shown_and_not_made_again(tmp_path, finished, extra):
    made = artc(*QUICK, "--json").document
    content = Path(NAME).read_bytes()
    finished()
    assert artc(*QUICK, "--resume", "--json", *extra).document == made
    assert artc(*QUICK, "--resume", *extra).out.splitlines()[-1] == f"{NAME} was finished already"
    assert Path(NAME).read_bytes() == content


def test_another_file_of_that_name_is_neither_finished_nor_replaced(tmp_path, interrupted):
    artc(*QUICK, "--seed", "1")
    assert f"'{NAME}' exists already." in refused(*QUICK, "--resume")
    assert interrupted(300, "--force").code == 130
    assert f"'{NAME}' exists already." in refused(*QUICK, "--resume")
    assert read(NAME).provenance.seed == 1
    outcome = artc(*QUICK, "--resume", "--force")
    assert (outcome.code, "begins at the start" in outcome.err) == (0, False)
    assert read(NAME).provenance.seed == 0
    assert names_in(tmp_path) == [NAME]


def test_a_replacement_that_was_cut_off_goes_on_though_the_old_file_answers_too(tmp_path, interrupted):
    artc(*QUICK)
    document = json.loads(Path(NAME).read_text())
    interrupted(300, "--force")
    assert artc(*QUICK, "--resume", "--force").out.splitlines()[-1] == f"wrote {NAME}"
    again = json.loads(Path(NAME).read_text())
    assert again["digest"] == document["digest"]
    assert names_in(tmp_path) == [NAME]

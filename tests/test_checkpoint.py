"""The folder of an unfinished compilation: whose it is, who may hold it, and what a kill leaves of it."""

import contextlib
import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from artc.checkpoints.checkpoint import checkpoint_of, discard, first_difference, holds_work, opened, sweep
from artc.checkpoints.fingerprint import fingerprint
from artc.checkpoints.units import Unit
from artc.errors import InputError, OutputError
from artc.request import Request
from tests.cli import names_in

MARK = {"request": {"seed": 0, "nfe": [3]}}
UNIT = Unit(arrays={}, facts={"kind": "it"})


class Killed(BaseException):
    """The process is gone: nothing tidies up after it."""


def leave_work(folder, mark=MARK, units=2):
    """An unfinished compilation, as an error in the middle leaves it."""
    with contextlib.suppress(ZeroDivisionError), opened(folder, mark) as kept:
        for number in range(units):
            kept.keep(f"{number}", UNIT)
        raise ZeroDivisionError


def test_a_finished_compilation_leaves_no_folder(tmp_path):
    with opened(tmp_path / "c", MARK) as units:
        units.keep("one", UNIT)
        assert holds_work(tmp_path / "c")
        assert names_in(tmp_path / "c") == ["fingerprint.json", "lock", "one.safetensors"]
    assert names_in(tmp_path) == []


def test_an_error_leaves_the_work_and_where_there_is_none_nothing(tmp_path):
    leave_work(tmp_path / "c")
    assert names_in(tmp_path / "c") == ["0.safetensors", "1.safetensors", "fingerprint.json"]
    leave_work(tmp_path / "d", units=0)
    assert names_in(tmp_path) == ["c"]


def test_unfinished_work_is_neither_used_nor_lost_unless_asked_for(tmp_path):
    leave_work(tmp_path / "c")
    with pytest.raises(OutputError, match=r"unfinished compile lies in .*--resume, or start over with --force"):
        opened(tmp_path / "c", MARK).__enter__()
    with contextlib.suppress(ZeroDivisionError), opened(tmp_path / "c", MARK, resume=True) as units:
        assert units.kept("1").facts == {"kind": "it"}
        raise ZeroDivisionError
    with opened(tmp_path / "c", MARK, force=True) as units:
        assert units.kept("1") is None
    assert names_in(tmp_path) == []


def test_a_folder_may_be_left_to_its_caller(tmp_path):
    for found in (False, True):
        with opened(tmp_path / "c", MARK, resume=True, remove=False) as units:
            assert (units.kept("one") is not None) is found
            units.keep("one", UNIT)


def test_the_work_of_another_request_is_refused_and_stays(tmp_path):
    leave_work(tmp_path / "c")
    other = {"request": {"seed": 1, "nfe": [3]}}
    with pytest.raises(InputError, match=r"another one: request\.seed is 0 there and 1 here\. .*--force in place of"):
        opened(tmp_path / "c", other, resume=True).__enter__()
    assert holds_work(tmp_path / "c")


@pytest.mark.parametrize("content", [b"", b'{"request": {"seed": 0', b"\xff\xfe", b"[" * 10])
def test_a_folder_whose_fingerprint_is_spoilt_vouches_for_nothing(tmp_path, content):
    leave_work(tmp_path / "c")
    (tmp_path / "c" / "fingerprint.json").write_bytes(content)
    assert not holds_work(tmp_path / "c")
    with opened(tmp_path / "c", MARK, resume=True) as units:
        assert units.kept("1") is None


def test_a_fingerprint_that_is_no_object_is_another_one(tmp_path):
    leave_work(tmp_path / "c")
    (tmp_path / "c" / "fingerprint.json").write_bytes(b"[1]")
    with pytest.raises(InputError, match="another one"):
        opened(tmp_path / "c", MARK, resume=True).__enter__()


def test_only_one_process_at_a_time_holds_a_folder(tmp_path):
    with opened(tmp_path / "c", MARK) as units:
        units.keep("one", UNIT)
        for asked in ({"resume": True}, {"force": True}, {}):
            with pytest.raises(OutputError, match="Another process compiles in"):
                opened(tmp_path / "c", MARK, **asked).__enter__()
        with pytest.raises(OutputError, match="Another process"):
            discard(tmp_path / "c")
        assert units.kept("one") is not None
    assert names_in(tmp_path) == []


def test_a_lock_left_by_a_killed_process_holds_nobody_up(tmp_path):
    leave_work(tmp_path / "c")
    (tmp_path / "c" / "lock").touch()
    with opened(tmp_path / "c", MARK, resume=True):
        pass
    assert names_in(tmp_path) == []


def test_a_kill_during_the_removal_leaves_nothing_that_looks_unfinished(tmp_path, monkeypatch):
    unlink = Path.unlink
    for allowed in range(3):  # of the fingerprint and two units
        leave_work(tmp_path / "c")
        left = [allowed]

        def mortal(path, missing_ok=False, left=left):
            if path.name == "lock":  # which the system takes away
                return unlink(path, missing_ok)
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return unlink(path, missing_ok)

        with monkeypatch.context() as dying:
            dying.setattr(Path, "unlink", mortal)
            with pytest.raises(Killed):
                discard(tmp_path / "c")
        assert holds_work(tmp_path / "c") is (allowed == 0)
        discard(tmp_path / "c")
        assert names_in(tmp_path) == []


def test_files_of_somebody_else_are_left_alone(tmp_path):
    leave_work(tmp_path / "c")
    (tmp_path / "c" / "notes.txt").write_text("mine")
    (tmp_path / "c" / ".half.safetensors.0123abcd.tmp").write_text("of a killed process")
    discard(tmp_path / "c")
    assert names_in(tmp_path / "c") == ["notes.txt"]


def test_temporary_files_of_a_killed_writer_are_swept_and_no_others(tmp_path):
    others = [
        ".a.png.0123abcd.tmp",
        ".b.json.0123abcd.tmp",
        ".a.json.tmp",
        ".a.json.x.tmp",
        "a.json",
        ".a.json.0123abcd.tmp.gz",
    ]
    for name in [".a.json.0123abcd.tmp", ".a.onnx.0123abcd.tmp", *others]:
        (tmp_path / name).touch()
    sweep(tmp_path / "a.json")
    assert names_in(tmp_path) == sorted(others)


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "c").touch()
    with pytest.raises(OutputError, match=r"Cannot make .*c': File exists"):
        opened(tmp_path / "c", MARK).__enter__()


def test_the_folder_lies_beside_the_output():
    assert checkpoint_of(Path("x/mnist.art.json")) == Path("x/mnist.art.json.checkpoint")


# ----------------------------------------------------------------------------------------- fingerprint

OTHER = {
    "nfe": (3, 7),
    "solvers": ("euler",),
    "method": "dp",
    "seed": 1,
    "trajectories": 17,
    "nodes": 33,
    "checks": 9,
    "teacher_steps": 17,
    "refine": 0,
    "trials": 7,
    "model_sigmas": True,
    "policy": True,
    "labels": (1,),
    "guidance": 2.0,
}


def test_every_setting_of_a_request_is_in_the_fingerprint(load):
    model, request = load("gaussian"), Request(nfe=(3, 5))
    assert set(OTHER) == {field.name for field in dataclasses.fields(Request)}
    mark = fingerprint(model, request)
    assert first_difference(mark, fingerprint(model, Request(nfe=(3, 5)))) == ""
    for name, value in OTHER.items():
        # Guidance doubles the calls: of the budgets of Heun's only an even one has whole steps then.
        changed = {**({"nfe": (6,)} if name == "guidance" else {}), name: value}
        found = first_difference(mark, fingerprint(model, Request(**{"nfe": (3, 5), **changed})))
        assert found.startswith(f"request.{'nfe' if name == 'guidance' else name} is ")
    guided = [fingerprint(model, Request(nfe=(6,), guidance=scale)) for scale in (1.0, 2.0)]
    assert first_difference(*guided) == "request.guidance is 1.0 there and 2.0 here"


def test_what_the_model_is_and_how_it_runs_is_in_the_fingerprint(load):
    model, request = load("gaussian"), Request(nfe=(3,))
    mark = fingerprint(model, request)
    for other, name in [
        (replace(model, info=replace(model.info, sigma_max=79.0)), "model.sigma_max is 80.0 there and 79.0 here"),
        (replace(model, info=replace(model.info, sha256="0" * 64)), "model.sha256 is "),
        (replace(model, dtype=torch.float32), "model.dtype is "),
        (replace(model, batch=2), "model.batch is 64 there and 2 here"),
        (replace(model, record={"arguments": {"size": 3}}), "model.record.arguments.size is absent there and 3 here"),
        (replace(model, fine=model.denoiser), "model.fine is false there and true here"),
    ]:
        assert first_difference(mark, fingerprint(other, request)).startswith(name)


def test_a_fingerprint_survives_the_disk(load):
    mark = fingerprint(load("mnist"), Request(nfe=(3,), guidance=None))
    assert first_difference(json.loads(json.dumps(mark)), mark) == ""
    assert {"artc", "torch", "numpy", "machine", "device"} <= mark.keys()

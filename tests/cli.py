"""The command line as its users have it: `artc` runs `main` in this process, `spawn` the installed program."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from artc.cli import main

PROGRAM = Path(sysconfig.get_path("scripts")) / "artc"
QUICK = ("--trajectories", "16", "--method", "closed-form")
"""What makes a compilation take a tenth of a second."""

_SETTINGS = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "PYTHONIOENCODING")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document that stdout is."""
        return json.loads(self.out)


def artc(*arguments: object) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    argv = mock.patch.object(sys, "argv", ["artc", *map(str, arguments)])
    with argv, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as left:
        main()
    return Outcome(left.value.code or 0, out.getvalue(), err.getvalue())


def refused(*arguments: object, code: int = 2) -> str:
    """What stderr says: a sentence and perhaps a hint, with nothing on stdout."""
    outcome = artc(*arguments)
    assert (outcome.code, outcome.out) == (code, ""), outcome.out + outcome.err
    lines = outcome.err.splitlines()
    assert lines[0].startswith("error: ")
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("       "))
    assert all(line.rstrip().endswith((".", "?", ")")) for line in lines)
    assert "Traceback" not in outcome.err
    assert "defect of artc" not in outcome.err
    return " ".join(line.strip() for line in lines)


def environment(**changes: str) -> dict[str, str]:
    """The tester's, without what changes the output, and with one thread: these programs have little to do."""
    kept = {name: value for name, value in os.environ.items() if name not in _SETTINGS}
    return {**kept, "OMP_NUM_THREADS": "1", "TERM": "xterm", **changes}


def start(*arguments: object, **options: Any) -> "subprocess.Popen[bytes]":
    """The installed program, running; Ctrl-C reaches it even where this process was told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        options = {"stdin": subprocess.DEVNULL, "env": environment(), **options}
        return subprocess.Popen([str(PROGRAM), *map(str, arguments)], **options)
    finally:
        signal.signal(signal.SIGINT, before)


def spawn(*arguments: object, **options: Any) -> Outcome:
    """The installed program, run to its end."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with start(*arguments, **options) as running:
        out, err = running.communicate()
    return Outcome(running.returncode, (out or b"").decode(), (err or b"").decode())


@cache
def compiled(model: str) -> bytes:
    """An artifact of an analytic model, heun at 3 and 5 calls."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.art.json"
        outcome = artc("compile", "--model", model, "--nfe", "3,5", *QUICK, "-o", path)
        assert outcome.code == 0, outcome.err
        return path.read_bytes()


def put(folder: Path, model: str) -> Path:
    """That artifact as a file in `folder`."""
    path = folder / f"{model}.art.json"
    path.write_bytes(compiled(model))
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())

"""What a user sees: tables that are never cut, terminals left as they were, pipes that may close, and Ctrl-C."""

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from artc import __version__
from artc.artifact import read
from artc.console import Console, show_artifact
from artc.errors import ArtcError
from tests.cli import PROGRAM, QUICK, environment, names_in, spawn, start
from tests.golden.example import GOLDEN, example

COLUMNS = ("name", "error", "origin")
ROWS = (("a", "0.5", "warp"), ("bcdefg", "12.25", "-"), ("h", "-", "x"))
LONG = ("compile", "--model", "gaussian", "--nfe", "3,9")  # seconds of training


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Stdout as a terminal of so many columns; returns what was shown on it."""

    def of(width, show):
        for name, value in environment(COLUMNS=str(width)).items():
            monkeypatch.setenv(name, value)
        with contextlib.redirect_stdout(Terminal()) as screen:
            show()
        return screen.getvalue()

    return of


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# -------------------------------------------------------------------------------------------- tables


def test_a_table_aligns_numbers_to_the_right_and_words_to_the_left(capsys):
    Console().table(COLUMNS, ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "",
        "name    error  origin",
        "------  -----  ------",
        "a         0.5  warp",
        "bcdefg  12.25  -",
        "h           -  x",
        "",
    ]


def test_a_pipe_gets_a_table_however_wide_in_one_piece(capsys):
    Console().table(("a", "b"), [("x" * 300, "y" * 300)])
    assert f"{'x' * 300}  {'y' * 300}" in capsys.readouterr().out.splitlines()


def test_a_terminal_gets_the_same_text_with_the_best_in_bold(terminal, capsys):
    Console().table(COLUMNS, ROWS, best=(1, None, 2))
    shown = terminal(21, lambda: Console().table(COLUMNS, ROWS, best=(1, None, 2)))
    assert plain(shown) == capsys.readouterr().out
    bold = re.findall(r"\x1b\[1m(.*?)\x1b\[0m", shown)
    assert bold == ["name", "error", "origin", "0.5", "x"]


def test_a_narrow_terminal_gets_the_columns_in_several_tables(terminal):
    shown = terminal(20, lambda: Console().table(COLUMNS, ROWS))
    assert plain(shown).split("\n\n") == [
        "\nname    error\n------  -----\na         0.5\nbcdefg  12.25\nh           -",
        "name    origin\n------  ------\na       warp\nbcdefg  -\nh       x",
        "",
    ]


def test_a_column_wider_than_the_terminal_is_wrapped_by_it_and_not_cut(terminal):
    shown = terminal(10, lambda: Console().table(("a", "b", "c"), [("1", "y" * 30, "z")]))
    assert "1  " + "y" * 30 in plain(shown).splitlines()
    assert "1  z" in plain(shown).splitlines()


def test_the_comparison_fits_eighty_columns_with_solver_and_nfe_in_every_part(terminal):
    shown = plain(terminal(80, lambda: show_artifact(Console(), example().sealed()))).splitlines()
    assert max(map(len, shown)) <= 80
    headings = [line.split() for line in shown if line.startswith("solver")]
    assert all(words[:2] == ["solver", "NFE"] for words in headings)
    words = [word for part in headings for word in part[2:]]
    assert words == ["steps", "origin", "error", "+-", "edm", "edm-free", "logsnr", "uniform", "vs", "best"]
    assert "0.70 x edm-free" in " ".join(shown)


def test_facts_stand_in_one_column_and_long_ones_are_whole(terminal):
    facts = [("a", "1"), ("longer", "y" * 200)]
    assert terminal(40, lambda: Console().facts(facts)) == f"  a       1\n  longer  {'y' * 200}\n"


def test_brackets_are_no_markup(terminal):
    assert (
        terminal(80, lambda: Console().say("[bold]$.sigmas[0][/bold] :smile:")) == "[bold]$.sigmas[0][/bold] :smile:\n"
    )


# --------------------------------------------------------------------------------- json, quiet, errors


@pytest.mark.parametrize(
    ("settings", "out"), [({"json": True}, '{\n  "a": "F\\u00fc\\u00dfe"\n}\n'), ({"quiet": True}, "")]
)
def test_json_is_the_document_alone_and_quiet_is_nothing(settings, out, capsys):
    console = Console(**settings)
    console.say("text")
    console.facts([("a", "b")])
    console.table(COLUMNS, ROWS)
    console.document({"a": "Füße"})
    assert capsys.readouterr().out == out


def test_an_error_is_two_lines_at_most(capsys):
    Console(quiet=True).error(ArtcError("It broke\nin the middle.", hint="Mend it\nat once."))
    assert capsys.readouterr() == ("", "error: It broke in the middle.\n       Mend it at once.\n")


@dataclass(frozen=True)
class Update:
    stage: str
    done: int
    total: int
    gap: float | None = None


def test_without_a_terminal_progress_is_a_line_for_each_finished_stage(capsys):
    with Console().progress() as show:
        for update in (Update("walking", 1, 2), Update("walking", 2, 2), Update("training", 9, 9, 0.0123)):
            show(update)
    assert re.fullmatch(r"walking: \d\.\d s\ntraining: \d\.\d s, gap 1\.23%\n", capsys.readouterr().err)


# --------------------------------------------------------------------------------------------- streams


def test_the_reader_of_a_pipe_may_leave_at_any_time(tmp_path):
    bad = GOLDEN.parents[1] / "bad_artifacts" / "digest.art.json"
    written = tmp_path / "a.art.json"
    for arguments, code in (
        (["inspect", GOLDEN], 0),
        (["inspect", GOLDEN, "--json"], 0),
        (["validate", bad], 1),
        (["resample", GOLDEN, "--nfe", "7", "-o", written], 0),
    ):
        reader, writer = os.pipe()
        os.close(reader)
        try:
            outcome = spawn(*arguments, stdout=writer)
        finally:
            os.close(writer)
        assert (outcome.code, outcome.err) == (code, "")
    assert [schedule.nfe for schedule in read(written).schedules] == [5, 3, 7]


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="needs a device that is always full")
def test_a_full_device_is_one_clear_line():
    with Path("/dev/full").open("wb") as full:
        outcome = spawn("inspect", GOLDEN, stdout=full)
    assert (outcome.code, outcome.err) == (2, "error: Cannot write to <stdout>: No space left on device.\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_stream_closed_beforehand_is_no_error(closed):
    ran = subprocess.run(["/bin/sh", "-c", f'"$0" --version {closed}', PROGRAM], capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout == (b"" if closed.startswith(">") else f"artc {__version__}\n".encode())


def test_an_old_code_page_is_no_obstacle(tmp_path):
    provenance = replace(example().provenance, diagnostics={"learning_curve": [0.5, 0.25]})
    example(provenance=provenance, model=replace(example().model, name="Füße ✓")).save(tmp_path / "a.art.json")
    settings = environment(PYTHONIOENCODING="ascii")
    outcome = spawn("inspect", tmp_path / "a.art.json", env=settings)
    assert (outcome.code, outcome.err) == (0, "")
    assert r"F\xfc\xdfe \u2713: 2 schedules" in outcome.out
    outcome = spawn("inspect", tmp_path / "a.art.json", "--json", env=settings)
    assert json.loads(outcome.out)["model"]["name"] == "Füße ✓"


# ------------------------------------------------------------------------------------- Ctrl-C, terminals


def test_ctrl_c_in_the_middle_of_a_compilation_loses_nothing(tmp_path):
    path = tmp_path / "a.art.json"
    path.write_bytes(b"precious")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(*LONG, "-o", path, "--force", **pipes) as running:
        assert running.stderr.readline().startswith(b"trajectories: ")  # and so the training has begun
        running.send_signal(signal.SIGINT)
        out, err = running.communicate()
    assert (running.returncode, out, err) == (130, b"", b"Stopped; continue with the same command and --resume.\n")
    assert path.read_bytes() == b"precious"
    assert names_in(tmp_path) == ["a.art.json", "a.art.json.checkpoint"]


def on_terminal(*arguments, interrupt_at=None):
    """Run the program on a terminal of 80 columns, with Ctrl-C once a text shows: its exit code and what it showed."""
    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        with start(*arguments, stdin=slave, stdout=slave, stderr=slave) as running:
            os.close(slave)
            shown, waiting = b"", interrupt_at is not None
            while True:
                select.select([master], [], [])
                try:
                    piece = os.read(master, 65536)
                except OSError:  # Linux says so when the last writer is gone
                    break
                if not piece:
                    break
                shown += piece
                if waiting and interrupt_at in shown:
                    running.send_signal(signal.SIGINT)
                    waiting = False
        return running.returncode, shown.decode().replace("\r\n", "\n")
    finally:
        os.close(master)


def cursor_is_shown(text):
    """Hidden while the bars run, and shown at the end."""
    controls = re.findall(r"\x1b\[\?25[lh]", text)
    return controls[0] == "\x1b[?25l" and controls[-1] == "\x1b[?25h"


def test_ctrl_c_on_a_terminal_brings_the_cursor_back(tmp_path):
    code, shown = on_terminal(*LONG, "-o", tmp_path / "a.art.json", interrupt_at=b"training")
    assert code == 130
    assert cursor_is_shown(shown)
    assert "━" in shown
    assert plain(shown).endswith("\nStopped; continue with the same command and --resume.\n")
    assert "Traceback" not in shown
    assert names_in(tmp_path) == ["a.art.json.checkpoint"]


def test_a_terminal_of_eighty_columns_shows_bars_and_the_whole_result(tmp_path):
    path = tmp_path / "a.art.json"
    code, shown = on_terminal("compile", "--model", "gaussian", "--nfe", "3,5", *QUICK, "-o", path)
    assert code == 0
    assert cursor_is_shown(shown)
    done = shown.rsplit("\x1b[?25h", 1)[0].splitlines()
    for stage in ("trajectories", "distilling", "checking"):
        assert any(plain(line).startswith(stage) and "100 %" in plain(line) for line in done)
    assert re.search(r"checking .*gap \d+\.\d\d%", plain(shown))
    result = plain(shown.rsplit("\x1b[?25h", 1)[1])
    assert "…" not in plain(shown)
    for schedule in read(path).schedules:
        for value in (schedule.evaluation[0].value, *schedule.evaluation[0].baselines.values()):
            assert f"{value:.4f}" in result
    assert f"wrote {path}\n" in result


def test_control_characters_of_a_stranger_do_not_reach_the_terminal(capsys):
    Console().say("model \x1b]0;pwned\x07 \x9b31m\ttext")
    Console().warn("\x00")
    out, err = capsys.readouterr()
    assert out == "model \\x1b]0;pwned\\x07 \\x9b31m\\ttext\n"
    assert err == "\\x00\n"

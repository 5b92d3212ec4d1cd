"""`artc models` as its users have it: what is here, what can be had, and fetching it through every mishap."""

import hashlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from artc.models.published.catalogue import PUBLISHED
from artc.models.published.store import by_hand
from artc.models.registry import MODELS
from tests.cli import artc, environment, names_in, start
from tests.http_server import FILE, serving
from tests.test_console import cursor_is_shown, on_terminal, plain

NAME = "edm-cifar10-32x32-uncond-vp.pkl"
RECORD = f"{NAME}.sha256.json"
PART, MEMO, LOCK = f"{NAME}.part", f"{NAME}.part.json", f"{NAME}.lock"
DIGEST = hashlib.sha256(FILE).hexdigest()
PULL = ("models", "pull", "edm-cifar10")
LICENCE = (
    "The weights of edm-cifar10 are by NVIDIA, licensed under CC BY-NC-SA 4.0 (non-commercial); "
    "see https://github.com/NVlabs/edm."
)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ARTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ARTC_MIRROR", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch):
    with serving() as state:
        monkeypatch.setenv("ARTC_MIRROR", state.address)
        yield state


def wait_for(size, file, seconds=10.0):
    """Until a file has grown to that size."""
    end = time.monotonic() + seconds
    while not file.exists() or file.stat().st_size < size:
        assert time.monotonic() < end, f"{file} does not grow"
        time.sleep(0.005)


# ------------------------------------------------------------------------------------------- list


def test_list_says_of_every_model_where_it_is(cache):
    def listed():
        rows = artc("models", "list").out.splitlines()[3:-1]
        found = {row[0]: row[2:] for row in (re.split(r"  +", row) for row in rows)}
        document = artc("models", "list", "--json").document
        assert {one["name"]: [one["where"], one["summary"]] for one in document} == found
        return {name: where for name, (where, _) in found.items()}

    expected = dict.fromkeys(MODELS, "in the package") | dict.fromkeys(PUBLISHED, "to download")
    assert listed() == expected
    cache.mkdir()
    (cache / NAME).write_bytes(FILE)
    assert listed() == expected | {"edm-cifar10": "in the cache"}


def test_looking_reads_and_records_nothing(cache, monkeypatch):
    cache.mkdir()
    (cache / NAME).write_bytes(b"x")
    monkeypatch.setattr("artc.models.published.store.sha256_of", None)
    assert artc("models", "list").code == artc("models", "show", "edm-cifar10").code == 0
    assert names_in(cache) == [NAME]


# ------------------------------------------------------------------------------------------- show


def test_show_tells_all_there_is_to_know_of_a_published_model(cache, server):
    facts = {
        "name": "edm-cifar10",
        "summary": "EDM on CIFAR-10, unconditional",
        "shape": [3, 32, 32],
        "classes": 0,
        "where": "to download",
        "path": str(cache / NAME),
        "bytes": None,
        "sha256": None,
        "recorded": None,
        "source": None,
        "address": f"https://nvlabs-fi-cdn.nvidia.com/edm/pretrained/{NAME}",
        "licence": "CC BY-NC-SA 4.0 (non-commercial)",
        "project": "https://github.com/NVlabs/edm",
    }
    assert artc("models", "show", "edm-cifar10", "--json").document == facts
    assert artc(*PULL).code == 0
    document = artc("models", "show", "edm-cifar10", "--json").document
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document.pop("recorded"))
    del facts["recorded"]
    facts |= {"where": "in the cache", "bytes": len(FILE), "sha256": DIGEST, "source": f"{server.address}/{NAME}"}
    assert document == facts
    lines = artc("models", "show", "edm-cifar10").out.splitlines()
    assert f"  sha256    {DIGEST}" in lines
    assert f"  path      {cache / NAME}" in lines
    assert "  licence   CC BY-NC-SA 4.0 (non-commercial)" in lines
    assert artc("models", "show", "edm-imagenet64", "--json").document["classes"] == 1000


@pytest.mark.parametrize("command", ["show", "pull"])
def test_a_wrong_name_lists_close_ones_of_both_kinds(command):
    said, hint = artc("models", command, "edm-cifar").err.splitlines()
    assert said == "error: Unknown model 'edm-cifar'."
    assert hint.startswith("       Did you mean edm-cifar10 or edm-cifar10-cond or ")
    assert artc("models", command, "gausian").err.endswith("Did you mean gaussian?\n")
    outcome = artc("models", command, "xyz")
    assert (outcome.code, outcome.out) == (2, "")
    assert f"Known: {', '.join(sorted([*MODELS, *PUBLISHED]))}." in outcome.err


# ------------------------------------------------------------------------------------------- pull


def test_pull_shows_the_licence_then_progress_and_where_the_file_is(cache, server):
    outcome = artc(*PULL)
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "edm-cifar10 is in the cache.",
        f"  file    {cache / NAME}",
        f"  sha256  {DIGEST}",
    ]
    licence, fetching, progress = outcome.err.splitlines()
    assert (licence, fetching) == (LICENCE, f"fetching {server.address}/{NAME}")
    assert re.fullmatch(r"downloading: \d+\.\d s, 0\.5 MB, \d+\.\d MB/s", progress)
    assert (cache / NAME).read_bytes() == FILE
    assert names_in(cache) == [NAME, RECORD]

    again = artc(*PULL)
    assert (again.code, again.err) == (0, "")
    assert again.out.splitlines() == ["edm-cifar10 was in the cache already.", *outcome.out.splitlines()[1:]]
    assert len(server.requests) == 1
    assert artc(*PULL, "--force").err.startswith(LICENCE)
    assert len(server.requests) == 2


def test_pull_prints_the_same_facts_as_one_document(cache, server):
    facts = {"name": "edm-cifar10", "fetched": True, "path": str(cache / NAME), "sha256": DIGEST}
    outcome = artc(*PULL, "--json")
    assert outcome.document == facts
    assert LICENCE in outcome.err
    assert artc(*PULL, "--json").document == facts | {"fetched": False}
    assert artc(*PULL, "--json", "--force").document == facts
    quiet = artc(*PULL, "--quiet", "--force")
    assert (quiet.code, quiet.out) == (0, "")
    assert quiet.err.splitlines() == [line for line in outcome.err.splitlines() if LICENCE in line]  # told to everybody


def test_there_is_nothing_to_fetch_of_a_model_in_the_package(cache):
    outcome = artc("models", "pull", "mnist")
    assert (outcome.code, outcome.out, outcome.err) == (0, "mnist is in the package; there is nothing to fetch.\n", "")
    document = artc("models", "pull", "mnist", "--json").document
    assert document == {"name": "mnist", "fetched": False, "path": None, "sha256": None}
    assert not cache.exists()


def test_without_a_network_two_lines_say_what_to_do(cache):
    outcome = artc(*PULL)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.splitlines()[2:] == [
        "error: Cannot reach 127.0.0.1: Connection refused.",
        f"       {by_hand(PUBLISHED['edm-cifar10'])}",
    ]


def test_a_changed_file_is_an_error_and_force_mends_it(cache, server):
    artc(*PULL)
    (cache / NAME).write_bytes(FILE + b".")
    outcome = artc(*PULL)
    assert (outcome.code, outcome.out) == (2, "")
    first, second = outcome.err.splitlines()
    assert first.startswith(f"error: {str(cache / NAME)!r} differs from what was recorded on ")
    assert "artc models pull edm-cifar10 --force" in second
    assert artc(*PULL, "--force").code == artc(*PULL).code == 0


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that not even the superuser may write")
def test_a_cache_that_cannot_be_written_is_told(monkeypatch):
    monkeypatch.setenv("ARTC_CACHE", "/proc/self")
    outcome = artc(*PULL)
    assert outcome.code == 2
    assert outcome.err.splitlines()[2:] == [
        "error: The folder '/proc/self' is not writable.",
        "       Set ARTC_CACHE to another folder.",
    ]


# ------------------------------------------------------------------------------------------- the program itself


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_program_that_is_ended_midway_is_gone_on_with_by_the_next(cache, server, how):
    server.hold_at = 200_000
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(*PULL, env=environment(), **pipes) as running:
        wait_for(200_000, cache / PART)
        running.send_signal(how)
        out, err = running.communicate()
    if how == signal.SIGINT:
        assert (running.returncode, names_in(cache)) == (130, [PART, MEMO])
        said = err.decode().splitlines()
        assert said[2:] == ["Interrupted; what has come is kept, and the same command goes on from there."]
    else:
        assert (running.returncode, names_in(cache)) == (-how, [LOCK, PART, MEMO])
    assert out == b""
    assert (cache / PART).read_bytes() == FILE[:200_000]

    server.hold_at = None
    assert artc(*PULL).code == 0
    assert server.ranges_asked == [None, "bytes=200000-"]
    assert (cache / NAME).read_bytes() == FILE
    assert names_in(cache) == [NAME, RECORD]


def test_of_two_programs_at_once_the_second_says_so(cache, server):
    server.hold_at = 200_000
    with start(*PULL, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        wait_for(200_000, cache / PART)
        second = artc(*PULL)
        server.release.set()
        first.communicate()
    assert (first.returncode, second.code) == (0, 2)
    assert second.err.splitlines()[2:] == [
        f"error: Another process is fetching {str(cache / NAME)!r} at this moment.",
        "       Wait for it, then try again.",
    ]
    assert (cache / NAME).read_bytes() == FILE
    assert json.loads((cache / RECORD).read_text())["sha256"] == DIGEST
    assert artc(*PULL).code == 0
    assert len(server.requests) == 1


def test_a_terminal_shows_megabytes_and_their_rate_in_eighty_columns(cache, server):
    def let_go():
        wait_for(10_000_000, cache / PART)
        time.sleep(0.2)  # longer than it takes to a next update
        server.release.set()

    server.content, server.hold_at = b"\x80" + os.urandom(30_000_000) + b".", 10_000_000
    threading.Thread(target=let_go).start()
    code, shown = on_terminal(*PULL)
    assert code == 0
    assert cursor_is_shown(shown)
    bars = [line for line in plain(shown).replace("\r", "\n").splitlines() if line.startswith("downloading ")]
    assert "100 %" in bars[-1]
    assert re.search(r" 30/30 MB, \d+\.\d MB/s *$", bars[-1])
    assert max(map(len, bars)) <= 80
    assert "…" not in plain(shown)

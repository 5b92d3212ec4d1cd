"""A download from a real server: whole or not at all, in a folder that it shares with others."""

import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from artc.errors import ArtcError, OutputError
from artc.models.published.download import download
from artc.progress import Progress, drain
from tests.cli import environment, names_in
from tests.downloading import SIZE, fetch, refused
from tests.http_server import FILE

pytestmark = pytest.mark.usefixtures("direct")


# ------------------------------------------------------------------------------------------- all is well


def test_a_file_comes_whole_and_leaves_nothing_beside_it(server, target):
    updates = []
    assert drain(download(server.url, target), updates.append) == target
    assert target.read_bytes() == FILE
    assert names_in(target.parent) == ["model.pkl"]
    assert updates[0] == Progress(done=0, total=SIZE)
    assert [update for update in updates if update.done == update.total] == [updates[-1]]
    ((path, headers),) = server.requests
    assert (path, headers["accept-encoding"], "range" in headers) == ("/model.pkl", "identity", False)
    assert headers["user-agent"].startswith("artc/")


def test_the_mode_is_what_the_umask_leaves(server, target):
    before = os.umask(0o027)
    try:
        fetch(server.url, target)
    finally:
        os.umask(before)
    assert target.stat().st_mode & 0o777 == 0o640


def test_an_old_file_is_replaced_at_the_very_end(server, target):
    target.parent.mkdir()
    target.write_bytes(b"old")
    steps = download(server.url, target)
    assert next(steps).done == 0
    assert target.read_bytes() == b"old"
    drain(steps)
    assert target.read_bytes() == FILE


@pytest.mark.parametrize("target_of", ["/elsewhere.pkl", "elsewhere.pkl", "{address}/elsewhere.pkl", "/else where.pkl"])
def test_redirects_are_followed(server, target, target_of):
    server.redirects = {"/model.pkl": "/second", "/second": target_of.format(address=server.address)}
    fetch(server.url, target)
    assert target.read_bytes() == FILE
    assert [path for path, _ in server.requests][:2] == ["/model.pkl", "/second"]
    assert server.requests[2][0] == target_of.format(address="").replace(" ", "%20").rjust(14, "/")


def test_the_proxy_of_the_environment_is_used(server, target, monkeypatch):
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", server.address)
    fetch("http://models.invalid/model.pkl", target)
    assert target.read_bytes() == FILE
    assert server.requests[0][0] == "http://models.invalid/model.pkl"


# ------------------------------------------------------------------------------------------- the folder


def test_a_full_disk_is_told_before_it_is_full(server, target, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("artc.models.published.download.shutil.disk_usage", lambda _: usage(2e9, 2e9, 100_000))
    said = refused(server.url, target, OutputError)
    assert said.startswith(
        f"{str(target.parent)!r} has room for 0 MB, and 1 MB are to come. Make room, or set ARTC_CACHE"
    )


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_told(server, target):
    target.parent.mkdir()
    target.with_name("model.pkl.part").symlink_to("/dev/full")
    assert refused(server.url, target, OutputError).startswith(
        f"Cannot write {str(target)!r}: No space left on device."
    )


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that not even the superuser may write")
def test_a_folder_that_cannot_be_written_is_told(server):
    said = refused(server.url, Path("/proc/self/model.pkl"), OutputError)
    assert said == "The folder '/proc/self' is not writable. Set ARTC_CACHE to another folder."


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_told(server, target):
    target.parent.mkdir(mode=0o555)
    assert "is not writable. Set ARTC_CACHE" in refused(server.url, target, OutputError)


def test_a_file_in_place_of_the_folder_is_told(server, tmp_path):
    (tmp_path / "file").write_bytes(b"precious")
    for folder in (tmp_path / "file", tmp_path / "file" / "models"):
        with pytest.raises(OutputError, match=r"is not a folder\. Set ARTC_CACHE to another folder\."):
            fetch(server.url, folder / "model.pkl")
    assert (tmp_path / "file").read_bytes() == b"precious"


def test_a_folder_in_place_of_the_file_is_told(server, target):
    target.mkdir(parents=True)
    with pytest.raises(OutputError, match=r"Cannot write .*: Is a directory\."):
        fetch(server.url, target)


def test_two_at_once_do_not_meet_and_the_second_is_told(server, target):
    server.hold_at = 100_000
    first = download(server.url, target)
    next(first)
    code = f"""
from pathlib import Path
from artc.errors import OutputError
from artc.models.published.download import download
from artc.progress import drain
try:
    drain(download({server.url!r}, Path({str(target)!r})))
except OutputError as error:
    print(error)
"""
    second = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert (
        second.stdout == f"Another process is fetching {str(target)!r} at this moment. Wait for it, then try again.\n"
    )
    with pytest.raises(OutputError, match="Another process is fetching"):
        fetch(server.url, target)
    assert len(server.requests) == 1
    server.release.set()
    drain(first)
    assert target.read_bytes() == FILE
    assert names_in(target.parent) == ["model.pkl"]


def test_a_lock_left_behind_by_a_crash_stops_nobody(server, target):
    target.parent.mkdir()
    target.with_name("model.pkl.lock").touch()
    fetch(server.url, target)
    assert names_in(target.parent) == ["model.pkl"]


def test_a_file_system_without_locks_is_told(server, target, monkeypatch):
    def unsupported(_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("artc.models.published.lock._lock", unsupported)
    with pytest.raises(ArtcError, match=r"No locks available\. Set ARTC_CACHE to another folder\."):
        fetch(server.url, target)

"""Pulling a model into the cache: once, recorded, from the published address or a mirror of it."""

import hashlib
import json
from dataclasses import replace

import pytest

from artc.errors import DownloadError, InputError
from artc.models.published import store
from artc.models.published.store import address, by_hand, checked, pull
from artc.progress import drain
from tests.caching import CIFAR, DIGEST, NAME, OTHER, RECORD, put, refused
from tests.cli import names_in
from tests.http_server import FILE, serving


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ARTC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving() as state:
        monkeypatch.setenv("ARTC_MIRROR", state.address)
        yield state


# ------------------------------------------------------------------------------------------- pulling


def test_a_model_is_fetched_once_and_recorded_with_its_address(cache, server):
    updates = []
    found = drain(pull(CIFAR), updates.append)
    assert (found.path, found.sha256) == (cache / NAME, DIGEST)
    assert (cache / NAME).read_bytes() == FILE
    document = json.loads((cache / RECORD).read_text())
    assert (document["sha256"], document["source"]) == (DIGEST, f"{server.address}/{NAME}")
    assert {update.stage for update in updates} == {"downloading"}
    assert (updates[-1].done, updates[-1].total, updates[-1].gap) == (len(FILE), len(FILE), None)
    assert drain(pull(CIFAR)) == checked(CIFAR) == found
    assert len(server.requests) == 1
    assert names_in(cache) == [NAME, RECORD]


def test_force_fetches_again_and_records_anew(cache, server):
    drain(pull(CIFAR))
    server.content = OTHER
    found = drain(pull(CIFAR, force=True))
    assert found.sha256 == hashlib.sha256(OTHER).hexdigest()
    assert checked(CIFAR) == found
    assert len(server.requests) == 2


def test_force_mends_a_changed_file_and_a_damaged_record(cache, server):
    drain(pull(CIFAR))
    put(cache, OTHER)
    (cache / RECORD).write_text("{")
    assert drain(pull(CIFAR, force=True)).sha256 == DIGEST
    assert checked(CIFAR).sha256 == DIGEST


def test_force_that_fails_leaves_the_old_file_and_its_record(cache, server):
    drain(pull(CIFAR))
    server.statuses = [404]
    with pytest.raises(DownloadError):
        drain(pull(CIFAR, force=True))
    server.content = b"no pickle"
    with pytest.raises(InputError):
        drain(pull(CIFAR, force=True))
    assert checked(CIFAR).sha256 == DIGEST
    assert names_in(cache) == [NAME, RECORD]


def test_a_crash_between_the_new_file_and_its_record_leaves_no_false_record(cache, server, monkeypatch):
    def crash(*_):
        raise MemoryError

    drain(pull(CIFAR))
    server.content = OTHER
    with monkeypatch.context() as broken:
        broken.setattr(store, "record", crash)
        with pytest.raises(MemoryError):
            drain(pull(CIFAR, force=True))
    assert checked(CIFAR).sha256 == hashlib.sha256(OTHER).hexdigest()


def test_another_file_than_was_recorded_never_gets_the_name(cache, server):
    drain(pull(CIFAR))
    (cache / NAME).unlink()
    server.content = OTHER
    said = refused(lambda: drain(pull(CIFAR)))
    assert said.startswith(f"'{server.address}/{NAME}' differs from what was recorded on ")
    assert names_in(cache) == [RECORD]
    assert drain(pull(CIFAR, force=True)).sha256 == hashlib.sha256(OTHER).hexdigest()


def test_a_cut_off_file_of_the_server_never_gets_the_name(cache, server):
    server.headers = {"Content-Length": str(len(FILE) - 10)}
    said = refused(lambda: drain(pull(CIFAR)))
    assert said == (
        f"'{server.address}/{NAME}' is not a whole pickle; it may be cut off, or another kind of file. {by_hand(CIFAR)}"
    )
    assert names_in(cache) == []


# ------------------------------------------------------------------------------------------- addresses, no network


@pytest.mark.parametrize("mirror", ["http://localhost:8/edm", "http://localhost:8/edm/", "http://localhost:8/edm//"])
def test_a_mirror_needs_no_slash(monkeypatch, mirror):
    monkeypatch.setenv("ARTC_MIRROR", mirror)
    assert address(CIFAR) == f"http://localhost:8/edm/{NAME}"


def test_without_a_mirror_it_is_the_published_address(monkeypatch):
    monkeypatch.setenv("ARTC_MIRROR", "")
    assert address(CIFAR) == CIFAR.address


@pytest.mark.parametrize("mirror", ["file:///srv/edm", "/srv/edm", "mirror.example.org"])
def test_a_mirror_that_is_no_address_is_refused(cache, monkeypatch, mirror):
    monkeypatch.setenv("ARTC_MIRROR", mirror)
    said = refused(lambda: drain(pull(CIFAR)))
    assert said.startswith(
        f"{mirror!r} is not an http or https address. Mend ARTC_MIRROR, or unset it. A file that you"
    )
    assert not cache.exists()


def test_without_a_network_the_error_says_what_to_fetch_and_where_to_put_it(cache, server, monkeypatch):
    monkeypatch.setenv("ARTC_MIRROR", "http://127.0.0.1:1/")
    said = refused(lambda: drain(pull(CIFAR)), DownloadError)
    assert said == (
        "Cannot reach 127.0.0.1: Connection refused. "
        f"Fetch https://nvlabs-fi-cdn.nvidia.com/edm/pretrained/{NAME} by other means and put it at "
        f"{str(cache / NAME)!r}, or keep it anywhere and say --model edm:PATH."
    )
    assert by_hand(CIFAR) in said
    put(cache)
    assert drain(pull(CIFAR)).sha256 == DIGEST


def test_what_came_before_a_failure_is_told_beside_it(cache, server):
    server.cuts, server.statuses = [200_000], []
    steps = pull(CIFAR)
    next(steps)
    server.statuses = [404]
    said = refused(lambda: drain(steps), DownloadError)
    assert f"The 0.2 MB that came are kept; the same command goes on from there. {by_hand(CIFAR)}" in said


def test_a_progress_that_is_left_releases_the_lock(cache, server):
    steps = pull(CIFAR)
    next(steps)
    assert f"{NAME}.lock" in names_in(cache)
    steps.close()
    assert f"{NAME}.lock" not in names_in(cache)


def test_the_names_of_the_errors_are_those_of_the_model(cache):
    put(cache, b"x")
    assert "artc models pull mine --force" in refused(lambda: checked(replace(CIFAR, name="mine")))

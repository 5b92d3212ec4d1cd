"""The cache of fetched models: where it is, and that a file in it is what was recorded, or refused."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from artc.errors import InputError, OutputError
from artc.models import checksums
from artc.models.published import store
from artc.models.published.catalogue import PUBLISHED
from artc.models.published.store import cache_folder, checked, place, present, pull, stored
from artc.models.registry import MODELS
from artc.progress import drain
from tests.caching import CIFAR, DIGEST, NAME, OTHER, RECORD, put, refused
from tests.cli import names_in
from tests.http_server import FILE


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ARTC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# ------------------------------------------------------------------------------------------- the table


def test_the_table_names_each_file_once_and_shadows_no_model_of_the_package():
    assert not set(PUBLISHED) & set(MODELS)
    assert len({one.file for one in PUBLISHED.values()}) == len(PUBLISHED) == 5
    for name, one in PUBLISHED.items():
        assert one.name == name
        assert one.address == f"https://nvlabs-fi-cdn.nvidia.com/edm/pretrained/{one.file}"
        side = one.shape[1]
        assert one.shape == (3, side, side)
        assert f"-{side}x{side}-" in one.file
        assert (one.classes > 0) == ("-cond-" in one.file)


def test_looking_loads_neither_torch_nor_network_code():
    code = """
import sys
from artc.models.published import catalogue as published, store
store.present(published.PUBLISHED["edm-ffhq"])
sys.exit(str({"torch", "urllib.request", "http.client"} & set(sys.modules) or ""))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr == "\n"


# ------------------------------------------------------------------------------------------- the folder


def test_the_folder_is_that_of_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("ARTC_CACHE", str(tmp_path / "a"))
    assert place(CIFAR) == tmp_path / "a" / NAME
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARTC_CACHE", "b")
    assert place(CIFAR) == tmp_path / "b" / NAME
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ARTC_CACHE", "~/c")
    assert place(CIFAR) == tmp_path / "c" / NAME


@pytest.mark.parametrize(
    ("system", "variables", "folder"),
    [
        ("linux", {}, "home/.cache/artc/models"),
        ("linux", {"XDG_CACHE_HOME": "{0}/xdg"}, "xdg/artc/models"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "home/.cache/artc/models"),
        ("darwin", {"XDG_CACHE_HOME": "{0}/xdg"}, "home/Library/Caches/artc/models"),
        ("win32", {"LOCALAPPDATA": "{0}/local"}, "local/artc/models"),
        ("win32", {}, "home/AppData/Local/artc/models"),
    ],
)
def test_without_the_variable_it_is_in_the_cache_folder_of_the_platform(
    monkeypatch, tmp_path, system, variables, folder
):
    for name in ("ARTC_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ARTC_CACHE", "")
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setattr("artc.models.published.store.sys.platform", system)
    assert cache_folder() == tmp_path / folder


def test_without_any_home_the_variable_is_asked_for(monkeypatch):
    def homeless():
        raise RuntimeError

    for name in ("ARTC_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert refused(cache_folder) == "There is no home folder to keep models in. Set ARTC_CACHE to a folder."


def test_presence_is_a_file_and_nothing_is_read(cache, monkeypatch):
    assert not present(CIFAR)
    put(cache)
    monkeypatch.setattr(store, "sha256_of", None)
    assert present(CIFAR)
    (cache / NAME).unlink()
    (cache / NAME).mkdir()
    assert not present(CIFAR)
    monkeypatch.setenv("ARTC_CACHE", str(cache / ("x" * 300)))
    assert not present(CIFAR)


# ------------------------------------------------------------------------------------------- checksums


def test_the_digest_is_that_of_the_standard(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert checksums.sha256_of(tmp_path / "abc") == expected


def test_what_is_not_there_is_none_and_stored_says_how_to_get_it(cache):
    assert checked(CIFAR) is None
    assert not cache.exists()
    said = refused(lambda: stored(CIFAR))
    assert said == "edm-cifar10 is not in the cache. Get it with artc models pull edm-cifar10."


def test_a_file_put_there_by_hand_is_recorded_when_first_seen(cache):
    put(cache)
    found = checked(CIFAR)
    assert (found.path, found.sha256) == (cache / NAME, DIGEST)
    document = json.loads((cache / RECORD).read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document.pop("recorded"))
    assert document == {"sha256": DIGEST, "bytes": len(FILE), "source": "found in the cache"}
    before = (cache / RECORD).read_bytes()
    assert stored(CIFAR) == found
    assert (cache / RECORD).read_bytes() == before


def test_a_file_that_changed_is_refused_until_its_record_is_removed(cache):
    put(cache)
    checked(CIFAR)
    put(cache, OTHER)
    said = refused(lambda: checked(CIFAR))
    assert re.sub(r"\d{4}-\d\d-\d\d", "DATE", said) == (
        f"{str(cache / NAME)!r} differs from what was recorded on DATE: its sha256 is another. "
        "Fetch it again with artc models pull edm-cifar10 --force; "
        f"or, if the change is wanted, remove {str(cache / RECORD)!r}."
    )
    assert refused(lambda: drain(pull(CIFAR))) == said
    (cache / RECORD).unlink()
    assert checked(CIFAR).sha256 == hashlib.sha256(OTHER).hexdigest()


@pytest.mark.parametrize("content", [b"", b"\x80", FILE[:-1], b"<!DOCTYPE html>", b"PK\x03\x04."])
def test_a_file_that_is_no_whole_pickle_is_not_recorded(cache, content):
    put(cache, content)
    said = refused(lambda: checked(CIFAR))
    assert said.startswith(f"{str(cache / NAME)!r} is not a whole pickle; it may be cut off, or another kind of file. ")
    assert said.endswith("Fetch it with artc models pull edm-cifar10 --force.")
    assert names_in(cache) == [NAME]


SOUND = {"sha256": DIGEST, "bytes": 1, "recorded": "2026-01-01T00:00:00Z", "source": ""}


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "\xff"),
        *(
            json.dumps(SOUND | wrong)
            for wrong in ({"sha256": 7}, {"sha256": "abc"}, {"recorded": None}, {"recorded": "x"})
        ),
        json.dumps(SOUND | {"more": 1}),
    ],
)
def test_a_record_that_cannot_be_understood_is_named(cache, text):
    put(cache)
    (cache / RECORD).write_bytes(text.encode("latin-1"))
    said = refused(lambda: checked(CIFAR))
    assert said.startswith(f"{str(cache / RECORD)!r} is not a record of a checksum. Remove it, and the file")
    (cache / RECORD).unlink()
    assert checked(CIFAR).sha256 == DIGEST


def test_a_cache_that_cannot_be_written_serves_all_the_same(cache, monkeypatch):
    def refuse(*_, **__):
        raise OutputError("The folder is not writable.")

    put(cache)
    monkeypatch.setattr(checksums, "write_whole", refuse)
    assert checked(CIFAR).sha256 == DIGEST
    assert names_in(cache) == [NAME]


def test_a_folder_in_place_of_the_file_is_told(cache):
    (cache / NAME).mkdir(parents=True)
    with pytest.raises(InputError, match=r"Cannot read .*: Is a directory\."):
        checked(CIFAR)

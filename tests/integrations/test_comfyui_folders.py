"""The model folder `art_schedules`: what is listed, what is found, and what is not to be had through it."""

import math
import os
import shutil
from pathlib import Path

import pytest

from artc.errors import InputError
from artc.integrations.comfyui import folders
from tests.integrations.made import MNIST


def test_the_folder_is_registered_for_json_alone_and_created(comfy):
    own = folders.register()
    assert own == comfy.artifacts
    assert own.is_dir()
    assert comfy.folder_paths.folder_names_and_paths["art_schedules"] == ([str(own)], {".json"})
    folders.register()
    assert comfy.folder_paths.get_folder_paths("art_schedules") == [str(own)]


def test_folders_from_extra_model_paths_stay_and_lose_their_empty_list_of_extensions(comfy, tmp_path):
    extra = tmp_path / "extra"
    extra.mkdir()
    shutil.copy(MNIST, extra / "far.art.json")
    (extra / "notes.txt").write_text("not an artifact")
    comfy.folder_paths.folder_names_and_paths["art_schedules"] = ([str(extra)], set())  # what ComfyUI makes of the file
    assert folders.artifact_names() == ["far.art.json"]
    assert comfy.folder_paths.get_folder_paths("art_schedules") == [str(extra), str(comfy.artifacts)]
    assert folders.find("far.art.json") == (extra / "far.art.json").resolve()


def test_an_empty_folder_is_a_choice_that_says_so_and_new_files_are_seen_at_once(comfy):
    assert folders.artifact_names() == [folders.NOTHING]
    with pytest.raises(InputError, match=r"There is no artifact to choose yet\. Make one with ART Compile, or put one"):
        folders.find(folders.NOTHING)
    (comfy.artifacts / "sub").mkdir()
    shutil.copy(MNIST, comfy.artifacts / "sub" / "one.art.json")
    assert folders.artifact_names() == [str(Path("sub", "one.art.json"))]
    assert folders.find("sub/one.art.json").read_bytes() == MNIST.read_bytes()


def test_a_folder_that_was_deleted_while_comfyui_runs_is_made_again(comfy):
    folders.register().rmdir()
    assert folders.artifact_names() == [folders.NOTHING]
    assert comfy.artifacts.is_dir()


@pytest.mark.parametrize(
    "name", ["../secret.json", "sub/../../secret.json", "{outside}/secret.json", "..", "link.json"]
)
def test_names_and_links_that_lead_out_of_the_folder_are_refused(comfy, tmp_path, name):
    (tmp_path / "models" / "secret.json").parent.mkdir()
    for secret in (tmp_path / "models" / "secret.json", tmp_path / "secret.json"):
        shutil.copy(MNIST, secret)
    (folders.register() / "sub").mkdir()
    (comfy.artifacts / "link.json").symlink_to(tmp_path / "secret.json")
    name = name.format(outside=tmp_path)
    with pytest.raises(InputError, match="leads out of the folder"):
        folders.find(name)
    assert math.isnan(folders.fingerprint(name))


def test_a_name_outside_is_refused_whether_or_not_there_is_a_file(comfy):
    with pytest.raises(InputError, match="leads out"):
        folders.find("../nothing-there.json")


def test_the_folder_itself_may_be_a_link_and_a_link_may_lead_to_another_of_the_folders(comfy, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    shutil.copy(MNIST, disk / "one.art.json")
    comfy.artifacts.parent.mkdir()
    comfy.artifacts.symlink_to(disk)
    assert folders.find("one.art.json") == (disk / "one.art.json").resolve()
    other = tmp_path / "other"
    other.mkdir()
    (other / "two.art.json").symlink_to(disk / "one.art.json")
    comfy.folder_paths.folder_names_and_paths["art_schedules"][0].append(str(other))
    assert folders.find("two.art.json") == (disk / "one.art.json").resolve()


@pytest.mark.parametrize(
    "name",
    [
        "gone.json",
        "x" * 5000 + ".json",
        "nul\0.json",
        "ring.json",
        "folder.json",
        "pipe.json",
        "weights.bin",
        "sub",
        "",
    ],
)
def test_what_cannot_be_read_is_not_there(comfy, name):
    home = folders.register()
    (home / "weights.bin").write_bytes(b"x")
    (home / "sub").mkdir()
    (home / "ring.json").symlink_to(home / "ring.json")
    (home / "folder.json").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(home / "pipe.json")  # to read from it would wait for ever
    with pytest.raises(InputError, match=r"There is no artifact .* Press R"):
        folders.find(name)


def test_the_fingerprint_is_of_the_contents_not_of_the_date(comfy):
    file = folders.register() / "one.art.json"
    shutil.copy(MNIST, file)
    first = folders.fingerprint("one.art.json")
    os.utime(file, (1, 1))
    assert folders.fingerprint("one.art.json") == first
    file.write_bytes(file.read_bytes() + b"\n")
    assert folders.fingerprint("one.art.json") != first


def test_a_missing_file_has_a_fingerprint_that_equals_nothing_not_even_itself(comfy):
    # ComfyUI keeps fingerprints in sets, which look at identity before equality: it must be a new one each time.
    first, second = folders.fingerprint("gone.json"), folders.fingerprint("gone.json")
    assert math.isnan(first)
    assert first is not second
    assert {first} != {second}

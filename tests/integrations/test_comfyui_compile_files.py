"""Where ART Compile writes: names that are names everywhere, and never over a file."""

import pytest

import artc
from artc.errors import InputError, OutputError
from artc.integrations.comfyui.saving import checked_name, save
from tests.integrations.made import artifact


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("mine", "mine"),
        ("  my model ", "my model"),
        ("SDXL 1.0 (8-step)+lora", "SDXL 1.0 (8-step)+lora"),
        ("mine.art.json", "mine"),
        ("mine.json", "mine"),
        ("梦境_2", "梦境_2"),
        ("console", "console"),
    ],
)
def test_a_name_is_a_name(name, word):
    assert checked_name(name) == word


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        ".hidden",
        "a/b",
        "a\\b",
        "/etc/passwd",
        "../up",
        "C:mine",
        "a\0b",
        "a\nb",
        "a*b",
        "what?",
        "<a>",
        'a"b',
        "a|b",
        "ends.",
        "nul",
        "COM1",
        "aux.art.json",
        "x" * 201,
        "梦" * 67,
        ".art.json",
        "-rf",
        "a.art. ",
    ],
)
def test_what_is_no_name_everywhere_is_refused(name):
    with pytest.raises(InputError, match="cannot be the name of a file"):
        checked_name(name)


def test_a_name_that_is_taken_gets_a_number_and_no_file_is_replaced(comfy, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    comfy.folder_paths.folder_names_and_paths["art_schedules"] = ([str(elsewhere)], set())
    (elsewhere / "mine_00003.art.json").write_text("of an older ComfyUI")
    grids = [artifact((4.0, top, 0.0)) for top in (3.0, 2.0, 1.0)]
    assert [save(one, "mine") for one in grids] == ["mine.art.json", "mine_00002.art.json", "mine_00004.art.json"]
    for one, name in zip(grids, ("mine", "mine_00002", "mine_00004"), strict=True):
        assert artc.load(comfy.artifacts / f"{name}.art.json").schedules == one.schedules
    assert (elsewhere / "mine_00003.art.json").read_text() == "of an older ComfyUI"


def test_a_file_that_appears_at_the_last_moment_is_left_alone(comfy, monkeypatch):
    one, write = artifact((4.0, 1.0, 0.0)), artc.Artifact.save

    def late(self, path):
        if path.name == "mine.art.json":
            path.write_text("mine first")
        write(self, path)

    monkeypatch.setattr(artc.Artifact, "save", late)
    assert save(one, "mine") == "mine_00002.art.json"
    assert (comfy.artifacts / "mine.art.json").read_text() == "mine first"


def test_a_folder_that_cannot_be_written_is_no_endless_search(comfy):
    comfy.artifacts.parent.mkdir(parents=True)
    comfy.artifacts.write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="There is no folder"):
        save(artifact((4.0, 1.0, 0.0)), "mine")

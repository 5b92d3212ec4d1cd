"""Building the folder for ComfyUI's `custom_nodes`: repeatable, from a clone or a wheel, careful with what is there."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from artc.integrations.comfyui.__main__ import main
from tests.integrations.comfyui_packing import ROOM, ROOT, built_at, isolated


@pytest.fixture
def comfyui(tmp_path):
    home = tmp_path / "ComfyUI"
    (home / "custom_nodes").mkdir(parents=True)
    (home / "main.py").write_text("")
    return home


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "artc"
    assert main(["--output", str(folder)]) == 0
    return folder


def test_two_runs_give_the_same_bytes(pack, tmp_path):
    again = tmp_path / "again"
    assert main(["--output", str(again)]) == 0
    assert built_at(again) == built_at(pack)
    assert main(["--output", str(again)]) == 0
    assert built_at(again) == built_at(pack)


@pytest.mark.parametrize("given", ["", "custom_nodes"])
def test_a_comfyui_or_its_custom_nodes_is_enough(comfyui, pack, given, capsys):
    assert main([str(comfyui / given)]) == 0
    assert built_at(comfyui / "custom_nodes" / "artc") == built_at(pack)
    assert [path.name for path in (comfyui / "custom_nodes").iterdir()] == ["artc"]
    said = capsys.readouterr().out
    assert said.startswith(f"Built {comfyui / 'custom_nodes' / 'artc'}: ")
    assert "start ComfyUI again" in said
    assert main([str(comfyui / given)]) == 0
    assert capsys.readouterr().out.startswith("Replaced ")


def test_an_older_pack_is_replaced_with_its_leftovers(comfyui, pack):
    target = comfyui / "custom_nodes" / "artc"
    main([str(comfyui)])
    record = json.loads((target / "pack.json").read_text(encoding="utf-8"))
    (target / "old.py").write_text("gone in the new version")
    (target / "pack.json").write_text(json.dumps({**record, "version": "0.0.1", "files": [*record["files"], "old.py"]}))
    (target / "__pycache__").mkdir()
    (target / "__pycache__" / "x.pyc").write_bytes(b"")
    (target / "web" / ".DS_Store").write_bytes(b"what a file browser leaves")
    assert main([str(comfyui)]) == 0
    assert built_at(target) == built_at(pack)


def spoil_with_a_file(target: Path) -> None:
    main([str(target.parent)])
    (target / "mine.txt").write_text("mine")


def spoil_with_git(target: Path) -> None:
    main([str(target.parent)])
    (target / ".git").mkdir()
    (target / ".git" / "HEAD").write_text("ref")


def spoil_with_a_link_to_nothing(target: Path) -> None:
    main([str(target.parent)])
    (target / "models").symlink_to(target / "a disk that is away", target_is_directory=True)


def spoil_with_a_folder(target: Path) -> None:
    target.mkdir()
    (target / "__init__.py").write_text("somebody else's")


def spoil_with_another_record(target: Path) -> None:
    target.mkdir()
    (target / "pack.json").write_text('{"pack": "other", "files": []}')


def spoil_with_a_broken_record(target: Path) -> None:
    target.mkdir()
    (target / "pack.json").write_text("[1")


def spoil_with_a_link(target: Path) -> None:
    other = target.parents[2] / "elsewhere"
    main(["--output", str(other)])
    target.symlink_to(other)


def spoil_with_a_plain_file(target: Path) -> None:
    target.write_text("a file")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_with_a_file, "holds a file that this command did not write: mine.txt."),
        (spoil_with_git, "holds a file that this command did not write: .git/HEAD."),
        (spoil_with_a_link_to_nothing, "holds a file that this command did not write: models."),
        (spoil_with_a_folder, "was not made by this command"),
        (spoil_with_another_record, "was not made by this command"),
        (spoil_with_a_broken_record, "was not made by this command"),
        (spoil_with_a_link, "is a link"),
        (spoil_with_a_plain_file, "was not made by this command"),
    ],
)
def test_a_folder_that_is_not_its_own_stays_as_it_is(comfyui, capsys, spoil, reason):
    target = comfyui / "custom_nodes" / "artc"
    spoil(target)
    before = built_at(comfyui)
    capsys.readouterr()
    assert main([str(comfyui)]) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert f"Move {target} away first." in said
    assert built_at(comfyui) == before


def test_what_is_no_comfyui_is_refused_with_what_might_be_meant(tmp_path, comfyui, capsys):
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "is not there" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 2
    assert "has no folder custom_nodes in it. Name the folder with main.py in it." in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2  # as the portable build for Windows has it
    assert f"Did you mean {comfyui}?" in capsys.readouterr().err


def test_a_build_that_fails_half_way_changes_nothing(comfyui, monkeypatch, capsys):
    target = comfyui / "custom_nodes" / "artc"
    main([str(comfyui)])
    (target / "README.md").write_text("the old one")
    before = built_at(comfyui)
    rename = Path.rename

    def fails(self: Path, to: Path) -> Path:
        if self.name == "new":
            raise PermissionError(13, "Permission denied", str(to))
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", fails)
    capsys.readouterr()
    assert main([str(comfyui)]) == 2
    assert "Nothing was changed: Permission denied" in capsys.readouterr().err
    assert built_at(comfyui) == before
    assert [path.name for path in (comfyui / "custom_nodes").iterdir()] == ["artc"]


def test_it_is_built_without_anything_installed_and_without_importing_artc(comfyui, pack):
    # -S leaves out site-packages: neither artc nor NumPy nor torch can be imported.
    command = [sys.executable, "-I", "-S", "-B", str(ROOM), str(comfyui)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    assert built_at(comfyui / "custom_nodes" / "artc") == built_at(pack)


def test_an_installed_artc_builds_the_same(tmp_path, comfyui, pack):
    # The layout of the wheel: three folders of the clone lie inside the package.
    site = tmp_path / "site" / "artc"
    leave_out = shutil.ignore_patterns("__pycache__")
    for source, place in (("artc", ""), ("integrations", "integrations"), ("schemas", "schemas")):
        shutil.copytree(ROOT / source, site / place, ignore=leave_out, dirs_exist_ok=True)
    (site / "integrations" / "comfyui" / "pack" / "web" / ".DS_Store").write_bytes(b"what a file browser leaves")
    run = "runpy.run_module('artc.integrations.comfyui', run_name='__main__')"
    code = f"import runpy; sys.argv[1:] = [{str(comfyui)!r}]; {run}"
    done = isolated(code, site.parent)
    assert done.returncode == 0, done.stderr
    assert built_at(comfyui / "custom_nodes" / "artc") == built_at(pack)


def test_an_incomplete_clone_says_so(tmp_path, capsys, monkeypatch):
    copy = tmp_path / "clone"
    for folder in ("artc", "integrations"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    command = [
        sys.executable,
        "-I",
        "-S",
        "-B",
        str(copy / "integrations" / "comfyui"),
        "--output",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("This copy of artc is not complete: there is no ")
    assert "schemas" in done.stderr
    assert not (tmp_path / "out").exists()

"""Arguments that make no sense to the scripts that train the embedded models: a sentence, before any work."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from artc.errors import InputError
from artc.training import classifier, denoiser, judge
from artc.training.script import script

IMAGES = np.zeros((4, 28, 28), dtype=np.uint8)


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    file = tmp_path / "digits.npz"
    np.savez(file, train=IMAGES, test=IMAGES)
    return file


def run(monkeypatch: pytest.MonkeyPatch, module: object, *arguments: object) -> int:
    """The exit code of a script with these arguments."""
    monkeypatch.setattr(sys, "argv", ["script", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        script(module.main)  # type: ignore[attr-defined]
    return int(left.value.code or 0)


@pytest.mark.parametrize("module", [denoiser, classifier])
def test_data_that_are_none_are_named_before_any_folder_is_made(
    module: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], digits: Path
) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no arrays")
    said = {
        tmp_path / "none.npz": "There is no file",
        text: "is no npz file",
        tmp_path: "is no npz file",
        digits: "lacks an array",
    }
    for data, words in said.items():
        assert run(monkeypatch, module, "cifar10", "--data", data, "--out", tmp_path / "out") == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("module", [denoiser, classifier])
def test_a_device_that_is_not_there_is_named(
    module: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], digits: Path
) -> None:
    np.savez(digits, train=IMAGES, train_y=np.zeros(4))
    assert run(monkeypatch, module, "mnist", "--data", digits, "--out", tmp_path / "out", "--device", "cuda") == 2
    assert "no CUDA" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_judge_wants_the_card_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], digits: Path
) -> None:
    places = ("--folder", tmp_path, "--picture", tmp_path / "p.png")
    assert run(monkeypatch, judge, "mnist", "--data", digits, *places) == 2
    assert "There is no card" in capsys.readouterr().err


def test_a_start_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], digits: Path
) -> None:
    places = ("--out", tmp_path / "out", "--start-from", tmp_path / "none")
    assert run(monkeypatch, denoiser, "mnist", "--data", digits, *places) == 2
    assert "There is no trained mnist in" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["not safetensors", "other tensors", "other settings"])
def test_a_checkpoint_of_something_else_is_not_continued(tmp_path: Path, damage: str) -> None:
    config = denoiser.TrainingConfig(images=256)
    state = denoiser.start(config, torch.device("cpu"))
    file = tmp_path / "checkpoint.safetensors"
    if damage == "not safetensors":
        file.write_bytes(b"nothing of the kind")
    elif damage == "other tensors":
        save_file({"x": torch.zeros(1)}, file)
    else:
        save_file({"x": torch.zeros(1)}, file, {"progress": json.dumps({"config": {}})})
    with pytest.raises(InputError, match=r"Choose another --out"):
        denoiser.load_checkpoint(file, state, config)

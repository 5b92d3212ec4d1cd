"""The examples of the ComfyUI README, run as they stand."""

import json
import re
import shutil
from pathlib import Path

import pytest

import artc
from artc.integrations.comfyui import NODE_CLASS_MAPPINGS
from tests.integrations.made import MNIST

ROOM = Path(__file__).resolve().parents[2] / "integrations" / "comfyui"
README = (ROOM / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def comfy(comfy):
    comfy.artifacts.mkdir(parents=True)
    shutil.copy(MNIST, comfy.artifacts / "mnist.art.json")
    return comfy


def example(language):
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return block


def test_the_python_example_is_ten_lines_and_prints_the_schedule(comfy, capsys):
    code = example("python")
    assert len(code.splitlines()) <= 10
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["sigmas"].tolist() == pytest.approx(artc.load(MNIST).sigmas(nfe=9, solver="heun").tolist(), rel=1e-7)
    assert capsys.readouterr().out.startswith("mnist · heun · NFE 9 in 5 steps · sigma 80 to 0 (ve)")


def test_the_prompt_gives_every_input_that_the_node_requires(comfy):
    prompt = json.loads(example("json"))
    node = NODE_CLASS_MAPPINGS[prompt["class_type"]]
    required = node.INPUT_TYPES()["required"]
    assert list(prompt["inputs"]) == list(required)
    for name, (kind, _) in required.items():
        assert not isinstance(kind, list) or prompt["inputs"][name] in kind
    assert node().schedule(**prompt["inputs"])["result"][0].shape == (6,)


def test_every_file_the_readme_names_exists():
    for name in re.findall(r"`([a-z_]+\.py|pack/[\w./]*)`", README):
        assert (ROOM / name).exists(), name

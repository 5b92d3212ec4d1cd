"""What is in the folder that is built for ComfyUI's `custom_nodes`: all that the nodes need, and nothing else."""

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

import artc
from artc.integrations.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from artc.integrations.comfyui.__main__ import main
from tests.integrations.comfyui_packing import ROOM, ROOT, built_at, isolated
from tests.integrations.comfyui_stand_ins import stand_ins

if sys.version_info >= (3, 11):
    import tomllib

FOREIGN = ("typer", "rich", "matplotlib", "jsonschema", "diffusers", "transformers", "onnx", "onnxruntime")
"""What ComfyUI does not bring, or need not."""


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "artc"
    assert main(["--output", str(folder)]) == 0
    return folder


# What is in it


def test_its_record_lists_its_files(pack):
    record = json.loads((pack / "pack.json").read_text(encoding="utf-8"))
    assert record["files"] == sorted(set(built_at(pack)) - {"pack.json"})
    assert record["version"] == artc.__version__


def test_vendor_holds_nothing_but_artc(pack):
    # A module called nodes or utils there would stand before ComfyUI's own.
    assert [path.name for path in (pack / "vendor").iterdir()] == ["artc"]
    assert not list(pack.rglob("__main__.py"))


def test_what_lies_at_the_top_of_a_clone_is_what_artc_is_made_of(pack):
    for name, content in built_at(pack / "vendor" / "artc").items():
        first = name.partition("/")[0]
        source = ROOT / name if first in ("integrations", "schemas") else ROOT / "artc" / name
        assert content == source.read_bytes(), name


WORK = """
import importlib.util, json, types
from pathlib import Path
pack = Path({pack!r})
host = types.ModuleType("folder_paths")
host.models_dir, host.folder_names_and_paths = {models!r}, {{}}
host.get_filename_list = lambda kind: []
sys.modules["folder_paths"] = host
name = str(pack).replace(".", "_x_")  # the name that ComfyUI gives the module
spec = importlib.util.spec_from_file_location(name, pack / "__init__.py")
nodes = sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(nodes)
early = sorted(sys.modules)
import artc
for word in ("load", "compile", "score_model", "adapt"):
    getattr(artc, word)
def denoiser(x, sigma):
    return x / (1 + 4 * sigma.square().reshape(-1, 1))
made = artc.compile(
    denoiser, shape=(2,), sigma_min=0.002, sigma_max=80, nfe=3, solver="dpmpp_2m", trajectories=8, device="cpu"
)
made.save({models!r} + "/made.art.json")
again = artc.load({models!r} + "/made.art.json")
for place in (pack / "vendor" / "artc" / "integrations" / "comfyui").glob("*.py"):
    if place.stem != "__init__":
        importlib.import_module("artc.integrations.comfyui." + place.stem)
print(json.dumps({{
    "early": early,
    "all": {{name: module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "artc"}},
    "nodes": sorted(nodes.NODE_CLASS_MAPPINGS),
    "web": nodes.WEB_DIRECTORY,
    "same": made.digest == again.digest,
    "folders": host.folder_names_and_paths["art_schedules"][0],
}}))
"""


@pytest.fixture(scope="module")
def worked(pack, tmp_path_factory):
    """What happened in a Python that has torch and NumPy and none of artc's other libraries."""
    models = str(tmp_path_factory.mktemp("models"))
    done = isolated(WORK.format(pack=str(pack), models=models), blocked=FOREIGN)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), models


def test_it_loads_compiles_writes_and_reads_with_what_comfyui_has(worked):
    found, models = worked
    assert found["same"]
    assert found["nodes"] == sorted(NODE_CLASS_MAPPINGS)
    assert found["folders"] == [str(Path(models) / "art_schedules")]


def test_every_module_comes_from_its_vendor_folder_and_every_one_there_is_needed(worked, pack):
    found, _ = worked
    vendor = pack / "vendor"
    there = {
        path.relative_to(vendor).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for path in vendor.rglob("*.py")
    }
    assert all(Path(file).is_relative_to(vendor) for file in found["all"].values())
    assert set(found["all"]) == there


def test_comfyui_starts_without_waiting_for_torch_or_a_compiler(worked):
    found, _ = worked
    assert not {"torch", "artc.pipeline", "artc.learning"} & set(found["early"])


def test_each_node_has_a_help_page_with_all_its_inputs_and_outputs(pack, tmp_path):
    with stand_ins(tmp_path):
        for name, node in NODE_CLASS_MAPPINGS.items():
            page = (pack / "web" / "docs" / f"{name}.md").read_text(encoding="utf-8")
            assert page.startswith(f"# {NODE_DISPLAY_NAME_MAPPINGS[name]}\n")
            words = set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))
            types = node.INPUT_TYPES()
            assert words >= {*types["required"], *types.get("optional", {}), *node.RETURN_NAMES}, name


def test_the_script_in_the_page_knows_the_nodes_that_show_a_text(pack):
    script = (pack / "web" / "artc.js").read_text(encoding="utf-8")
    assert set(re.search(r"NODES = \[(.*)\]", script)[1].replace('"', "").split(", ")) == {
        "ArtSchedule",
        "ArtScheduleInfo",
        "ArtCompile",
        "ArtModelSigmas",
    }


def test_the_example_workflow_is_a_whole_graph_whose_widgets_fit_the_nodes(pack, tmp_path):
    with stand_ins(tmp_path):
        for file in (pack / "example_workflows").glob("*.json"):
            graph = json.loads(file.read_text(encoding="utf-8"))
            nodes = {node["id"]: node for node in graph["nodes"]}
            assert any(node["type"].endswith("Note") for node in nodes.values())
            for number, giver, slot, taker, place, kind in graph["links"]:
                given, taken = nodes[giver]["outputs"][slot], nodes[taker]["inputs"][place]
                assert number in given["links"]
                assert taken["link"] == number
                assert given["type"] == taken["type"] == kind
            for node in nodes.values():
                if node["type"] in NODE_CLASS_MAPPINGS:
                    kinds = list(NODE_CLASS_MAPPINGS[node["type"]].INPUT_TYPES()["required"].values())
                    widgets = [kind for kind, _ in kinds if isinstance(kind, list) or kind in ("INT", "FLOAT")]
                    assert len(node["widgets_values"]) == len(widgets)
                    for kind, value in list(zip(widgets, node["widgets_values"], strict=True))[1:]:
                        assert not isinstance(kind, list) or value in kind


def test_the_workflow_samples_with_the_solver_of_its_schedule(pack):
    graph = json.loads((pack / "example_workflows" / "art_schedule.json").read_text(encoding="utf-8"))
    values = {node["type"]: node.get("widgets_values") for node in graph["nodes"]}
    assert values["ArtSchedule"][1] == values["KSamplerSelect"][0]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no TOML reader in the standard library")
def test_registry_metadata_fit_the_registry_and_install_nothing(pack):
    facts = tomllib.loads((pack / "pyproject.toml").read_text(encoding="utf-8"))
    project = facts["project"]
    assert project["version"] == artc.__version__
    assert "comfyui" not in project["name"].lower()
    assert project["dependencies"] == []
    assert facts["tool"]["comfy"]["requires-comfyui"].startswith(">=")
    assert not list(pack.rglob("requirements*.txt"))
    assert (pack / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_no_file_of_the_pack_runs_text_as_code(pack):
    for name, content in built_at(pack).items():
        if name.endswith(".py"):
            assert not re.search(rb"(?<![.\w])(eval|exec)\(", content), name


# The shim


def load_shim(folder: Path) -> object:
    spec = importlib.util.spec_from_file_location("a pack in /a.folder", folder / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_link_to_the_room_uses_an_installed_artc(tmp_path):
    (tmp_path / "artc").symlink_to(ROOM / "pack")
    with stand_ins(tmp_path) as host:
        before = list(sys.path)
        shim = load_shim(tmp_path / "artc")
        assert sys.path == before
        assert set(host.folder_paths.folder_names_and_paths) == {"art_schedules"}
    assert shim.NODE_CLASS_MAPPINGS is NODE_CLASS_MAPPINGS
    assert (tmp_path / "artc" / shim.WEB_DIRECTORY).is_dir()


def test_its_own_copy_comes_before_another_artc(pack, tmp_path):
    (tmp_path / "artc").mkdir()
    (tmp_path / "artc" / "__init__.py").write_text("raise ImportError('an older artc')")
    done = isolated(
        f"import runpy; runpy.run_path({str(pack / '__init__.py')!r}); import artc; print(artc.__file__)", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(pack)


def test_without_vendor_and_without_artc_the_log_says_what_to_do(pack, tmp_path):
    shutil.copytree(pack, tmp_path / "artc", ignore=shutil.ignore_patterns("vendor"))
    code = f"import runpy; runpy.run_path({str(tmp_path / 'artc' / '__init__.py')!r})"
    done = isolated(code, blocked=("artc",))
    assert done.stderr.splitlines()[-1].startswith("ImportError: The artc nodes are not complete: their vendor folder")


def test_a_library_that_is_really_missing_is_named(pack):
    code = f"import runpy; runpy.run_path({str(pack / '__init__.py')!r})"
    done = isolated(code, blocked=("numpy",))
    assert "No module named 'numpy'" in done.stderr.splitlines()[-1]

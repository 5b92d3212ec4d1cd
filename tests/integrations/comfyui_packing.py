"""A built pack as bytes, and a Python that has no more than a test gives it."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOM = ROOT / "integrations" / "comfyui"


def built_at(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def isolated(code: str, *paths: Path, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run code with these paths and the installed libraries, without the checkout and without what is blocked."""
    prelude = f"""
import sys
sys.path[:0] = {list(map(str, paths))!r}
sys.path += {[sysconfig.get_path("purelib")]!r}
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-I", "-S", "-B", "-c", prelude + code]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd="/")

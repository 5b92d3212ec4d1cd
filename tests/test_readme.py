"""The README does what it says: every command and every program in it is run, in order, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import readme

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def run(language: str, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-euc", code] if language == "sh" else [sys.executable, "-c", code]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_every_example_runs_in_order_and_leaves_the_files_it_names(tmp_path: Path) -> None:
    assert len(BLOCKS) >= 6
    outputs = []
    for language, code in BLOCKS:
        done = run(language, code, tmp_path)
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        outputs.append(done.stdout)
    named = set(re.findall(r"[\w.]+\.(?:art\.json|png)", "\n".join(code for _, code in BLOCKS)))
    assert named == {path.name for path in tmp_path.iterdir()}
    assert abs(float(outputs[-1]) - 0.5) < 0.1, "the sampler of the last example draws the toy data's spread"


def test_the_tables_are_those_of_the_stored_results() -> None:
    text = README.read_text(encoding="utf-8")
    assert readme.rendered(text) == text, "run `python -m tests.benchmarks.readme`"


def test_every_file_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert links
    assert all((README.parent / link).exists() for link in links)

"""The README does what it says: every command and every program in it is run, in order, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import readme
from tests.edm_pickle import trained, write_edm

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
    assert len(BLOCKS) >= 9
    outputs = []
    for stem, name in (
        ("net", "digits_uncond"),
        ("classes", "digits_cond"),
    ):  # the files that the reader is said to have
        config, state = trained(name)
        write_edm(tmp_path / f"{stem}.pkl", config=config, state=state)
    for language, code in BLOCKS:
        module = re.match(r"# (\w+\.py)\n", code)
        if module:
            (tmp_path / module[1]).write_text(code, encoding="utf-8")
            continue
        done = run(language, code, tmp_path)
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        outputs.append(done.stdout)
    named = set(re.findall(r"[\w.]+\.(?:art\.json|png|html|py|pkl|csv)", "\n".join(code for _, code in BLOCKS)))
    written = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert named | {"net.art.json", "classes.art.json"} == written
    assert abs(float(outputs[-1]) - 0.5) < 0.1, "the sampler of the last example draws the toy data's spread"


def test_the_tables_are_those_of_the_stored_results() -> None:
    text = README.read_text(encoding="utf-8")
    assert readme.rendered(text) == text, "run `python -m tests.benchmarks.readme`"


def test_every_file_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert links
    assert all((README.parent / link).exists() for link in links)

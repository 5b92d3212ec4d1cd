"""The real samplers and programs of EDM and EDM2, where the user has put checkouts of them.

Nothing fetches them: their licence, CC BY-NC-SA, is not ours.
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.cli import environment

HOSTS = Path(__file__).parents[2] / ".hosts"
EDM, EDM2 = HOSTS / "edm", HOSTS / "edm2"
MNIST = HOSTS.with_name("artifacts") / "mnist" / "mnist.art.json"
SCRIPT = Path(__file__).with_name("edm_host.py")
PRECONDITIONERS = ("EDMPrecond", "VPPrecond", "VEPrecond", "iDDPMPrecond")

needs_edm = pytest.mark.skipif(not EDM.is_dir(), reason="needs a checkout of NVlabs/edm at .hosts/edm")
needs_edm2 = pytest.mark.skipif(not EDM2.is_dir(), reason="needs a checkout of NVlabs/edm2 at .hosts/edm2")


def spawn(*words, cwd=None):
    command = [sys.executable, str(SCRIPT), *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment(), check=False)


@cache
def facts(which, *words):
    done = spawn(which, HOSTS / which, *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_edm
@pytest.mark.parametrize("name", PRECONDITIONERS)
def test_the_stock_samplers_walk_the_grid_bit_for_bit_at_the_promised_cost(name):
    found = facts("edm")[name]
    for row in found["heun"]:
        grid = row["grid"]
        assert row["asked"] == [grid[0], *(node for node in grid[1:-1] for _ in range(2))]
        assert len(row["asked"]) == row["nfe"]
        assert row["from_loop"] == 0
        assert row["from_ablation"] < 1e-12
        assert row["moved"] < 0.02
        assert (row["moved"] == 0) == (name != "iDDPMPrecond")
    asked, grid = found["euler"]
    assert asked == grid[:-1]
    assert found["one"] == [1, True]
    assert found["churned"] == 19


@needs_edm
def test_the_stock_sampler_on_its_own_formula_is_the_same_to_the_last_bit():
    assert facts("edm")["stock_grid_is_the_same"]


@needs_edm
def test_sigmas_that_the_real_network_rounds_to_one_are_named():
    assert "sigma = 80 and 79.9 of the schedule both become 80.2037" in facts("edm")["collision"]


@needs_edm2
def test_our_sampler_ends_where_that_of_edm2_does():
    found = facts("edm2")
    assert [row[:4] for row in found] == [
        [dtype, guidance, 63, 63 if guidance > 1 else 0]
        for dtype in ("torch.float32", "torch.float64")
        for guidance in (1.0, 1.7)
    ]
    assert all(row[4] < (1e-5 if row[0] == "torch.float32" else 1e-12) for row in found)


@needs_edm
def test_the_real_program_draws_images_on_the_schedule(tmp_path):
    assert spawn("edm", EDM, tmp_path).returncode == 0
    script = EDM / "generate.py"
    for more, steps in (((), 5), (("--solver", "euler"), 9)):
        words = (MNIST, "--nfe", 9, *more, "--", script, "--network=EDMPrecond.pkl", f"--outdir={steps}", "--seeds=0-2")
        done = spawn("program", EDM, *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"NFE 9: {steps} steps" in done.stderr
        assert sorted(path.name for path in (tmp_path / str(steps)).iterdir()) == [
            f"00000{seed}.png" for seed in range(3)
        ]
    done = spawn("program", EDM, *words, "--rho=3", cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


@needs_edm2
def test_the_real_program_of_edm2_draws_images_on_the_schedule(tmp_path):
    assert spawn("edm2", EDM2, tmp_path).returncode == 0
    for more in ((), ("--gnet=gnet.pkl", "--guidance=1.4")):
        words = ("--net=net.pkl", *more, "--outdir=out", "--seeds=0-2")
        done = spawn("program", EDM2, MNIST, "--nfe", 9, "--", EDM2 / "generate_images.py", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert ("guidance is 1.4 here" in done.stderr) == bool(more)
        assert len(list((tmp_path / "out").iterdir())) == 3

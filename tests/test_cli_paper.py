"""`artc compile --paper`, as its users run it."""

import re

import pytest

from artc.artifact import read
from tests.cli import artc


def test_the_command_line_compiles_in_paper_mode_and_warns_of_what_went_wrong(tmp_path):
    path = tmp_path / "p.art.json"
    words = ("--model", "mixture-1d", "--nfe", "9", "--trajectories", "32", "--output", path)
    done = artc("compile", "--paper", *words)
    made = read(path)
    # A hand-made grid beats it, and it is left as the papers' way made it.
    assert (made.provenance.method, made.schedules[0].origin) == ("paper", "online")
    (found,) = made.schedules[0].evaluation
    assert found.baselines["edm-free"] < found.value
    assert made.provenance.config["refine"] == 0
    # The cost of one noisy batch at left ends only is no gap, and is not shown as one.
    assert re.search(r"^training: [\d.]+ s$", done.err, re.MULTILINE)
    assert made.provenance.config["learner"]["iterations"] == 1500
    (run,) = made.provenance.diagnostics["paper"].values()
    assert run["failures"]
    for failure in run["failures"]:
        assert f"5 steps: {failure}." in done.err
        assert f"5 steps: {failure}" in artc("inspect", path).out
    # a bank of 32 x 128, the check's 64 x (127 + 5 x 9), and 1500 x 16 + 24 episodes of five steps of two calls
    assert made.provenance.score_evals == 32 * 128 + 64 * (127 + 5 * 9) + (1500 * 16 + 24) * 5 * 2


@pytest.mark.parametrize("method", ["dp", "art-rl"])
def test_paper_mode_and_another_method_are_refused_together(method):
    done = artc("compile", "--model", "gaussian", "--nfe", "3", "--paper", "--method", method)
    assert done.code == 2
    assert f"--paper is --method paper, and --method {method} was given too." in done.err

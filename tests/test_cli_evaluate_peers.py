"""`artc evaluate --against` the methods of other people: files, tables and exit codes, and mistakes told in time."""

import json

import pytest

import artc as package
from tests.cli import artc, names_in, put, refused
from tests.test_evaluate_peers import FEW

QUICK = ("--samples", FEW["samples"], "--teacher-steps", FEW["teacher_steps"])


def test_the_command_measures_them_as_python_does(tmp_path):
    path, names = put(tmp_path, "mixture-64d"), ["gits", "dmn", "edm"]
    files = ("--report", tmp_path / "r.html", "--plot", tmp_path / "p.svg")
    outcome = artc("evaluate", path, *QUICK, "--against", "gits,dmn,edm", *files, "--json")
    assert outcome.code == 0, outcome.err
    document = outcome.document
    facts = json.loads(json.dumps(package.evaluate(path, against=names, **FEW).facts()))
    assert document["schedules"] == facts["schedules"]
    assert document["against"] == names
    assert document["measured"]["peers"]["spent"]["gits"]["calls"] == 256 * 60
    assert all(list(row["baselines"]) == names for row in document["schedules"])
    assert names_in(tmp_path) == ["mixture-64d.art.json", "p.svg", "r.html"]
    assert "gits 15,360 calls, dmn 0 calls" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_the_table_and_the_stage_name_them(tmp_path):
    outcome = artc("evaluate", put(tmp_path, "mixture-64d"), *QUICK, "--against", "gits,kl-optimal")
    assert outcome.code == 0, outcome.err
    assert "peers: " in outcome.err
    headings = next(line.split() for line in outcome.out.splitlines() if line.lstrip().startswith("solver"))
    assert headings[6:8] == ["gits", "kl-optimal"]
    assert "gits 15,360 calls, kl-optimal 0 calls" in outcome.out


def test_a_win_can_be_required_over_them(tmp_path):
    path = put(tmp_path, "mixture-64d")
    document = artc("evaluate", path, *QUICK, "--against", "gits", "--require-win", "--json")
    lost = any(
        row["endpoint"]["error"] > row["baselines"]["gits"]["endpoint"]["error"]
        for row in document.document["schedules"]
    )
    assert (document.code, document.document["won"]) == (int(lost), not lost)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--against", "gitz"], "Unknown baseline 'gitz'. Did you mean gits?"),
        (["--against", "gits,gits"], "The baseline gits is given twice. Give each once."),
        (["--against", "gits,ld3-shifted", "--solver", "rk4"], "rk4 also asks between the nodes of its grid"),
        (
            ["--against", "oss,gits", "--solver", "euler", "--nfe", "3,61"],
            "GITS finds at most 60 steps on 61 nodes, not",
        ),
        (["--against", "gits,oss", "--solver", "euler", "--nfe", "101"], "finds at most"),
    ],
)
def test_a_mistake_is_a_sentence_before_a_model_is_loaded(options, said, tmp_path, monkeypatch):
    def reached(*_arguments, **_options):
        raise AssertionError("the work had begun")

    path = put(tmp_path, "mixture-1d")
    monkeypatch.setattr("artc.models.sources.model_for", reached)
    if "--solver" in options and "rk4" in options:
        options = [*options, "--nfe", "5"]
    assert said in refused("evaluate", path, *options)
    assert names_in(tmp_path) == [path.name]

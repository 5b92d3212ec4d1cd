"""Facts and tables of artifacts whose numbers are made by hand."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from artc.artifact import Guidance, Policy, Schedule
from artc.evaluation.diagnostics import diagnostic_facts, sparkline
from artc.evaluation.summary import (
    comparison_table,
    detail_facts,
    evaluation_facts,
    flattened,
    headline,
    summary,
)
from tests.golden.example import asked_example, example

NAMES = ("gap", "learning_curve", "explained_variance", "state_spread", "refinements", "paper", "policy")
MEASURED, BARE = example().schedules
EVALUATION = MEASURED.evaluation[0]


def measured(value, baselines, stderr=0.01, nfe=5):
    done = replace(EVALUATION, value=value, stderr=stderr, baselines=baselines)
    sigmas = tuple(63.0 * (1 - k / (nfe // 2 + 1)) for k in range(nfe // 2 + 2))
    steps = nfe // 2 + 1
    return Schedule(solver="heun", nfe=nfe, steps=steps, sigmas=sigmas, origin="refined", evaluation=(done,))


def details(**parts):
    """The details of these parts, whether or not they would make an artifact together."""
    rest = {"stiffness": None, "schedules": (), "created": example().created, "digest": ""}
    return dict(detail_facts(SimpleNamespace(**rest, **parts)))


def table(*schedules):
    return comparison_table(example(schedules=schedules))


def test_the_ratio_is_to_the_best_baseline():
    facts = evaluation_facts(replace(EVALUATION, value=0.3, baselines={"edm": 0.9, "logsnr": 0.4, "uniform": 2.0}))
    assert (facts["best_baseline"], facts["ratio_to_best"]) == ("logsnr", pytest.approx(0.75))
    assert (facts["metric"], facts["samples"]) == ("endpoint_rms", 256)


@pytest.mark.parametrize(("baselines", "best"), [({}, None), ({"edm": 0.0, "logsnr": 1.0}, "edm")])
def test_there_is_no_ratio_to_nothing_or_to_a_perfect_baseline(baselines, best):
    facts = evaluation_facts(replace(EVALUATION, baselines=baselines))
    assert (facts["best_baseline"], facts["ratio_to_best"]) == (best, None)


def test_the_best_cell_of_each_row_is_that_of_the_least_error():
    columns, rows, best = table(
        measured(0.25, {"edm": 0.5, "uniform": 1.0}),
        measured(0.75, {"edm": 0.5, "uniform": 1.0}, nfe=7),
        measured(0.75, {"edm": 3.0, "uniform": 0.375}, nfe=9),
        measured(0.5, {"edm": 0.5, "uniform": 1.0}, nfe=11),
        BARE,
    )
    assert columns == ["solver", "NFE", "steps", "origin", "error", "+-", "edm", "uniform", "vs best"]
    assert rows[0] == ["heun", "5", "3", "refined", "0.2500", "0.0100", "0.5000", "1.0000", "0.50 x edm"]
    assert [row[-1] for row in rows] == ["0.50 x edm", "1.50 x edm", "2.00 x uniform", "1.00 x edm", "-"]
    assert rows[4] == ["heun", "3", "2", "refined", "-", "-", "-", "-", "-"]
    names = [None if place is None else columns[place] for place in best]
    assert names == ["error", "edm", "uniform", "error", None]
    for row, place in zip(rows[:4], best[:4], strict=True):
        assert float(row[place]) == min(float(row[at]) for at in (4, 6, 7))


def test_schedules_may_be_held_against_different_baselines():
    columns, rows, best = table(measured(0.75, {"edm": 0.5}), measured(0.75, {"logsnr": 1.0}, nfe=7))
    assert columns[6:] == ["edm", "logsnr", "vs best"]
    assert [row[6:] for row in rows] == [["0.5000", "-", "1.50 x edm"], ["-", "1.0000", "0.75 x logsnr"]]
    assert best == [6, 4]


def test_an_error_without_baselines_is_shown_all_the_same():
    columns, rows, best = table(measured(0.75, {}))
    assert columns[4:] == ["error", "+-", "vs best"]
    assert rows[0][4:] == ["0.7500", "0.0100", "-"]
    assert best == [4]


def test_artifacts_without_measurements_have_a_short_table():
    assert table(BARE) == (["solver", "NFE", "steps", "origin"], [["heun", "3", "2", "refined"]], [None])


def test_small_errors_keep_two_digits():
    _, rows, _ = table(measured(0.0000314, {"edm": 0.0009, "uniform": 0.0}, stderr=0.00012))
    assert rows[0][4:8] == ["3.1e-05", "1.2e-04", "9.0e-04", "0.0000"]


def test_the_headline_counts_and_states_the_gap():
    assert headline(example()) == "powers: 2 schedules by art-rl"
    provenance = replace(example().provenance, method="dp", diagnostics={"gap": 0.0254})
    one = example(schedules=(BARE,), provenance=provenance)
    assert headline(one) == "powers: 1 schedule by dp, 2.54% above the lower bound"


def test_details_show_the_learning_curve_and_the_weights():
    provenance = replace(example().provenance, diagnostics={"learning_curve": [0.5, 0.25, 0.0156]})
    facts = dict(detail_facts(example(provenance=provenance, model=replace(example().model, sha256="ab" * 32))))
    assert facts["learning"] == "█▄▁  gap 50.0% to 1.56% on the training trajectories"
    assert facts["weights"] == f"sha256 {'ab' * 32}"


def test_details_show_the_critic_and_how_differently_trajectories_would_be_walked():
    found = {"explained_variance": 0.98765, "state_spread": [0.0, 0.2, 0.1]}
    config = {"trajectories": 133, "held_out": 33}
    facts = dict(detail_facts(example(provenance=replace(example().provenance, diagnostics=found, config=config))))
    assert facts["critic"] == "foresees 98.77% of the variance of the reward-to-go"
    # 2.58 * 0.1 / sqrt(100)
    assert facts["spread"] == "▁█▅  the best speed varies by 10.0% between trajectories; 99 % band of the mean +-2.6%"
    assert "band" not in dict(diagnostic_facts(found, None))["spread"]


def test_details_say_what_the_policy_reaches():
    found = {"policy": {"share": {"5": 0.444, "18": 0.666}, "spread": [0.25, 0.75]}}
    facts = detail_facts(example(provenance=replace(example().provenance, diagnostics=found)))
    assert ("policy", "of what reading the state could save it saves 44% at 5 steps, 67% at 18 steps") in facts
    assert ("", "▁█  its speed varies by 50.0% between trajectories") in facts
    bare = detail_facts(example(provenance=replace(example().provenance, diagnostics={"policy": {"share": {}}})))
    assert ("policy", "nothing to save") in bare
    policy = Policy(file="p.art.onnx", sha256="0" * 64, opset=17, inputs=("x",), output="y", features=("z",))
    told = summary(example(policy=policy, provenance=replace(example().provenance, diagnostics=found)))["policy"]
    assert told == {"file": "p.art.onnx", **found["policy"]}
    assert summary(example())["policy"] is None


def test_details_name_what_paper_mode_found_wrong():
    runs = {"2": {"failures": ["budget missed: by far"]}, "5": {"failures": []}, "7": 3}
    found = example(provenance=replace(example().provenance, diagnostics={"paper": runs}))
    assert ("trouble", "2 steps: budget missed: by far") in detail_facts(found)
    assert summary(found)["trouble"] == ["2 steps: budget missed: by far"]


def test_details_show_how_paper_mode_learned_each_number_of_steps():
    runs = {
        "2": {"learning_curve": [3.5, -0.25], "explained_variance": 0.5, "spread": 0.125},
        "5": {"spread": "?"},
        "7": 3,
    }
    facts = list(diagnostic_facts({"paper": runs}, 96))
    assert facts == [
        ("learning", "2 steps: █▁  gap 350.0% to -25.00% at left ends"),
        ("critic", "2 steps: foresees 50.00% of the variance of the reward-to-go"),
        ("spread", "2 steps: theta varies by 12.5% between trajectories at most"),
    ]


def test_details_say_what_was_asked_of_the_model_and_what_was_not_to_be_had():
    config = {"model": {"sigma_asked": [0.001, 63.0], "labels": [1, 2]}}
    model = replace(example().model, conditioning="class", guidance=Guidance(scale=2.5))
    refinements = {"heun 3": {"from": "edm-free", "learned": 0.5, "start": 0.25, "refined": 0.125, "kept": "matched"}}
    made = replace(example().provenance, config=config, diagnostics={"refinements": refinements})
    facts = details(model=model, provenance=made)
    assert facts["class"] == "labels 1, 2, guidance 2.5: 2 calls for each denoised value, counted in every NFE"
    assert facts["sigma"] == "63 to 0; the model knows 0.002 and above (63 to 0.001 was asked)"
    told = "heun 3: learned 0.5000, edm-free 0.2500, with its nodes moved 0.1250; kept: with its nodes moved"
    assert facts["refined"] == told
    assert "shift" not in facts
    flow = replace(example().model, domain="flow", shift=3.0, conditioning="text")
    plain = replace(made, config={}, diagnostics={"refinements": [1]})
    facts = details(model=flow, provenance=plain)
    assert (facts["shift"], facts["text"]) == ("3, already inside sigma", "labels drawn uniformly, no guidance")
    assert facts["weights"] == "not recorded"
    hosted = replace(flow, guidance=Guidance(scale=7.0, calls=1))
    facts = details(model=hosted, provenance=replace(plain, config={"model": {"prompts": 1}}))
    assert facts["text"] == "one prompt, guidance 7: 1 call for each denoised value, counted in every NFE"


@pytest.mark.parametrize("junk", ["much", None, [1.0], {"sigma_asked": [1, "a"], "labels": 3}])
def test_records_of_another_program_are_no_obstacle(junk):
    made = replace(example().provenance, config={"model": junk}, diagnostics={"refinements": {"x": junk}})
    facts = dict(detail_facts(example(provenance=made)))
    assert facts["sigma"] == "63 to 0; the model knows 0.002 and above"
    assert "refined" not in facts


def test_the_seconds_inside_the_denoiser_are_not_counted_twice():
    created = replace(example().created, seconds={"trajectories": 4.0, "training": 1.5, "denoiser": 3.0})
    assert dict(detail_facts(example(created=created)))["cost"] == "31,232 denoiser calls, 5.5 s"


@pytest.mark.parametrize("junk", ["much", None, True, [1.0], {"a": 1}])
def test_diagnostics_of_another_program_are_no_obstacle(junk):
    provenance = replace(example().provenance, diagnostics=dict.fromkeys(NAMES, junk))
    assert headline(example(provenance=provenance)) == "powers: 2 schedules by art-rl"
    facts = dict(detail_facts(example(provenance=provenance)))
    assert not {"critic", "refined", "trouble", "policy"} & facts.keys()
    assert ("learning" in facts, "spread" in facts) == (junk == [1.0],) * 2


def test_the_summary_is_plain_json_with_the_numbers_of_the_artifact():
    facts = summary(example().sealed())
    assert json.loads(json.dumps(facts)) == facts
    assert facts["digest"].startswith("sha256:")
    assert facts["schedules"][0]["sigmas"] == [63.0, 15.0, 3.0, 0.0]
    assert [schedule["gap"] for schedule in facts["schedules"]] == [0.2, None]
    assert facts["schedules"][0]["evaluation"][0]["ratio_to_best"] == pytest.approx(0.7)
    assert facts["state_gain"] == 0.041
    assert summary(example(stiffness=None))["state_gain"] is None


def test_sparklines_by_hand():
    assert sparkline([0.0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([7.0, 0.0, 3.5]) in ("█▁▄", "█▁▅")
    assert sparkline([2.0, 2.0]) == "▁▁"
    assert sparkline([5.0]) == "▁"
    assert sparkline([float(k) for k in range(60)], width=4) == "▁▃▆█"  # values 0, 20, 39, 59
    assert len(sparkline([float(k) for k in range(31)])) == 30
    assert sparkline([1.5e308, -1.5e308, 0.0]) in ("█▁▄", "█▁▅")  # farther apart than the largest number


def test_nested_facts_become_dotted_names():
    assert flattened({"runs": [{"n": 1}, {"n": 2}]}) == [("runs.1.n", "1"), ("runs.2.n", "2")]
    assert flattened({"a": 1, "b": {"c": [2, 3], "d": {"e": None}}}) == [
        ("a", "1"),
        ("b.c", "[2, 3]"),
        ("b.d.e", "None"),
    ]


def test_model_sigmas_have_a_column_of_their_own_where_a_schedule_has_them():
    columns, rows, best = comparison_table(asked_example())
    assert columns[4:8] == ["error", "+-", "model-sigmas", "edm"]
    assert rows[0][4:8] == ["0.2100", "0.0100", "0.1250", "0.3600"]
    assert rows[0][-1] == "0.70 x edm-free"  # of the schedule as any host can walk it
    assert rows[1][4:] == ["-"] * (len(columns) - 4)
    assert best == [6, None]
    # Found, and not measured: a dash.
    measured, _ = asked_example().schedules
    columns, rows, best = table(replace(measured, evaluation=measured.evaluation[:1]))
    assert (rows[0][4:7], best) == (["0.2100", "0.0100", "-"], [4])
    assert "model-sigmas" not in comparison_table(example())[0]


def test_model_sigmas_are_among_the_facts_and_the_details():
    facts = json.loads(json.dumps(summary(asked_example())))
    assert facts["schedules"][0]["model_sigmas"] == [63.0, 2**3.5 - 1, 2**2.5 - 1]
    assert facts["schedules"][0]["evaluation"][1]["metric"] == "endpoint_rms_with_model_sigmas"
    assert facts["schedules"][1]["model_sigmas"] is None
    assert dict(detail_facts(asked_example()))["model sigmas"].startswith("heun 5: where the host can")
    assert "model sigmas" not in dict(detail_facts(example()))

"""What an evaluation measures: the numbers of independent ways to them, at equal and counted calls, on fresh noises."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import artc
from artc.artifact import loads, nfe_of
from artc.errors import ArtcError, BudgetError, InputError, UnknownNameError
from artc.evaluation import scoring
from artc.evaluation.endpoint import Teacher, compare, endpoint_error, paired_ratio
from artc.evaluation.evaluating import evaluation_steps
from artc.evaluation.noises import CHUNK, all_latents, fresh_latents
from artc.evaluation.plan import Plan, chosen_schedules
from artc.evaluation.reported import endpoint_table, verdict
from artc.models.score_model import Probe
from artc.progress import drain
from artc.request import Request
from artc.sampling.grids import GRIDS, baseline
from tests.cli import compiled
from tests.toy_models import class_model, flow_model


@pytest.fixture(scope="module")
def artifact():
    return loads(compiled("mixture-1d"))


@pytest.fixture(scope="module")
def report(artifact):
    return artc.evaluate(artifact, samples=40, teacher_steps=16)


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


# ------------------------------------------------------------------------------------------- numbers


def test_the_errors_are_those_of_compare_on_the_same_noises(report, artifact, load):
    model = load("mixture-1d")
    schedules = {(schedule.solver, schedule.nfe): schedule for schedule in artifact.schedules}
    latents = all_latents(model, 40, 0)
    expected = drain(compare(Probe(model).on, latents, model.info, schedules, Teacher(steps=16)))
    assert [row.schedule.nfe for row in report.rows] == [3, 5]
    for row in report.rows:
        found = expected["heun", row.schedule.nfe]
        assert [scored.name for scored in row.grids] == ["compiled", *GRIDS]
        for scored, other in zip(row.grids, found.values(), strict=True):
            assert (scored.error, scored.stderr) == (other.value, other.stderr)
        for scored in row.baselines:
            wins = (found["schedule"].squares < found[scored.name].squares).double().mean()
            assert scored.wins == float(wins)
            assert scored.ratio == pytest.approx(row.ours.error / scored.error, rel=1e-12)


def test_the_paired_ratio_and_its_error_by_hand():
    reference = torch.zeros((2, 1))
    ours, theirs = (endpoint_error(tensor(rows), reference) for rows in ([[1], [3]], [[2], [2]]))
    # mean squares 1, 9 and 4, 4: the ratio is sqrt(5 / 4). Relative to their means they differ by 1/5 - 1 and 9/5 - 1,
    # of which the standard deviation is 0.8 sqrt(2); of their mean 0.8.
    ratio, stderr = paired_ratio(ours, theirs)
    assert ratio == pytest.approx(math.sqrt(1.25))
    assert stderr == pytest.approx(math.sqrt(1.25) / 2 * 0.8)


def test_errors_in_proportion_have_a_ratio_without_error_and_nothing_has_none():
    reference = torch.zeros((3, 1))
    ours, theirs = (endpoint_error(tensor(rows), reference) for rows in ([[1], [2], [5]], [[2], [4], [10]]))
    assert paired_ratio(ours, theirs) == pytest.approx((0.5, 0.0))
    none = endpoint_error(reference, reference)
    assert paired_ratio(ours, none) is None
    assert paired_ratio(none, ours) is None


def test_the_standard_error_of_a_ratio_is_that_of_a_bootstrap():
    rng = np.random.default_rng(0)
    hard = rng.gamma(2.0, size=(400, 1))
    ours, theirs = hard * rng.uniform(0.4, 0.8, (400, 1)), hard * rng.uniform(0.8, 1.1, (400, 1))
    reference = torch.zeros((400, 1))
    _, stderr = paired_ratio(endpoint_error(tensor(ours), reference), endpoint_error(tensor(theirs), reference))
    picks = rng.integers(0, 400, (3000, 400))
    again = np.sqrt((ours[picks, 0] ** 2).mean(axis=1) / (theirs[picks, 0] ** 2).mean(axis=1))
    assert stderr == pytest.approx(np.std(again), rel=0.1)
    alone = [endpoint_error(tensor(rows), reference) for rows in (ours, theirs)]
    assert stderr < 0.5 * math.hypot(*(one.stderr / one.value for one in alone)), "pairing is worth it"


def test_every_grid_of_a_row_costs_the_same_and_the_calls_are_counted(report, load):
    spent = 40 * (nfe_of("heun", 16) + sum(len(row.grids) * row.schedule.nfe for row in report.rows))
    assert report.conditions["score_evals"] == spent
    assert all(len(scored.sigmas) == row.schedule.steps + 1 for row in report.rows for scored in row.grids)
    assert report.conditions["teacher"] == {"solver": "heun", "steps": 16, "calls": 31}


def test_progress_counts_up_to_its_total_stage_by_stage(artifact, load):
    shown = []
    drain(evaluation_steps(artifact, load("mixture-1d"), Plan(samples=4, teacher_steps=4)), shown.append)
    for stage in ("teacher", "comparing"):
        done = [update.done for update in shown if update.stage == stage]
        assert done == sorted(done)
        assert done[-1] == next(update.total for update in shown if update.stage == stage)
    assert list(dict.fromkeys(update.stage for update in shown)) == ["teacher", "comparing"]


def test_a_report_is_the_same_every_time_but_for_its_times(artifact, report):
    again = artc.evaluate(artifact, samples=40, teacher_steps=16)
    assert again.rows == report.rows
    assert artc.evaluate(artifact, samples=40, teacher_steps=16, seed=1).rows != report.rows


# ------------------------------------------------------------------------------------------- noises


def test_the_noises_are_those_of_no_seed_that_a_compilation_has(load):
    model = load("gaussian")
    fresh = all_latents(model, 4, 0).noise
    request = Request(nfe=(3,), seed=0)
    for seed in (request.bank_seed, request.check_seed, 0x61727463, 20_261_122):
        assert not torch.isclose(model.latents(4, seed).noise, fresh).any()
    # Why no seed of torch's generator would do: it keeps 32 bits.
    assert torch.equal(model.latents(2, 0).noise, model.latents(2, 2**33).noise)


def test_a_few_noises_are_the_first_of_many_and_parts_are_of_one_stream(load):
    model = load("gaussian")
    parts = list(fresh_latents(model, CHUNK + 3, 5))
    assert [len(part) for part in parts] == [CHUNK, 3]
    assert torch.equal(all_latents(model, CHUNK + 3, 5).noise, torch.cat([part.noise for part in parts]))
    assert torch.equal(all_latents(model, 3, 5).noise, parts[0].noise[:3])
    stream = np.random.default_rng([0x61727463, 5, 0]).standard_normal((CHUNK + 3, 16))
    assert np.array_equal(torch.cat([part.noise for part in parts]).numpy(), stream)


def test_labels_are_drawn_from_those_that_the_artifact_was_compiled_for():
    model = class_model()
    made = artc.compile(model, nfe=[3], method="closed-form", trajectories=16, labels=[1, 2])
    seen = []

    def watching(x, sigma, labels):
        seen.append(labels)
        return model.denoiser(x, sigma, labels=labels)

    report = artc.evaluate(made, replace(model, denoiser=watching), samples=50, teacher_steps=4)
    assert set(torch.cat(seen).tolist()) == {1, 2}
    assert report.conditions["labels"] == [1, 2]


def test_guidance_is_the_artifacts_and_counts_double():
    model = class_model()
    made = artc.compile(model, nfe=[6], method="closed-form", trajectories=16, guidance=2.0)
    found = artc.evaluate(made, model, samples=8, teacher_steps=4, against="edm")
    assert (found.conditions["guidance"], found.conditions["teacher"]["calls"]) == (2.0, 14)
    assert found.conditions["score_evals"] == 8 * (14 + 2 * 6)


def test_a_flow_model_is_measured_in_its_own_sigma_beside_its_own_default_grid():
    model = flow_model("clusters")
    made = artc.compile(model, nfe=[4], solver="euler", method="closed-form", trajectories=16)
    found = artc.evaluate(made, model, samples=16, teacher_steps=16)
    (row,) = found.rows
    assert "shifted" in found.against or model.info.shift in (None, 1.0)
    latents = all_latents(model, 16, 0)
    expected = drain(compare(Probe(model).on, latents, model.info, {("euler", 4): row.schedule}, Teacher(steps=16)))
    assert row.ours.error == expected["euler", 4]["schedule"].value


# ------------------------------------------------------------------------------------------ schedules


def test_what_is_not_held_is_read_from_the_warp_and_says_so(artifact):
    found = chosen_schedules(artifact, (5, 7), ())
    assert [(one.nfe, one.origin) for one in found] == [(5, "refined"), (7, "resampled")]
    (read,) = chosen_schedules(artifact, (6,), ("dpmpp_2m",))
    assert (read.origin, read.steps) == ("resampled", 6)
    assert read.sigmas == artifact.warp.baked(6, artifact.model.sigma_min)
    other = chosen_schedules(artifact, (), ("euler", "heun"))
    assert [(one.solver, one.nfe) for one in other] == [("euler", 3), ("euler", 5), ("heun", 3), ("heun", 5)]


def test_schedules_come_solver_by_solver_and_by_rising_nfe(artifact):
    found = chosen_schedules(artifact, (7, 3), ("heun", "euler"))
    assert [(one.solver, one.nfe) for one in found] == [("heun", 3), ("heun", 7), ("euler", 3), ("euler", 7)]


def test_an_artifact_without_schedules_is_measured_where_it_is_told_what():
    empty = replace(loads(compiled("mixture-1d")), schedules=(), digest="")
    with pytest.raises(BudgetError, match="holds no schedules"):
        chosen_schedules(empty, (3,), ())
    (row,) = artc.evaluate(empty, nfe=3, solver="heun", samples=4, teacher_steps=4).rows
    assert row.schedule.origin == "resampled"


# ------------------------------------------------------------------------------------------- verdicts


def test_a_loss_is_an_error_above_a_baselines_and_says_whether_it_may_be_chance(artifact, load):
    """A schedule that is a bad grid loses to all that are better, and to no other."""
    pinned = tuple(baseline("logsnr", 3, 0.002, 80.0).tolist())
    bad = replace(artifact.schedules[1], sigmas=pinned, origin="refined", certificate=None, evaluation=())
    found = artc.evaluate(replace(artifact, schedules=(bad,), digest=""), samples=64, teacher_steps=32)
    (row,) = found.rows
    better = {scored.name for scored in row.baselines if scored.error < row.ours.error}
    assert better
    assert {loss.baseline for loss in found.losses} == better
    assert "logsnr" not in better, "its own grid is no worse"
    assert verdict(found) == "1 of 1 schedules is worse than a baseline, of edm, edm-free, logsnr and uniform."
    for loss in found.losses:
        scored = next(scored for scored in row.baselines if scored.name == loss.baseline)
        assert loss.beyond_noise == (scored.ratio > 1 + 2 * scored.ratio_stderr)
        assert (loss.ours, loss.theirs, loss.metric) == (row.ours.error, scored.error, "endpoint")
    assert found.facts()["won"] is False
    alone = artc.evaluate(replace(artifact, schedules=(bad,), digest=""), against="logsnr", samples=4, teacher_steps=4)
    assert alone.losses == ()
    assert verdict(alone) == "The schedule is no worse than logsnr."


def test_the_best_of_each_row_is_the_least_of_its_errors(report):
    headings, rows, best = endpoint_table(report)
    for row, place in zip(rows, best, strict=True):
        names = ["compiled", *report.against]
        errors = {name: float(row[headings.index(name)]) for name in names}
        assert errors[headings[place]] == min(errors.values())
        assert float(row[headings.index("ratio")]) == pytest.approx(errors["compiled"] / errors[row[-2]], rel=0.05)


def test_the_facts_are_json_that_holds_all_of_the_tables(report):
    document = json.loads(json.dumps(report.facts()))
    assert document["artifact"]["digest"] == report.artifact.digest
    for row, facts in zip(report.rows, document["schedules"], strict=True):
        assert facts["endpoint"] == {"error": row.ours.error, "stderr": row.ours.stderr}
        for scored in row.baselines:
            assert facts["baselines"][scored.name]["endpoint"] == {
                "error": scored.error,
                "stderr": scored.stderr,
                "wins": scored.wins,
                "ratio": scored.ratio,
                "ratio_stderr": scored.ratio_stderr,
            }


# -------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"against": "edn"}, UnknownNameError, r"Unknown baseline 'edn'\. Did you mean edm"),
        ({"against": ["edm", "edm"]}, InputError, r"The baseline edm is given twice\."),
        ({"metric": "end"}, UnknownNameError, r"Unknown metric 'end'\. Did you mean endpoint\?"),
        ({"metric": []}, InputError, "Nothing to measure"),
        ({"nfe": 4}, BudgetError, "heun cannot make exactly 4 denoiser calls"),
        ({"nfe": 0}, BudgetError, "The NFE must be a whole number of at least 1"),
        ({"nfe": [3, 3]}, InputError, "The NFE 3 is given twice"),
        ({"solver": "hune"}, UnknownNameError, "Unknown solver 'hune'"),
        ({"samples": 1}, InputError, "One sample has no spread: the number of samples is at least 2"),
        ({"frechet_samples": 1}, InputError, "One sample has no spread"),
        ({"teacher_steps": 0}, InputError, "number of the teacher's steps must be a whole number"),
        ({"seed": 2**32}, InputError, "A seed is less than"),
        ({"metric": "frechet"}, InputError, "The Frechet distance is one of images, and samples of mixture-1d are 1"),
        ({"features": "lenet"}, InputError, "Features and a reference are for the Frechet distance"),
        ({"model": "gaussian"}, InputError, "not the model that the artifact was made for: its shape is"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_walked(options, kind, said, artifact, monkeypatch):
    def reached(*_arguments, **_options):
        raise AssertionError("the work had begun")

    monkeypatch.setattr(scoring, "sample_steps", reached)
    with pytest.raises(kind, match=said):
        artc.evaluate(artifact, **options)


def test_a_model_at_hand_is_held_to_the_artifact_too(artifact, load):
    with pytest.raises(InputError, match="gaussian is not the model that the artifact was made for"):
        artc.evaluate(artifact, load("gaussian"))
    with pytest.raises(ArtcError, match="unconditional: labels make no sense"):
        artc.evaluate(artifact, load("mixture-1d"), labels=[0])

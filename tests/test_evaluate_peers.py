"""Other people's methods as baselines of an evaluation: their grids, their noises, their calls, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch

import artc as package
from artc.artifact import loads
from artc.errors import ArtcError, InputError, UnknownNameError
from artc.evaluation.baselines import chosen_baselines
from artc.evaluation.charts import mark, style_of
from artc.evaluation.competing import check_competitors, learn, learning_seed
from artc.evaluation.endpoint import Teacher, endpoint_error
from artc.evaluation.error_plot import colour_of, line_of
from artc.evaluation.evaluating import evaluation_steps
from artc.evaluation.noises import all_latents
from artc.evaluation.plan import Plan, chosen_schedules
from artc.evaluation.reported import condition_facts
from artc.models.score_model import Probe
from artc.peers import PEERS, check_peer, gits
from artc.progress import drain
from artc.request import Request
from artc.sampling.grids import grid_for
from artc.sampling.solvers import SOLVERS, find_solver
from artc.sampling.trajectories import sample
from tests.cli import compiled
from tests.toy_models import class_model, flow_model

FEW = {"samples": 16, "teacher_steps": 8}


@pytest.fixture(scope="module")
def artifact():
    return loads(compiled("mixture-64d"))


def schedules_of(artifact, nfe, solver):
    return chosen_schedules(artifact, (nfe,), (solver,))


# ------------------------------------------------------------------------------------- grids and errors


def test_a_row_has_the_grids_that_the_methods_find_alone_and_their_errors(artifact, load):
    model = load("mixture-64d")
    names = ["kl-optimal", "edm", "oss", "gits"]
    found = package.evaluate(artifact, against=names, **FEW)
    seed = Request(nfe=(3,), seed=artifact.provenance.seed).bank_seed
    finders = {name: PEERS[name](model, seed) for name in names if name in PEERS}
    latents = all_latents(model, 16, 0)
    ends = Teacher(steps=8).endpoints(Probe(model).on, latents, model.info)
    assert found.against == tuple(names)
    for row in found.rows:
        assert [scored.name for scored in row.baselines] == names, "in the order in which they were named"
        for scored in row.baselines:
            if scored.name in finders:
                wanted = finders[scored.name]("heun", row.schedule.steps).sigmas
            else:
                wanted = tuple(grid_for(scored.name, row.schedule.steps, model.info).tolist())
            assert scored.sigmas == wanted
            error = endpoint_error(sample(Probe(model).on, latents, wanted, find_solver("heun")), ends)
            assert (scored.error, scored.stderr) == (error.value, error.stderr)
            assert scored.model_sigmas is None


def test_model_sigmas_of_a_method_are_measured_with_them(artifact, load):
    model, wide = load("mixture-64d"), {"samples": 64, "teacher_steps": 16}
    found = package.evaluate(artifact, against="ld3-shifted", nfe=4, solver="euler", **wide)
    (shifted,) = found.rows[0].baselines
    wanted = PEERS["ld3-shifted"](model, 0)("euler", 4)
    assert (shifted.sigmas, shifted.model_sigmas) == (wanted.sigmas, wanted.model_sigmas)
    assert shifted.model_sigmas != shifted.sigmas[:-1]
    latents = all_latents(model, 64, 0)
    ends = Teacher(steps=16).endpoints(Probe(model).on, latents, model.info)
    walked = sample(Probe(model).on, latents, wanted.sigmas, find_solver("euler"), model_sigmas=wanted.model_sigmas)
    alone = sample(Probe(model).on, latents, wanted.sigmas, find_solver("euler"))
    assert shifted.error == endpoint_error(walked, ends).value != endpoint_error(alone, ends).value
    assert found.facts()["schedules"][0]["baselines"]["ld3-shifted"]["model_sigmas"] == list(wanted.model_sigmas)


def test_of_a_flow_model_their_grids_are_in_its_own_sigma():
    model = flow_model("clusters")
    made = package.compile(model, nfe=[4], solver="euler", method="closed-form", trajectories=16, seed=3)
    (row,) = package.evaluate(made, model, against=["gits", "kl-optimal"], **FEW).rows
    for scored in row.baselines:
        assert scored.sigmas[0] == model.info.sigma_max
        assert all(model.info.sigma_min <= sigma < 1 for sigma in scored.sigmas[:-1])
        assert scored.sigmas == PEERS[scored.name](model, 6)("euler", 4).sigmas


def test_the_teacher_of_gits_is_of_order_four():
    assert gits.TEACHER is SOLVERS["ipndm_4"]


# ------------------------------------------------------------------------------------------------ calls


@pytest.mark.parametrize("name", list(PEERS))
def test_the_calls_of_one_grid_are_those_that_the_method_tells(name, artifact, load):
    model = load("mixture-64d")
    schedules = schedules_of(artifact, 3, "euler")
    learned = drain(learn([name], schedules, model, 5))
    alone = PEERS[name](model, 5)("euler", 3)
    assert learned.calls == {name: alone.calls}
    assert learned.grids[name][0].sigmas == alone.sigmas


def test_what_serves_all_budgets_is_counted_once_and_the_rest_for_each(artifact, load):
    model = load("mixture-64d")
    schedules = chosen_schedules(artifact, (3, 5), ("euler", "dpmpp_2m"))
    learned = drain(learn(["gits", "oss", "dmn"], schedules, model, 0))
    # GITS: 256 noises through 60 intervals. OSS: 32 noises, 100 calls of the teacher; then for each solver up to
    # five rows, the first from one node, row k from the 100 - k + 1 that k - 1 steps reach, less the last.
    rows = 1 + sum(100 - k for k in range(1, 5))
    assert learned.calls == {"gits": 256 * 60, "oss": 32 * (100 + 2 * rows), "dmn": 0}


def test_guidance_counts_double_for_methods_too():
    model = class_model()
    made = package.compile(model, nfe=[6], method="closed-form", trajectories=16, guidance=2.0)
    found = package.evaluate(made, model, against="gits", samples=8, teacher_steps=4)
    assert found.conditions["peers"]["spent"]["gits"]["calls"] == 2 * 256 * 60
    assert found.conditions["score_evals"] == 8 * (14 + 2 * 6) + 2 * 256 * 60


def test_the_calls_and_their_noises_are_said(artifact):
    found = package.evaluate(artifact, against=["gits", "dmn"], **FEW)
    measuring = 16 * (15 + sum(3 * row.schedule.nfe for row in found.rows))
    assert found.conditions["score_evals"] == measuring + 256 * 60
    facts = json.loads(json.dumps(found.facts()))["measured"]["peers"]
    assert {name: one["calls"] for name, one in facts["spent"].items()} == {"gits": 256 * 60, "dmn": 0}
    assert (facts["noise"], facts["seed"]) == ("mt19937 of torch", 0)
    said = dict(condition_facts(found))["learned"]
    assert said == "gits 15,360 calls, dmn 0 calls, within the cost; from noises of their own, mt19937 of torch, seed 0"


def test_without_their_names_nothing_is_learned_and_nothing_said(artifact, monkeypatch):
    for name in PEERS:
        monkeypatch.setitem(PEERS, name, None)
    found = package.evaluate(artifact, **FEW)
    assert found.against == ("edm", "edm-free", "logsnr", "uniform")
    assert "peers" not in found.conditions
    assert "learned" not in dict(condition_facts(found))


# ----------------------------------------------------------------------------------------------- noises


def test_they_learn_from_the_noises_of_the_compilation_and_none_of_the_evaluation(artifact, load):
    model, seed = load("mixture-64d"), 7
    made = replace(artifact, provenance=replace(artifact.provenance, seed=seed), digest="")
    assert learning_seed(made) == Request(nfe=(3,), seed=seed).bank_seed == 14
    seen = []

    def watching(x, sigma):
        if float(sigma[0].detach()) == 80.0:
            seen.append(x.detach() / 80.0)
        return model.denoiser(x, sigma)

    watched = replace(model, denoiser=watching)
    drain(learn(["gits", "oss", "ld3"], schedules_of(made, 3, "euler"), watched, learning_seed(made)))
    theirs = torch.cat(seen)
    bank, fresh = model.latents(256, 14).noise, all_latents(model, 16, 0).noise
    torch.testing.assert_close(theirs[:256], bank, rtol=1e-12, atol=0)  # those of GITS, which is the first
    assert not torch.isclose(theirs[:, None, 0], fresh[None, :, 0], rtol=0, atol=1e-9).any()


def test_any_seed_that_a_file_may_hold_is_one_of_torchs(artifact, load):
    for seed in (2**31, 2**32 - 1, 2**70, -1):
        made = replace(artifact, provenance=replace(artifact.provenance, seed=seed), digest="")
        load("gaussian").latents(1, learning_seed(made))
    # Of the seeds that a compilation takes they are the noises of its bank.
    model, bank = load("gaussian"), Request(nfe=(3,), seed=2**32 - 1).bank_seed
    made = replace(artifact, provenance=replace(artifact.provenance, seed=2**32 - 1), digest="")
    assert torch.equal(model.latents(3, bank).noise, model.latents(3, learning_seed(made)).noise)


def test_they_learn_first_and_show_how_far_they_are(artifact, load):
    shown = []
    plan = Plan(samples=4, teacher_steps=4, against=("gits", "edm", "kl-optimal"))
    drain(evaluation_steps(artifact, load("mixture-64d"), plan), shown.append)
    assert list(dict.fromkeys(update.stage for update in shown)) == ["peers", "teacher", "comparing"]
    assert [(update.done, update.total) for update in shown if update.stage == "peers"] == [(n, 4) for n in range(5)]


# --------------------------------------------------------------------------------------------- refusals


def test_unknown_names_list_both_kinds_and_close_ones_are_suggested(artifact):
    info = artifact.model
    with pytest.raises(UnknownNameError, match=r"Unknown baseline 'gitz'\. Did you mean gits\?"):
        chosen_baselines(["gitz"], info)
    with pytest.raises(UnknownNameError) as error:
        chosen_baselines(["peers"], info)
    listed = error.value.hint.removeprefix("Known: ").removesuffix(".").split(", ")
    assert listed == sorted(["edm", "edm-free", "logsnr", "uniform", *PEERS])
    with pytest.raises(InputError, match="gits is given twice"):
        chosen_baselines(["gits", "edm", "gits"], info)
    assert not set(PEERS) & {"edm", "edm-free", "logsnr", "uniform", "shifted"}, "a name is of one kind"


REFUSED = {
    "ld3-shifted": [("rk4", 3)],
    "gits": [("euler", 61), ("euler", 100), ("euler", 101)],
    "oss": [("euler", 101)],
}
WRONG = [("heun", 0), ("hune", 3)]


@pytest.mark.parametrize("name", list(PEERS))
def test_what_a_method_cannot_find_is_refused_as_its_finder_refuses_it(name, load):
    find, bad = PEERS[name](load("mixture-64d"), 0), WRONG + REFUSED.get(name, [])
    for solver, steps in bad:
        with pytest.raises(ArtcError) as without_model:
            check_peer(name, solver, steps)
        with pytest.raises(type(without_model.value)) as with_model:
            find(solver, steps)
        assert str(with_model.value) == str(without_model.value)
    for solver, steps in (("rk4", 3), ("euler", 60), ("euler", 61), ("euler", 100), ("euler", 101)):
        if (solver, steps) not in bad:
            check_peer(name, solver, steps)


def test_a_grid_is_no_method():
    with pytest.raises(UnknownNameError, match="Unknown peer 'edm'"):
        check_peer("edm", "euler", 3)


def test_every_schedule_is_looked_at_before_a_method_learns(artifact):
    schedules = chosen_schedules(artifact, (), ("dpmpp_2m",)) + chosen_schedules(artifact, (5,), ("rk4",))
    check_competitors(["ld3", "edm", "gits"], schedules)
    with pytest.raises(InputError, match=r"rk4 also asks between the nodes of its grid.* Use ld3"):
        check_competitors(["edm", "ld3-shifted"], schedules)


def test_a_model_that_keeps_no_gradient_is_told_what_to_leave_out(artifact, load):
    model = load("mixture-64d")

    def denoiser(x, sigma):
        with torch.no_grad():
            return model.denoiser(x, sigma)

    with pytest.raises(InputError, match=r"keeps no gradient\. LD3 needs one; leave it out\."):
        package.evaluate(artifact, replace(model, denoiser=denoiser), against="ld3", **FEW)


# --------------------------------------------------------------------------------------------- pictures


def test_each_has_a_line_of_its_own_in_a_picture():
    among = ("edm", *PEERS, "logsnr")
    assert len({(colour_of(name, among), line_of(name, among)) for name in among}) == len(among)
    assert line_of("edm", among) == "-"
    looks = {(style_of(name, among), mark(place, 0, 0)) for place, name in enumerate(among, 1)}
    assert len(looks) == len(among), "on the page too, by colour and shape"

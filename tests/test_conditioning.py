"""Classes and guidance: labels are drawn or given, and a guided value costs two calls everywhere it is counted."""

from dataclasses import replace

import pytest
import torch

import artc
from artc.artifact import Guidance, dumps, loads, steps_for
from artc.errors import ArtifactError, BudgetError, InputError
from artc.models.analytic import eight_clusters
from artc.models.conditioning import conditioned
from artc.models.score_model import NO_CLASS, Latents, Probe
from artc.sampling.solvers import SOLVERS
from artc.sampling.trajectories import sample
from tests.toy_models import class_model, vp_model

QUICK = {"trajectories": 16, "method": "closed-form"}


def test_labels_are_drawn_uniformly_and_leave_the_noise_as_it_was():
    model = class_model()
    latents = model.latents(4000, seed=0)
    counts = torch.bincount(latents.labels, minlength=8)
    assert counts.sum() == 4000
    assert counts.min() > 430  # 500 on average, with a standard deviation of 21
    assert torch.equal(latents.noise, replace(model, classes=0).latents(4000, seed=0).noise)
    assert replace(model, classes=0).latents(4, seed=0).labels is None
    assert not torch.equal(latents.labels, model.latents(4000, seed=1).labels)


def test_given_labels_are_the_only_ones():
    latents = conditioned(class_model(), labels=(2, 5)).latents(200, seed=0)
    assert set(latents.labels.tolist()) == {2, 5}
    assert set(conditioned(class_model(), labels=(3,)).latents(5, seed=0).labels.tolist()) == {3}


def test_latents_are_split_with_their_labels():
    whole = Latents(noise=torch.arange(5.0)[:, None], labels=torch.arange(5))
    parts = list(whole.split(2))
    assert [part.labels.tolist() for part in parts] == [[0, 1], [2, 3], [4]]
    assert [len(part) for part in parts] == [2, 2, 1]
    assert [len(part) for part in Latents(noise=torch.zeros(5, 1)).split(2)] == [2, 2, 1]


def test_every_sample_keeps_its_own_label_through_the_batches():
    model = class_model()
    noise = torch.randn(16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    latents = Latents(noise=noise, labels=torch.arange(16) % 8)
    sigmas = [80.0, 10.0, 1.0, 0.1, 0.0]
    reached = sample(Probe(model).on, latents, sigmas, SOLVERS["heun"], batch=5)
    assert torch.equal(torch.cdist(reached, eight_clusters(16).means).argmin(dim=1), latents.labels)
    torch.testing.assert_close(reached, sample(Probe(model).on, latents, sigmas, SOLVERS["heun"], batch=16))


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_guidance_is_the_formula(scale):
    model = class_model()
    x, level = torch.randn(8, 16, dtype=torch.float64), torch.linspace(0.1, 20, 8, dtype=torch.float64)
    labels = torch.arange(8)
    with_class = model.denoiser(x, level, labels=labels)
    without = model.denoiser(x, level, labels=torch.full((8,), NO_CLASS))
    guided = conditioned(model, guidance=scale).on(labels)(x, level)
    torch.testing.assert_close(guided, without + scale * (with_class - without))


def test_a_guided_value_counts_two_calls():
    probe = Probe(conditioned(class_model(), guidance=2.0))
    probe.on(torch.zeros(6, dtype=torch.int64))(torch.zeros(6, 16, dtype=torch.float64), 1.0)
    assert probe.calls == 12


def test_a_guided_schedule_has_half_the_steps_for_its_calls():
    # Without moving nodes: how many walks a search takes depends on what it finds.
    plain = artc.compile(class_model(), nfe=[9], trials=0, **QUICK)
    guided = artc.compile(class_model(), nfe=[18], guidance=2.0, trials=0, **QUICK)
    assert [schedule.steps for schedule in (*plain.schedules, *guided.schedules)] == [5, 5]
    assert guided.model.guidance == Guidance(scale=2.0, calls=2)
    assert guided.provenance.score_evals == 2 * plain.provenance.score_evals
    assert guided.resampled([26]).schedules[-1].steps == 7
    assert len(guided.sigmas(nfe=6, resample=True)) == 3
    assert plain.provenance.config["model"] == {"labels": "uniform"}


def test_a_model_that_its_host_guides_is_compiled_as_it_is():
    ours = conditioned(class_model(), guidance=2.0)
    host = replace(ours, info=replace(ours.info, guidance=Guidance(scale=2.0, calls=1)))  # both halves in one call
    counted, asked = artc.compile(host, nfe=[3], **QUICK), artc.compile(class_model(), nfe=[6], guidance=2.0, **QUICK)
    assert [held.sigmas for held in counted.schedules] == [held.sigmas for held in asked.schedules]
    assert (counted.schedules[0].nfe, counted.schedules[0].steps) == (3, 2)
    assert 2 * counted.provenance.score_evals == asked.provenance.score_evals
    assert loads(dumps(counted)) == counted
    for more in ({"labels": [1]}, {"guidance": 2.0}):
        with pytest.raises(InputError, match="guided already"):
            artc.compile(host, nfe=[6], solver="euler", **more, **QUICK)


def test_guidance_survives_the_file_and_its_calls_are_checked(tmp_path):
    path = tmp_path / "guided.art.json"
    artifact = artc.compile(class_model(), nfe=[6], guidance=2.0, labels=[1, 2], **QUICK)
    artifact.save(path)
    assert artc.load(path) == artifact
    assert artifact.provenance.config["model"]["labels"] == [1, 2]
    unguided = replace(artifact.model, guidance=None)
    with pytest.raises(ArtifactError, match="spends 3 denoiser calls on 2 steps, not 6"):
        replace(artifact, model=unguided)


@pytest.mark.parametrize(("nfe", "near"), [(9, "6 and 10"), (4, "2 and 6"), (7, "6 and 10")])
def test_calls_that_guidance_cannot_make_name_the_nearest(nfe, near):
    with pytest.raises(BudgetError, match=f"with guidance.*{near}"):
        artc.compile(class_model(), nfe=[nfe], guidance=2.0)
    with pytest.raises(BudgetError, match="smallest NFE is 2"):
        steps_for("euler", 1, 2)


def test_what_a_model_does_not_have_is_refused():
    with pytest.raises(InputError, match="unconditional: guidance"):
        artc.compile(vp_model(), nfe=[6], guidance=2.0)
    with pytest.raises(InputError, match="unconditional: labels"):
        artc.compile(vp_model(), nfe=[3], labels=[0])
    with pytest.raises(InputError, match="classes 0 to 7"):
        artc.compile(class_model(), nfe=[3], labels=[8])
    with pytest.raises(InputError, match="label must be a whole number"):
        artc.compile(class_model(), nfe=[3], labels=[-1])
    with pytest.raises(InputError, match="must be a number"):
        artc.compile(class_model(), nfe=[6], guidance=float("nan"))


def test_the_kind_of_condition_and_of_prediction_reach_the_artifact():
    artifact = artc.compile(class_model(prediction="velocity"), nfe=[3], **QUICK)
    assert (artifact.model.conditioning, artifact.model.prediction) == ("class", "velocity")
    assert artc.compile(vp_model(), nfe=[3], **QUICK).model.conditioning == "none"


@pytest.mark.parametrize(("guidance", "most"), [(None, 5), (2.0, 4)])
def test_the_network_is_called_with_no_more_than_its_batch(guidance, most):
    model, sizes = class_model(), []

    def counting(x, sigma, labels):
        sizes.append(len(x))
        return model.denoiser(x, sigma, labels=labels)

    artc.compile(replace(model, denoiser=counting, batch=5), nfe=[6 if guidance else 3], guidance=guidance, **QUICK)
    assert max(sizes) == most

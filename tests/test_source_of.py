"""Finding an artifact's model again: what it may name, what it remembers, and what is held against it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import artc
from artc.errors import InputError
from artc.models.ranges import Range
from artc.models.sources import Source, load, model_for, source_of
from tests.toy_models import class_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def made():
    source = Source(kind="name", place="mixture-1d")
    return artc.compile(load(source, CPU), nfe=[3], method="closed-form", trajectories=16)


def naming(artifact, source, **record):
    config = {**artifact.provenance.config, "model": record}
    provenance = replace(artifact.provenance, config=config)
    return SimpleNamespace(model=replace(artifact.model, source=source), provenance=provenance)


@pytest.mark.parametrize("source", ["edm:\\\\evil\\share\\x.pkl", "edm://evil/x.pkl", "diffusers://evil/share"])
def test_an_artifact_cannot_send_its_reader_to_another_machine(source, made):
    with pytest.raises(InputError, match="a model on another machine"):
        source_of(naming(made, source))


def test_precision_and_the_label_of_no_class_are_remembered(made):
    edm = source_of(naming(made, "edm:net.pkl", precision="bfloat16"))
    assert (edm.kind, edm.place, edm.precision) == ("edm", "net.pkl", "bfloat16")
    assert edm.range == Range(sigma_min=0.002, sigma_max=80.0)
    published = source_of(naming(made, "edm-cifar10", precision="bfloat16"))
    assert (published.kind, published.precision) == ("published", "bfloat16")
    assert published.range == edm.range
    folder = naming(made, "diffusers:some/folder", null_label=3)
    assert source_of(folder).arguments == {"null_label": 3}
    assert source_of(folder, "diffusers:elsewhere").arguments == {"null_label": 3}
    assert source_of(folder, "diffusers:elsewhere", {"null_label": 4}).arguments == {"null_label": 4}


def test_a_precision_is_no_obstacle_for_a_model_that_python_makes(made):
    pipeline = naming(made, "pipeline:mine", precision="float16")
    assert source_of(pipeline, "my_module:make").precision == "float32"
    assert source_of(pipeline, "edm:x.pkl").precision == "float16"


def test_an_argument_without_a_model_is_refused(made):
    with pytest.raises(InputError, match="for a model that --model names"):
        source_of(made, None, {"size": 3})


def test_a_range_may_differ_in_its_last_digit_and_is_then_the_artifacts(made):
    nudged = replace(made.model, sigma_max=80.0 * (1 + 1e-15))
    found = model_for(SimpleNamespace(model=nudged, provenance=made.provenance), source_of(made), CPU)
    assert found.info.sigma_max == nudged.sigma_max
    other = replace(made.model, sigma_max=79.0)
    with pytest.raises(InputError, match="no longer has the sigma range"):
        model_for(SimpleNamespace(model=other, provenance=made.provenance), source_of(made), CPU)


@pytest.mark.parametrize(("change", "what"), [({"prediction": "eps"}, "prediction"), ({"shift": 3.0}, "shift")])
def test_what_has_changed_is_named(change, what, made):
    other = SimpleNamespace(model=replace(made.model, **change), provenance=made.provenance)
    with pytest.raises(InputError, match=f"its {what} is"):
        model_for(other, source_of(made), CPU)


def test_labels_and_guidance_of_the_artifact_are_those_of_its_samples(tmp_path, monkeypatch):
    artifact = artc.compile(class_model(), nfe=[6], guidance=2.0, labels=[1, 2], method="closed-form", trajectories=16)
    monkeypatch.setattr("artc.models.sources.load", lambda *_: class_model())
    source = Source(kind="python", place="tests:class_model")
    model = model_for(artifact, source, CPU)
    assert model.info.guidance == artifact.model.guidance
    assert set(model.latents(50, seed=0).labels.tolist()) == {1, 2}
    assert set(model_for(artifact, source, CPU, (5,)).latents(50, seed=0).labels.tolist()) == {5}

"""Everything sound comes back as it went in, also what this version does not know."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from artc.artifact import Schedule, Warp, dumps, loads
from tests.golden.example import example, golden_document, resealed

unhurried = settings(deadline=None)  # a busy machine is no defect


def test_fields_of_a_newer_minor_version_are_kept_and_written_back():
    document = golden_document()
    document["format_version"] = "1.7"
    document["policy"] = {
        "file": "x.art.onnx", "sha256": "0" * 64, "opset": 18, "inputs": ["x"], "output": "y", "features": ["z"]
    }  # fmt: skip
    schedule = document["schedules"][0]
    objects = [
        document, document["model"], schedule, schedule["certificate"], schedule["evaluation"][0], document["warp"],
        document["stiffness"], document["policy"], document["provenance"], document["created"],
    ]  # fmt: skip
    for k, record in enumerate(objects):
        record["future"] = {"number": k, "list": [1, 2.5, None, "ü"], "deep": {"a": [{}]}}
    document = resealed(document)
    artifact = loads(json.dumps(document))
    assert artifact.extra["future"]["number"] == 0
    assert artifact.schedules[0].certificate.extra["future"]["number"] == 3
    written = dumps(artifact)
    assert json.loads(written) == document
    assert dumps(loads(written)) == written


@st.composite
def artifacts(draw):
    count = draw(st.integers(0, 30))
    inner = st.lists(st.integers(1, 10**6 - 1), min_size=count, max_size=count, unique=True).map(sorted)
    top = draw(st.floats(0.01, 1e4))
    warp = Warp(
        (0.0, *(k / 10**6 for k in draw(inner)), 1.0),
        (top, *(top * k / 10**6 for k in reversed(draw(inner))), 0.0),
        draw(st.floats(1e-4, 1e4)),
    )
    steps = draw(st.lists(st.integers(1, 60), unique=True, max_size=4, min_size=1))
    schedules = [
        Schedule(solver="heun", nfe=2 * k - 1, steps=k, sigmas=warp.baked(k, top / 1000), origin="closed-form")
        for k in steps
    ]
    base = example()
    model = type(base.model)(**{**_fields(base.model), "sigma_max": top, "sigma_min": top / 1000})
    values = st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.floats(allow_nan=False, allow_infinity=False)
    )
    provenance = type(base.provenance)(**{**_fields(base.provenance), "config": draw(values)})
    return example(model=model, schedules=schedules, warp=warp, provenance=provenance)


def _fields(record):
    return {name: getattr(record, name) for name in record.__slots__}


@unhurried
@given(artifacts())
def test_any_artifact_survives_a_round_trip_to_the_last_bit(artifact):
    text = dumps(artifact)
    again = loads(text)
    assert again == artifact.sealed()
    assert dumps(again) == text
    for schedule in artifact.schedules:
        np.testing.assert_array_equal(again.sigmas(nfe=schedule.nfe), schedule.sigmas)

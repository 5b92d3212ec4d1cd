"""A schedule with model sigmas is exported as its grid, and its user is told what is left out."""

from dataclasses import replace

import pytest

from artc.integrations.exporting import TARGETS, export
from tests.integrations.exported import GRID, sd

SHOWN = (14.5, 3.5, 1.5, 0.11)


@pytest.mark.parametrize("target", TARGETS)
def test_the_text_is_that_of_the_grid_and_a_note_says_what_is_not_in_it(target):
    plain = sd()
    asked = replace(plain, schedules=(replace(plain.schedules[0], model_sigmas=SHOWN),), digest="")
    bare, made = export(plain, target, nfe=7), export(asked, target, nfe=7)
    assert (made.text, made.values) == (bare.text, bare.values)
    assert made.document()["sigmas"] == list(GRID)
    assert made.notes[:-1] == bare.notes
    name, said = made.notes[-1]
    assert name == "shown"
    assert said.startswith("the schedule also has model sigmas, which this target cannot use")
    elsewhere = {"edm": "edm.asked", "k-diffusion": "k_diffusion.asked", "comfyui": "ART Model Sigmas"}
    assert elsewhere.get(target, "") in said
    assert said.endswith("without them") == (target not in elsewhere)
    assert made.document()["notes"]["shown"] == said

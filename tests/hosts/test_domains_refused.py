"""A schedule of a flow model is refused for x = x0 + sigma n in every host, and the reverse, each with a sentence."""

import pytest
import torch

from artc.errors import InputError
from artc.integrations import diffusers, edm, k_diffusion
from tests.hosts.comfyui import art_schedule
from tests.integrations.made import artifact, flow_artifact

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers.*")

GRIDS = {"flow": flow_artifact(), "ve": artifact((0.9, 0.8, 0.3, 0.0))}  # numbers that would do for either


def to_edm(made, _domain, _server):
    edm.scheduled(lambda x, _sigma, _labels: x, made, steps=3)


def to_edm2(made, _domain, _server):
    edm.sampler_fn(made, steps=3)


def to_k_diffusion(made, domain, _server):
    k_diffusion.sigmas(made, steps=3, domain=domain, like=torch.zeros(1))


def to_comfyui(made, domain, server):
    name = f"of {made.model.domain}.art.json"
    made.save(server.artifacts / name, force=True)
    schedule = art_schedule(name, steps=3, model=["model", 0])
    run = server.run(server.sampling(schedule, kind="flow" if domain == "flow" else "edm", sampler="heun"))
    if not run.succeeded:
        assert run.error["exception_type"] == "artc.errors.InputError"
        raise InputError(run.error["exception_message"])


def to_diffusers(made, domain, _server):
    import diffusers as package

    kinds = {"ve": package.HeunDiscreteScheduler, "flow": package.FlowMatchHeunDiscreteScheduler}
    diffusers.scheduled(kinds[domain](), made, steps=3)


REVERSE = [to_k_diffusion, to_comfyui, to_diffusers]  # EDM has no flow models
CASES = [(host, "flow", "ve") for host in (to_edm, to_edm2, *REVERSE)] + [(host, "ve", "flow") for host in REVERSE]


@pytest.mark.parametrize(("host", "compiled", "sampled"), CASES)
def test_a_schedule_for_the_other_way_to_write_noise_is_refused(comfyui, host, compiled, sampled):
    with pytest.raises(InputError, match=r"compiled for .* where x = .*; in .* x = ") as refused:
        host(GRIDS[compiled], sampled, comfyui)
    formulae = {"ve": "x = x0 + sigma n", "flow": "x = (1 - sigma) x0 + sigma n"}
    before, after = str(refused.value).split("; in ")
    assert formulae[compiled] in before
    assert formulae[sampled] in after


@pytest.mark.parametrize(("host", "compiled", "sampled"), CASES)
@pytest.mark.filterwarnings("ignore:It starts at sigma")
def test_the_same_numbers_are_taken_where_they_belong(comfyui, host, compiled, sampled):
    host(GRIDS[sampled], sampled, comfyui)

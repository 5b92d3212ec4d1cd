"""What stands between samplers and a denoiser of somebody else's: casts, counts, and blame where it belongs."""

from dataclasses import replace

import pytest
import torch

import artc
from artc.errors import DenoiserError, InputError
from artc.models.score_model import Latents, Probe, full_float32
from tests.toy_models import class_model, vp_model


def probe_of(denoiser, dtype=torch.float32):
    return Probe(artc.score_model(denoiser, shape=(2,), sigma_min=0.002, sigma_max=80.0, dtype=dtype, device="cpu"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_sigma_is_never_rounded_to_half_precision(dtype):
    seen = []
    probe = probe_of(lambda x, sigma: seen.append((x.dtype, sigma)) or x, dtype)
    probe(torch.zeros(3, 2, dtype=torch.float64), 14.6146)
    ((given, sigma),) = seen
    assert (given, sigma.dtype) == (dtype, torch.float32)
    torch.testing.assert_close(sigma, torch.full((3,), 14.6146))


def test_an_adapted_network_in_half_precision_is_asked_within_its_range():
    times = artc.discrete_times(torch.linspace(0.9999, 0.005, 1000, dtype=torch.float64))
    denoiser = artc.adapt(lambda z, t: torch.zeros_like(z), predicts="eps", times=times)
    for dtype in (torch.bfloat16, torch.float16):
        model = artc.score_model(denoiser, shape=(2,), dtype=dtype, device="cpu")
        for sigma in (model.info.sigma_max, model.info.sigma_min):
            Probe(model)(torch.zeros(1, 2, dtype=torch.float64), sigma)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_denoiser_that_works_in_place_leaves_the_state_alone(dtype):
    probe, x = probe_of(lambda x, sigma: x.mul_(0.5), dtype), torch.ones(1, 2, dtype=torch.float64)
    assert probe(x, 1.0).tolist() == [[0.5, 0.5]]
    assert x.tolist() == [[1.0, 1.0]]


def leave(x, sigma):
    raise SystemExit(0)


@pytest.mark.parametrize(
    ("denoiser", "said"),
    [
        (lambda x, sigma: x @ torch.zeros(3, 3), "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (lambda x: x, "TypeError: .*takes 1 positional argument"),
        (lambda x, sigma: 1 // 0, "ZeroDivisionError: .*by zero"),
        (leave, "SystemExit: 0"),
    ],
)
def test_an_error_inside_a_denoiser_is_the_denoisers(denoiser, said):
    with pytest.raises(DenoiserError, match=rf"The denoiser raised {said}.* at sigma = 0\.25, for x of shape \(1, 2\)"):
        probe_of(denoiser)(torch.zeros(1, 2, dtype=torch.float64), 0.25)


def test_running_out_of_memory_has_a_hint_of_its_own():
    def hungry(x, sigma):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DenoiserError, match=r"ran out of memory.*called with 5 samples"):
        probe_of(hungry)(torch.zeros(5, 2, dtype=torch.float64), 0.25)


def test_a_network_runs_in_full_float32_and_the_users_setting_comes_back():
    cudnn, matmul, seen = torch.backends.cudnn, torch.backends.cuda.matmul, []
    before = cudnn.allow_tf32, matmul.allow_tf32
    try:
        cudnn.allow_tf32, matmul.allow_tf32 = True, True
        probe = probe_of(lambda x, sigma: seen.append((cudnn.allow_tf32, matmul.allow_tf32)) or x)
        probe(torch.zeros(1, 2, dtype=torch.float64), 1.0)
        assert seen == [(False, False)]
        assert (cudnn.allow_tf32, matmul.allow_tf32) == (True, True)
        with pytest.raises(ValueError, match="as it comes"), full_float32():
            raise ValueError("as it comes")
        assert (cudnn.allow_tf32, matmul.allow_tf32) == (True, True)
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def test_the_clock_is_learned_from_the_fine_denoiser_and_checked_with_the_rough_one():
    exact = vp_model("clusters")
    calls = {"rough": 0, "fine": 0}

    def counted(name, scale):
        def denoiser(x, sigma):
            calls[name] += len(x)
            return exact.denoiser(x, sigma) * scale

        return denoiser

    model = replace(exact, denoiser=counted("rough", 1.01), fine=counted("fine", 1.0))
    settings = {"nfe": [9], "method": "closed-form", "trajectories": 16, "refine": False}
    artifact = artc.compile(model, **settings)
    assert artifact.warp == artc.compile(exact, **settings).warp
    assert calls["fine"] == 16 * 128
    assert calls["rough"] + calls["fine"] == artifact.provenance.score_evals


def test_latents_and_labels_come_in_equal_numbers():
    with pytest.raises(InputError, match="10 latents have 4 labels"):
        Latents(noise=torch.zeros(10, 1), labels=torch.zeros(4, dtype=torch.int64))
    parts = Latents(noise=torch.zeros(10, 1), labels=torch.arange(10), batch=4).split()
    assert [(len(part), part.batch) for part in parts] == [(4, 4), (4, 4), (2, 4)]


def test_guidance_is_for_models_that_know_no_class_and_only_once():
    never = replace(class_model(), unconditional=False)
    with pytest.raises(InputError, match="never trained without a class"):
        artc.compile(never, nfe=[6], guidance=2.0)
    from artc.models.conditioning import conditioned

    once = conditioned(class_model(), guidance=2.0)
    assert (once.batch, class_model().batch) == (32, 64)
    with pytest.raises(InputError, match="guided already"):
        artc.compile(once, nfe=[6], guidance=2.0)
    with pytest.raises(InputError, match="guided already"):
        artc.compile(once, nfe=[5])
    with pytest.raises(InputError, match="The label 1 is given twice"):
        conditioned(class_model(), labels=(1, 2, 1))
    with pytest.raises(InputError, match="The label 3 of custom stands for no class"):
        conditioned(replace(class_model(), labels=(0, 1, 2)), labels=(3,))
    assert conditioned(replace(class_model(), labels=(0, 1, 2))).labels == (0, 1, 2)


def test_an_adapted_network_says_itself_what_it_is():
    def network(z, time):
        return z

    denoiser = artc.adapt(network, predicts="velocity", times=artc.flow_times(sigma_min=0.01))
    model = artc.score_model(denoiser, shape=(2,), device="cpu")
    assert (model.info.domain, model.info.sigma_min, model.info.sigma_max) == ("flow", 0.01, 1.0)
    with pytest.raises(InputError, match="those of domain 'flow', not 've'"):
        artc.score_model(denoiser, shape=(2,), domain="ve")
    narrowed = artc.score_model(denoiser, shape=(2,), sigma_min=0.001, sigma_max=0.9, device="cpu")
    assert (narrowed.info.sigma_min, narrowed.info.sigma_max) == (0.01, 0.9)
    assert "sigma_min is 0.01, not 0.001" in narrowed.notices[0]
    zero = artc.adapt(network, predicts="v", times=artc.discrete_times([0.9, 0.5, 0.2, 0.0]))
    assert "pure noise" in artc.score_model(zero, shape=(2,), device="cpu").notices[0]
    with pytest.raises(InputError, match="needs its sigma_min and sigma_max"):
        artc.score_model(network, shape=(2,), sigma_max=80.0)
    for wrong in ({"name": ""}, {"prediction": ""}, {"shape": (1,) * 17}):
        with pytest.raises(InputError):
            artc.score_model(denoiser, **{"shape": (2,), **wrong})


def test_what_no_artifact_could_record_is_refused_before_any_work():
    model = replace(vp_model(), record={"arguments": {"k": float("inf")}})
    updates = []
    with pytest.raises(artc.ArtcError, match="inf"):
        artc.compile(model, nfe=[3], on_update=updates.append)
    assert updates == []

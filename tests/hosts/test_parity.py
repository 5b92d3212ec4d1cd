"""One denoiser, one artifact, one noise: EDM, k-diffusion, ComfyUI and diffusers end in the same samples.

The data is Gaussian with another mean and spread in each channel, so that D(x; sigma) = m + v / (v + sigma^2) (x - m).
What the hosts are held against is written here by hand, in NumPy and float64; the hosts themselves work in float32.
Three of them are real. EDM is a stand-in with its sampler's interface, for its code is not on PyPI.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch

import artc
from artc.integrations import diffusers, edm, k_diffusion
from tests.hosts.comfyui import art_schedule
from tests.hosts.k_diffusion_host import k_diffusion as real_k_diffusion

# Raised by diffusers' own code, which asks torch for arrays the old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers.*")

MEAN, STD = (0.5, -0.25, 0.0, 1.0), (0.5, 0.25, 1.0, 0.125)  # as in toy_nodes
# What all four know: ComfyUI's EDM models 0.002 to 120, a Stable Diffusion's table 0.029 to 14.6.
LOW, HIGH = 0.03, 14.0
NFE = 9
STEPS = {"heun": 5, "euler": 9, "dpmpp_2m": 9}
SEED, BATCH, SIZE, IMAGE = 20, 16, 4, 0.75


def denoiser(x, sigma):
    """D(x; sigma), in the dtype of x; sigma a number or (B,)."""
    mean, variance = (torch.tensor(values, dtype=x.dtype)[:, None, None] for values in (MEAN, np.square(STD)))
    level = torch.as_tensor(sigma).to(x).reshape(-1, 1, 1, 1)
    return mean + variance / (variance + level**2) * (x - mean)


class Counted:
    """A network that counts its calls."""

    def __init__(self, network):
        self.network, self.calls = network, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.network(*arguments)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """One artifact, compiled for this denoiser, with a schedule for each solver."""
    made = artc.compile(
        denoiser,
        shape=(4, SIZE, SIZE),
        sigma_min=LOW,
        sigma_max=HIGH,
        nfe=NFE,
        solver=[*STEPS],
        trajectories=64,
        checks=8,
        dtype=torch.float64,
        device="cpu",
        name="gaussian",
    )
    path = tmp_path_factory.mktemp("parity") / "parity.art.json"
    made.save(path)
    return path


@pytest.fixture(scope="module")
def noise():
    """(B, 4, 4, 4): what ComfyUI draws from this seed."""
    return torch.randn(BATCH, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(SEED))


def by_hand(solver, sigmas, x):
    """The three solvers as their papers have them, in float64."""
    mean, variance = (np.array(values)[:, None, None] for values in (MEAN, np.square(STD)))

    def denoised(x, sigma):
        return mean + variance / (variance + sigma**2) * (x - mean)

    before = None
    for now, then in pairwise(sigmas):
        here = denoised(x, now)
        slope = (x - here) / now
        if solver == "dpmpp_2m" and then > 0:
            step, guess = np.log(now / then), here
            if before is not None:
                guess = here + (here - before[0]) * step / (2 * before[1])
            before = here, step
            x = then / now * x + (1 - then / now) * guess
            continue
        ahead = x + (then - now) * slope
        if solver == "heun" and then > 0:
            slope = (slope + (ahead - denoised(ahead, then)) / then) / 2
            ahead = x + (then - now) * slope
        x = ahead
    return x


def edm_sampler(net, latents, num_steps, solver="heun"):
    """A stand-in with the interface of EDM's samplers: the grid through round_sigma, then float64 all the way."""
    ramp = torch.linspace(HIGH ** (1 / 7), LOW ** (1 / 7), num_steps, dtype=torch.float64) ** 7
    sigmas = torch.cat([net.round_sigma(ramp), torch.zeros(1, dtype=torch.float64)])
    x = latents.double() * sigmas[0]
    for now, then in pairwise(sigmas):
        now = net.round_sigma(now)
        slope = (x - net(x, now, None).double()) / now
        ahead = x + (then - now) * slope
        if solver == "heun" and then > 0:
            slope = (slope + (ahead - net(ahead, then, None).double()) / then) / 2
            ahead = x + (then - now) * slope
        x = ahead
    return x


def in_edm(file, solver, noise, part, _server):
    # The contract of its networks: any dtype in, float32 out. EDM2 takes the sampler itself, and so 2M as well.
    net = Counted(lambda x, sigma, _labels: denoiser(x.float(), sigma))
    if solver == "dpmpp_2m":
        walk = edm.sampler_fn(file, nfe=NFE, solver=solver, denoise=part)
        return walk(net, begin(noise, part, walk.sigmas[0])), net.calls
    network = edm.scheduled(net, file, nfe=NFE, solver=solver, denoise=part)
    x = edm_sampler(network, begin(noise, part, network.sigmas[0]), network.num_steps, solver)
    return x, net.calls


def begin(noise, part, first):
    """What a sampler that multiplies by its first sigma is given: noise, or an image in it."""
    return noise if part == 1 else IMAGE / first + noise


def in_k_diffusion(file, solver, noise, part, _server):
    sample = getattr(real_k_diffusion().sampling, f"sample_{solver}")
    sigmas = k_diffusion.sigmas(file, nfe=NFE, sampler=sample, like=noise, denoise=part)
    model = Counted(denoiser)
    return sample(model, begin(noise, part, sigmas[0]) * sigmas[0], sigmas, disable=True), model.calls


def in_comfyui(file, solver, noise, part, server):
    target = server.artifacts / file.name
    target.write_bytes(file.read_bytes())
    schedule = art_schedule(file.name, solver=solver, nfe=NFE, denoise=part, model=["model", 0])
    start = 0.0 if part == 1 else IMAGE
    graph = server.sampling(schedule, sampler=solver, kind="edm", seed=SEED, batch=BATCH, size=SIZE, start=start)
    report = server.run(graph).report()
    return torch.tensor(report["samples"]), report["calls"]


def in_diffusers(file, solver, noise, part, _server):
    import diffusers as package

    plain = package.EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    scheduler = diffusers.scheduled(plain, file, nfe=NFE, solver=solver)
    logs = np.log(((1 - plain.alphas_cumprod) / plain.alphas_cumprod).sqrt().double().numpy())

    def eps(x, timestep):
        sigma = float(np.exp(np.interp(float(timestep), np.arange(len(logs)), logs)))
        x = x * (1 + sigma**2) ** 0.5
        return (x - denoiser(x, sigma)) / sigma

    model = Counted(eps)
    scheduler.set_timesteps(STEPS[solver])
    timesteps, x = scheduler.timesteps, noise * scheduler.init_noise_sigma
    if part < 1:  # as the image-to-image pipelines do it
        skipped = (STEPS[solver] - int(STEPS[solver] * part)) * scheduler.order
        timesteps = timesteps[skipped:]
        scheduler.set_begin_index(skipped)
        x = scheduler.add_noise(torch.full_like(noise, IMAGE), noise, timesteps[:1])
    for timestep in timesteps:
        x = scheduler.step(model(scheduler.scale_model_input(x, timestep), timestep), timestep, x).prev_sample
    return x, model.calls


HOSTS = {"EDM": in_edm, "k-diffusion": in_k_diffusion, "ComfyUI": in_comfyui, "diffusers": in_diffusers}


def spent(solver, steps):
    return 2 * steps - 1 if solver == "heun" else steps


def apart(found, expected):
    """The largest difference, relative to the largest value."""
    return np.abs(found.double().numpy() - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("solver", STEPS)
def test_every_host_ends_where_the_hand_made_loop_does_and_spends_what_it_does(comfyui, file, noise, solver, host):
    sigmas = artc.load(file).sigmas(nfe=NFE, solver=solver)
    assert len(sigmas) == STEPS[solver] + 1
    found, calls = HOSTS[host](file, solver, noise, 1.0, comfyui)
    assert calls == NFE == spent(solver, STEPS[solver])
    assert apart(found, by_hand(solver, sigmas, noise.double().numpy() * sigmas[0])) <= 1e-5


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("solver", STEPS)
def test_every_host_starts_an_image_at_the_same_noise_and_walks_the_same_rest(comfyui, file, noise, solver, host):
    kept = 3
    sigmas = artc.load(file).sigmas(nfe=NFE, solver=solver)[-(kept + 1) :]
    # A little more than kept / N: some hosts round, some cut off.
    found, calls = HOSTS[host](file, solver, noise, (kept + 0.01) / STEPS[solver], comfyui)
    assert calls == spent(solver, kept)
    assert apart(found, by_hand(solver, sigmas, IMAGE + noise.double().numpy() * sigmas[0])) <= 1e-5


def test_the_solvers_end_so_far_apart_that_none_passes_for_another(file, noise):
    ends = []
    for solver in STEPS:
        sigmas = artc.load(file).sigmas(nfe=NFE, solver=solver)
        ends += [by_hand(other, sigmas, noise.double().numpy() * sigmas[0]) for other in STEPS]
    gaps = [apart(torch.from_numpy(one), other) for k, one in enumerate(ends) for other in ends[:k]]
    assert min(gaps) > 1e-3

"""Graphs with ART Compile for the toys of `compile_toys`, and what ought to come of them, computed without ComfyUI."""

import math

import numpy as np
import pytest
import torch

import artc
from artc.integrations.samplers import WALKED_BY
from tests.hosts.comfyui import node

WIDGETS = {
    "cfg": 1.0,
    "solver": "dpmpp_2m",
    "nfe": "8",
    "trajectories": 8,
    "refine": True,
    "batch": 8,
    "compile_seed": 0,
    "name": "toy",
}
SPREAD = torch.linspace(0.05, 1.5, 16).reshape(4, 2, 2)
"""Of the toys' data, as their own file has it."""


def compiling(model=None, *, size=2, prompt=None, **widgets):
    """A graph of nothing but ART Compile and what it needs; `model` and `prompt` are nodes."""
    wires = {name: [name, 0] for name in ("model", "positive", "negative")}
    return {
        "model": model or toy(),
        "positive": prompt or node("CompilePrompt", mean=0.5),
        "negative": node("CompilePrompt", mean=-0.25),
        "latent": node("EmptyLatentImage", width=8 * size, height=8 * size, batch_size=3),
        "compile": node("ArtCompile", **wires, latent_image=["latent", 0], **{**WIDGETS, **widgets}),
    }


def toy(kind="edm", *, delay=0.0, scale=1.0, salt=""):
    return node("CompileToy", kind=kind, delay=delay, scale=scale, salt=salt)


def sampled(graph):
    """The same graph with a picture sampled on the compiled sigmas, by the sampler they were compiled for."""
    wires = {name: [name, 0] for name in ("model", "positive", "negative", "sampler")}
    widgets = graph["compile"]["inputs"]
    return graph | {
        "sampler": node("KSamplerSelect", sampler_name=WALKED_BY[widgets["solver"]]),
        "sample": node(
            "SamplerCustom",
            **wires,
            add_noise=True,
            noise_seed=1,
            cfg=widgets["cfg"],
            sigmas=["compile", 0],
            latent_image=["latent", 0],
        ),
        "report": node("ToyReport", sigmas=["compile", 0], latent=["sample", 0], text=["compile", 2]),
    }


def gaussian(mean, flow, variance=SPREAD**2):
    """The toys' denoiser in their own float32, written once more."""
    mean = torch.tensor(mean)

    def denoiser(x, sigma):
        level = sigma[:, None, None, None]
        kept = 1 - level if flow else torch.ones(())
        return mean + kept * variance / (kept**2 * variance + level**2) * (x - kept * mean)

    return denoiser


def told_whole_timesteps(denoiser, sigmas):
    """What ComfyUI makes of it for a network that knows a table of sigmas: the input of one, the time of another."""
    logs = torch.tensor(sigmas).log()

    def rounded(x, sigma):
        nearest = torch.tensor(sigmas)[(sigma.log()[:, None] - logs).abs().argmin(dim=1)]
        given, told = sigma[:, None, None, None], nearest[:, None, None, None]
        z = x / (given**2 + 1) ** 0.5 * (told**2 + 1) ** 0.5
        return x - given * (z - denoiser(z, nearest)) / told

    return rounded


def table():
    """Sigmas of Stable Diffusion 1: sqrt(beta) even from 0.00085 to 0.012 (squared), in 1000 steps."""
    kept = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    return np.sqrt((1 - kept) / kept).astype(np.float32)


RANGES = {"edm": (0.002, 120.0), "eps": (float(table()[0]), float(table()[-1])), "flow": (0.003 / 1.002, 1.0)}


def ours(kind, denoiser, solver, nfe, *, shift=3.0, limits=None):
    """What artc makes of a denoiser of its own, as the node is to spend its calls at 8 trajectories."""
    (low, high), flow = limits or RANGES[kind], kind == "flow"
    return artc.compile(
        told_whole_timesteps(denoiser, table()) if kind == "eps" else denoiser,
        shape=(4, 2, 2),
        sigma_min=low,
        sigma_max=high,
        domain="flow" if flow else "ve",
        shift=shift if flow else None,
        device="cpu",
        batch=8,
        nfe=nfe,
        solver=solver,
        seed=3,
        trajectories=8,
        refine=False,
        nodes=40 if nfe == [10] else 32,
        checks=4,
        teacher_steps=32,
    )


def same(found, wanted):
    """Two artifacts say the same, as far as float32 goes."""
    for held, other in zip(found.schedules, wanted.schedules, strict=True):
        assert (held.solver, held.nfe, held.steps) == (other.solver, other.nfe, other.steps)
        np.testing.assert_allclose(held.sigmas, other.sigmas, rtol=5e-5)
        measured, expected = held.evaluation[0], other.evaluation[0]
        assert measured.value == pytest.approx(expected.value, rel=1e-4)
        assert dict(measured.baselines) == pytest.approx(dict(expected.baselines), rel=1e-4)
    np.testing.assert_allclose(found.stiffness.mean, wanted.stiffness.mean, rtol=1e-2)


def end_of(sigma, mean):
    """Where the toy's ODE takes ComfyUI's noise of seed 1: it scales what is not the mean by the data's spread."""
    noise = torch.randn((3, 4, 2, 2), generator=torch.manual_seed(1))
    start = noise * math.sqrt(1 + sigma**2)
    return mean + (start - mean) * SPREAD / (SPREAD**2 + sigma**2).sqrt()

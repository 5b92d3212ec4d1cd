"""A stand-in for the `generate_images.py` of EDM2: its interface, and none of its code.

`generate_images` takes any sampler and calls it by keywords; `cmdline` passes it every option, whether given or not,
and leaves the sampler to its default. Its network says nothing of noise levels.
"""

import argparse
import json
import math
from pathlib import Path

import torch


class Network:
    """D(x; sigma) = x spread^2 / (spread^2 + sigma^2), and the levels it was asked at."""

    img_channels, img_resolution, label_dim = 1, 2, 0

    def __init__(self, spread=0.5, dtype=torch.float32):
        self.spread, self.dtype = spread, dtype
        self.asked, self.labels = [], []

    def __call__(self, x, sigma, labels=None):
        assert sigma.shape == ()
        self.asked.append(float(sigma))
        self.labels.append(labels)
        return (x * self.spread**2 / (self.spread**2 + sigma**2)).to(self.dtype)


def edm_sampler(**settings):
    raise AssertionError("the sampler of EDM2 itself ran")


def generate_images(net, gnet=None, sampler_fn=edm_sampler, outdir=None, **sampler_kwargs):
    gnet = net if gnet is None else gnet
    noise = torch.ones(1, 1, 2, 2)
    end = sampler_fn(net=net, noise=noise, labels=None, gnet=gnet, randn_like=torch.randn_like, **sampler_kwargs)
    document = {"asked": net.asked, "guide_asked": gnet.asked, "end": float(end[0, 0, 0, 0])}
    (outdir / "0.json").write_text(json.dumps(document), encoding="utf-8")


def cmdline():
    parser = argparse.ArgumentParser()
    parser.add_argument("--net", type=lambda text: Network(**json.loads(text)), required=True)
    parser.add_argument("--gnet", type=lambda text: Network(**json.loads(text)))
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--steps", dest="num_steps", type=int, default=32)
    for name, default in (
        ("sigma_min", 0.002),
        ("sigma_max", 80),
        ("rho", 7),
        ("guidance", 1),
        ("S_churn", 0),
        ("S_min", 0),
        ("S_max", math.inf),
        ("S_noise", 1),
    ):
        parser.add_argument(f"--{name}", type=float, default=default)
    generate_images(**vars(parser.parse_args()))

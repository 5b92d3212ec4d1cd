"""A stand-in for the `generate.py` of EDM: its interface and the published algorithm, and none of its code.

What an adapter meets there, as far as it matters: samplers that make a grid from a formula and pass it through
`round_sigma`, that take the current level through it again in every step, and find the last step by `num_steps`; a
command line that draws with one or the other of them, by name. Its network is Gaussian data, whose denoiser is exact.
It is a program as well: `edm_stand_in.py --network=... --outdir=...` leaves a JSON document where images would be.
"""

import argparse
import json
import math
from pathlib import Path

import torch


class GaussianNetwork(torch.nn.Module):
    """D(x; sigma) = x spread^2 / (spread^2 + sigma^2), for data N(0, spread^2), with the attributes of EDM's networks.

    `asked` are the levels that it was called at, `labels` what it was called with. With `levels` it knows those only.
    """

    img_channels, img_resolution, label_dim = 1, 2, 3

    def __init__(self, spread=0.5, sigma_min=0.0, sigma_max=math.inf, levels=None, dtype=torch.float64):
        super().__init__()
        self.spread, self.sigma_min, self.sigma_max, self.dtype = spread, sigma_min, sigma_max, dtype
        self.asked, self.labels = [], []
        self.levels = None if levels is None else torch.tensor(levels, dtype=torch.float32)

    def forward(self, x, sigma, class_labels=None):
        self.asked.append(float(sigma))
        self.labels.append(class_labels)
        return (x * self.spread**2 / (self.spread**2 + sigma**2)).to(self.dtype)

    def round_sigma(self, sigma, return_index=False):
        if self.levels is None:
            return torch.as_tensor(sigma)
        sigma = torch.as_tensor(sigma)
        nearest = (sigma.float().reshape(-1, 1) - self.levels).abs().argmin(1).reshape(sigma.shape)
        return nearest if return_index else self.levels[nearest].to(sigma.dtype)


def edm_sampler(
    net,
    latents,
    class_labels=None,
    randn_like=torch.randn_like,
    num_steps=18,
    sigma_min=0.002,
    sigma_max=80,
    rho=7,
    S_churn=0,
    S_min=0,
    S_max=math.inf,
    S_noise=1,
):
    """Karras et al. 2206.00364, algorithm 2 on the grid of equation 5."""
    noise = {"S_churn": S_churn, "S_min": S_min, "S_max": S_max, "S_noise": S_noise}
    return _walk(net, latents, class_labels, randn_like, num_steps, sigma_min, sigma_max, rho, "heun", **noise)


def ablation_sampler(
    net, latents, class_labels=None, randn_like=torch.randn_like, num_steps=18, solver="heun", **settings
):
    """The same, with a choice of solver."""
    return _walk(net, latents, class_labels, randn_like, num_steps, 0.002, 80, 7, solver, **settings)


def _walk(
    net,
    latents,
    class_labels,
    randn_like,
    num_steps,
    sigma_min,
    sigma_max,
    rho,
    solver,
    S_churn=0,
    S_min=0,
    S_max=math.inf,
    S_noise=1,
):
    low, high = (
        bound ** (1 / rho) for bound in (max(sigma_min, float(net.sigma_min)), min(sigma_max, float(net.sigma_max)))
    )
    formula = (high + torch.arange(num_steps, dtype=torch.float64) / (num_steps - 1) * (low - high)) ** rho
    grid = [*net.round_sigma(formula), torch.zeros((), dtype=torch.float64)]
    x = latents.double() * grid[0]
    for step in range(num_steps):
        sigma, after = grid[step], grid[step + 1]
        gamma = min(S_churn / num_steps, math.sqrt(2) - 1) if S_min <= sigma <= S_max else 0.0
        raised = net.round_sigma(sigma + gamma * sigma)
        x = x + (raised.square() - sigma.square()).clamp(min=0).sqrt() * S_noise * randn_like(x)
        slope = (x - net(x, raised, class_labels).double()) / raised
        end = x + (after - raised) * slope
        if solver == "heun" and step < num_steps - 1:
            second = (end - net(end, after, class_labels).double()) / after
            end = x + (after - raised) * (slope + second) / 2
        x = end
    return x


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", required=True)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--steps", dest="num_steps", type=int, default=18)
    parser.add_argument("--S_churn", type=float, default=0.0)
    parser.add_argument("--solver")
    options = vars(parser.parse_args())
    net, outdir = GaussianNetwork(**json.loads(options.pop("network"))), options.pop("outdir")
    # Looked up when it is called, as a function looks up any name of its module.
    draw = edm_sampler if options["solver"] is None else ablation_sampler
    settings = {name: value for name, value in options.items() if value is not None}
    for batch in range(2):
        classes = torch.eye(net.label_dim)[[batch]]
        end = draw(net, torch.ones(1, 1, 2, 2), classes, randn_like=torch.zeros_like, **settings)
        labels = [given.argmax().item() for given in net.labels]
        document = {"asked": net.asked, "labels": labels, "end": float(end[0, 0, 0, 0])}
        (outdir / f"{batch}.json").write_text(json.dumps(document), encoding="utf-8")
        net.asked.clear()
        net.labels.clear()


if __name__ == "__main__":
    main()

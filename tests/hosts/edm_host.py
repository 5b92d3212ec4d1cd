"""What the samplers and programs of NVlabs' EDM and EDM2 do with our schedules, as one JSON document on stdout.

Run by `test_edm.py`, in a process of its own with a checkout of theirs first on the path:

    python tests/hosts/edm_host.py edm .hosts/edm
    python tests/hosts/edm_host.py edm2 .hosts/edm2
    python tests/hosts/edm_host.py program FOLDER ...        the launcher's own arguments

Networks are small and random. The programs ask for a CUDA device; `program` has them take the processor instead.
"""

import json
import pickle
import sys
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
MNIST = ROOT / "artifacts" / "mnist" / "mnist.art.json"
SMALL = {"img_resolution": 16, "img_channels": 3, "label_dim": 4, "model_channels": 16, "channel_mult": [1, 2]}
SMALL |= {"num_blocks": 1, "attn_resolutions": [8]}


class Counted:
    """A network that keeps the levels it is asked at."""

    def __init__(self, net):
        self.net, self.asked = net, []

    def __getattr__(self, name):
        return getattr(self.net, name)

    def __call__(self, x, sigma, labels=None):
        self.asked.append(float(sigma))
        return self.net(x, sigma, labels)


def heun(net, latents, labels, sigmas):
    """Karras et al. 2206.00364, algorithm 1, in float64."""
    import torch

    levels = torch.tensor(sigmas, dtype=torch.float64)
    x = latents.double() * levels[0]
    for now, then in pairwise(levels):
        slope = (x - net(x, now, labels).double()) / now
        end = x + (then - now) * slope
        if then > 0:
            end = x + (then - now) * (0.5 * slope + 0.5 * (end - net(end, then, labels).double()) / then)
        x = end
    return x


def stock_artifact(steps):
    """An artifact that holds the formula of EDM itself."""
    import torch

    from tests.integrations.made import artifact

    ends = [end ** (1 / 7) for end in (80.0, 0.002)]
    ramp = torch.arange(steps, dtype=torch.float64) / (steps - 1)
    return artifact((*((ends[0] + ramp * (ends[1] - ends[0])) ** 7).tolist(), 0.0))


def samples():
    import torch

    torch.manual_seed(1)
    return torch.randn(2, 3, 16, 16), torch.eye(4)[[0, 2]]


def edm(folder):
    """The stock samplers of EDM on scheduled networks of each of its preconditioners."""
    import torch
    from generate import ablation_sampler, edm_sampler
    from training import networks

    import artc
    from artc.errors import InputError
    from artc.integrations.edm import scheduled
    from tests.integrations.made import artifact

    latents, labels = samples()
    facts = {}
    for name in ("EDMPrecond", "VPPrecond", "VEPrecond", "iDDPMPrecond"):
        torch.manual_seed(0)
        plain = getattr(networks, name)(**SMALL, model_type="SongUNet").eval().requires_grad_(False)
        for weight in plain.parameters():
            weight.data.normal_(0, 0.05)
        if folder is not None:
            (folder / f"{name}.pkl").write_bytes(pickle.dumps({"ema": plain}))
        rows = []
        for nfe in (3, 5, 9, 13, 19):
            net = scheduled(Counted(plain), MNIST, nfe=nfe)
            grid, held = net.sigmas.tolist(), artc.load(MNIST).sigmas(nfe=nfe, solver="heun").tolist()
            end = edm_sampler(net, latents, labels, num_steps=net.num_steps)
            asked = list(net.asked)
            other = ablation_sampler(net, latents, labels, num_steps=net.num_steps)
            rows.append(
                {
                    "nfe": nfe,
                    "asked": asked,
                    "grid": grid,
                    "moved": max(abs(a - b) / b for a, b in zip(grid[:-1], held[:-1], strict=True)),
                    "from_loop": float((end - heun(plain, latents, labels, grid)).abs().max()),
                    "from_ablation": float((end - other).abs().max()),
                }
            )
        net = scheduled(Counted(plain), MNIST, nfe=9, solver="euler")
        ablation_sampler(net, latents, labels, num_steps=9, solver="euler")
        one = scheduled(Counted(plain), MNIST, steps=1, resample=True)
        end = edm_sampler(one, latents, labels, num_steps=1)
        churned = scheduled(Counted(plain), MNIST, nfe=19)
        edm_sampler(churned, latents, labels, num_steps=10, S_churn=20, S_min=0.05, S_max=50)
        facts[name] = {
            "heun": rows,
            "euler": [net.asked, net.sigmas.tolist()],
            "one": [len(one.asked), bool(end.isfinite().all())],
            "churned": len(churned.asked),
        }
        if name == "EDMPrecond":
            ends = []
            for scheduled_net in (plain, scheduled(plain, stock_artifact(18), nfe=35)):
                torch.manual_seed(2)
                ends.append(edm_sampler(scheduled_net, latents, labels, S_churn=30))
            facts["stock_grid_is_the_same"] = torch.equal(*ends)
        if name == "iDDPMPrecond":
            try:
                scheduled(plain, artifact((80.0, 79.9, 1.0, 0.0)), steps=3)
            except InputError as error:
                facts["collision"] = str(error)
    return facts


def edm2(folder):
    """The stock sampler of EDM2 beside ours on its own formula, and ours on an artifact."""
    import torch
    from dnnlib import EasyDict
    from generate_images import edm_sampler
    from training.encoders import StandardRGBEncoder
    from training.networks_edm2 import Precond

    from artc.integrations.edm import sampler_fn

    latents, labels = samples()
    nets = []
    for seed, name in enumerate(("net", "gnet")):
        torch.manual_seed(seed)
        net = Precond(**SMALL, use_fp16=False, logvar_channels=16).eval().requires_grad_(False)
        net.unet.out_gain.data.fill_(1.0)
        nets.append(net)
        if folder is not None:
            (folder / f"{name}.pkl").write_bytes(pickle.dumps(EasyDict(ema=net, encoder=StandardRGBEncoder())))
    ours, facts = sampler_fn(stock_artifact(32), nfe=63), []
    for dtype in (torch.float32, torch.float64):
        for guidance in (1.0, 1.7):
            net, guide = map(Counted, nets)
            settings = {"guidance": guidance, "dtype": dtype}
            end = ours(net, latents, labels, guide, **settings)
            stock = edm_sampler(nets[0], latents, labels, nets[1], **settings)
            difference = float((end - stock).abs().max() / stock.abs().max())
            facts.append([str(dtype), guidance, len(net.asked), len(guide.asked), difference])
    return facts


def program(_, *arguments):
    """The launcher on a real program, with the processor in the place of the CUDA device that it asks for."""
    import torch

    from artc.integrations.edm import launcher

    start, imported = torch.distributed.init_process_group, launcher._imported
    torch.distributed.init_process_group = lambda backend, **settings: start(backend="gloo", **settings)
    torch.cuda.set_device = lambda _: None

    def on_the_processor(script):
        module = imported(script)
        function = module.main.callback if hasattr(module, "main") else module.generate_images
        function.__defaults__ = tuple(
            torch.device("cpu") if isinstance(value, torch.device) else value for value in function.__defaults__
        )
        return module

    launcher._imported = on_the_processor
    launcher.main(list(arguments))


def main(which, checkout, *arguments):
    sys.path[:0] = [checkout, str(ROOT)]
    if which == "program":
        program(checkout, *arguments)
    else:
        folder = Path(arguments[0]) if arguments else None
        sys.stdout.write(json.dumps({"edm": edm, "edm2": edm2}[which](folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])

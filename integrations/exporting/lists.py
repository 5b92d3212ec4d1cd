"""Hosts that take sigmas as they are: EDM, k-diffusion, ComfyUI; and a table for everything else."""

from __future__ import annotations

import math

from artc.errors import InputError

from ..samplers import WALKED_BY
from .decimals import bracketed, check_single, listed, plain
from .parts import Grid, Part, Printed, sampler_note


def edm(grid: Grid) -> Printed:
    """The positive sigmas: EDM's samplers take no list, build `t_steps` themselves and append the 0."""
    if grid.flow:
        raise InputError(
            f"EDM's samplers walk x = x0 + sigma n; {grid.model.name} is a flow, x = (1 - sigma) x0 + sigma n.",
            hint="Its sigmas mean nothing there.",
        )
    values = grid.sigmas[:-1]
    names = {"heun": "edm_sampler", "euler": "ablation_sampler with solver='euler'"}
    start = (("image", "the sampler starts at latents * t_steps[0]: give it image / t_steps[0] + noise"),) * grid.cut
    return Printed(
        parts=(Part(name="sigmas", text=bracketed(values), values=values),),
        notes=(
            sampler_note(grid, "EDM's samplers", names),
            ("numbers", f"{len(values)}, the positive sigmas: EDM appends the 0 itself"),
            ("steps", f"--steps={grid.steps}"),
            ("paste", "EDM has no option for a list; artc.integrations.edm hands it this schedule"),
            (
                "by hand",
                "in place of its formula: t_steps = torch.tensor([...], dtype=torch.float64, device=latents.device)",
            ),
            *start,
        ),
    )


def k_diffusion(grid: Grid) -> Printed:
    """All of the grid, as every `sample_*(model, x, sigmas)` takes it."""
    names = {"euler": "sample_euler", "heun": "sample_heun", "dpmpp_2m": "sample_dpmpp_2m"}
    start = "noise * sigmas[0]"
    if grid.cut:
        start = "(1 - sigmas[0]) * image + sigmas[0] * noise" if grid.flow else "image + sigmas[0] * noise"
    domain = (("flow", "the model is x = (1 - sigma) x0 + sigma n; k-diffusion's wrappers are x = x0 + sigma n"),)
    return Printed(
        parts=(Part(name="sigmas", text=bracketed(grid.sigmas), values=grid.sigmas),),
        notes=(
            sampler_note(grid, "k-diffusion's samplers", names),
            ("numbers", f"{len(grid.sigmas)}, one more than steps: the last step goes to the 0 at the end"),
            ("paste", "sigmas = torch.tensor([...], dtype=x.dtype, device=x.device)"),
            ("start", f"x = {start}"),
            *domain * grid.flow,
        ),
        shift=grid.model.shift,
    )


def comfyui(grid: Grid) -> Printed:
    """All of the grid on one line, for the node ManualSigmas."""
    check_single(grid.sigmas, "ComfyUI")
    shift = (("shift", "inside: these are sigmas after it, and ModelSampling nodes do not move them"),) * grid.flow
    image = (("image", "its latent goes into latent_image, with add_noise on"),) * grid.cut
    return Printed(
        parts=(Part(name="sigmas", text=listed(grid.sigmas), values=grid.sigmas),),
        notes=(
            sampler_note(grid, "ComfyUI's samplers", WALKED_BY),
            ("numbers", f"{len(grid.sigmas)}, one more than steps: the last step goes to the 0 at the end"),
            ("paste", "into the node ManualSigmas, wired to SamplerCustom or SamplerCustomAdvanced"),
            *image,
            *shift,
        ),
        shift=grid.model.shift,
    )


COLUMNS = ("step", "sigma", "sigma_ve", "sigma_flow", "log_snr")


def csv(grid: Grid) -> Printed:
    """One row for each sigma, in both ways to write noise, with log-SNR = -2 ln(sigma_ve); infinite at the ends."""
    rows = [",".join(COLUMNS)]
    for step, sigma in enumerate(grid.sigmas):
        unscaled = (sigma / (1 - sigma) if sigma < 1 else math.inf) if grid.flow else sigma
        bounded = sigma if grid.flow else sigma / (1 + sigma)
        rows.append(",".join([str(step), *map(plain, (sigma, unscaled, bounded, _log_snr(unscaled)))]))
    own = "sigma_flow" if grid.flow else "sigma_ve"
    return Printed(
        parts=(Part(name="rows", text="\n".join(rows), values=grid.sigmas),),
        notes=(
            ("rows", f"{len(grid.sigmas)}, one more than steps: the last sigma is 0"),
            ("sigma", f"{own}; in ve x = x0 + sigma n, in flow x = (1 - sigma) x0 + sigma n"),
        ),
        shift=grid.model.shift,
    )


def _log_snr(sigma: float) -> float:
    return -2 * math.log(sigma) if sigma else math.inf

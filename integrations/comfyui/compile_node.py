"""The node ART Compile: a MODEL with its conditioning in, a schedule and its artifact out.

The order of the inputs is a contract. A saved workflow lists the values of widgets by their places, so that an input is
only ever added at the end. None is called `seed`: ComfyUI changes a widget of that name after every run, and the node
would compile again each time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from artc.artifact.writing import check_writable
from artc.errors import ArtcError

from ..samplers import WALKED_BY
from . import describing, folders, lent
from .compiling import compile_model, precision, shift_of
from .jobs import SOLVERS, Job, budgets, planned
from .saving import checked_name, save
from .watching import Watched
from .widgets import Widgets, explained

LOG = logging.getLogger(__name__)

TOOLTIPS = {
    "model": "The model to compile for, with every LoRA and patch that you sample it with.",
    "positive": "A prompt of the kind that you sample with. One is enough.",
    "negative": "The negative prompt; without guidance (cfg 1) it plays no part.",
    "latent_image": "Only its size counts: the size that you sample at. One sample of the batch is taken.",
    "cfg": "The guidance that you sample with; 1 for none. A guided step counts as one model call.",
    "solver": (
        "What you will sample with: the schedule is made for it. Choose the sampler of the same name; for ipndm_4 that "
        "is ipndm."
    ),
    "nfe": (
        "Model calls of a picture, one schedule for each number: 8, 12. That is the number of steps; but heun makes "
        "two calls in each step but the last, so that its numbers are odd."
    ),
    "trajectories": (
        "Noises to learn from. At 8, NFE 8 takes about 800 model calls, and up to 700 more to refine; "
        "both grow with this number. The text output and the terminal show the exact count."
    ),
    "refine": "Move the nodes of the best schedule known until it ends nearer; without, it is left as it was learned.",
    "batch": "Noises in one model call. It costs the memory of a batch of that size, and saves time on a fast card.",
    "compile_seed": "The same number and inputs give the same schedule.",
    "name": (
        f"The file, in models/{folders.KEY}: mine becomes mine.art.json, or mine_00002.art.json where that exists. "
        "No file is ever replaced."
    ),
}


class ArtCompile:
    """Schedules compiled for one model as it is wired, saved as an artifact; the first is handed on."""

    CATEGORY = "sampling/custom_sampling/schedulers"
    DESCRIPTION = (
        "Learns where this model should spend its steps, and saves the schedules for ART Schedule. It samples the "
        "model many times: minutes for a small model, longer for a large one. Do it once, then use ART Schedule."
    )
    FUNCTION = "compile"
    OUTPUT_NODE = True
    RETURN_TYPES = ("SIGMAS", "STRING", "STRING")
    RETURN_NAMES = ("sigmas", "artifact", "info")
    OUTPUT_TOOLTIPS = (
        "The schedule of the first number in nfe.",
        f"The name of the file in models/{folders.KEY}.",
        "Each schedule in a line: what was measured of it beside hand-made ones; and what all of it cost.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The inputs, as ComfyUI asks for them each time it lists the nodes or checks a prompt."""
        wired = {"model": "MODEL", "positive": "CONDITIONING", "negative": "CONDITIONING", "latent_image": "LATENT"}
        widgets: Widgets = {
            **{name: (kind, {}) for name, kind in wired.items()},
            "cfg": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01}),
            "solver": (list(SOLVERS), {"default": SOLVERS[0]}),
            "nfe": ("STRING", {"default": "8"}),
            "trajectories": ("INT", {"default": 8, "min": 8, "max": 1024, "step": 8}),
            "refine": ("BOOLEAN", {"default": True}),
            "batch": ("INT", {"default": 1, "min": 1, "max": 256}),
            "compile_seed": ("INT", {"default": 0, "min": 0, "max": 2**32 - 1}),
            "name": ("STRING", {"default": "my model"}),
        }
        return {"required": explained(widgets, TOOLTIPS)}

    @classmethod
    def VALIDATE_INPUTS(cls, nfe: str | None) -> bool | str:
        """Refuse what is no list of numbers before anything is loaded; a wired value is None here.

        ComfyUI repeats the answer for each input that is named here. So this is for one alone, and the rest is looked
        at when the node runs, before it calls the model.
        """
        try:
            budgets("1" if nfe is None else nfe)
        except ArtcError as error:
            return str(error)
        return True

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> str:
        """Nothing besides the inputs: the file that was made may be renamed, or thrown away."""
        lent.watch()
        return ""

    def compile(
        self,
        model: Any,
        positive: Sequence[Any],
        negative: Sequence[Any],
        latent_image: Mapping[str, Any],
        cfg: float,
        solver: str,
        nfe: str,
        trajectories: int,
        refine: bool,
        batch: int,
        compile_seed: int,
        name: str,
    ) -> dict[str, Any]:
        """Compile, save and hand over; raises ArtcError, whose sentence ComfyUI shows."""
        job = Job(
            nfe=budgets(nfe),
            solver=solver,
            cfg=cfg,
            trajectories=trajectories,
            refine=refine,
            batch=batch,
            seed=compile_seed,
        )
        name = checked_name(name)
        check_writable(folders.register() / f"{name}.art.json", force=True)
        plan = planned(job, shift_of(model))
        cost = f"{sum(plan.values()) - plan.get('refining', 0):,} model calls"
        cost += f", and up to {plan.get('refining', 0):,} to refine" if refine else ""
        LOG.info("ART Compile: %s.", cost)
        began = time.monotonic()
        watched = Watched(plan)
        artifact = compile_model(model, positive, negative, latent_image, job, name=name, on_update=watched)
        file = save(artifact, name)
        spent = f"{artifact.provenance.score_evals:,} model calls in {time.monotonic() - began:.0f} s"
        lines = [f"{file}: {spent} (planned: {cost})"]
        lines += [describing.line(artifact, held, held.steps) for held in artifact.schedules]
        if WALKED_BY[solver] != solver:
            lines.append(f"Sample with {WALKED_BY[solver]}: that is ComfyUI's name for {solver}.")
        if precision(model) == "bfloat16":
            lines.append(
                "Note: the model computes in bfloat16, whose rounding blurs what is learned. "
                "ModelComputeDtype before this node, set to fp32, makes it sharper, at the price of time."
            )
        text = "\n".join(lines)
        LOG.info("ART Compile: %s", text)
        return {"ui": {"text": [text]}, "result": (lent.lend(artifact.schedules[0].sigmas), file, text)}

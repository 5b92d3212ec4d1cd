"""LD3: nodes learned by gradient descent through the solver, so that its K steps end where a teacher ends.

With x*_i the teacher's end point of noise z_i, and S(z; u, xi) what the solver makes of it on the grid of u (see
`artc.peers.unrolled`), the soft loss lets the student start a little beside the noise:

    min over u, xi of  mean_i min over |z' - z_i| <= r of  d(S(z'; u, xi), x*_i),        r = 0.001 d / K^2.

z' takes a gradient step of 12 / K, is drawn back into its ball, and is kept if it ends nearer. u goes by RMSprop
(5e-3, momentum 0.9), xi by SGD (0.1 / K), gradients are clipped to norm 1, two rounds are of u alone and five of both.
Half of 100 noises is learned from, and the other half says which plan is the best; to that everything returns, with
rates of 0.8, after 5 checks without a better one. `ld3` learns u alone, a list of sigmas; `ld3-shifted` is the method
as published, and answers model sigmas too.

What differs from the paper, each to its advantage or because it cannot be had:

* d is the root mean square, as end-point errors are in artc. The paper's is a perceptual distance, whose weights are no
  part of this package; its authors report that L2 does worse by it. It is counted in units of where
  the training begins, so that rates made for numbers of order one mean the same here.
* The search begins at the best of three grids on the watched noises: uniform in lambda, theirs, Karras' curve and
  arctan.
* The teacher is Heun with 63 calls, theirs UniPC with 20. Batches are of 10, theirs of 2, and a round is
  `PASSES` passes, so that there are as many steps: without a perceptual distance batches of 2 end clearly further.
* The last node, sigma_min, becomes 0: see `artc.peers.peer`.

A backward pass is counted as two calls a sample, so a call under gradients as three.

Source: Tong et al. 2405.15506 (LD3), from its description.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from artc.artifact import BUDGETS
from artc.errors import InputError
from artc.models.domains import unscaled
from artc.models.score_model import Latents, Probe, ScoreModel
from artc.sampling.grids import edm
from artc.sampling.solvers import find_solver

from .kl_optimal import arctan_grid
from .peer import Finder, Found, Peer, check, finished, teacher_ends
from .unrolled import Plan, Unrolled

NOISES, BATCH = 100, 10
ROUNDS = (2, 5)
PASSES = 5
CHECK_EVERY = 5
PATIENCE, COOLING = 5, 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Noises, the latents that the student starts from beside them, and where the teacher ends."""

    latents: Latents
    ends: Tensor
    calls: int
    seconds: float


def prepare(
    model: ScoreModel, seed: int, *, shifted: bool = False, noises: int = NOISES, passes: int = PASSES
) -> Finder:
    """The finder of a model: a training for each solver and budget, on the same pairs.

    With `shifted` it answers model sigmas, and raises InputError for a solver that asks between its nodes. It raises
    InputError for a denoiser that keeps no gradient.
    """

    @cache
    def pairs() -> Pairs:
        began, plain = time.perf_counter(), unscaled(model)
        probe, latents = Probe(plain), plain.latents(noises, seed)
        ends = teacher_ends(probe.on, latents, plain.info.sigma_min, plain.info.sigma_max)
        return Pairs(latents=latents, ends=ends, calls=probe.calls, seconds=time.perf_counter() - began)

    def find(solver: str, steps: int) -> Found:
        (check_shifted if shifted else check)(solver, steps)
        known, began = pairs(), time.perf_counter()
        unrolled = Unrolled(model=model, solver=find_solver(solver))
        plan = learn(unrolled, known, steps, seed, shifted=shifted, passes=passes)
        with torch.no_grad():
            nodes, _ = unrolled.nodes(plan)
            said = tuple(float(sigma) for sigma in unrolled.sigmas(plan)[1])
        return Found(
            sigmas=finished(nodes.neg().exp().tolist(), model.info),
            calls=known.calls + unrolled.calls,
            shared=known.calls,
            seconds=known.seconds + time.perf_counter() - began,
            model_sigmas=said if shifted else None,
        )

    return find


def check_shifted(solver: str, steps: int) -> None:
    """Raise what `check` raises, and InputError for a solver that asks between its nodes."""
    check(solver, steps)
    if BUDGETS[solver].between_nodes:
        raise InputError(
            f"{solver} also asks between the nodes of its grid, where ld3-shifted says nothing.",
            hint="Use ld3, without shifted times.",
        )


prepare_shifted: Peer = partial(prepare, shifted=True)
"""The method as published: what the network is shown is learned beside the grid."""


def learn(unrolled: Unrolled, pairs: Pairs, steps: int, seed: int, *, shifted: bool, passes: int) -> Plan:
    """The plan that ends nearest on the watched half of the pairs, of all that the training went through."""
    half = len(pairs.latents) // 2
    learned = replace(_part(pairs.latents, slice(half)), noise=pairs.latents.noise[:half].clone())
    watched, watched_ends = _part(pairs.latents, slice(half, None)), pairs.ends[half:]

    def judged(plan: Plan) -> float:
        with torch.no_grad():
            reached = torch.cat([unrolled.walk(plan, some) for some in watched.split()])
        return float(_distances(reached, watched_ends).square().mean().sqrt())

    plans = _starts(unrolled, steps)
    if steps == 1:
        return plans[0]
    least, best = min(((judged(plan), plan) for plan in plans), key=lambda pair: pair[0])
    trained = _Training(plan=best.copy(), steps=steps, unit=least)
    generator, waited, count = torch.Generator().manual_seed(seed), 0, 0
    # The balls are around these; what is learned from moves inside them and is kept from pass to pass.
    centres = learned.noise.clone()
    for turn in range(sum(ROUNDS) * passes):
        both = shifted and turn >= ROUNDS[0] * passes
        for some in torch.randperm(half, generator=generator).split(BATCH):
            sound = _train(unrolled, trained, learned, centres, pairs.ends, some, both=both)
            count += 1
            if sound and count % CHECK_EVERY:
                continue
            found = judged(trained.plan) if sound else float("inf")
            waited = 0 if found < least else waited + 1
            if found < least:
                least, best = found, trained.plan.copy()
            if waited >= PATIENCE or not sound:
                trained.restart(best)
                waited = 0
    return best


class _Training:
    """The plan being trained and its two optimisers; errors are counted in the `unit`."""

    def __init__(self, plan: Plan, steps: int, unit: float) -> None:
        self.plan, self.steps, self.unit = plan, steps, max(unit, 1e-12)
        plan.logits.requires_grad_()
        plan.offsets.requires_grad_()
        self.grids = torch.optim.RMSprop([plan.logits], lr=5e-3, momentum=0.9)
        self.times = torch.optim.SGD([plan.offsets], lr=0.1 / steps)

    def restart(self, plan: Plan) -> None:
        """Go on from another plan, with lower rates."""
        with torch.no_grad():
            self.plan.logits.copy_(plan.logits)
            self.plan.offsets.copy_(plan.offsets)
        for group in (*self.grids.param_groups, *self.times.param_groups):
            group["lr"] *= COOLING


def _train(
    unrolled: Unrolled, trained: _Training, learned: Latents, centres: Tensor, ends: Tensor, some: Tensor, *, both: bool
) -> bool:
    """One step on a few pairs, of the plan and then of their noises; False, and no step, where it is not finite."""
    plan, steps = trained.plan, trained.steps
    labels = None if learned.labels is None else learned.labels[some]
    noise = learned.noise[some].requires_grad_()
    with torch.enable_grad():
        missed = _distances(unrolled.walk(plan, replace(learned, noise=noise, labels=labels)), ends[some])
        wanted = (noise, plan.logits, plan.offsets)
        moved, *slopes = torch.autograd.grad(
            missed.sum() / trained.unit, wanted, allow_unused=True, materialize_grads=True
        )
    if not all(bool(torch.isfinite(one).all()) for one in (missed, moved, *slopes)):
        return False
    # The loss of the plan is the mean of the batch, that of each noise its own.
    plan.logits.grad, plan.offsets.grad = (slope / len(some) for slope in slopes)
    for parameter, optimizer in ((plan.logits, trained.grids), (plan.offsets, trained.times)):
        if parameter is plan.logits or both:
            torch.nn.utils.clip_grad_norm_([parameter], 1.0)
            optimizer.step()
    radius = 1e-3 * noise[0].numel() / steps**2
    with torch.no_grad():
        tried = _into_ball(noise - 12.0 / steps * moved, centres[some], radius)
        again = _distances(unrolled.walk(plan, replace(learned, noise=tried, labels=labels)), ends[some])
        nearer = again < missed
        learned.noise[some[nearer.cpu()]] = tried[nearer]
    return True


def _into_ball(points: Tensor, centres: Tensor, radius: float) -> Tensor:
    away = (points - centres).flatten(1)
    shrink = (radius / away.norm(dim=1).clamp(min=radius)).reshape(-1, *[1] * (points.ndim - 1))
    drawn: Tensor = centres + shrink * (points - centres)
    return drawn


def _distances(reached: Tensor, ends: Tensor) -> Tensor:
    """Root mean square over the dimensions, of each sample: `(n,)`."""
    return (reached - ends).flatten(1).square().mean(dim=1).clamp(min=1e-30).sqrt()


def _starts(unrolled: Unrolled, steps: int) -> list[Plan]:
    """Plans of grids down to sigma_min: uniform in lambda, Karras' curve, arctan."""
    info = unscaled(unrolled.model).info
    low, high = info.sigma_min, info.sigma_max
    tail = arctan_grid(steps, high, unrolled.model.info.sigma_data or 1.0)[:-1]
    nodes = (
        np.geomspace(high, low, steps + 1),
        edm(steps + 1, low, high)[:-1],
        np.append(np.maximum(tail, 2 * low), low),
    )
    offsets = torch.zeros(steps - 1, dtype=torch.float64)
    shares = [torch.from_numpy(-np.diff(np.log(grid))) for grid in nodes]
    return [Plan(logits=share.log(), offsets=offsets.clone()) for share in shares if bool((share > 0).all())]


def _part(latents: Latents, which: slice) -> Latents:
    labels = None if latents.labels is None else latents.labels[which]
    return replace(latents, noise=latents.noise[which], labels=labels)

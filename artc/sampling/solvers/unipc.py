"""UniPC, one call a step: a predictor and a corrector that share it (Zhao et al. 2302.04867, B(h) = e^h - 1, data).

In lambda = -ln sigma the flow over a step of length h is

    x(lambda + h) = e^-h x(lambda) + int_0^h e^-(h - u) D(lambda + u) du

and both put a polynomial in the place of D. UniPC-p predicts with that through the last p values, calls the model at
the state it predicted, and with this value, p + 1 in all, takes the step again: the corrected state is where the next
step begins, and the call that it needs there is the one already made. So the corrector is part of the next step, and
costs nothing. A state between two steps is a predicted one.

The paper finds weights from a linear system in which B(h) falls out: what comes of it is the integral of the
interpolating polynomial. Where a system has one unknown it takes 1/2 instead, and so do we and diffusers: the predictor
of p = 2 is that of DPM-Solver++(2M), and the first correction takes the mean of the values at both ends.

The integral: moments M0 = 1 - e^-h, Mk = h^k - k M(k - 1) of u^k, and Newton's form of the polynomial.

Orders: with a known past p + 1, the corrector's. From nothing, p goes up from 1, one a step; the first step, corrected
with a mean, is of local order 3, which leaves order 3 when steps are many. The last step, to sigma' = 0, is x' = D with
D at the predicted state, and nothing corrects it. diffusers goes down to p = 2 in the last step but one
(`lower_order_final`), which for p = 2 is the same; this does not, for a rule does not see how many steps are left.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from artc.models.score_model import Field

from .solver import Level, Memory, Node, Step, is_end, log_ratio


def step(denoise: Field, x: Tensor, sigma: Level, sigma_next: Level, memory: Memory = None, *, order: int) -> Step:
    """One step from sigma to sigma_next < sigma: correct the step before, then predict this one."""
    denoised, past = denoise(x, sigma), memory or ()
    if is_end(sigma_next):
        return Step(x=denoised, denoised=denoised, memory=None)
    if past:
        x = _corrected(past, sigma, denoised)
    nodes = (Node(sigma=sigma, x=x, denoised=denoised), *past)[:order]
    return Step(x=_predicted(nodes, sigma_next), denoised=denoised, memory=nodes)


def _predicted(nodes: tuple[Node, ...], sigma_next: Level) -> Tensor:
    """The state at sigma_next from the values at these nodes, the last first."""
    now = nodes[0]
    shrink, length = sigma_next / now.sigma, log_ratio(now.sigma, sigma_next)
    if len(nodes) == 1:
        return shrink * now.x + (1 - shrink) * now.denoised
    if len(nodes) == 2:
        ratio = log_ratio(nodes[1].sigma, now.sigma) / length
        return shrink * now.x + (1 - shrink) * (now.denoised + (now.denoised - nodes[1].denoised) / (2 * ratio))
    return shrink * now.x + _integral(1 - shrink, length, _places(nodes), [node.denoised for node in nodes])


def _corrected(past: tuple[Node, ...], sigma: Level, denoised: Tensor) -> Tensor:
    """The state at sigma, reached again from the node before with the value that was found there."""
    begin = past[0]
    shrink, length = sigma / begin.sigma, log_ratio(begin.sigma, sigma)
    if len(past) == 1:
        return shrink * begin.x + (1 - shrink) * (begin.denoised + denoised) / 2
    values = [*(node.denoised for node in past), denoised]
    return shrink * begin.x + _integral(1 - shrink, length, [*_places(past), length], values)


def _places(nodes: tuple[Node, ...]) -> list[Level]:
    """Where nodes lie in lambda, from the first of them on: 0, and then below."""
    return [0.0, *(-log_ratio(node.sigma, nodes[0].sigma) for node in nodes[1:])]


def _integral(rest: Level, length: Level, places: list[Level], values: list[Tensor]) -> Tensor:
    """int_0^h e^-(h - u) P(u) du, P the polynomial through the values; `rest` is 1 - e^-h."""
    moments: list[Level] = [rest]
    total, differences = rest * values[0], values
    basis: list[Level] = [1.0]  # of the polynomial (u - u_0) (u - u_1) ..., the coefficient of u^0 first
    for k in range(1, len(values)):
        moments.append(length**k - k * moments[-1])
        basis = [up - places[k - 1] * same for up, same in zip([0.0, *basis], [*basis, 0.0], strict=True)]
        differences = [(b - a) / (places[j + k] - places[j]) for j, (a, b) in enumerate(pairwise(differences))]
        weight = sum((c * moment for c, moment in zip(basis, moments, strict=True)), start=0.0)
        total = total + weight * differences[0]
    return total

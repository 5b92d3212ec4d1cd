"""iPNDM, one call a step: Adams-Bashforth in sigma with the coefficients of equal steps (Zhang & Chen 2204.13902).

With d = (x - D) / sigma, its values at this node and at those before it, d', d'', d''', and w = sigma' - sigma:

    order 1:  x' = x + w d
    order 2:  x' = x + w (3 d - d') / 2
    order 3:  x' = x + w (23 d - 16 d' + 5 d'') / 12
    order 4:  x' = x + w (55 d - 59 d' + 37 d'' - 9 d''') / 24

The order goes up from 1, one a step, while there is no past. The last step, to sigma' = 0, is x' = D.

The coefficients are right where the nodes are equally far apart in sigma, and there the order is as named; the error of
the first steps, which are of lower order, comes on top, and is all that is left when steps are very many. On a grid
whose steps change their length smoothly, by a part that falls as 1 / K, the rule is of order 2 whatever its name, and
on any other of order 1: the coefficients are those of another grid. `deis` has the coefficients of the actual nodes.
"""

from __future__ import annotations

from torch import Tensor

from artc.models.score_model import Field

from .solver import Level, Memory, Node, Step, is_end

WEIGHTS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""By the number of slopes that are known, the newest first; each row adds up to 1."""


def step(denoise: Field, x: Tensor, sigma: Level, sigma_next: Level, memory: Memory = None, *, order: int) -> Step:
    """One step from sigma to sigma_next < sigma, of this order or of as many slopes as are known."""
    denoised = denoise(x, sigma)
    nodes = (Node(sigma=sigma, x=x, denoised=denoised), *(memory or ()))
    if is_end(sigma_next):
        return Step(x=denoised, denoised=denoised, memory=None)
    slope = sum(weight * node.slope for weight, node in zip(WEIGHTS[len(nodes) - 1], nodes, strict=True))
    return Step(x=x + (sigma_next - sigma) * slope, denoised=denoised, memory=nodes[: order - 1])

"""What forward-mode derivatives need, beyond what torch gives: a way to notice them, and a group norm that bears them.

torch's derivative of group norm wants the channels of an image one after the other: it raises for channels-last images.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.autograd import forward_ad


def carries_tangent(x: Tensor) -> bool:
    """Whether a forward-mode derivative is being taken through this tensor."""
    return forward_ad.unpack_dual(x).tangent is not None


class GroupNorm(nn.GroupNorm):
    """As torch's, in values and in speed; an input that carries a tangent is copied where it has to be.

    Source: Wu and He 1803.08494.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.contiguous() if carries_tangent(x) else x)

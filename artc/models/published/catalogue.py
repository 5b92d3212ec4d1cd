"""The published EDM networks (Karras et al. 2206.00364) that artc knows by name. Nothing here is imported or fetched.

They are pickles of NVIDIA's, in the form of `https://github.com/NVlabs/edm`. artc ships none of them: `artc models
pull` fetches one into a folder of the user's, from the address that NVIDIA gives.
"""

from __future__ import annotations

from dataclasses import dataclass

BASE = "https://nvlabs-fi-cdn.nvidia.com/edm/pretrained/"
PROJECT = "https://github.com/NVlabs/edm"
LICENCE = "CC BY-NC-SA 4.0 (non-commercial)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One published network: its file, the shape of its images, its classes (0: unconditional), and a line on it."""

    name: str
    file: str
    shape: tuple[int, ...]
    classes: int = 0
    summary: str

    @property
    def address(self) -> str:
        """Where NVIDIA publishes it."""
        return BASE + self.file


def licence_note(published: Published) -> str:
    """The sentence to show before the weights are fetched."""
    return f"The weights of {published.name} are by NVIDIA, licensed under {LICENCE}; see {PROJECT}."


PUBLISHED: dict[str, Published] = {
    one.name: one
    for one in (
        Published(
            name="edm-cifar10",
            file="edm-cifar10-32x32-uncond-vp.pkl",
            shape=(3, 32, 32),
            summary="EDM on CIFAR-10, unconditional",
        ),
        Published(
            name="edm-cifar10-cond",
            file="edm-cifar10-32x32-cond-vp.pkl",
            shape=(3, 32, 32),
            classes=10,
            summary="EDM on CIFAR-10, 10 classes",
        ),
        Published(
            name="edm-ffhq",
            file="edm-ffhq-64x64-uncond-vp.pkl",
            shape=(3, 64, 64),
            summary="EDM on faces (FFHQ), unconditional",
        ),
        Published(
            name="edm-afhqv2",
            file="edm-afhqv2-64x64-uncond-vp.pkl",
            shape=(3, 64, 64),
            summary="EDM on animal faces (AFHQv2), unconditional",
        ),
        Published(
            name="edm-imagenet64",
            file="edm-imagenet-64x64-cond-adm.pkl",
            shape=(3, 64, 64),
            classes=1000,
            summary="EDM on ImageNet, 1000 classes",
        ),
    )
}

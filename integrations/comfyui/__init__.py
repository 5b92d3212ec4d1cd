"""Nodes for ComfyUI: ART Schedule, ART Schedule Info, ART Compile, ART Policy Sampler and ART Model Sigmas.

The code of the nodes is here. What lies in a user's `custom_nodes/artc` is built from `pack/` by `__main__.py`, with a
copy of the rooms of artc that the nodes need. Nothing of ComfyUI, and no torch, is imported before a node is used.
"""

from .asking_node import ArtModelSigmas
from .compile_node import ArtCompile
from .folders import register
from .info_node import ArtScheduleInfo
from .policy_node import ArtPolicySampler
from .schedule_node import ArtSchedule

NODE_CLASS_MAPPINGS = {
    "ArtSchedule": ArtSchedule,
    "ArtScheduleInfo": ArtScheduleInfo,
    "ArtCompile": ArtCompile,
    "ArtPolicySampler": ArtPolicySampler,
    "ArtModelSigmas": ArtModelSigmas,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "ArtSchedule": "ART Schedule",
    "ArtScheduleInfo": "ART Schedule Info",
    "ArtCompile": "ART Compile",
    "ArtPolicySampler": "ART Policy Sampler",
    "ArtModelSigmas": "ART Model Sigmas",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "register"]

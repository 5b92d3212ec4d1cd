"""Schedules of an artifact in NVlabs' EDM and EDM2, with none of their files changed.

    net = scheduled(net, "mine.art.json", nfe=9)          a network for EDM's own samplers
    sampler = sampler_fn("mine.art.json", nfe=9)          a sampler for EDM2's `generate_images`
    net = asked(net, schedule)                            a network that is shown the model sigmas of a schedule

and `python -m artc.integrations.edm` for the programs of both.
"""

from .network import ScheduledNetwork, asked, scheduled
from .sampler import ScheduledSampler, sampler_fn

__all__ = ["ScheduledNetwork", "ScheduledSampler", "asked", "sampler_fn", "scheduled"]

"""Policies for tests: one trained on the 1-D mixture in two seconds, and any other from random weights."""

from functools import cache

import numpy as np
import torch

from artc.artifact import Coordinate
from artc.learning.closed_form import closed_form
from artc.learning.objective import energy_of
from artc.learning.state_features import courses_of
from artc.learning.state_policy import StatePolicy
from artc.learning.state_training import StateConfig, learn_policy
from artc.models.registry import find
from artc.models.score_model import Probe
from artc.progress import drain
from artc.sampling.bank import build_bank

QUICK = StateConfig(start=250, iterations=0, judged=50)


@cache
def bank_of(name, count=192):
    """(training, held-out) banks, a quarter held out, of an analytic model."""
    model = find(name).load(torch.device("cpu"))
    latents = model.latents(count, seed=0)
    bank = drain(build_bank(Probe(model).on, latents, sigma_min=0.002, sigma_max=80.0, nodes=96, batch=count))
    return bank.split(count // 4)


@cache
def energy_and_warp(name):
    """The energy of the training trajectories, and the best time-only clock for it."""
    energy = energy_of(bank_of(name)[0], Coordinate(0.002, 80.0))
    return energy, closed_form(energy)


def trained_with(name, config, seed=0):
    """What training makes of these trajectories."""
    return drain(learn_policy(bank_of(name)[0], *energy_and_warp(name), config, seed))


@cache
def trained(name="mixture-1d"):
    """A policy trained by hindsight alone."""
    return trained_with(name, QUICK)


def held_out_courses(name, policy):
    """The courses of the held-out trajectories, as this policy sees them."""
    bank = bank_of(name)[1]
    energy = energy_of(bank, Coordinate(0.002, 80.0))
    return energy, courses_of(bank, energy, policy.warp, policy.frame.scale)


def wild(policy, seed=0):
    """The same policy with large random weights: whatever a network may say, it says somewhere."""
    rng = np.random.default_rng(seed)
    weights = tuple((2 * rng.standard_normal(m.shape), rng.standard_normal(v.shape)) for m, v in policy.weights)
    return StatePolicy(warp=policy.warp, frame=policy.frame, weights=weights)

"""Paper mode: rollouts through the model against hand-made Euler steps, its three updates, what it keeps of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from artc.artifact import Coordinate
from artc.errors import InputError
from artc.learning.dynamic_programming import left_end_costs, optimal_nodes
from artc.learning.methods import METHODS, Task
from artc.learning.objective import energy_of, left_end_cost, lower_bound, stiffness_at
from artc.learning.online import SIZE, Episodes, OnlineModel
from artc.learning.paper import (
    OnlineProblem,
    PaperConfig,
    actor_gradient,
    clamp_of,
    critic_gradient,
    distilled,
    drawn,
    increments,
    learn_online,
)
from artc.models.registry import find
from artc.models.score_model import Latents, Probe
from artc.progress import drain
from artc.sampling.bank import build_bank

STD = 0.5  # of the Gaussian's data


def gaussian(top=80.0, clamp=1e-9):
    probe = Probe(find("gaussian").load(torch.device("cpu")))
    return probe, OnlineModel(fields=probe.on, sigma_min=0.002, sigma_max=top, clamp=clamp)


def steered(speeds):
    """An actor and the noise that make the first steps of one episode move at these speeds."""
    return np.zeros(SIZE), (np.asarray(speeds) - 1.0)[:, None]


# ---------------------------------------------------------------------------------------------- rollouts


def test_an_episode_is_eulers_walk_with_the_stiffness_at_the_left_end_of_each_step():
    probe, model = gaussian(top=4.0)
    latents = probe.model.latents(3, seed=5)
    played = model.play(latents, np.zeros(SIZE), np.zeros((4, 3)), 0.0)
    x, sigmas = latents.noise.numpy() * 4.0, [4.0, 3.0, 2.0, 1.0, 0.0]
    for k in range(4):
        # |x''| = s^2 / (s^2 + sigma^2)^2 |x| on a Gaussian, in units of y = 1 - sigma / 4
        stiff = 16 * STD**2 / (STD**2 + sigmas[k] ** 2) ** 2 * np.sqrt((x**2).mean(axis=1))
        np.testing.assert_allclose(played.stiffness[k], stiff, rtol=2e-3)
        x = x + (sigmas[k + 1] - sigmas[k]) * x * sigmas[k] / (STD**2 + sigmas[k] ** 2)
    np.testing.assert_array_equal(played.theta, 1.0)
    np.testing.assert_allclose(played.end, 1.0)
    assert probe.calls == 3 * 4 * 2


def test_episodes_of_a_batch_do_not_see_each_other():
    probe, model = gaussian()
    latents, noise = probe.model.latents(5, seed=1), np.random.default_rng(0).standard_normal((3, 5))
    actor = np.random.default_rng(1).standard_normal(SIZE) * 0.1
    whole = model.play(latents, actor, noise, 0.3)
    for batch in (1, 2):
        parts = model.play(replace(latents, batch=batch), actor, noise, 0.3)
        for name in ("features", "stiffness", "mean", "theta", "end"):
            np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12)
    assert len(set(whole.end.tolist())) == 5


def test_past_the_end_the_state_stays_and_the_field_is_that_of_sigma_min():
    probe, model = gaussian(top=2.0)
    latents = probe.model.latents(1, seed=2)
    actor, noise = steered([3.0, 1.0, 1.0])  # theta dt = 1: at the end after one step, and beyond it after two
    spread = model.play(latents, actor, np.zeros((3, 1)), 0.0).stiffness[0, 0] ** 0.5
    played = model.play(latents, actor, noise * spread, 1.0)
    np.testing.assert_allclose(played.theta[0], 3.0)
    np.testing.assert_allclose(played.stiffness[2], played.stiffness[1], rtol=1e-9)
    assert played.end[0] > 1.0


def test_stiffness_is_held_above_the_clamp_and_spreads_the_actions():
    probe, model = gaussian(clamp=2.5)
    latents = probe.model.latents(1, seed=0)
    played = model.play(latents, np.zeros(SIZE), np.ones((2, 1)), 3.0)
    assert played.stiffness[0, 0] == 2.5  # |Q| is 0.003 at sigma = 80, in units of y
    assert played.theta[0, 0] == pytest.approx(1.0 + 3.0 / 2.5**0.5)


def test_latents_are_picked_with_their_labels():
    latents = Latents(noise=torch.arange(4.0)[:, None], labels=torch.tensor([5, 6, 7, 8]))
    some = drawn(latents, np.array([2, 0, 2]))
    assert some.noise.flatten().tolist() == [2.0, 0.0, 2.0]
    assert some.labels.tolist() == [7, 5, 7]


# ---------------------------------------------------------------------------------------------- updates


def episodes(theta, mean, stiffness, first=(1.0, 1.0)):
    """Episodes `(K, B)` whose only feature that is not zero is the first, one value for each of two steps."""
    theta = np.asarray(theta, dtype=float)
    features = np.zeros((len(theta), SIZE, theta.shape[1]))
    features[:, 0] = np.asarray(first[: len(theta)])[:, None]
    full = np.broadcast_to
    return Episodes(
        features=features,
        stiffness=full(np.asarray(stiffness, dtype=float), theta.shape),
        mean=full(np.asarray(mean, dtype=float), theta.shape),
        theta=theta,
        end=theta.mean(axis=0),
    )


def test_the_martingale_increment_by_hand():
    critic = np.zeros(SIZE)
    critic[0] = 0.5
    found, explained = increments(episodes([[2.0], [1.0]], 1.0, 3.0, (1.0, 4.0)), critic, -6.0, 0.25, 10.0)
    # V_0 = 0.25 + 10 * 0.5 = 5.25; V_1 = -3 + 0.25 + 0.5 * 10 * 2 = 7.25; V_2 = -5.75
    # rewards (-12 + 12) / 2 = 0 and (-3 + 6) / 2 = 1.5
    np.testing.assert_allclose(found[:, 0], [7.25 - 5.25 + 0.0, -5.75 - 7.25 + 1.5])
    # The returns are -5.75 + 1.5 at both steps: no variance to explain.
    assert explained < 0


def test_the_critic_moves_by_its_gradient_times_the_increments():
    increment = np.array([[1.0, 3.0], [4.0, 2.0]])
    found = critic_gradient(episodes(np.ones((2, 2)), 1.0, 1.0, (1.0, 2.0)), increment, 10.0)
    # grad V_0 = 10, grad V_1 = 10 * 1/2 * 2 = 10: (10 * 4 + 10 * 6) / 2 episodes / 10^2
    assert found[0] == pytest.approx(0.5)
    assert not found[1:].any()


def test_the_actor_climbs_the_expected_reward():
    # One step: E[-Q theta^2 - gamma theta] = -Q (mu^2 + lambda / Q) - gamma mu, and dmu/dw = mu times the feature.
    mean, stiffness, lam, gamma = 1.3, 2.0, 0.09, -4.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    theta = mean + np.sqrt(lam / stiffness) * nodes[None, :]
    played = episodes(theta, mean, stiffness, (0.7,))
    increment, _ = increments(played, np.zeros(SIZE), gamma, lam, 1.0)
    weighted = increment * weights / weights.sum() * len(nodes)
    assert actor_gradient(played, weighted, lam)[0] == pytest.approx(0.7 * mean * (-2 * stiffness * mean - gamma))


# ---------------------------------------------------------------------------------------------- learning


@pytest.fixture(scope="module")
def short():
    """The Gaussian from sigma = 1, where the left-end cost of five steps has its optimum in a sensible place."""
    probe, model = gaussian(top=1.0)
    latents = probe.model.latents(96, seed=0)
    bank = drain(build_bank(probe.on, latents, sigma_min=0.002, sigma_max=1.0, batch=96))
    energy = energy_of(bank, Coordinate(0.002, 1.0))
    clamp, bound = clamp_of(energy, 1e-3), lower_bound(energy)
    first = -2 * float(np.sqrt(bound * stiffness_at(energy, np.array([0.0]))[0]))
    problem = OnlineProblem(model=replace(model, clamp=clamp), latents=latents, steps=5, bound=bound, multiplier=first)
    probe.calls = 0
    history = []
    return drain(learn_online(problem, PaperConfig(), 0), history.append), history, energy, clamp, problem, probe.calls


def test_paper_mode_comes_within_a_tenth_of_the_best_of_its_own_cost(short):
    trained, history, energy, clamp, problem, calls = short
    costs = left_end_costs(energy, clamp)
    best = energy.coordinate.sigma(energy.edges[optimal_nodes(costs, 5)])
    ratio = left_end_cost(energy, 1.0 - trained.progress, clamp) / left_end_cost(energy, best, clamp)
    assert 0.99 < ratio < 1.1
    uniform = left_end_cost(energy, np.linspace(1.0, 0.0, 6), clamp) / left_end_cost(energy, best, clamp)
    assert uniform > 1.15
    assert abs(trained.reached - 1.0) < 0.1
    assert 0.5 < trained.multiplier / problem.multiplier < 2.0
    assert trained.failures == ()
    assert tuple(history) == trained.history
    assert history[-1].explained_variance > 0.5
    # 1500 iterations of 16 episodes, 64 to distil, five steps of two calls
    assert calls == (1500 * 16 + 64) * 5 * 2


def test_an_iteration_depends_on_its_seed_and_on_nothing_else(short):
    problem, config = short[4], PaperConfig(iterations=6, warmup=1, distilled=4)
    runs = [drain(learn_online(problem, config, seed)).progress for seed in (3, 3, 4)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


class Kept:
    """Snapshots in memory, from the iteration `until` on no longer written."""

    def __init__(self, until):
        self.until, self.state = until, None

    def latest(self):
        return self.state

    def put(self, arrays, facts):
        if len(arrays["history"]) <= self.until:
            self.state = arrays, json.loads(json.dumps(facts))


@pytest.mark.parametrize("until", [0, 1, 3, 6])
def test_a_run_goes_on_from_its_snapshot_as_if_it_had_never_stopped(short, until):
    problem, config = short[4], PaperConfig(iterations=6, warmup=1, distilled=4)
    whole = drain(learn_online(problem, config, 3))
    kept, shown = Kept(until), []
    drain(learn_online(problem, config, 3, kept))
    again = drain(learn_online(problem, config, 3, kept), shown.append)
    np.testing.assert_array_equal(again.progress, whole.progress)
    assert (again.history, again.multiplier) == (whole.history, whole.multiplier)
    assert [update.done for update in shown] == list(range(until + 1, 7))


class Told:
    """A model whose mean policy always ends at y = 1.5, and which remembers what it was told to play."""

    def __init__(self):
        self.actors, self.explored = [], []

    def play(self, latents, actor, noise, exploration):
        self.actors.append(actor)
        self.explored.append(exploration)
        return episodes(1.5 + 0.1 * noise, 1.5, 1.0)


def test_the_multiplier_integrates_what_the_budget_is_missed_by_once_the_critic_is_warm(short):
    model = Told()
    problem = replace(short[4], model=model, steps=2, bound=4.0, multiplier=-8.0)
    config = PaperConfig(iterations=10, episodes=4, warmup=3, distilled=4, multiplier_rate=0.125)
    trained = drain(learn_online(problem, config, 0))
    rates = [1.0] * 2 + [0.3] * 3 + [0.05] * 2  # iterations 4 and 5, 6 to 8, 9 and 10
    draws = [np.random.default_rng([0, 2, iteration]) for iteration in range(4, 11)]
    missed = []
    for rng in draws:
        rng.integers(len(problem.latents), size=4)
        missed.append(0.5 + 0.1 * rng.standard_normal((2, 4)).mean())
    assert trained.multiplier == pytest.approx(-8.0 + 0.125 * 8.0 * np.dot(rates, missed))
    assert [bool(actor.any()) for actor in model.actors] == [False] * 4 + [True] * 7  # iteration 4 moves it first
    # sqrt(lambda) = kappa c; and the mean alone is distilled
    assert model.explored == [0.15 * 2.0] * 10 + [0.0]
    # Adam's steps are of the rate, and cut with it.
    assert np.abs(model.actors[4]).max() == pytest.approx(0.01, rel=1e-3)
    assert np.abs(model.actors[-1] - model.actors[-2]).max() < 0.05 * 0.01 * 3


def test_the_clamp_is_a_share_of_the_median_stiffness(energies):
    energy = energies("gaussian")[0]
    # The median over log-spaced sigmas of a |Q| that falls in sigma is that in their middle.
    middle = stiffness_at(energy, np.array([(0.002 * 80.0) ** 0.5]))[0]
    assert clamp_of(energy, 0.5) == pytest.approx(middle / 2, rel=0.02)


def test_from_high_noise_the_failures_of_paper_mode_are_named():
    model = find("mixture-1d").load(torch.device("cpu"))
    probe, latents = Probe(model), model.latents(64, seed=0)
    bank = drain(build_bank(probe.on, latents, sigma_min=0.002, sigma_max=80.0, batch=64))
    energy = energy_of(bank, Coordinate(0.002, 80.0))
    found = drain(METHODS["paper"](Task(energy=energy, steps=(1, 5), fields=probe.on, latents=latents)))
    assert found.origin == "online"
    assert found.progress[1].tolist() == [0.0, 1.0]
    (run,) = found.diagnostics["paper"].values()
    assert run["failures"]
    assert run["failures"][-1].startswith("left end exploited: its steps cross ")
    assert found.warp.at(0.4) == pytest.approx(energy.coordinate.sigma(found.progress[5])[2], rel=0.05)


def test_paper_mode_without_a_model_is_refused(energies):
    with pytest.raises(InputError, match="walks the model itself"):
        drain(METHODS["paper"](Task(energy=energies("gaussian")[0], steps=(2,))))


# ---------------------------------------------------------------------------------------------- distilling


def test_distilling_averages_theta_over_trajectories_and_spends_the_budget():
    trained = distilled(episodes([[1.0, 3.0], [1.0, 1.0]], 1.0, 1.0), -2.0)
    np.testing.assert_allclose(trained.progress, [0.0, 2 / 3, 1.0])
    np.testing.assert_allclose(trained.spread, [0.5, 0.0])
    assert trained.reached == 1.5
    assert [said.split(":")[0] for said in trained.failures] == ["budget missed", "state-dependent"]

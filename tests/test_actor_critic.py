import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from artc.artifact import Coordinate
from artc.errors import InputError
from artc.learning.actor_critic import Adam, LearnerConfig, learn, policy_gradient, value_gradient
from artc.learning.distill import warp_through
from artc.learning.dynamic_programming import optimal_progress
from artc.learning.objective import Energy, gap, grid_cost, lower_bound
from artc.learning.policy import features, speed, value
from artc.learning.rollouts import Environment, mean_path, roll_out
from artc.progress import drain

# A problem solved on paper: sqrt(q) = 1 + 3 y^2, so that R(y) = int_y^1 sqrt(q) = (1 - y) (2 + y + y^2) and J* = 4.
MIDDLES = (np.arange(512) + 0.5) / 512
SOLVED = Energy(coordinate=Coordinate(0.002, 80.0), cells=((1 + 3 * MIDDLES**2) ** 2 / 512)[None])
BOUND = 4.0


def rest(y):
    """R(y) / (1 - y)."""
    return 2 + y + y**2


def best_actor(knots):
    """h* = log m*, m* the mean of sqrt(q) over what is left, over sqrt(q) here."""
    y = np.linspace(0, 1, knots)
    return np.stack([np.log(rest(y) / (1 + 3 * y**2)), 0 * y], axis=1)


def best_critic(knots):
    """g* of V = -R^2 / (1 - t) = -J* (1 - y)^2 / (1 - t) exp g."""
    y = np.linspace(0, 1, knots)
    return np.stack([2 * np.log(rest(y) / 2), 0 * y], axis=1)


# ---------------------------------------------------------------------------------------------- policy


@given(st.integers(2, 9), st.data())
def test_dot_and_weighted_sum_are_adjoint(knots, data):
    count, unit = data.draw(st.integers(1, 20)), st.floats(0, 1)
    progress, clock, factors = (data.draw(arrays(float, count, elements=of)) for of in (unit, unit, st.floats(-10, 10)))
    weights = data.draw(arrays(float, (knots, 2), elements=st.floats(-10, 10)))
    at = features(clock, progress, knots)
    there, back = (factors * at.dot(weights)).sum(), (weights * at.weighted_sum(factors, knots)).sum()
    assert there == pytest.approx(back, abs=1e-9)


@given(st.integers(2, 9), st.floats(0, 1), st.floats(0, 1))
def test_features_interpolate_linearly_between_knots(knots, clock, progress):
    table = np.stack([np.linspace(0, 1, knots) ** 2, np.cos(np.arange(knots))], axis=1)
    found = features(np.array([clock]), np.array([progress]), knots).dot(table)
    even = np.linspace(0, 1, knots)
    wanted = np.interp(progress, even, table[:, 0]) + clock * np.interp(progress, even, table[:, 1])
    assert found[0] == pytest.approx(wanted, abs=1e-12)


def test_actor_and_critic_by_hand():
    clock, progress = np.array([0.5]), np.array([0.25])
    at = features(clock, progress, 2)
    table = np.log([[2.0, 1.0], [8.0, 4.0]])  # log h = 3/4 log 2 + 1/4 log 8 + 1/2 (1/4 log 4) = log 2^1.75
    assert speed(table, clock, progress, at)[0] == pytest.approx(0.75 / 0.5 * 2**1.75)
    assert value(table, clock, progress, at, 3.0)[0] == pytest.approx(-3 * 0.75**2 / 0.5 * 2**1.75)
    assert speed(1e6 + table, clock, progress, at)[0] == pytest.approx(1.5 * np.exp(4))  # the limit of |h|


def test_the_critics_shape_holds_the_exact_value_which_solves_the_equation_of_optimal_control():
    critic = best_critic(513)

    def v(t, y):
        return value(critic, t, y, features(t, y, 513), BOUND)

    start = np.zeros(1)
    assert v(start, start)[0] == pytest.approx(-BOUND, rel=1e-12)
    t, y = (grid.ravel() for grid in np.meshgrid([0.05, 0.4, 0.9], [0.125, 0.5, 0.875]))
    in_time = (v(t + 1e-5, y) - v(t - 1e-5, y)) / 2e-5
    in_space = (v(t, y + 1 / 512) - v(t, y - 1 / 512)) * 256
    # V_t + max_theta (-q theta^2 + theta V_y) = V_t + V_y^2 / 4 q = 0
    np.testing.assert_allclose(in_space**2 / (4 * (1 + 3 * y**2) ** 2), -in_time, rtol=1e-3)


# -------------------------------------------------------------------------------------------- rollouts


@given(
    arrays(float, (5, 2), elements=st.floats(-50, 50)),
    st.integers(2, 40).flatmap(lambda steps: arrays(float, (steps, 3), elements=st.floats(-9, 9))),
    st.floats(0, 5),
)
def test_rollouts_land_on_one_and_never_stand_still_whatever_the_actor(actor, noise, exploration):
    clock = np.linspace(0, 1, len(noise) + 1)
    rollouts = roll_out(Environment.of(SOLVED), actor, clock, noise, exploration)
    landed = rollouts.progress[-1] + rollouts.theta[-1] * (clock[-1] - clock[-2])
    np.testing.assert_allclose(landed, 1, rtol=0, atol=1e-15)
    assert (np.diff(rollouts.progress, axis=0) > 0).all()
    assert (rollouts.progress[-1] < 1).all()
    assert (rollouts.spread <= 0.5 * rollouts.mean).all()
    path = mean_path(actor, clock)
    assert (path[0], path[-1]) == (0, 1)
    assert (np.diff(path) > 0).all()


def test_an_actor_of_zeros_is_the_uniform_clock():
    clock = np.linspace(0, 1, 13)
    np.testing.assert_allclose(mean_path(np.zeros((4, 2)), clock), clock, atol=1e-14)
    rollouts = roll_out(Environment.of(SOLVED), np.zeros((4, 2)), clock, np.zeros((12, 2)), 0.0)
    np.testing.assert_allclose(rollouts.progress, np.stack([clock[:-1], clock[:-1]], axis=1), atol=1e-14)
    np.testing.assert_allclose(rollouts.theta, 1, rtol=1e-12)


def test_an_episode_without_noise_costs_what_its_grid_costs():
    actor = np.random.default_rng(1).normal(0, 0.5, (6, 2))
    clock = np.linspace(0, 1, 10)
    rollouts = roll_out(Environment.of(SOLVED), actor, clock, np.zeros((9, 1)), 0.0)
    path = mean_path(actor, clock)
    np.testing.assert_allclose(rollouts.progress[:, 0], path[:-1], rtol=1e-12)
    assert -rollouts.reward.sum() == pytest.approx(grid_cost(SOLVED, path), rel=1e-9)
    assert rollouts.reward_to_go[4, 0] == pytest.approx(rollouts.reward[4:, 0].sum())


def test_the_best_actor_earns_what_the_exact_value_promises_from_every_step():
    steps, knots = 400, 129
    clock = np.linspace(0, 1, steps + 1)
    rollouts = roll_out(Environment.of(SOLVED), best_actor(knots), clock, np.zeros((steps, 1)), 0.0)
    at = features(rollouts.clock, rollouts.progress, knots)
    promised = value(best_critic(knots), rollouts.clock, rollouts.progress, at, BOUND)
    assert rollouts.reward_to_go[0, 0] == pytest.approx(-BOUND, rel=1e-3)
    np.testing.assert_allclose(rollouts.reward_to_go[:-20], promised[:-20], rtol=0.01)
    # S(y) = y + y^3 grows evenly.
    np.testing.assert_allclose(rollouts.progress + rollouts.progress**3, 2 * rollouts.clock, atol=2e-3)


# ------------------------------------------------------------------------------------------- gradients

EXPLORATION = 0.1 * BOUND**0.5


def centred(advantage):
    """Less the mean over episodes at each step: the plainest baseline there is."""
    return advantage - advantage.mean(axis=1, keepdims=True)


def test_the_policy_gradient_is_the_derivative_of_the_expected_return():
    bank, clock, knots = Environment.of(SOLVED), np.linspace(0, 1, 4), 3
    actor = np.random.default_rng(3).normal(0, 0.2, (knots, 2))
    # Expected return of three steps, two of them free, by Gauss-Hermite quadrature over both noises.
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    noise = np.stack([*(grid.ravel() for grid in np.meshgrid(nodes, nodes)), np.zeros(400)])
    weights = np.outer(weights, weights).ravel() / weights.sum() ** 2

    def expected(table):
        return float(weights @ roll_out(bank, table, clock, noise, EXPLORATION).reward.sum(axis=0))

    exact = np.zeros_like(actor)
    for place in np.ndindex(*actor.shape):
        move = np.zeros_like(actor)
        move[place] = 0.01
        exact[place] = (expected(actor + move) - expected(actor - move)) / 0.02

    rng, found = np.random.default_rng(4), []
    for _ in range(40):
        rollouts = roll_out(bank, actor, clock, rng.standard_normal((3, 4000)), EXPLORATION)
        np.testing.assert_allclose(rollouts.spread, EXPLORATION / bank.stiffness(rollouts.progress) ** 0.5)
        found.append(3 * policy_gradient(rollouts, centred(rollouts.reward_to_go), knots))  # a sum over steps
    stderr = np.std(found, axis=0, ddof=1) / len(found) ** 0.5
    assert np.linalg.norm(stderr) < 0.05 * np.linalg.norm(exact)
    assert (abs(np.mean(found, axis=0) - exact) <= 4 * stderr + 2e-3 * abs(exact)).all()


def test_the_control_variate_takes_out_most_of_the_gradients_variance():
    # Near the optimum and against the exact value, where the first-order noise of reward and value cancel.
    bank, clock, rng = Environment.of(SOLVED), np.linspace(0, 1, 33), np.random.default_rng(5)
    kept, plain = [], []
    for _ in range(60):
        rollouts = roll_out(bank, best_actor(129), clock, rng.standard_normal((32, 64)), EXPLORATION)
        at = features(rollouts.clock, rollouts.progress, 129)
        promised = value(best_critic(129), rollouts.clock, rollouts.progress, at, BOUND)
        nodes = np.concatenate([rollouts.progress, np.ones((1, 64))])
        spent = np.interp(nodes, SOLVED.edges, SOLVED.cumulative)
        reward = -32 * np.diff(nodes, axis=0) * np.diff(spent, axis=0)
        kept.append(policy_gradient(rollouts, centred(rollouts.reward_to_go - promised), 8))
        plain.append(policy_gradient(rollouts, centred(reward[::-1].cumsum(axis=0)[::-1] - promised), 8))
    assert np.var(kept, axis=0).sum() < 0.3 * np.var(plain, axis=0).sum()
    # And it has mean zero: it takes noise away, not reward.
    difference = np.array(kept) - np.array(plain)
    assert (abs(difference.mean(axis=0)) <= 4 * difference.std(axis=0) / 60**0.5 + 1e-15).all()


def test_the_value_gradient_leads_down_the_squared_relative_error():
    rng, knots = np.random.default_rng(6), 4
    rollouts = roll_out(
        Environment.of(SOLVED), np.zeros((knots, 2)), np.linspace(0, 1, 6), rng.standard_normal((5, 7)), 0.2
    )
    at = features(rollouts.clock, rollouts.progress, knots)
    critic = best_critic(knots) + rng.normal(0, 0.05, (knots, 2))
    frozen = value(critic, rollouts.clock, rollouts.progress, at, BOUND)

    def error(table):
        wrong = rollouts.reward_to_go - value(table, rollouts.clock, rollouts.progress, at, BOUND)
        return 0.5 * float(((wrong / frozen) ** 2).mean())

    found = value_gradient(rollouts, rollouts.reward_to_go - frozen, frozen, knots)
    for place in np.ndindex(knots, 2):
        move = np.zeros((knots, 2))
        move[place] = 1e-5
        assert found[place] == pytest.approx(-(error(critic + move) - error(critic - move)) / 2e-5, abs=1e-7)
    huge = value_gradient(rollouts, 100 * np.abs(frozen), frozen, knots)
    np.testing.assert_allclose(huge, value_gradient(rollouts, 2 * np.abs(frozen), frozen, knots))


def test_adam_by_hand():
    adam = Adam((2,))
    np.testing.assert_allclose(adam.step(np.array([3.0, -0.01]), 0.1), [0.1, -0.1])
    # mean (0.9 * 0.3 + 0.1 * 1) / 0.19, square (0.99 * 0.09 + 0.01 * 1) / 0.0199
    second = adam.step(np.array([1.0, -0.01]), 0.1)
    np.testing.assert_allclose(second, [0.1 * (0.37 / 0.19) / (0.0991 / 0.0199) ** 0.5, -0.1])


# --------------------------------------------------------------------------------------------- learner

SMALL = LearnerConfig(rollouts=32, iterations=120, warmup=10)  # half a second a run, not two and a half


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["gaussian", "mixture-1d", "mixture-64d"])
def test_the_learner_comes_within_two_per_cent_of_the_bound_on_trajectories_it_never_saw(name, seed, energies):
    training, held_out = energies(name)
    trained = drain(learn(training, SMALL, seed))
    clock = np.linspace(0, 1, SMALL.steps + 1)
    warp = warp_through(clock, mean_path(trained.actor, clock), training.coordinate)
    assert gap(held_out, warp) <= 0.02


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steps", [5, 20])
def test_trained_for_few_steps_it_finds_the_discrete_optimum(steps, seed, energies):
    energy = energies("mixture-1d")[0]
    trained = drain(learn(energy, LearnerConfig(steps=steps, rollouts=128, iterations=240), seed))
    found = grid_cost(energy, mean_path(trained.actor, np.linspace(0, 1, steps + 1)))
    assert found / grid_cost(energy, optimal_progress(energy, steps)) <= 1.01


def test_with_the_settings_of_users_the_learner_starts_uniform_and_ends_at_the_bound(learned, energies):
    (training, held_out), (found, history) = energies("gaussian"), learned
    config = LearnerConfig()
    assert [update.done for update in history] == list(range(1, config.iterations + 1))
    assert {update.total for update in history} == {config.iterations}
    uniform = grid_cost(training, np.linspace(0, 1, config.steps + 1)) / lower_bound(training) - 1
    assert [update.gap for update in history[: config.warmup]] == pytest.approx([uniform] * config.warmup)
    assert history[-1].gap < 0.005
    assert history[-1].explained_variance > 0.9
    assert gap(held_out, found.warp) < 0.005


def test_a_run_is_known_by_its_seed():
    tiny = LearnerConfig(steps=6, rollouts=4, iterations=12, warmup=2, knots=4)
    first, again, other = (drain(learn(SOLVED, tiny, seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.actor, again.actor)
    assert first.history == again.history
    assert not np.array_equal(first.actor, other.actor)


@pytest.mark.parametrize("wrong", [{"steps": 1}, {"rollouts": 1}, {"iterations": 0}, {"knots": 1}, {"kappa": 0.0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError, match="make no sense"):
        LearnerConfig(**wrong)

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from artc.errors import InputError
from artc.learning.objective import lower_bound, state_gain, warp_cost
from artc.learning.state_features import Courses, Frame, courses_of, data_scale, frame_of, raw_features
from artc.learning.state_policy import StatePolicy, advance, fresh, roll_out
from artc.learning.state_training import JUDGED_STEPS, StateConfig
from artc.models.analytic import three_modes
from artc.sampling.bank import TrajectoryBank
from artc.sampling.statistics import state_statistics
from tests.policies import bank_of, energy_and_warp, held_out_courses, trained, trained_with, wild

SILENT = fresh(4, np.random.default_rng(0))


def walked(policy, steps, rng, batch=7):
    """The sigmas `(steps + 1, B)` of a walk whose states are made up."""
    sigma = before = np.full(batch, policy.warp.sigma_max)
    found = [sigma]
    for k in range(steps):
        clock, after = np.full(batch, k / steps), np.full(batch, (k + 1) / steps)
        statistics = np.abs(rng.normal(1, 1, (batch, 5))) * np.sqrt(sigma**2 + 1)[:, None]
        change = np.abs(rng.normal(0, 1, batch)) * (k > 0)
        sigma, before = policy.next_sigma(clock, after, sigma, before, statistics, change), sigma
        found.append(sigma)
    return np.stack(found)


# -------------------------------------------------------------------------------------------- the clock


@pytest.mark.parametrize("steps", [1, 2, 5, 18, 50])
def test_a_policy_that_says_nothing_walks_the_grid_of_the_time_only_clock(steps):
    policy = StatePolicy(warp=trained().policy.warp, frame=trained().policy.frame, weights=SILENT)
    found = walked(policy, steps, np.random.default_rng(1))
    for sigmas in found.T:
        np.testing.assert_allclose(sigmas, policy.warp.grid(steps), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_network_says_sigma_falls_and_the_last_step_lands_on_0(seed):
    policy = wild(trained().policy, seed)
    found = walked(policy, 9, np.random.default_rng(seed))
    assert (np.diff(found, axis=0) < 0).all()
    assert (found[-1] == 0).all()
    assert np.ptp(found[4]) > 0.01 * found[4].mean()


@pytest.mark.parametrize("gain", [-1.2, 0.0, 0.7])
def test_a_step_is_the_solution_of_the_policys_own_differential_equation(gain):
    # dz/dt = (r / s) exp g, integrated by another program.
    solved = solve_ivp(lambda t, z: (1 - z) / (1 - t) * np.exp(gain), (0.2, 0.6), [0.3], rtol=1e-10, atol=1e-12)
    assert advance(np.array([0.7]), 0.2, 0.6, np.array([gain])) == pytest.approx(1 - solved.y[0, -1], rel=1e-8)


# --------------------------------------------------------------------------------------------- features


def test_what_a_policy_sees_does_not_depend_on_the_resolution():
    generator = torch.Generator().manual_seed(0)
    x, denoised = (torch.randn((3, 2, 4, 4), generator=generator, dtype=torch.float64) for _ in range(2))
    fine = [each.repeat_interleave(4, 2).repeat_interleave(4, 3) for each in (x, denoised)]
    torch.testing.assert_close(state_statistics(*fine), state_statistics(x, denoised))


def test_the_features_of_a_state_written_by_hand():
    # sigma 3 and scale 4: the whole is 5.
    found = raw_features(np.array(3.0), np.array([10.0, 8.0, 6.0, -5.0, 2.0]), 4.0)
    assert found == pytest.approx([np.log(2.001), np.log(2.01), np.log(2.001), -1.0, 0.5])


def test_a_state_like_the_mean_one_is_all_zeros_and_a_strange_one_is_clipped():
    frame = trained().policy.frame
    place = np.array([0.0, 0.5])
    at = np.array([0, (len(frame.mean) - 1) // 2])
    seen = frame.observe(frame.mean[at], np.zeros(2), place, place)
    assert np.abs(seen).max() < 1e-12
    strange = frame.observe(frame.mean[at] + 1e6, np.full(2, 1e9), place, place)
    assert strange[:, :6].tolist() == [[4.0] * 6] * 2


def test_a_change_is_told_as_how_much_larger_it_is_than_the_mean_one_by_hand():
    # L goes evenly from 0 to 8, so that a quarter of the clock is worth 2; the change of 3 at scale 0.5 is one of 6.
    five = np.ones((5, 5))
    frame = Frame(scale=0.5, mean=0 * five, spread=five, travelled=np.linspace(0, 8, 5))
    seen = frame.observe(np.zeros((1, 5)), np.array([3.0]), np.array([0.625]), np.array([0.375]))
    assert seen[0, 5:] == pytest.approx([np.log(6.001 / 2.001), 0.25])


def test_the_scale_of_the_data_is_taken_from_where_the_trajectories_end():
    # Three modes: 0.3 (4 + 0.15^2) + 0.5 (0.09 + 0.4^2) + 0.2 (2.25 + 0.1^2) = 1.784; 144 draws.
    assert data_scale(bank_of("mixture-1d")[0]) == pytest.approx(1.784**0.5, rel=0.15)


def test_a_bank_without_statistics_is_refused():
    bank = TrajectoryBank(sigma=np.array([1.0]), stiffness=np.ones((1, 1)))
    with pytest.raises(InputError, match="statistics"):
        data_scale(bank)


# ----------------------------------------------------------------------------------------- the rollouts


@pytest.mark.parametrize("steps", [3, 10])
def test_on_the_time_only_clock_a_rollout_costs_what_the_continuous_warp_costs(steps):
    energy, courses = held_out_courses("mixture-1d", trained().policy)
    played = roll_out(SILENT, trained().policy.frame, courses, steps)
    assert played.costs.mean() == pytest.approx(warp_cost(energy, trained().policy.warp), rel=2e-3)


def test_the_bounds_of_courses_are_those_of_their_energy():
    energy, courses = held_out_courses("mixture-1d", trained().policy)
    best, known = courses.bounds
    assert best == pytest.approx(lower_bound(energy), rel=2e-3)
    assert 1 - known / best == pytest.approx(state_gain(energy), rel=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_no_policy_beats_what_is_known_of_each_trajectory_afterwards(seed):
    policy = wild(trained().policy, seed)
    _, courses = held_out_courses("mixture-1d", policy)
    own = np.sqrt(courses.cells / courses.cells.shape[1]).sum(axis=1) ** 2
    for steps in (2, 9, 60):
        assert (roll_out(policy.weights, policy.frame, courses, steps).costs >= own * (1 - 1e-9)).all()


def test_with_its_control_variate_a_reward_is_a_straight_line_in_what_was_drawn():
    # One stiffness q everywhere: theta^2 q dt becomes mu (2 theta - mu) q dt - spread^2 q dt, and its noise is halved.
    even = 3.0 * np.linspace(0, 1, 257)[None]
    courses = Courses(taken=even, raw=np.zeros((1, 257, 5)), sketches=np.zeros((1, 257, 1), dtype=np.float32))
    frame = Frame(scale=1.0, mean=np.zeros((5, 5)), spread=np.ones((5, 5)), travelled=np.linspace(0, 1, 5))
    noise = np.random.default_rng(0).standard_normal((4, 50))
    played = roll_out(SILENT, frame, courses, 4, noise, 0.3, np.zeros(50, dtype=np.int64))
    found = played.togo[:-1] - played.togo[1:]
    mean, drawn = played.speed[:3], played.theta[:3]
    np.testing.assert_allclose(found[:3], -0.75 * (mean * (2 * drawn - mean) + played.spread[:3] ** 2), rtol=1e-9)
    assert played.togo[3] == pytest.approx(-played.cost[3])


def test_what_a_policy_sees_in_training_is_what_a_sampler_would_show_it_there():
    # Eight of the trajectories that were held out, integrated by another program to where four even looks fall.
    policy, bank = trained().policy, bank_of("mixture-1d")[1]
    _, courses = held_out_courses("mixture-1d", policy)
    seen = roll_out(SILENT, policy.frame, courses, 4, which=np.arange(8)).seen
    first = bank.statistics[:8, 0, 3]  # in one dimension the mean of x is x
    sigma, before, last = 80.0, 80.0, None

    def denoised(x, sigma):
        return three_modes()(torch.from_numpy(x)[:, None], torch.full((len(x),), sigma, dtype=torch.float64)).numpy()[
            :, 0
        ]

    for k, sigma in enumerate(policy.warp.grid(4)[:-1]):
        x = first
        if k:
            slope = lambda s, y: (y - denoised(y, s)) / s  # noqa: E731
            x = solve_ivp(slope, (80.0, sigma), first, rtol=1e-8, atol=1e-8).y[:, -1]
        clean = denoised(x, sigma)
        change = np.zeros(8) if last is None else abs(clean - last)
        statistics = np.stack([abs(x), abs(clean), abs(x - clean), x, clean], axis=1)
        at, was = (policy.place(np.full(8, each)) for each in (sigma, before))
        expected = policy.frame.observe(
            raw_features(np.full(8, sigma), statistics, policy.frame.scale), change, at, was
        )
        np.testing.assert_allclose(seen[k], expected, atol=0.1)
        before, last = sigma, clean


# ----------------------------------------------------------------------------------------- the training


def saved(result, name="mixture-1d", steps=18):
    """Share of what the state could gain that a policy gains, on trajectories that training has not seen."""
    policy = result.policy
    _, courses = held_out_courses(name, policy)
    best, known = courses.bounds
    return (best - roll_out(policy.weights, policy.frame, courses, steps).costs.mean()) / (best - known)


def test_half_of_what_the_state_could_gain_is_gained_on_trajectories_not_seen():
    assert saved(trained()) > 0.5


def test_actor_critic_alone_finds_a_part_of_it():
    config = StateConfig(start=0, iterations=100, rate=5e-3, judged=50)
    result = trained_with("mixture-1d", config)
    assert result.stage == "actor-critic"
    assert saved(result) > 0.1


def test_where_all_trajectories_are_alike_the_time_only_clock_is_kept():
    result = trained_with("gaussian", StateConfig(start=60, iterations=20, judged=20))
    assert (result.stage, result.saved) == ("time-only", 0.0)
    assert walked(result.policy, 5, np.random.default_rng(0))[:, 0] == pytest.approx(
        energy_and_warp("gaussian")[1].grid(5), rel=1e-9
    )


def test_the_same_seed_gives_the_same_policy_and_another_seed_another():
    config = StateConfig(start=30, iterations=30, judged=10)
    one, same, other = (trained_with("mixture-1d", config, seed).policy.weights for seed in (3, 3, 4))
    flat = [np.concatenate([array.ravel() for layer in weights for array in layer]) for weights in (one, same, other)]
    assert flat[0].tolist() == flat[1].tolist()
    assert flat[0].tolist() != flat[2].tolist()


def test_the_frame_comes_from_three_quarters_of_the_trajectories_and_the_choice_from_the_others():
    bank, (energy, warp), found = bank_of("mixture-1d")[0], energy_and_warp("mixture-1d"), trained()
    courses = courses_of(bank, energy, warp, data_scale(bank))
    frame = frame_of(courses.part(slice(0, 108)), data_scale(bank))
    assert found.policy.frame.mean.tolist() == frame.mean.tolist()
    assert found.policy.frame.travelled.tolist() == frame.travelled.tolist()
    judging = courses.part(slice(108, None))
    costs = [
        [roll_out(weights, frame, judging, steps).costs.mean() for steps in JUDGED_STEPS]
        for weights in (found.policy.weights, SILENT)
    ]
    assert found.saved == pytest.approx(1 - np.mean(np.divide(*costs)), rel=1e-9)


@pytest.mark.parametrize("settings", [{"width": 0}, {"kappa": 0.0}, {"set_aside": 1.0}, {"judged": 0}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(InputError, match="make no sense"):
        StateConfig(**settings)

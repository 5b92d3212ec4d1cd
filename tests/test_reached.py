"""Grids by what a solver really reaches: beside brute force, the calls counted, and nearer than other grids."""

from itertools import combinations, pairwise

import pytest
import torch

from artc.evaluation.endpoint import Teacher, endpoint_error
from artc.learning.reached import NODES, Reached, reach, reachable, reaching_calls
from artc.models.score_model import Probe
from artc.progress import drain
from artc.sampling.grids import edm_free
from artc.sampling.reaching import Path, first_row, next_row
from artc.sampling.solvers import SOLVERS, find_solver
from artc.sampling.trajectories import sample, walk


def path_of(model, levels, count=6):
    latents, fields = model.latents(count, 0), Probe(model).on
    start = latents.noise * levels[0]
    states = [start, *(visit.x for visit in walk(fields(latents.labels), start, levels, SOLVERS["heun"]))]
    return Path(levels=tuple(levels), latents=latents, states=tuple(states))


def test_one_and_two_steps_are_the_best_of_all(load):
    """With two steps there is one way to every node, so that nothing is lost by keeping one."""
    model = load("mixture-64d")
    levels = edm_free(12, 0.002, 80.0).tolist()
    path, fields, euler = path_of(model, levels), Probe(model).on, find_solver("euler")
    row = next_row(fields, euler, path, first_row(path))
    assert row[12].path == (0, 12)
    assert {node: way.path for node, way in row.items()} == {node: (0, node) for node in range(1, 13)}
    row = next_row(fields, euler, path, row)

    def error(nodes):
        made = sample(fields, path.latents, [levels[node] for node in nodes], euler)
        return float((made - path.states[-1]).square().mean())

    errors = {nodes: error((0, *nodes, 12)) for nodes in combinations(range(1, 12), 1)}
    best = min(errors, key=errors.get)
    assert row[12].path == (0, *best, 12)
    assert row[12].error == pytest.approx(errors[best])


@pytest.mark.parametrize("solver", ["euler", "heun", "dpmpp_2m", "ipndm_3", "unipc_3"])
def test_a_way_is_what_the_solver_walks_on_its_grid(solver, load):
    model, levels = load("mixture-64d"), edm_free(10, 0.002, 80.0).tolist()
    path, fields = path_of(model, levels), Probe(model).on
    row = first_row(path)
    for steps in range(1, 6):
        row = next_row(fields, find_solver(solver), path, row)
        way = row[10]
        assert len(way.path) == steps + 1
        made = sample(fields, path.latents, [levels[node] for node in way.path], find_solver(solver))
        torch.testing.assert_close(way.x, made, rtol=1e-9, atol=1e-9)


def found(model, steps, count=16):
    probe, updates = Probe(model), []
    levels = edm_free(NODES, model.info.sigma_min, model.info.sigma_max).tolist()
    reached = drain(reach(probe.on, model.latents(count, 0), levels, steps), updates.append)
    return reached, probe, updates, levels


def test_it_costs_what_it_says_and_shows_how_far_it_is(load):
    steps = {"euler": 5, "heun": 4, "dpmpp_2m": 3, "rk4": 2}
    reached, probe, updates, levels = found(load("mixture-64d"), steps)
    assert probe.calls == reaching_calls(steps, 16)
    assert [update.done for update in updates] == sorted(update.done for update in updates)
    assert updates[-1].done == updates[-1].total
    assert reachable(steps) == {"euler": 5, "heun": 4, "dpmpp_2m": 3}
    assert reached.sigmas("rk4", 2) is None
    assert reached.sigmas("euler", 6) is None
    for solver, most in reachable(steps).items():
        for count in range(1, most + 1):
            grid = reached.sigmas(solver, count)
            assert (len(grid), grid[0], grid[-1]) == (count + 1, levels[0], 0.0)
            assert set(grid) <= set(levels)
            assert all(one > other for one, other in pairwise(grid))


def test_a_solver_that_asks_between_nodes_costs_nothing_alone():
    assert reaching_calls({"rk4": 2}, 16) == 0
    assert set(reachable(dict.fromkeys(SOLVERS, 3))) == {*SOLVERS} - {"rk4"}
    assert reachable({"heun": 99, "euler": 99}) == {"heun": 22, "euler": 64}
    assert Reached(found={}).sigmas("euler", 1) is None


@pytest.mark.parametrize("solver", ["euler", "dpmpp_2m", "ipndm_3"])
def test_on_other_noises_they_end_nearer_than_the_curve_of_the_candidates(solver, load):
    model = load("mixture-64d")
    reached, probe, _, _ = found(model, {solver: 6})
    latents = model.latents(256, 7)
    ends = Teacher(steps=64).endpoints(probe.on, latents, model.info)
    rule = find_solver(solver)
    ours, theirs = (
        endpoint_error(sample(probe.on, latents, grid, rule), ends).value
        for grid in (reached.sigmas(solver, 6), edm_free(6, model.info.sigma_min, model.info.sigma_max).tolist())
    )
    assert ours < 0.9 * theirs  # measured: 0.69, 0.79 and 0.58

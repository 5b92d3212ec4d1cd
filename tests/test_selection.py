"""Which grid a schedule gets: the best that is known on watched noises, to which nothing is ever fitted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from artc.artifact import Coordinate, Schedule, steps_for
from artc.checkpoints.ledger import Ledger
from artc.checkpoints.units import Units
from artc.evaluation.endpoint import Teacher, candidates, compare, endpoint_error
from artc.evaluation.selection import Noises, select
from artc.learning.matching import match, most_walks
from artc.learning.methods import certificate_of
from artc.learning.objective import grid_cost, lower_bound
from artc.models.score_model import Probe, ScoreModel
from artc.progress import drain
from artc.sampling.grids import baseline
from artc.sampling.solvers import SOLVERS
from artc.sampling.trajectories import sample

TRIALS = 8
KEY = ("heun", 5)


class Case:
    """Schedules of a model, the noises that are fitted and watched, and what is known before the selection."""

    def __init__(self, model, energies, keys=(KEY,), grid="logsnr", more=None):
        self.probe, self.info, self.held_out, self.more = (
            Probe(model),
            model.info,
            energies("mixture-1d")[1],
            more or {},
        )
        self.schedules = {(solver, nfe): scheduled(solver, nfe, grid) for solver, nfe in keys}
        latents = model.latents(24, seed=11)
        made = Noises(latents=latents, ends=Teacher(steps=60).endpoints(self.probe.on, latents, self.info))
        self.fitted, self.watched = made.part(slice(16)), made.part(slice(16, None))
        self.know()

    def know(self):
        watched = self.watched
        knowing = compare(self.probe.on, watched.latents, self.info, self.schedules, watched.ends, more=self.more)
        self.errors, self.probe.calls = drain(knowing), 0

    def known(self, key=KEY):
        return {name: error.value for name, error in self.errors[key].items()}

    def select(self, trials=TRIALS, on_update=lambda _: None, **settings):
        selecting = select(
            *(self.probe.on, self.fitted, self.watched, self.info, self.schedules, self.errors, self.more),
            **{"held_out": self.held_out, "trials": trials, **settings},
        )
        return drain(selecting, on_update)

    def error(self, sigmas, solver="heun"):
        reached = sample(self.probe.on, self.watched.latents, sigmas, SOLVERS[solver])
        return endpoint_error(reached, self.watched.ends).value


def scheduled(solver, nfe, grid="logsnr"):
    steps = steps_for(solver, nfe)
    sigmas = tuple(baseline(grid, steps, 0.002, 80.0).tolist()) if isinstance(grid, str) else grid
    return Schedule(solver=solver, nfe=nfe, steps=steps, sigmas=sigmas, origin="closed-form")


GOOD = (80.0, 5.0, 0.9, 0.0)  # nearer than every grid made by hand, see the test below


@pytest.fixture
def case(load, energies):
    return lambda **settings: Case(load("mixture-1d"), energies, **settings)


# ------------------------------------------------------------------------------------- which is kept


def test_without_trials_the_best_of_the_known_grids_is_kept_and_nothing_is_walked(case):
    it = case()
    known = it.known()
    best = min(known, key=known.get)
    assert best in ("edm", "edm-free", "uniform")
    assert known[best] < known["schedule"] == known["logsnr"]
    selected = it.select(trials=0)
    kept = selected.schedules[KEY]
    assert it.probe.calls == 0
    assert selected.refinements == {
        "heun 5": {"learned": known["schedule"], "from": best, "start": known[best], "kept": best}
    }
    np.testing.assert_allclose(kept.sigmas, baseline(best, 3, 0.002, 80.0))
    assert (kept.origin, kept.solver, kept.nfe, kept.steps) == ("refined", "heun", 5, 3)
    cost = grid_cost(it.held_out, Coordinate(0.002, 80.0).progress(kept.sigmas))
    assert (kept.certificate.objective, kept.certificate.lower_bound) == (cost, lower_bound(it.held_out))


def test_a_learned_grid_that_is_the_best_stays_as_it_is(case):
    it = case(grid=GOOD)
    assert min(it.known(), key=it.known().get) == "schedule"
    selected = it.select(trials=0)
    assert selected.schedules[KEY] is it.schedules[KEY]
    assert selected.refinements["heun 5"]["from"] == selected.refinements["heun 5"]["kept"] == "schedule"


def test_an_order_aware_grid_that_is_the_best_is_named_so(case):
    it = case(more={KEY: {"order-aware": GOOD}})
    selected = it.select(trials=0)
    kept = selected.schedules[KEY]
    assert (kept.origin, kept.sigmas) == ("order-aware", GOOD)
    assert kept.certificate == certificate_of(GOOD, it.held_out, it.info)
    assert selected.refinements["heun 5"]["kept"] == "order-aware"


def test_a_tie_goes_to_the_learned_grid(case):
    same = case(grid=GOOD, more={KEY: {"order-aware": GOOD}})
    assert same.known()["order-aware"] == same.known()["schedule"]
    assert same.select(trials=0).schedules[KEY] is same.schedules[KEY]
    one = case(keys=[("euler", 1)], grid="uniform")  # every grid of one step is the same, and none is moved
    selected = one.select()
    assert one.probe.calls == 0
    assert selected.schedules == one.schedules
    assert selected.refinements["euler 1"].keys() == {"learned", "from", "start", "kept"}


def test_a_matched_grid_that_is_nearer_is_kept_and_the_record_says_how(case):
    it = case()
    selected = it.select(seed=4)
    kept, found, start = selected.schedules[KEY], selected.refinements["heun 5"], min(it.known(), key=it.known().get)

    def residuals(sigmas, count):
        reached = sample(it.probe.on, it.fitted.latents.first(count), sigmas, SOLVERS["heun"])
        return (reached - it.fitted.ends[:count]).numpy()

    begin = candidates(it.schedules[KEY], it.info, {})[start]
    by_itself = drain(match(residuals, 16, begin, Coordinate(0.002, 80.0), trials=TRIALS, floor=0.002, seed=4))
    assert (kept.sigmas, kept.origin) == (by_itself.sigmas, "refined")
    assert kept.certificate == certificate_of(by_itself.sigmas, it.held_out, it.info)
    assert found == {
        "learned": it.known()["schedule"],
        "from": start,
        "start": it.known()[start],
        "kept": "matched",
        "refined": it.error(by_itself.sigmas),
        "walks": by_itself.walks,
    }
    assert found["refined"] < found["start"]


def test_a_matched_grid_that_is_further_off_on_the_watched_noises_is_let_go(case):
    it = case(grid=GOOD)
    wrong = sample(it.probe.on, it.fitted.latents, (80.0, 0.5, 0.1, 0.0), SOLVERS["heun"])
    it.fitted = replace(it.fitted, ends=wrong)  # the search is sent to a bad grid
    selected = it.select()
    found = selected.refinements["heun 5"]
    assert found["refined"] > found["start"]
    assert found["kept"] == found["from"] == "schedule"
    assert selected.schedules == it.schedules
    # The same where it began from another grid than the learned one.
    other = case(more={KEY: {"order-aware": GOOD}})
    other.fitted = it.fitted
    assert other.select().refinements["heun 5"] == {**found, "learned": other.known()["logsnr"]} | {
        "from": "order-aware",
        "kept": "order-aware",
    }
    assert other.select().schedules == other.select(trials=0).schedules


@pytest.mark.parametrize("grid", ["logsnr", "edm", GOOD])
def test_what_is_kept_is_never_worse_than_what_was_known(case, grid):
    for seed in range(3):
        it = case(grid=grid, more={KEY: {"order-aware": (80.0, 9.0, 1.5, 0.0)}})
        assert it.error(it.select(seed=seed).schedules[KEY].sigmas) <= min(it.known().values())


def test_every_schedule_is_selected_for_itself_and_progress_ends_at_its_total(case):
    keys, updates = [("euler", 1), ("heun", 5), ("dpmpp_2m", 5), ("dpmpp_2m", 6)], []
    it = case(keys=keys)
    selected = it.select(on_update=updates.append)
    assert list(selected.refinements) == ["euler 1", "heun 5", "dpmpp_2m 5", "dpmpp_2m 6"]
    for solver, nfe in keys:
        alone = case(keys=[(solver, nfe)]).select()
        assert selected.schedules[solver, nfe] == alone.schedules[solver, nfe]
        assert it.error(selected.schedules[solver, nfe].sigmas, solver) <= min(it.known((solver, nfe)).values())
    done = [update.done for update in updates]
    total = sum((most_walks(steps_for(*key), TRIALS) + 1) * key[1] for key in keys)
    assert done == sorted(done)
    assert (done[0], done[-1], {update.total for update in updates}) == (2, total, {total})


# ------------------------------------------------------------------------------------- which noises, which pieces


class Pieces:
    """A journal that keeps nothing but what each piece returned, and knows which one is under way."""

    def __init__(self):
        self.results, self.now = {}, None

    def once(self, key, work):
        assert key not in self.results
        self.now = key
        self.results[key] = yield from work
        self.now = None
        return self.results[key]


def test_the_watched_noises_are_never_fitted(case):
    it, pieces, seen = case(), Pieces(), {}
    whole = it.probe

    def spied(labels):
        def field(x, sigma):
            if sigma == 80.0:  # where a walk begins
                seen.setdefault(pieces.now, []).extend((x / 80.0).flatten().tolist())
            return whole.on(labels)(x, sigma)

        return field

    it.probe = type("Spied", (), {"on": staticmethod(spied)})
    found = it.select(journal=pieces)
    fitted, watched = (some.latents.noise.flatten().numpy() for some in (it.fitted, it.watched))
    assert list(pieces.results) == ["heun-5", "heun-5-watched"]
    assert np.isin(np.round(seen["heun-5"], 9), np.round(fitted, 9)).all()
    np.testing.assert_allclose(seen["heun-5-watched"], watched)
    assert found.refinements["heun 5"]["walks"] == len(seen["heun-5"])
    # Of the watched noises, only what is known decides where the search begins.
    other = Pieces()
    it.watched = replace(it.watched, ends=-it.watched.ends)
    it.select(journal=other)
    assert other.results["heun-5"] == pieces.results["heun-5"]
    assert not torch.equal(other.results["heun-5-watched"], pieces.results["heun-5-watched"])


def test_a_search_that_was_cut_off_begins_again_and_a_finished_one_is_recalled(load, energies, tmp_path):
    class Cut(BaseException):
        """As a kill, in the middle of a call."""

    known, fuse = load("mixture-1d"), [None]

    def denoiser(x, sigma):
        if fuse[0] is not None:
            fuse[0] -= len(x)
            if fuse[0] < 0:
                raise Cut
        return known.denoiser(x, sigma)

    model = ScoreModel(denoiser=denoiser, info=known.info, device=known.device, dtype=known.dtype)
    it = Case(model, energies, keys=[("heun", 5), ("euler", 4)])

    def ledger():
        it.probe.calls = 0
        return Ledger(units=Units(tmp_path), probes=(it.probe,), device=model.device).within("refining")

    expected = it.select()
    straight = it.probe.calls
    heun, euler = ((expected.refinements[name]["walks"] + 8) * nfe for name, nfe in (("heun 5", 5), ("euler 4", 4)))
    assert straight == heun + euler
    fuse[0] = heun + euler // 2
    with pytest.raises(Cut):
        it.select(journal=ledger())
    pieces = {file.name.partition(".")[0] for file in tmp_path.iterdir()}
    assert pieces == {"refining-heun-5", "refining-heun-5-watched"}
    fuse[0], book = None, ledger()
    assert it.select(journal=book) == expected
    assert (it.probe.calls, book.cost().calls) == (euler, straight)
    fuse[0], book = 0, ledger()
    assert it.select(journal=book) == expected
    assert (it.probe.calls, book.cost().calls) == (0, straight)

"""A compilation that was cut off goes on: the same artifact, and no work done twice beyond the piece that was cut."""

from collections import Counter
from functools import partial

import numpy as np
import pytest

import artc
from artc.artifact import Warp
from artc.checkpoints.ledger import Ledger
from artc.checkpoints.units import Units
from artc.errors import InputError
from artc.journal import BLANK
from artc.learning import methods
from artc.learning.actor_critic import LearnerConfig, LearnerUpdate
from artc.learning.methods import Learned
from artc.models.score_model import Probe, ScoreModel
from artc.pipeline import compile_steps
from artc.progress import Progress, drain
from artc.request import Request
from tests import fused_model

REQUEST = {"nfe": (3, 5), "trajectories": 12, "nodes": 16, "checks": 6, "teacher_steps": 8, "trials": 6}
SEARCH = 9 * (1 + 6 + 2) * 5  # sample-calls of the largest piece: nine noises, and what `most_walks` says of 5 steps
BATCH = 4 * 16  # of any other: a batch of the bank; the teacher's batches have 4 x 15


class Cut(BaseException):
    """As a kill, in the middle of a call."""


class Worker:
    """A model that counts the sample-calls it gets and, at one of them, is gone."""

    def __init__(self):
        self.calls, self.fuse = 0, None
        self.model = fused_model.made()

    def __call__(self, x, sigma):
        if self.fuse is not None:
            self.fuse -= len(x)
            if self.fuse < 0:
                raise Cut
        self.calls += len(x)
        return fused_model.denoiser(x, sigma)

    def compile(self, units, *, fuse=None, **changes):
        """Compile on these units, to the end or the cut."""
        self.fuse = fuse
        model, known = self.model, self.model
        watched = ScoreModel(denoiser=self, info=known.info, device=model.device, dtype=model.dtype, batch=model.batch)
        return drain(compile_steps(watched, Request(**{**REQUEST, **changes}), units, interval=0.0))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    hurried = partial(LearnerConfig, steps=24, rollouts=16, iterations=30, warmup=2, knots=6)
    monkeypatch.setattr(methods, "LearnerConfig", hurried)


@pytest.fixture
def learnings(monkeypatch):
    """How often a learner was run to its end."""
    ended = Counter()

    def counted(name, method, task):
        learned = yield from method(task)
        ended[name] += 1
        return learned

    for name, method in list(methods.METHODS.items()):
        monkeypatch.setitem(methods.METHODS, name, partial(counted, name, method))
    return ended


@pytest.mark.parametrize("solvers", [("euler",), ("heun", "euler")])
def test_a_compilation_cut_again_and_again_ends_as_if_it_had_never_been(solvers, tmp_path, learnings):
    straight = Worker()
    expected = straight.compile(Units(), solvers=solvers)
    assert expected.provenance.diagnostics["refinements"]  # a search is among what is cut
    fuse, worker, cuts, artifact = SEARCH + 2 * BATCH + 7, Worker(), 0, None
    while artifact is None:
        before = worker.calls
        try:
            artifact = worker.compile(Units(tmp_path), fuse=fuse, solvers=solvers)
        except Cut:
            cuts += 1
            assert worker.calls > before
            assert cuts < 100  # of some 30: or it would never end
    assert artifact.digest == expected.digest
    assert artifact.provenance.score_evals == straight.calls
    assert cuts >= straight.calls // fuse
    assert straight.calls < worker.calls <= straight.calls + cuts * SEARCH
    assert learnings == {"art-rl": 2}  # here and straight


def test_a_cut_at_any_moment_changes_nothing(tmp_path):
    straight, settings = Worker(), {"method": "closed-form", "solvers": ("euler",)}
    expected = straight.compile(Units(), **settings)
    for number, fuse in enumerate(np.linspace(0, straight.calls - 1, 12).astype(int).tolist()):
        worker, folder = Worker(), tmp_path / f"{number}"
        folder.mkdir()
        with pytest.raises(Cut):
            worker.compile(Units(folder), fuse=fuse, **settings)
        artifact = worker.compile(Units(folder), **settings)
        assert (artifact.digest, artifact.provenance.score_evals) == (expected.digest, straight.calls)
        assert worker.calls <= straight.calls + SEARCH


def test_a_stop_after_any_update_changes_nothing(tmp_path):
    request, model = Request(**{**REQUEST, "refine": 0}, method="dp"), fused_model.made()
    total = sum(1 for _ in compile_steps(model, request))
    expected = drain(compile_steps(model, request)).digest
    for stop in range(0, total, total // 12):
        folder = tmp_path / f"{stop}"
        folder.mkdir()
        running = compile_steps(model, request, Units(folder), interval=0.0)
        for _ in range(stop + 1):
            next(running)
        running.close()
        assert drain(compile_steps(model, request, Units(folder))).digest == expected


def test_a_finished_compilation_is_recalled_without_a_call(tmp_path, learnings):
    worker = Worker()
    first = worker.compile(Units(tmp_path))
    calls = worker.calls
    again = worker.compile(Units(tmp_path), fuse=0)
    assert (again.digest, worker.calls, learnings["art-rl"]) == (first.digest, calls, 1)
    took, counted = (made.created.seconds for made in (first, again))
    assert counted["denoiser"] == took["denoiser"] > 0
    walked = sum(Units(tmp_path).kept(f"trajectories-{batch}").facts["cost"][2] for batch in range(3))
    assert counted["trajectories"] >= round(walked, 3) > 0


def test_progress_begins_where_it_was(tmp_path):
    request, model = Request(**REQUEST, solvers=("euler",), method="closed-form"), fused_model.made()
    drain(compile_steps(model, request, Units(tmp_path)))
    (tmp_path / "trajectories-2.safetensors").unlink()
    shown = []
    drain(compile_steps(model, request, Units(tmp_path)), shown.append)
    walked = [update.done / update.total for update in shown if update.stage == "trajectories"]
    assert walked[:3] == [0, 1 / 3, 2 / 3]  # two batches at once, and then the third, node by node
    assert len(walked) == 3 + 16
    assert {update.stage for update in shown if update.done == update.total} >= {"comparing", "refining", "checking"}


def test_a_spoilt_unit_is_made_again(tmp_path):
    worker = Worker()
    first = worker.compile(Units(tmp_path), method="closed-form")
    for file in sorted(tmp_path.iterdir())[::2]:
        content = bytearray(file.read_bytes())
        content[-1] ^= 0xFF
        file.write_bytes(content)
    again = worker.compile(Units(tmp_path), method="closed-form")
    assert (again.digest, again.provenance.score_evals) == (first.digest, first.provenance.score_evals)


def test_the_function_keeps_its_work_in_a_folder_that_the_caller_removes(tmp_path):
    worker, given = Worker(), {"shape": (2,), "sigma_min": 0.002, "sigma_max": 80.0}
    settings = {**given, **REQUEST, "method": "closed-form", "nfe": 3, "checkpoint": tmp_path / "new" / "c"}
    expected = artc.compile(fused_model.denoiser, **{**settings, "checkpoint": None})
    worker.fuse = 300
    with pytest.raises(Cut):
        artc.compile(worker, **settings)
    worker.fuse = None
    assert artc.compile(worker, **settings).digest == expected.digest
    worker.fuse = 0
    assert artc.compile(worker, **settings).digest == expected.digest
    with pytest.raises(InputError, match=r"another one: request\.seed is 0 there and 1 here"):
        artc.compile(worker, **settings, seed=1)


# ------------------------------------------------------------------------- snapshots, and what work costs


def ledger(folder, model=None, interval=0.0):
    probe = Probe(model or fused_model.made())
    return Ledger(units=Units(folder), probes=(probe,), device=probe.model.device, interval=interval)


def test_a_method_that_keeps_its_state_goes_on_from_it(tmp_path, monkeypatch):
    def walker(task):
        """A learner of twenty steps, two calls each, whose result depends on every one of them."""
        kept = task.snapshots("run")
        found = kept.latest()
        state, first = (found[0]["state"].copy(), found[1]["step"]) if found else (np.zeros(2), 0)
        for step in range(first, 20):
            x = task.latents.first(1).noise * (1 + step)
            state = 0.9 * state + task.fields(None)(x, 1.0)[0].numpy()
            state += task.fields(None)(x, 0.5)[0].numpy() * np.random.default_rng([task.seed, step]).random()
            kept.put({"state": state}, {"step": step + 1})
            yield LearnerUpdate(done=step + 1, total=20, gap=0.0, explained_variance=0.0, gradient_norm=0.0)
        return Learned(
            warp=Warp(clock=(0.0, 1.0), sigma=(80.0, 0.0), offset=0.002),
            origin="online",
            diagnostics={"state": state.tolist()},
        )

    monkeypatch.setitem(methods.METHODS, "art-rl", walker)
    straight, worker = Worker(), Worker()
    expected = straight.compile(Units())
    for _ in range(3):  # the bank, and then some thirteen calls of the walker each
        with pytest.raises(Cut):
            worker.compile(Units(tmp_path), fuse=13 if worker.calls else 12 * 16)
    artifact = worker.compile(Units(tmp_path))
    assert (artifact.digest, artifact.provenance.score_evals) == (expected.digest, straight.calls)
    assert worker.calls <= straight.calls + 3 * 2


def test_snapshots_are_written_once_an_interval(tmp_path):
    seldom, often = (ledger(tmp_path, interval=interval) for interval in (3600.0, 0.0))
    seldom.snapshots("a").put({"x": np.ones(1)}, {})
    assert seldom.snapshots("a").latest() is None
    kept = often.snapshots("a")
    for number in range(3):
        kept.put({"x": np.full(1, number)}, {"number": number})
    arrays, facts = often.snapshots("a").latest()
    assert (arrays["x"].tolist(), facts) == ([2], {"number": 2})


def test_what_recalled_work_cost_is_counted_once(tmp_path):
    def work(probe, some, kept):
        found = kept.latest()
        for step in range(found[1]["step"] if found else 0, 3):
            probe(some, 1.0)
            kept.put({}, {"step": step + 1})
            yield Progress(done=step + 1, total=3)
        return some[:1]

    def run(book):
        some = book.probes[0].model.latents(5, 0).noise
        return book.once("it", work(book.probes[0], some, book.snapshots("it")))

    first = ledger(tmp_path)
    cut = run(first)
    next(cut), next(cut)
    cut.close()
    assert first.cost().calls == 10
    second = ledger(tmp_path)
    drain(run(second))
    assert (second.probes[0].calls, second.cost().calls) == (5, 15)
    assert [file.name for file in tmp_path.iterdir()] == ["it.safetensors"]  # its snapshot is not needed any more
    third = ledger(tmp_path)
    np.testing.assert_array_equal(drain(run(third)), first.probes[0].model.latents(5, 0).noise[:1])
    assert (third.probes[0].calls, third.cost().calls) == (0, 15)
    assert third.cost().denoiser == pytest.approx(second.cost().denoiser)


def test_parts_of_a_ledger_have_keys_and_one_account(tmp_path):
    book = ledger(tmp_path)
    for part in ("a", "b"):
        drain(book.within(part).once("0", work_of(part)))
    again = ledger(tmp_path)
    found = [drain(again.within(part).once("0", work_of("not run"))) for part in ("a", "b")]
    assert [tensor.tolist() for tensor in found] == [[97.0], [98.0]]
    assert again.cost().seconds > ledger(tmp_path).cost().seconds - 10


def work_of(letter):
    import torch

    yield Progress(done=1, total=1)
    return torch.tensor([float(ord(letter))], dtype=torch.float64)


def test_a_blank_journal_is_the_work_itself():
    assert drain(BLANK.once("it", work_of("a"))).tolist() == [97.0]
    assert BLANK.snapshots("it").latest() is None
    BLANK.snapshots("it").put({}, {})

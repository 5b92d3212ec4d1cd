"""What an evaluation found: errors, distances and verdicts as plain data. No torch.

A grid's error is compared with the schedule's on the same noises. With a_i the mean square of the schedule's sample of
noise i from the teacher's, and b_i the baseline's, the ratio of their errors and its standard error are

    r = sqrt(mean a / mean b),        stderr(r) = (r / 2) std(a_i / mean a - b_i / mean b) / sqrt(n)

(delta method on ln r = (ln mean a - ln mean b) / 2). Noises that are hard for one grid are hard for the other, so that
the ratio is far better known than the two errors.

A schedule has lost to a baseline when its error, or its Frechet distance, is above the baseline's, by however little;
a loss of the error of less than two paired standard errors may be chance, and is said to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from artc.artifact import Artifact, Schedule
from artc.evaluation.diagnostics import figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One grid and what was measured of it; None what was not.

    Attributes:
        error: end-point error, RMS over the dimensions of a sample, and its standard error `stderr`.
        wins: of a baseline, the share of the noises on which the schedule ends nearer to the teacher.
        ratio: of a baseline, the schedule's error as a multiple of this one; below 1 the schedule is better. Its paired
            standard error is `ratio_stderr`. None where this error is 0.
        frechet: distance of its samples from the reference.
        model_sigmas: the sigmas that the network is shown at the nodes, where they are not those of the grid.
    """

    name: str
    sigmas: tuple[float, ...]
    error: float | None = None
    stderr: float | None = None
    wins: float | None = None
    ratio: float | None = None
    ratio_stderr: float | None = None
    frechet: float | None = None
    model_sigmas: tuple[float, ...] | None = None

    def facts(self) -> dict[str, Any]:
        """All of it but the name, for JSON."""
        endpoint = {"error": self.error, "stderr": self.stderr}
        if self.wins is not None:
            endpoint |= {"wins": self.wins, "ratio": self.ratio, "ratio_stderr": self.ratio_stderr}
        return {
            "sigmas": list(self.sigmas),
            **({} if self.model_sigmas is None else {"model_sigmas": list(self.model_sigmas)}),
            **({} if self.error is None else {"endpoint": endpoint}),
            **({} if self.frechet is None else {"frechet": self.frechet}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A schedule that a baseline beats: by which metric, and whether by more than two paired standard errors.

    `beyond_noise` is None where the noise is not known.
    """

    solver: str
    nfe: int
    baseline: str
    metric: str
    ours: float
    theirs: float
    beyond_noise: bool | None = None

    def __str__(self) -> str:
        doubt = "" if self.beyond_noise is not False else ", within two paired standard errors"
        what = "end-point error" if self.metric == "endpoint" else "Frechet distance"
        ours, theirs = figure(self.ours), figure(self.theirs)
        return f"{self.solver} {self.nfe} loses to {self.baseline}: {what} {ours} against {theirs}{doubt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One schedule, scored, beside the baselines at the same cost.

    Where it has model sigmas it is scored with them; `alone` is its grid without, as a host walks it that takes none.
    """

    schedule: Schedule
    ours: Scored
    baselines: tuple[Scored, ...]
    alone: Scored | None = None

    @property
    def grids(self) -> tuple[Scored, ...]:
        """The schedule, then the baselines."""
        return (self.ours, *self.baselines)

    @property
    def walked(self) -> tuple[Scored, ...]:
        """All that is measured: the same, and last the grid alone if it is another matter."""
        return self.grids if self.alone is None else (*self.grids, self.alone)

    def losses(self) -> Iterator[Loss]:
        """Every baseline that is better, by every metric that was measured."""
        for theirs in self.baselines:
            sure = None
            if theirs.ratio is not None and theirs.ratio_stderr is not None:
                sure = theirs.ratio - 1 > 2 * theirs.ratio_stderr
            measured = (
                ("endpoint", self.ours.error, theirs.error, sure),
                ("frechet", self.ours.frechet, theirs.frechet, None),
            )
            for metric, own, other, beyond in measured:
                if own is not None and other is not None and own > other:
                    yield Loss(
                        solver=self.schedule.solver,
                        nfe=self.schedule.nfe,
                        baseline=theirs.name,
                        metric=metric,
                        ours=own,
                        theirs=other,
                        beyond_noise=beyond,
                    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """What an evaluation found, and how it was made.

    Attributes:
        artifact: what was measured.
        rows: a schedule each, solver by solver and by rising NFE.
        against: the baselines, in the order of every table.
        conditions: how it was measured: noises, teacher, features, device, versions, calls and seconds, and what the
            methods among the baselines took of both.
        notices: what its reader should know.
    """

    artifact: Artifact
    rows: tuple[Row, ...]
    against: tuple[str, ...]
    conditions: Mapping[str, Any]
    notices: tuple[str, ...] = ()

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Every schedule that a baseline beats, by any metric; empty when all have won."""
        return tuple(loss for row in self.rows for loss in row.losses())

    @property
    def any_alone(self) -> bool:
        """Whether some schedule has model sigmas, and its grid alone was measured too."""
        return any(row.alone is not None for row in self.rows)

    def facts(self) -> dict[str, Any]:
        """All that the tables say, as one JSON document."""
        made, model = self.artifact.provenance, self.artifact.model
        losses = [asdict(loss) for loss in self.losses]
        return {
            "artifact": {
                "digest": self.artifact.digest,
                "model": model.name,
                "source": model.source,
                "sha256": model.sha256,
                "method": made.method,
                "seed": made.seed,
                "score_evals": made.score_evals,
            },
            "measured": dict(self.conditions),
            "against": list(self.against),
            "schedules": [
                {
                    "solver": row.schedule.solver,
                    "nfe": row.schedule.nfe,
                    "steps": row.schedule.steps,
                    "origin": row.schedule.origin,
                    **row.ours.facts(),
                    **({} if row.alone is None else {"grid_alone": row.alone.facts()}),
                    "baselines": {scored.name: scored.facts() for scored in row.baselines},
                }
                for row in self.rows
            ],
            "won": not losses,
            "losses": losses,
            "notices": list(self.notices),
        }


def verdict(report: EvaluationReport) -> str:
    """How often the schedules are better, in a sentence."""
    total = len(report.rows)
    beaten = len({(loss.solver, loss.nfe) for loss in report.losses})
    grids = " and ".join((", ".join(report.against[:-1]), report.against[-1])).removeprefix(" and ")
    if beaten:
        by = " by one measure or the other" if len({loss.metric for loss in report.losses}) > 1 else ""
        return f"{beaten} of {total} schedules {'is' if beaten == 1 else 'are'} worse than a baseline{by}, of {grids}."
    which = "The schedule is" if total == 1 else f"All {total} schedules are"
    # Not to be worse is not to be better: a schedule may be a baseline's own grid.
    pairs = [(row.ours, scored) for row in report.rows for scored in row.baselines]
    ties = [pair for pair in pairs if _tied(pair[0].error, pair[1].error) or _tied(pair[0].frechet, pair[1].frechet)]
    return f"{which} {'no worse' if ties else 'better'} than {grids}."


def _tied(ours: float | None, theirs: float | None) -> bool:
    return ours is not None and ours == theirs


GRID_ALONE = "grid alone"
"""Heading of the measures of a grid without the model sigmas of its schedule."""

Table = tuple[list[str], list[list[str]], list[int | None]]
"""Headings, rows, and the best cell of each row."""


def endpoint_table(report: EvaluationReport) -> Table:
    """End-point errors: the schedule's with its standard error, the baselines', and the ratio to the best of them."""
    headings = ["solver", "NFE", "steps", "origin", "compiled", "+-", *report.against, "ratio", "+-", "to", "wins"]
    headings += [GRID_ALONE] * report.any_alone
    rows: list[list[str]] = []
    best: list[int | None] = []
    for row in report.rows:
        values = [scored.error if scored.error is not None else float("nan") for scored in row.grids]
        nearest = min(row.baselines, key=lambda scored: scored.error or 0.0)
        ratio = ["-" if number is None else f"{number:.3f}" for number in (nearest.ratio, nearest.ratio_stderr)]
        wins = "-" if nearest.wins is None else f"{nearest.wins:.0%}"
        cells = [figure(values[0]), figure(row.ours.stderr or 0.0), *map(figure, values[1:])]
        rows.append([*_names(row), *cells, *ratio, nearest.name, wins, *_alone(report, row, "error")])
        place = values.index(min(values))
        best.append(4 + place + (place > 0))
    return headings, rows, best


def frechet_table(report: EvaluationReport) -> Table:
    """Frechet distances: the schedule's, the baselines', and the ratio to the best of them."""
    headings = ["solver", "NFE", "steps", "origin", "compiled", *report.against, "ratio", "to"]
    headings += [GRID_ALONE] * report.any_alone
    rows: list[list[str]] = []
    best: list[int | None] = []
    for row in report.rows:
        values = [scored.frechet if scored.frechet is not None else float("nan") for scored in row.grids]
        nearest = min(row.baselines, key=lambda scored: scored.frechet or 0.0)
        ratio = f"{values[0] / nearest.frechet:.3f}" if nearest.frechet else "-"
        rows.append([*_names(row), *map(figure, values), ratio, nearest.name, *_alone(report, row, "frechet")])
        best.append(4 + values.index(min(values)))
    return headings, rows, best


def _alone(report: EvaluationReport, row: Row, metric: str) -> list[str]:
    """The cell of the grid alone, in a table that has a column for it."""
    value = None if row.alone is None else getattr(row.alone, metric)
    return (["-"] if value is None else [figure(value)]) * report.any_alone


def _names(row: Row) -> list[str]:
    schedule = row.schedule
    return [schedule.solver, str(schedule.nfe), str(schedule.steps), schedule.origin]


def condition_facts(report: EvaluationReport) -> list[tuple[str, str]]:
    """How it was measured, as names and values."""
    found, facts = report.conditions, []
    if "endpoint" in found:
        count = found["endpoint"]["samples"]
        facts.append(("error", f"RMS distance from the teacher's samples over {count:,} noises"))
    if "frechet" in found:
        by = found["frechet"]
        hashed = f", sha256 {by['features_sha256']}" if by["features_sha256"] else ""
        facts.append(("Frechet", f"{by['samples']:,} samples against {by['reference']}"))
        facts.append(("features", f"{by['features']}: {by['description']}{hashed}"))
    teacher = found["teacher"]
    facts += [
        ("noises", f"{found['noise']}, seed {found['seed']}; no compilation draws by it"),
        ("teacher", f"{teacher['steps']} {teacher['solver']} steps, {teacher['calls']} calls a sample"),
        ("on", f"{found['device']}, artc {found['artc']}, torch {found['torch']}, NumPy {found['numpy']}"),
        ("cost", f"{found['score_evals']:,} denoiser calls, {found['seconds']:.1f} s"),
    ]
    if "peers" in found:
        spent = ", ".join(f"{name} {one['calls']:,} calls" for name, one in found["peers"]["spent"].items())
        by = f"{found['peers']['noise']}, seed {found['peers']['seed']}"
        facts.append(("learned", f"{spent}, within the cost; from noises of their own, {by}"))
    if found["labels"] is not None:
        facts.append(("labels", str(found["labels"])))
    if found["guidance"] is not None:
        facts.append(("guidance", f"{found['guidance']:g}"))
    return facts

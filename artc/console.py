"""Everything a user sees, and the only importer of rich.

Results go to stdout: as tables for people, or as one JSON document under `--json`. Progress, notes and errors go to
stderr; bars and colour only when it is a terminal, and otherwise one plain line for each finished stage.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from artc.errors import ArtcError, OutputError

if TYPE_CHECKING:
    from artc.artifact import Artifact
    from artc.models.published.store import Transfer

Styled = str | tuple[str, str]
"""Text, or text with its style."""


class Update(Protocol):
    """What a progress bar shows: the stage, so much done of so much, and the gap to the bound once it is known."""

    @property
    def stage(self) -> str: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def gap(self) -> float | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """One command's output: `json` prints documents only, `quiet` neither tables nor progress."""

    json: bool = False
    quiet: bool = False

    def document(self, facts: Any) -> None:
        """The command's facts as one JSON document on stdout, in ASCII; nothing unless `--json` was given."""
        if self.json:
            _print(json.dumps(facts, indent=2))

    def say(self, text: str = "") -> None:
        """A line of the human result."""
        if not self.json and not self.quiet:
            _print(text)

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Names and values, one a line, the values in one column."""
        width = max((len(name) for name, _ in facts), default=0)
        for name, value in facts:
            self.say(f"  {name:<{width}}  {value}")

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        best: Sequence[int | None] = (),
        *,
        keys: int = 1,
    ) -> None:
        """Rows of text under headings, numbers to the right; `best` names one bold cell of each row.

        Nothing is ever cut. A terminal too narrow for all columns gets them in several tables, each of which begins
        with the first `keys` columns; a pipe has no width, and gets one.
        """
        if self.json or self.quiet:
            return
        texts = [[heading, *(row[place] for row in rows)] for place, heading in enumerate(columns)]
        widths = [max(map(len, column)) for column in texts]
        right = [any(map(_is_number, column[1:])) and not any(map(_is_word, column[1:])) for column in texts]
        for part in _parts(widths, keys, shutil.get_terminal_size().columns if sys.stdout.isatty() else None):
            _print()
            for index in range(-1, len(rows)):
                line: list[Styled] = []
                for place in part:
                    cell = columns[place] if index < 0 else rows[index][place]
                    strong = index < 0 or (index < len(best) and best[index] == place)
                    space = " " * (widths[place] - len(cell))
                    gap = "" if place == part[0] else "  "
                    line += [gap + (space if right[place] else ""), (cell, "bold" if strong else "")]
                    line += [space] if not right[place] and place != part[-1] else []
                _print(*line)
                if index < 0:
                    _print("  ".join("-" * widths[place] for place in part))
        _print()

    def note(self, text: str) -> None:
        """A hint or warning on stderr."""
        if not self.quiet:
            _print(text, stderr=True)

    def warn(self, text: str) -> None:
        """A sentence on stderr that even the quiet are told."""
        _print(text, stderr=True)

    def error(self, error: ArtcError) -> None:
        """One or two lines on stderr: what is wrong and where, then what to do next."""
        _print(("error:", "bold red"), " ", error.message.replace("\n", " "), stderr=True)
        if error.hint:
            _print("       ", error.hint.replace("\n", " "), stderr=True)

    @contextmanager
    def progress(self) -> Iterator[Callable[[Update], None]]:
        """A bar for each stage with elapsed and remaining time and the gap; yields what to call with each update.

        A download, whose updates are Transfers, shows megabytes and their rate in place of the gap.
        """
        if self.quiet:
            yield lambda _: None
        elif sys.stderr.isatty():
            yield from _bars()
        else:
            yield _plain_lines()


def show_artifact(console: Console, artifact: Artifact, *, details: bool = False) -> None:
    """Print an artifact for a reader; with `details` also where it came from and its grids."""
    from artc.evaluation.summary import comparison_table, detail_facts, headline

    console.say(headline(artifact))
    if details:
        console.facts(detail_facts(artifact))
    columns, rows, best = comparison_table(artifact)
    console.table(columns, rows, best, keys=2)
    if details:
        for schedule in artifact.schedules:
            grid = "  ".join(f"{sigma:.4g}" for sigma in schedule.sigmas)
            console.say(f"{schedule.solver} {schedule.nfe}: {grid}")
            if schedule.model_sigmas is not None:
                shown = "  ".join(f"{sigma:.4g}" for sigma in schedule.model_sigmas)
                console.say(f"{schedule.solver} {schedule.nfe}, shown to the network: {shown}")


def _print(*parts: Styled, stderr: bool = False) -> None:
    """One line, flushed; styles show on a terminal only. Raises OutputError when the stream takes no more."""
    stream = sys.stderr if stderr else sys.stdout
    try:
        if stream.isatty():
            from rich.console import Console as RichConsole
            from rich.text import Text

            RichConsole(file=stream).print(Text.assemble(*map(_shown, parts)), soft_wrap=True)
        else:
            text = "".join(part if isinstance(part, str) else part[0] for part in map(_shown, parts))
            print(text, file=stream, flush=True)
    except OSError as error:
        # Python tries once more to write what is left when it ends, and must not complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not isinstance(error, BrokenPipeError):  # `artc inspect x | head` has what it wanted, and is no failure
            raise OutputError(f"Cannot write to {stream.name}: {error.strerror}.") from None


def _shown(part: Styled) -> Styled:
    """Text without control characters, which an artifact of a stranger might steer a terminal with."""
    if isinstance(part, tuple):
        return (_CONTROL.sub(lambda found: repr(found[0])[1:-1], part[0]), part[1])
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], part)


_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_word(cell: str) -> bool:
    return cell not in ("", "-") and not _is_number(cell)


def _parts(widths: Sequence[int], keys: int, limit: int | None) -> Iterator[list[int]]:
    """The columns of each table: as many as fit in `limit` at two spaces between, after the first `keys`."""
    start = list(range(keys))
    part = list(start)
    for place in range(keys, len(widths)):
        wide = sum(widths[one] + 2 for one in part) + widths[place]
        if limit is not None and wide > limit and part != start:
            yield part
            part = list(start)
        part.append(place)
    yield part


def _bars() -> Iterator[Callable[[Update], None]]:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    bar = BarColumn(bar_width=32)
    columns = (
        TextColumn("{task.description:<12}"),
        bar,
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=RichConsole(stderr=True)) as bars:

        def show(update: Update) -> None:
            transfer = _is_transfer(update)
            if transfer:
                bar.bar_width = 20  # makes room for the figures in 80 columns
            if update.stage not in tasks:
                # What an earlier download left is there from the beginning, and no part of the rate.
                tasks[update.stage] = bars.add_task(update.stage, completed=update.done, total=update.total, figures="")
            task = tasks[update.stage]
            bars.update(task, completed=update.done, total=update.total)
            figures = "" if update.gap is None else f"gap {update.gap:.2%}"
            if transfer:
                rate = bars.tasks[task].finished_speed or bars.tasks[task].speed
                figures = f"{update.done / 1e6:.0f}/{update.total / 1e6:.0f} MB{_rate(rate)}"
            bars.update(task, figures=figures)

        yield show


def _plain_lines() -> Callable[[Update], None]:
    began = time.perf_counter()
    least: int | None = None

    def show(update: Update) -> None:
        nonlocal began, least
        least = update.done if least is None else min(least, update.done)
        if update.done >= update.total:
            now = time.perf_counter()
            figures = "" if update.gap is None else f", gap {update.gap:.2%}"
            if _is_transfer(update):
                rate = (update.done - least) / (now - began)  # what an earlier download left is no part of it
                figures = f", {update.total / 1e6:.1f} MB{_rate(rate)}"
            _print(f"{update.stage}: {now - began:.1f} s{figures}", stderr=True)
            began, least = now, None

    return show


def _rate(rate: float | None) -> str:
    return f", {rate / 1e6:.1f} MB/s" if rate else ""


def _is_transfer(update: Update) -> TypeGuard[Transfer]:
    from artc.models.published.store import Transfer

    return isinstance(update, Transfer)

"""Everything a user sees, and the only importer of rich.

Results go to stdout: as tables for people, or as one JSON document under `--json`. Progress, notes and errors go to
stderr; bars and colour only when it is a terminal, and otherwise one plain line for each finished stage.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from artc.errors import ArtcError


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
        """The command's facts as one JSON document on stdout; nothing unless `--json` was given."""
        if self.json:
            print(json.dumps(facts, indent=2, ensure_ascii=False))  # noqa: T201 - this is where printing belongs

    def say(self, text: str = "") -> None:
        """A line of the human result."""
        if not self.json and not self.quiet:
            _rich().print(text, highlight=False, markup=False, soft_wrap=True)

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Names and values, one a line, the values in one column."""
        width = max((len(name) for name, _ in facts), default=0)
        for name, value in facts:
            self.say(f"  {name:<{width}}  {value}")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], best: Sequence[int | None] = ()) -> None:
        """Rows of text under headings, numbers to the right; `best` names one bold cell of each row."""
        if self.json or self.quiet:
            return
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for column in columns:
            left = all(not row[columns.index(column)][:1].isdigit() for row in rows)
            table.add_column(column, justify="left" if left else "right", no_wrap=True)
        for index, row in enumerate(rows):
            chosen = best[index] if index < len(best) else None
            table.add_row(*(Text(cell, style="bold" if place == chosen else "") for place, cell in enumerate(row)))
        width = None if sys.stdout.isatty() else 160  # a pipe has no width: never cut a table that goes to a file
        _rich(width=width).print(table)

    def note(self, text: str) -> None:
        """A hint or warning on stderr."""
        if not self.quiet:
            _rich(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)

    def error(self, error: ArtcError) -> None:
        """One or two lines on stderr: what is wrong and where, then what to do next."""
        console = _rich(stderr=True)
        console.print("error:", style="bold red", end=" ")
        console.print(error.message, highlight=False, markup=False, soft_wrap=True)
        if error.hint:
            console.print(f"       {error.hint}", highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def progress(self) -> Iterator[Callable[[Update], None]]:
        """A bar for each stage with elapsed and remaining time and the gap; yields what to call with each update."""
        if self.quiet:
            yield lambda _: None
        elif sys.stderr.isatty():
            yield from _bars()
        else:
            yield _plain_lines()


def _rich(*, stderr: bool = False, width: int | None = None) -> RichConsole:
    from rich.console import Console as RichConsole

    return RichConsole(stderr=stderr, width=width)


def _bars() -> Iterator[Callable[[Update], None]]:
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=32),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[gap]}"),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=_rich(stderr=True)) as bars:

        def show(update: Update) -> None:
            if update.stage not in tasks:
                tasks[update.stage] = bars.add_task(update.stage, gap="")
            gap = "" if update.gap is None else f"gap {update.gap:.2%}"
            bars.update(tasks[update.stage], completed=update.done, total=update.total, gap=gap)

        yield show


def _plain_lines() -> Callable[[Update], None]:
    began = time.perf_counter()

    def show(update: Update) -> None:
        nonlocal began
        if update.done >= update.total:
            gap = "" if update.gap is None else f", gap {update.gap:.2%}"
            now = time.perf_counter()
            print(f"{update.stage}: {now - began:.1f} s{gap}", file=sys.stderr)  # noqa: T201
            began = now

    return show

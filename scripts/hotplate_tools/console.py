"""What a command says while it works, to people or to programs.

People get rich text on standard error and the result on standard output. With `--json` standard
output holds exactly one JSON document, the result, and standard error one JSON line per step.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console as RichConsole
from rich.markdown import Markdown
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

__all__ = ["Console"]


class Console:
    """The one way a command talks."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._rich = RichConsole(stderr=True, highlight=False)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show that `title` is being done, then that it is done and how long it took in seconds."""
        started = time.monotonic()
        if self.as_json or not self._rich.is_terminal:
            yield
        else:
            with self._rich.status(escape(title)):
                yield
        seconds = round(time.monotonic() - started, 1)
        if self.as_json:
            sys.stderr.write(json.dumps({"step": title, "seconds": seconds}) + "\n")
        else:
            self._rich.print(f"[green]✓[/green] {escape(title)} [dim]{seconds} s[/dim]")

    @contextmanager
    def transfer(self, title: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """Show a bar of bytes; the value yielded is called with the bytes just done."""
        columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=self._rich, disable=self.as_json) as bar:
            task = bar.add_task(title, total=total_bytes)
            yield lambda done: bar.advance(task, done)

    @contextmanager
    def rows(self, title: str) -> Iterator[Callable[[int, int, int | None], None]]:
        """Show how far work on rows is; what is yielded takes rows done, parts done, parts in all."""
        columns = (TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
        started = time.monotonic()
        with Progress(*columns, TimeRemainingColumn(), console=self._rich, disable=self.as_json) as bar:
            task = bar.add_task(title, total=None, told="")

            def told(rows: int, done: int, total: int | None) -> None:
                rate = rows / max(time.monotonic() - started, 1e-3)
                parts = f"{done}/{total}" if total is not None else "…"
                bar.update(task, completed=done, total=total, told=f"{parts} {rows:,} rows {rate:,.0f}/s")

            yield told

    def say(self, text: str) -> None:
        """Print a line for people; programs do not see it."""
        if not self.as_json:
            self._rich.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Print something the reader should look at."""
        if self.as_json:
            sys.stderr.write(json.dumps({"warning": text}) + "\n")
        else:
            self._rich.print(f"[yellow]![/yellow] {escape(text)}")

    def document(self, markdown: str) -> bool:
        """Show Markdown on a terminal, and return whether standard output is one; else print nothing."""
        out = RichConsole()
        if out.is_terminal:
            out.print(Markdown(markdown))
        return out.is_terminal

    def result(self, value: Mapping[str, Any], text: str) -> None:
        """Print the result on standard output: `text` for people, `value` with `--json`."""
        sys.stdout.write((json.dumps(value, indent=2) if self.as_json else text) + "\n")
        sys.stdout.flush()

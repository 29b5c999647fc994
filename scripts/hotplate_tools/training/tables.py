"""The tables of models in the documents: as Markdown, and written between the marks of a file.

    <!-- models: by hotplate evaluate --write -->
    | model | …
    <!-- end of models -->

What a file has marks for is what is measured for it.
"""

from __future__ import annotations

import os
import re
from datetime import date
from typing import TYPE_CHECKING

from hotplate_tools.failures import RefusedError
from hotplate_tools.optimise.measure import cpu_name
from hotplate_tools.training.footprint import footprints

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hotplate_tools.console import Console
    from hotplate_tools.training.footprint import Footprint
    from hotplate_tools.training.served import Evaluated

__all__ = ["TABLES", "evaluated_table", "footprint_table", "tables_of", "write_measured", "write_tables"]

TABLES = ("models", "footprints")


def evaluated_table(found: Sequence[Evaluated]) -> str:
    """Return a Markdown table, a line a model."""
    lines = [
        "| model | task | held-out rows, through the endpoint | size | cold start | warm |",
        "|---|---|---|---|---|---|",
    ]
    for each in found:
        metrics = "; ".join(
            f"{name} {value:g} (bar {each.bars[name]:g}{', under it' if name in each.under else ''})"
            for name, value in each.metrics.items()
            if name in each.bars
        )
        cold = "was warm" if each.cold_ms is None else f"{each.cold_ms:.0f} ms"
        lines.append(
            f"| `{each.name}` | {each.task} | {metrics} | {_size(each.size)} | {cold} | {each.warm_ms:g} ms |"
        )
    return "\n".join(lines)


def footprint_table(found: Sequence[Footprint]) -> str:
    """Return a Markdown table, a line a model's function."""
    lines = [
        "| model | function, unzipped | with its layers | memory after the first answer | peak | of |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{each.name}` | {_size(each.function_bytes)} | {_size(each.with_layers_bytes)} "
        f"| {each.resident_mb:.0f} MB | {each.peak_mb:.0f} MB | {each.memory_mb:,} MB |"
        for each in found
    ]
    return "\n".join(lines)


def tables_of(file: Path) -> list[str]:
    """Return the tables that a file has marks for.

    Raises:
        RefusedError: None, or the marks of one are not a pair.
    """
    text = file.read_text(encoding="utf-8")
    for name in TABLES:
        if (text.count(_begin(name)), text.count(_end(name))) not in ((0, 0), (1, 1)):
            raise RefusedError(f"{file}: the marks of the table {name!r} are not one pair")
    found = [name for name in TABLES if _begin(name) in text]
    if not found:
        marks = " or ".join(f"`{_begin(name)}`" for name in TABLES)
        raise RefusedError(
            f"{file} has no mark for a table", advice=f"Write {marks}, and the end's below it."
        )
    return found


def write_measured(files: Sequence[Path], found: Sequence[Evaluated], console: Console) -> None:
    """Write the tables that the files have marks for; what their functions take is measured if one has.

    Raises:
        RefusedError: A file has no marks.
        FailedError: The functions cannot be started.
    """
    wanted = {name for file in files for name in tables_of(file)}
    machine = f"Times are of {cpu_name()}, {os.cpu_count()} cores, {date.today():%B %Y}."
    tables = {"models": f"{evaluated_table(found)}\n\n{machine}"}
    if "footprints" in wanted:
        tables["footprints"] = footprint_table(footprints([each.name for each in found], console))
    for file in files:
        console.say(f"{file}: {'written' if write_tables(file, tables) else 'as it was'}")


def write_tables(file: Path, tables: Mapping[str, str]) -> bool:
    """Put each table between its marks; return whether that changed the file.

    Args:
        file: With marks, see above.
        tables: By name; those that the file has no marks for are left out.
    """
    text = before = file.read_text(encoding="utf-8")
    for name, table in tables.items():
        between = re.compile(rf"(?<={re.escape(_begin(name))}\n).*?(?={re.escape(_end(name))})", re.DOTALL)
        text = between.sub(lambda _, table=table: f"{table}\n", text)  # type: ignore[misc]
    if text == before:
        return False
    whole = file.with_name(f".{file.name}.new")
    whole.write_text(text, encoding="utf-8")
    whole.replace(file)
    return True


def _begin(name: str) -> str:
    return f"<!-- {name}: by hotplate evaluate --write -->"


def _end(name: str) -> str:
    return f"<!-- end of {name} -->"


def _size(size: int) -> str:
    return f"{size / 1e6:.2f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"

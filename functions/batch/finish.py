"""Ends runs whose pieces are all there: parts are joined in order, the report is written, the table says so.

Who finishes holds the run, so that two who saw the last piece do not both join. One who was killed is
followed by whoever its message comes to, who writes the same again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from functions.batch.files import Formats
from functions.batch.reports import folder_of_run
from hotplate.aws.batch_rows import ENDED
from hotplate.errors import BatchError, BatchRunNotFoundError
from hotplate.manifest.schema import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from functions.batch.files import RunFiles
    from functions.batch.reports import Reports
    from hotplate.aws.batch_queue import RunMessage
    from hotplate.aws.batch_rows import Piece, Run
    from hotplate.aws.batch_table import BatchTable

__all__ = ["Finisher"]

_TYPES = {"csv": "text/csv", "jsonl": "application/jsonl", "parquet": "application/vnd.apache.parquet"}
_TEXTS = ("csv", "jsonl")
_BYTES = "application/octet-stream"


class Finisher:
    """Ends runs."""

    def __init__(
        self, table: BatchTable, files: RunFiles, reports: Reports, formats: Formats | None = None
    ) -> None:
        self._table = table
        self._files = files
        self._reports = reports
        self._formats = formats or Formats()

    def finish(self, message: RunMessage) -> bool:
        """End a run; return whether its message is done, which it is not while another holds the run.

        Raises:
            StoreError: Table or bucket are not to be had; the message is to come again.
        """
        run = self._unended(message)
        if run is None or not run.is_complete:
            return True
        held = self._table.hold(run)
        if held is None:
            return self._table.get(run.id).state in ENDED
        self._end(held)
        return True

    def give_up(self, message: RunMessage, reason: str) -> bool:
        """End a run that nobody could finish; return whether its message is done, as in `finish`.

        Raises:
            StoreError: Table or bucket are not to be had; the message is to come again.
        """
        run = self._unended(message)
        if run is None:
            return True
        held = self._table.hold(run)
        if held is not None:
            if not run.is_again:  # a run that succeeded keeps its predictions
                pieces = list(self._table.pieces(run.id))
                ended = msgspec.structs.replace(held, state="failed", reason=reason, ended=self._table.now())
                self._reports.remove_others(run, {})
                self._reports.write(ended, pieces)
            self._table.end(held, "failed", reason)
        return held is not None

    def _unended(self, message: RunMessage) -> Run | None:
        """Return the run of a message; None if it has ended, is in another round, or is gone."""
        try:
            run = self._table.get(message.run)
        except BatchRunNotFoundError:
            return None
        return None if run.round != message.round or run.state in ENDED else run

    def _end(self, run: Run) -> None:
        latest = self._table.latest(run.key)
        if latest is not None and latest[0] != run.id:
            # The folder of its predictions belongs to what lies there now.
            self._table.end(run, "failed", f"another object lies at its key now, whose run is {latest[0]}")
            return
        pieces = list(self._table.pieces(run.id))
        state, reason = "succeeded", ""
        written: dict[str, dict[str, Any]] = {}
        if failed := [each for each in pieces if each.state == "failed"]:
            state, reason = "failed_chunks", f"{len(failed)} of {run.chunks} chunks failed"
        try:
            if state == "succeeded":
                written = self._written(run, pieces)
        except BatchError as fault:  # parts that are none: nothing that comes again would mend them
            state, reason, written = "failed", str(fault), {}
        self._reports.remove_others(run, written)
        ended = msgspec.structs.replace(run, state=state, reason=reason, ended=self._table.now())
        self._reports.write(ended, pieces, written)
        self._table.end(run, state, reason)

    def _written(self, run: Run, pieces: Sequence[Piece]) -> dict[str, dict[str, Any]]:
        """Write predictions and errors, where there are any; return what was written."""
        found = {"predictions": self._join(run, pieces), "errors": self._errors(run, pieces)}
        return {name: each for name, each in found.items() if each}

    def _join(self, run: Run, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        """Write the predictions; None where a file without rows is none at all, as of Parquet."""
        layout = self._files.plan(run.id).layout
        if not pieces and layout.written not in _TEXTS:
            return None
        manifest = decode(self._files.manifest(run.id).encode())
        suffix = self._formats.extension(layout)
        key = f"{folder_of_run(run)}/predictions.{suffix}"
        parts_of = [(each.part, each.usage["bytes_out"]) for each in pieces]
        with (
            self._files.parts(parts_of, once=layout.written != "npz") as parts,
            self._files.writer(key, _TYPES.get(suffix, _BYTES)) as sink,
        ):
            self._formats.finish(parts, layout, manifest, sink)
        return {"key": key, "bytes": sink.written, "sha256": sink.sha256}

    def _errors(self, run: Run, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        """Join what was told of the rows that were set aside; None if none was."""
        key = f"{folder_of_run(run)}/errors.jsonl"
        keys = [each.errors for each in pieces if each.errors]
        if not keys:
            return None
        with self._files.writer(key, "application/jsonl") as sink:
            for each in self._files.errors(keys):
                sink.write(each)
        return {"key": key, "bytes": sink.written, "sha256": sink.sha256}

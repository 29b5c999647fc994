"""The model is fetched by a child process while this one imports NumPy and ONNX Runtime.

Why a process and not threads: reading TLS and importing both hold Python's lock, and take turns at it;
a child has a lock of its own. It is forked before anything heavy is imported, which takes two
milliseconds, fills a memory file that both share, and reports through a pipe what it put where. It
checks everything that `hotplate.runtime.fetched` checks; the parent compares the manifest's digest with
the pin again, and takes the child's word for the rest, being the same program.

    fork ─┬─ parent: import …                    wait ─ map ─ session
          └─ child:  manifest ─ files ─ report ─ exit

Where that cannot be had (no fork, threads already running, no memory file, a child that died) `start`
or `take` say so, and the caller fetches by itself.

Source: `hotplate bench cold` measures it against a usual handler.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hotplate import errors
from hotplate.errors import ArtifactError, HotplateError, SettingsError, StoreError, StoreUnavailableError
from hotplate.runtime.fetched import Fetched, fetch_into, files_of
from hotplate.runtime.files import Placed, mapped
from hotplate.runtime.forms import Form
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.memory import SharedMemory
from hotplate.runtime.pinned import check_pin

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplate.settings import Settings
    from hotplate.store.base import Reader

__all__ = ["Ahead", "NotAheadError", "start"]

# Longest report, in bytes: a manifest, and a line a file.
_MAX_REPORT_BYTES = 4 * 1024 * 1024
# How much longer than its own deadline the child may take to say so, in seconds.
_GRACE_S = 1.0


class NotAheadError(Exception):
    """Fetching in a child process is not to be had; the words say why."""


class _Report(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What the child says: the fault by class and words, or where everything lies."""

    fault: tuple[str, str] | None
    manifest: bytes
    form: tuple[str, str, str]
    placed: list[tuple[int, str | None]]
    size: int
    phases: dict[str, float]
    notes: list[str]


class Ahead:
    """A fetch that is under way in a child process."""

    def __init__(self, child: int, pipe: int, memory: SharedMemory, deadline: float) -> None:
        self._child, self._pipe, self._memory, self._deadline = child, pipe, memory, deadline

    def take(self, settings: Settings, ledger: Ledger) -> Fetched:
        """Wait for the child and return what it fetched; called once.

        Args:
            settings: The same that it was started with.
            ledger: Gets the phase `wait`, and what the child timed as `beside`.

        Raises:
            StoreError, ArtifactError: What the child met.
            NotAheadError: It died, or spoke nonsense.
        """
        with ledger.phase("wait"):
            try:
                return self._taken(settings, ledger)
            finally:
                # What was not taken is given back: a fetch in this process needs the room. Views stay.
                self._memory.close()

    def end(self) -> None:
        """Wait until the child is gone; called once, after `take`.

        Not by `take`: it needs milliseconds to give up its memory, in which a session can be built.
        """
        # It has nothing left to say; who waits for more would wait for one that cannot say it.
        with suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)

    def _taken(self, settings: Settings, ledger: Ledger) -> Fetched:
        try:
            raw = self._read()
        except BaseException:
            os.kill(self._child, signal.SIGKILL)
            raise
        finally:
            os.close(self._pipe)
        try:
            report = msgspec.msgpack.decode(raw, type=_Report)
        except msgspec.DecodeError as fault:
            raise NotAheadError(f"the fetching process ended without a report: {fault}") from fault
        ledger.beside.update(report.phases)
        ledger.notes.extend(report.notes)
        if report.fault:
            raise _fault(*report.fault)
        manifest, form = check_pin(report.manifest, settings), Form(*report.form)  # type: ignore[arg-type]
        try:
            placed = [Placed(at, _kept(path) if path else None) for at, path in report.placed]
        except OSError as fault:
            raise NotAheadError(f"what it kept in the cache is gone: {fault}") from fault
        return Fetched(manifest, form, files_of(manifest, form, placed, self._memory.view(report.size)))

    def _read(self) -> bytes:
        parts: list[bytes] = []
        while sum(map(len, parts)) <= _MAX_REPORT_BYTES:
            ready, _, _ = select.select([self._pipe], [], [], max(0.0, self._deadline - time.monotonic()))
            if not ready:
                raise StoreUnavailableError("S3 was too slow: the time for fetching the model is over")
            part = os.read(self._pipe, 1 << 16)
            if not part:
                break
            parts.append(part)
        return b"".join(parts)


def start(settings: Settings, open_reader: Callable[[], Reader]) -> Ahead:
    """Fork a child that fetches the version which the settings pin.

    Args:
        settings: What to fetch.
        open_reader: Called in the child.

    Raises:
        NotAheadError: This system or this process cannot.
    """
    if not hasattr(os, "fork") or not hasattr(os, "memfd_create"):
        raise NotAheadError(f"{sys.platform} has no fork and no memory files")
    # A thread may hold a lock that nobody in the child would ever release.
    if len([*Path("/proc/self/task").iterdir()]) > 1:
        raise NotAheadError("threads are running already")
    try:
        memory = SharedMemory()
        reading, writing = os.pipe()
        child = os.fork()
    except OSError as fault:
        raise NotAheadError(f"no child process can be had: {fault}") from fault
    if child == 0:
        _work(settings, open_reader, memory, writing)
    os.close(writing)
    return Ahead(child, reading, memory, time.monotonic() + settings.fetch_timeout_s + _GRACE_S)


def _work(settings: Settings, open_reader: Callable[[], Reader], memory: SharedMemory, pipe: int) -> None:
    """Fetch, report and end: nothing that the parent registered or buffered may run here."""
    code = 1
    try:
        report = msgspec.msgpack.encode(_fetch(settings, open_reader, memory))
        while report:
            report = report[os.write(pipe, report) :]
        code = 0
    finally:
        os._exit(code)


def _fetch(settings: Settings, open_reader: Callable[[], Reader], memory: SharedMemory) -> _Report:
    ledger, total = Ledger(), 0

    def allocate(size: int) -> memoryview:
        nonlocal total
        total = size
        return memory.allocate(size)

    try:
        _, raw, form, placed = fetch_into(settings, open_reader(), ledger, allocate)
    except HotplateError as fault:
        return _Report(
            (type(fault).__name__, str(fault)), b"", ("", "", ""), [], 0, _timed(ledger), ledger.notes
        )
    places = [(where.offset, str(where.cached[1]) if where.cached else None) for where in placed]
    chosen = (form.graph, form.weights, form.level)
    return _Report(None, raw, chosen, places, total, _timed(ledger), ledger.notes)


def _kept(path: str) -> tuple[memoryview, Path]:
    return mapped(Path(path)), Path(path)


def _timed(ledger: Ledger) -> dict[str, float]:
    return {name: ms for name, ms in ledger.phases.items() if name in ("manifest", "fetch")}


def _fault(name: str, text: str) -> Exception:
    """Return the child's fault as one of ours: only what fetching raises is made again by name."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, (StoreError, ArtifactError, SettingsError)):
        return kind(text)
    return NotAheadError(f"{name}: {text}")

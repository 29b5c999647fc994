"""The model is fetched by a child process while this one imports NumPy and ONNX Runtime.

Why a process and not threads: reading TLS and importing both hold Python's lock, and take turns at it;
a child has a lock of its own. It is forked before anything heavy is imported, which takes two
milliseconds, fills a memory file that both share, and tells through a pipe what it put where: once the graph
is verified, a session can be built, over weights that are still on their way and that nobody reads yet. It
checks everything that `hotplate.runtime.fetched` checks; the parent compares the manifest's digest with
the pin again, and takes the child's word for the rest, being the same program.

    fork ─┬─ parent: import …               wait ─ session ─ wait for the weights
          └─ child:  manifest ─ graph, assets ┴ weights ─ end ┘

Where that cannot be had (no fork, threads already running, no memory file, a child that died) `start`
or `take` say so, and the caller fetches by itself.

Source: `hotplate bench cold` measures it against a usual handler.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hotplate import errors
from hotplate.errors import ArtifactError, HotplateError, SettingsError, StoreError, StoreUnavailableError
from hotplate.runtime.fetched import Fetched, chosen, entries_of, files_of
from hotplate.runtime.files import Cache, Placed, fetch_files, mapped, offsets_of
from hotplate.runtime.forms import Form
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.memory import SharedMemory, is_untouched, touch
from hotplate.runtime.pinned import check_pin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hotplate.settings import Settings
    from hotplate.store.base import Reader

__all__ = ["Ahead", "NotAheadError", "start"]

# Longest that is told at once, in bytes: a manifest, and a line a file.
_MAX_TOLD_BYTES = 4 * 1024 * 1024
_LENGTH_BYTES = 4
# Room for what is told while nobody listens, in bytes: the most that Linux gives everybody.
_PIPE_BYTES = 1024 * 1024
# How much longer than its own deadline the child may take to say so, in seconds.
_GRACE_S = 1.0


class NotAheadError(Exception):
    """Fetching in a child process is not to be had; the words say why."""


class _Planned(msgspec.Struct, array_like=True, tag="planned", forbid_unknown_fields=True):
    """All but the weights, or all, is there and verified; where everything is or will be."""

    manifest: bytes
    form: tuple[str, str, str]
    placed: list[tuple[int, str | None]]
    size: int


class _Arrived(msgspec.Struct, array_like=True, tag="arrived", forbid_unknown_fields=True):
    """The memory is filled up to here."""

    end: int


class _Over(msgspec.Struct, array_like=True, tag="over", forbid_unknown_fields=True):
    """Everything is there and verified, or the fault by class and words."""

    fault: tuple[str, str] | None
    phases: dict[str, float]
    notes: list[str]


type _Told = _Planned | _Arrived | _Over


class Ahead:
    """A fetch that is under way in a child process."""

    def __init__(self, child: int, pipe: int, memory: SharedMemory, deadline: float) -> None:
        self._child, self._pipe, self._memory, self._deadline = child, pipe, memory, deadline
        self._came = bytearray()
        self._decoder: msgspec.msgpack.Decoder[_Told] = msgspec.msgpack.Decoder(_Planned | _Arrived | _Over)
        self._view, self._touched = memoryview(b""), 0
        self._ledger: Ledger  # once something is waited for

    def take(self, settings: Settings, ledger: Ledger) -> Fetched:
        """Wait for the graph and return what is fetched; called once.

        Args:
            settings: The same that it was started with.
            ledger: Gets the phase `wait`, here and when the weights are waited for, and what the child timed
                as `beside`.

        Raises:
            StoreError, ArtifactError: What the child met.
            NotAheadError: It died, or spoke nonsense.
        """
        self._ledger = ledger
        with self._waiting():
            told = self._told()
            if isinstance(told, _Over):
                self._end(told)
            if not isinstance(told, _Planned):
                raise NotAheadError("the fetching process planned nothing")
            manifest, form = check_pin(told.manifest, settings), Form(*told.form)  # type: ignore[arg-type]
            try:
                placed = [Placed(at, _kept(path) if path else None) for at, path in told.placed]
            except OSError as fault:
                raise NotAheadError(f"what it kept in the cache is gone: {fault}") from fault
            entries = entries_of(manifest, form)
            first = sum(each.role != form.weights for each in entries)  # weights come last
            files = files_of(entries[:first], placed[:first], self._memory.view(told.size))
            # Mapped apart, so that reading what lies before them maps none of their pages.
            self._view = self._memory.view(told.size)
            files |= files_of(entries[first:], placed[first:], self._view)
        return Fetched(manifest, form, files, self)

    def wait(self) -> None:
        """Wait for the weights; called once, after `take`.

        Raises:
            StoreError, ArtifactError, NotAheadError: As of `take`.
        """
        with self._waiting():
            while isinstance(told := self._told(), _Arrived):
                # Mapped now, while there is nothing else to do, and not in the first run.
                touch(self._view[self._touched : told.end])
                self._touched = told.end
            if not isinstance(told, _Over):
                raise NotAheadError("the fetching process planned twice")
            self._end(told)
            self._close()

    def is_unread(self) -> bool:
        """Return whether nothing of the view that weights are read by was read."""
        return is_untouched(self._view)

    def end(self) -> None:
        """Wait until the child is gone; called once, after all else.

        Not by `take`: it needs milliseconds to give up its memory, in which a session can be built.
        """
        self._close()
        # It has nothing left to say; who waits for more would wait for one that cannot say it.
        with suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Time what the child is waited for; after a fault nothing of it is used."""
        with self._ledger.phase("wait"):
            try:
                yield
            except BaseException:
                self._close()
                raise

    def _close(self) -> None:
        """Give the memory back, which a fetch in this process needs; views stay."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._memory.close()
        self._pipe = -1

    def _end(self, over: _Over) -> None:
        """Take note of what the child timed; raise what it met."""
        self._ledger.beside.update(over.phases)
        self._ledger.notes.extend(over.notes)
        if over.fault:
            raise _fault(*over.fault)

    def _told(self) -> _Told:
        """Return what the child tells next.

        Raises:
            NotAheadError: Nothing any more, or nonsense.
            StoreUnavailableError: Nothing in time.
        """
        size = int.from_bytes(self._read(_LENGTH_BYTES))
        if size > _MAX_TOLD_BYTES:
            raise NotAheadError(f"the fetching process wants to tell {size} bytes")
        try:
            return self._decoder.decode(self._read(size))
        except msgspec.DecodeError as fault:
            raise NotAheadError(f"the fetching process spoke nonsense: {fault}") from fault

    def _read(self, size: int) -> bytes:
        if self._pipe < 0:
            raise NotAheadError("the fetching process was given up")
        while len(self._came) < size:
            ready, _, _ = select.select([self._pipe], [], [], max(0.0, self._deadline - time.monotonic()))
            if not ready:
                raise StoreUnavailableError("S3 was too slow: the time for fetching the model is over")
            part = os.read(self._pipe, 1 << 16)
            if not part:
                raise NotAheadError("the fetching process ended without a report")
            self._came += part
        told = bytes(self._came[:size])
        del self._came[:size]
        return told


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
        # A manifest has 1 MiB at most; who cannot tell waits until the parent has imported.
        with suppress(OSError):
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        child = os.fork()
    except OSError as fault:
        raise NotAheadError(f"no child process can be had: {fault}") from fault
    if child == 0:
        _work(settings, open_reader, memory, writing)
    os.close(writing)
    return Ahead(child, reading, memory, time.monotonic() + settings.fetch_timeout_s + _GRACE_S)


def _work(settings: Settings, open_reader: Callable[[], Reader], memory: SharedMemory, pipe: int) -> None:
    """Fetch, tell and end: nothing that the parent registered or buffered may run here."""
    code = 1

    def tell(what: _Told) -> None:
        body = msgspec.msgpack.encode(what)
        told = len(body).to_bytes(_LENGTH_BYTES) + body
        while told:
            told = told[os.write(pipe, told) :]

    try:
        ledger = Ledger()
        try:
            _fetch(settings, open_reader(), ledger, memory, tell)
            met = None
        except HotplateError as fault:
            met = type(fault).__name__, str(fault)
        tell(_Over(met, _timed(ledger), ledger.notes))
        code = 0
    finally:
        os._exit(code)


def _fetch(
    settings: Settings, reader: Reader, ledger: Ledger, memory: SharedMemory, tell: Callable[[_Told], None]
) -> None:
    manifest, raw, form = chosen(settings, reader, ledger)
    entries = entries_of(manifest, form)
    offsets, _ = offsets_of(entries)
    kind = (form.graph, form.weights, form.level)
    ends = (offsets[each.path] + each.size for each in entries if each.role != form.weights)
    before_weights = max(ends, default=0)
    is_planned = False

    def arrived(end: int) -> None:
        nonlocal is_planned
        # What goes into the cache has its place when all is there.
        if settings.cache_dir is None and end >= before_weights:
            if not is_planned:
                tell(_Planned(raw, kind, [(offsets[each.path], None) for each in entries], memory.size))
            is_planned = True
            tell(_Arrived(end))

    with ledger.phase("fetch"):
        placed = fetch_files(reader, entries, Cache(settings.cache_dir, ledger), memory.allocate, arrived)
    if not is_planned:
        places = [(where.offset, str(where.cached[1]) if where.cached else None) for where in placed]
        tell(_Planned(raw, kind, places, memory.size))


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

"""Memory that a model's files are received into and used from: allocated once, copied never.

Two kinds: private to this process, and a memory file that a child process fills and its parent maps.
Both on huge pages where the kernel gives them: touching a fresh page of 4 KiB for the first time costs
more than receiving its bytes. The pages of a memory file, which are rarely huge, are made ahead of the bytes,
many at a time.
"""

from __future__ import annotations

import mmap
import os
import threading
from contextlib import suppress
from pathlib import Path

__all__ = ["PAGE", "SharedMemory", "aligned", "is_untouched", "memory_use_mb", "private_memory", "touch"]

PAGE = 4096
# Pages made at once, in bytes: what one range of the store has.
_STEP = 8 * 1024 * 1024
# Maps pages that are there, writable. Linux 5.14; `mmap` does not name it yet.
_MADV_POPULATE_WRITE = 23
# Of an entry of the kernel's table of pages; the bit above says that the page is present.
_ENTRY_BYTES, _SWAPPED_BIT = 8, 62


def aligned(size: int) -> int:
    """Return `size` rounded up to whole pages."""
    return -(-size // PAGE) * PAGE


def memory_use_mb() -> dict[str, float]:
    """Return this process's memory in MiB, which Lambda calls MB; nothing where the kernel does not tell.

    `peak` is the most that was resident at once, `resident` what is now, `private` what of it no file and no
    other process has: its heap, where a copy of the weights would be. Source: proc_pid_status(5).
    """
    words = {"VmHWM": "peak", "VmRSS": "resident", "RssAnon": "private"}
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return {}
    told = (line.split() for line in lines)  # such as VmRSS: 12345 kB
    return {
        words[name]: round(int(kib) / 1024, 1)
        for name, kib in ((line[0][:-1], line[1]) for line in told if len(line) > 1)
        if name in words
    }


def private_memory(size: int) -> memoryview:
    """Return `size` bytes of this process; at least one page is mapped."""
    memory = mmap.mmap(-1, max(size, PAGE), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    _advise(memory)
    return memoryview(memory)[:size]


class SharedMemory:
    """A file in memory, made before a fork, that the child fills and the parent reads.

    Attributes:
        size: Bytes that the child allocated.

    Raises:
        OSError: The kernel gives none.
    """

    def __init__(self) -> None:
        self._file = os.memfd_create("hotplate-model", os.MFD_CLOEXEC)
        self.size = 0

    def allocate(self, size: int) -> memoryview:
        """Return `size` writable bytes; called once, by the child.

        Their pages are made in a thread, without Python's lock. Who writes to one before it is there
        makes it himself, for several times the processor time.
        """
        self.size = size
        os.ftruncate(self._file, max(size, PAGE))
        memory = mmap.mmap(self._file, max(size, PAGE))
        _advise(memory)
        if size > _STEP:
            threading.Thread(target=self._make_pages, args=[memory, size], daemon=True).start()
        return memoryview(memory)[:size]

    def _make_pages(self, memory: mmap.mmap, size: int) -> None:
        # Where there is no room for them, writing will say so. Older kernels map a page when it is written.
        with suppress(OSError):
            for start in range(0, size, _STEP):
                os.posix_fallocate(self._file, start, min(_STEP, size - start))
                memory.madvise(_MADV_POPULATE_WRITE, start, min(_STEP, size - start))

    def view(self, size: int) -> memoryview:
        """Return the first `size` bytes, read-only; they stay as long as the view. See `touch`."""
        if not size:  # then nothing was allocated
            return memoryview(b"")
        return memoryview(mmap.mmap(self._file, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ))

    def close(self) -> None:
        """Give up the file; views of it stay."""
        os.close(self._file)


def is_untouched(view: memoryview) -> bool:
    """Return whether this process has used no page of `view`, by the kernel's table of its pages.

    False too where the kernel does not show it. Source: proc_pid_pagemap(5).
    """
    if not view:
        return True
    import numpy as np  # who borrows weights has it; the process that fetches has not

    start = np.frombuffer(view, np.uint8).__array_interface__["data"][0]
    first, last = start // mmap.PAGESIZE, (start + len(view) - 1) // mmap.PAGESIZE  # the kernel's own
    try:
        with Path("/proc/self/pagemap").open("rb", buffering=0) as table:
            table.seek(first * _ENTRY_BYTES)
            entries = np.frombuffer(table.read((last - first + 1) * _ENTRY_BYTES), np.uint64)
    except OSError:
        return False
    return len(entries) == last - first + 1 and not (entries >> np.uint64(_SWAPPED_BIT)).any()


def touch(view: memoryview) -> None:
    """Have each page of `view` mapped now, while nobody waits for it, and not when it is first used."""
    view[::PAGE].tobytes()


def _advise(memory: mmap.mmap) -> None:
    # Kernels without huge pages refuse; the memory is as good, only slower to touch.
    with suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)

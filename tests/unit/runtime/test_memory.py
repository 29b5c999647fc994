"""Memory that two processes share: its pages are there before the bytes come."""

from __future__ import annotations

import os
import time
from pathlib import Path

from hotplate.runtime.memory import SharedMemory

MIB = 1024 * 1024


def resident_bytes(memory: SharedMemory) -> int:
    """Return how much of the memory file has pages."""
    return os.fstat(memory._file).st_blocks * 512


def test_pages_of_a_large_file_are_made_though_nobody_writes() -> None:
    memory, size = SharedMemory(), 20 * MIB + 5
    view = memory.allocate(size)
    ends = time.monotonic() + 30
    while resident_bytes(memory) < size and time.monotonic() < ends:
        time.sleep(0.01)
    assert resident_bytes(memory) >= size
    assert not any(view[::4096])
    memory.close()


def test_bytes_written_meanwhile_stay() -> None:
    memory, size = SharedMemory(), 64 * MIB
    view = memory.allocate(size)
    for start in range(0, size, MIB):
        view[start : start + 3] = b"abc"
    ends = time.monotonic() + 30
    while resident_bytes(memory) < size and time.monotonic() < ends:
        time.sleep(0.01)
    shared = memory.view(size)
    assert all(bytes(shared[start : start + 3]) == b"abc" for start in range(0, size, MIB))
    memory.close()


def test_a_small_file_starts_no_thread() -> None:
    before = len([*Path("/proc/self/task").iterdir()])
    memory = SharedMemory()
    memory.allocate(MIB)
    assert resident_bytes(memory) == 0
    assert len([*Path("/proc/self/task").iterdir()]) == before
    memory.close()

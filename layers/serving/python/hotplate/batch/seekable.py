"""A source as a file that can be sought in, for libraries that read files; a window at a time is held."""

from __future__ import annotations

import io
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Buffer

    from hotplate.batch.layout import Source

__all__ = ["MemorySource", "Seekable", "SourceFile"]

# What one read from the source fetches at least, in bytes, and how many such windows are kept. Ours: a
# request to S3 takes 20 ms, in which it could have given a megabyte.
WINDOW_BYTES = 2**20
WINDOWS = 8


class MemorySource:
    """Bytes in memory as a source."""

    def __init__(self, data: bytes | memoryview) -> None:
        """Take the bytes; they are not copied."""
        self._data = memoryview(data)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self._data)

    def read(self, start: int, stop: int) -> memoryview:
        """Return bytes `start` to `stop`."""
        return self._data[start:stop]


class Seekable(io.RawIOBase):
    """A file of known length that is read from wherever it is sought; who inherits it reads from `_at`."""

    def __init__(self, size: int) -> None:
        """Begin at byte 0 of `size`."""
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; see `io.IOBase.seek`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at


class SourceFile(Seekable):
    """Reads whole windows of the source, and remembers the last few."""

    def __init__(
        self,
        source: Source,
        *,
        window_bytes: int = WINDOW_BYTES,
        windows: int = WINDOWS,
        size: int | None = None,
    ) -> None:
        """Begin at byte 0.

        Args:
            source: What is read.
            window_bytes: What one read fetches.
            windows: How many are kept.
            size: Where the file ends, if before the source does.
        """
        super().__init__(source.size if size is None else size)
        self._source = source
        self._window_bytes, self._most = window_bytes, windows
        self._windows: OrderedDict[int, memoryview] = OrderedDict()

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill `buffer`, less only at the end."""
        target = memoryview(buffer).cast("B")
        done = 0
        while done < len(target) and self._at < self._size:
            number, inside = divmod(self._at, self._window_bytes)
            part = self._window(number)[inside : inside + len(target) - done]
            target[done : done + len(part)] = part
            done += len(part)
            self._at += len(part)
        return done

    def _window(self, number: int) -> memoryview:
        found = self._windows.get(number)
        if found is None:
            start = number * self._window_bytes
            found = memoryview(self._source.read(start, min(start + self._window_bytes, self._size)))
            self._windows[number] = found
            if len(self._windows) > self._most:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(number)
        return found

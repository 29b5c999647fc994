"""Archives that are unpacked once, however many execution environments want them: the others get links.

ministack unpacks a function and its layers for every environment, and keeps the archives beside them: some
260 MB each, in memory where that is roomy. A burst of requests to many functions would fill it.

Rules kept:

1. What an archive is, is its table of contents: names, lengths and check sums.
2. A folder is shared only once it is whole; of two who want it at once one unpacks.
3. An environment that goes takes its links along, and nobody else's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import zipfile
from pathlib import Path
from typing import Any

__all__ = ["SharedZips"]


class SharedZips:
    """Stands where the module `zipfile` does, for code that opens archives to unpack them."""

    BadZipFile = zipfile.BadZipFile
    LargeFileError = zipfile.LargeZipFile  # as ministack calls it

    def __init__(self, folder: Path) -> None:
        """Keep what is unpacked below `folder`, on the file system of those who unpack."""
        self._folder = folder
        self._lock = threading.Lock()

    def ZipFile(self, file: str) -> _Shared:  # noqa: N802 - the name that it stands for
        """Return the archive, opened."""
        return _Shared(file, self)

    def unpacked(self, archive: zipfile.ZipFile) -> Path:
        """Return the folder with what is in an archive."""
        listed = [(each.filename, each.file_size, each.CRC) for each in archive.infolist()]
        whole = self._folder / hashlib.sha256(repr(listed).encode()).hexdigest()
        with self._lock:
            if not whole.is_dir():
                begun = whole.with_suffix(".begun")
                shutil.rmtree(begun, ignore_errors=True)
                begun.mkdir(parents=True)
                zipfile.ZipFile.extractall(archive, begun)
                begun.rename(whole)
        return whole


class _Shared(zipfile.ZipFile):
    """An archive whose files are linked to where it is unpacked; the archive itself goes then."""

    def __init__(self, file: str, shared: SharedZips) -> None:
        super().__init__(file)
        self._shared = shared

    def extractall(self, path: Any = None, members: Any = None, pwd: Any = None) -> None:
        """Link every file below `path`; the other arguments are not for this."""
        if members is not None or pwd is not None:
            raise NotImplementedError("archives are shared as a whole")
        shutil.copytree(self._shared.unpacked(self), path, copy_function=os.link, dirs_exist_ok=True)
        Path(str(self.filename)).unlink()

"""Training data out of package registries: one file, pinned by digest, read in memory.

Rules kept here:

1. A file is used only if its SHA-256 is the pinned one, whether it was kept or just came.
2. Nothing in it is installed, imported or unpacked: members are read by name, in memory, so nothing
   in a package chooses where a file is written.
3. Registries are asked by their own clients, npm and pip, as the user has configured them.

Standard library only: trainers read packages in their frameworks' environments.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hotplate_tools.failures import FailedError

__all__ = ["MOONSHINE", "SCIKIT_IMAGE", "SCIKIT_LEARN", "Package", "fetch", "member_names", "read_member"]

_WHEEL_TAGS = re.compile(r"-(?P<python>[a-z]+\d+)[^-]*-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl$")


@dataclass(frozen=True)
class Package:
    """One file of a registry.

    Attributes:
        registry: `npm` or `pypi`.
        name, version: As the registry knows them.
        sha256: Of the file.
        file: The wheel's file name, which says for which Python and platform it is: the same file is
            then fetched on every machine. npm packs one file a version, and names it itself.
    """

    registry: Literal["npm", "pypi"]
    name: str
    version: str
    sha256: str
    file: str = ""

    def __str__(self) -> str:
        joint = "@" if self.registry == "npm" else "=="
        return f"{self.registry} {self.name}{joint}{self.version}"

    @property
    def archive(self) -> str:
        """The file's name."""
        if self.registry == "pypi":
            return self.file
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


# Its wheel holds the data sets that several trainers read; licence BSD-3-Clause.
SCIKIT_LEARN = Package(
    "pypi",
    "scikit-learn",
    "1.9.1",
    "e5d7b18a5b9dca241a74695f3275fa4c895a9dadc72b3d8df5fa9d1083c9b83e",
    "scikit_learn-1.9.1-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
)

# Photographs, most of them in the public domain (its skimage/data/README.txt); licence BSD-3-Clause.
SCIKIT_IMAGE = Package(
    "pypi",
    "scikit-image",
    "0.26.0",
    "b36ab5e778bf50af5ff386c3ac508027dc3aaeccf2161bdf96bde6848f44d21b",
    "scikit_image-0.26.0-cp313-cp313-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
)

# Ten seconds of speech; licence MIT.
MOONSHINE = Package(
    "pypi",
    "useful-moonshine-onnx",
    "20251121",
    "b4189b0d7dc8064d567fd0b5d5ce78634be290b0a3a3274ab80ad11c46d531a2",
    "useful_moonshine_onnx-20251121-py3-none-any.whl",
)


def fetch(package: Package, folder: Path) -> Path:
    """Return the package's file, from `folder` if it is there, else from its registry.

    Raises:
        FailedError: The client is not installed or cannot reach its registry, or the bytes are not
            the pinned ones.
    """
    kept = folder / package.archive
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _download(package, Path(scratch))
            got = Path(scratch) / package.archive
            if not got.exists():
                found = ", ".join(file.name for file in Path(scratch).iterdir()) or "nothing"
                raise FailedError(f"{package}: {package.archive} was expected, {found} came")
            got.replace(kept)
    with kept.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != package.sha256:
        raise FailedError(
            f"{kept} is not {package}: expected SHA-256 {package.sha256}, got {digest}",
            advice="Delete the file and run the command again.",
        )
    return kept


def read_member(archive: Path, member: str) -> bytes:
    """Return one file of a package, by its whole name inside of it.

    Raises:
        FailedError: There is no such file, or the package cannot be read.
    """
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(member)
        with tarfile.open(archive, mode="r:gz") as package:
            stream = package.extractfile(member)
            if stream is None:
                raise KeyError(member)
            return stream.read()
    except KeyError as fault:
        raise FailedError(f"{archive.name} holds no file {member}") from fault
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as fault:
        raise FailedError(f"{archive.name} cannot be read: {fault}") from fault


def member_names(wheel: Path) -> list[str]:
    """Return the names of a wheel's files, sorted.

    Raises:
        FailedError: It cannot be read.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            return sorted(name for name in archive.namelist() if not name.endswith("/"))
    except (zipfile.BadZipFile, OSError) as fault:
        raise FailedError(f"{wheel.name} cannot be read: {fault}") from fault


def _download(package: Package, folder: Path) -> None:
    if package.registry == "npm":
        npm = shutil.which("npm")
        if npm is None:
            raise FailedError("npm is not installed", advice="Install Node.js, which brings it.")
        what = f"{package.name}@{package.version}"
        _run([npm, "pack", what, "--silent", "--pack-destination", str(folder)], package)
        return
    tags = _WHEEL_TAGS.search(package.file)
    if tags is None:
        raise FailedError(f"{package}: {package.file!r} is no wheel's file name")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--ignore-requires-python"]  # nothing is installed, so it matters not for which it is
    if tags["abi"] != "none":
        command += ["--python-version", re.sub(r"cp(\d)", r"\1.", tags["python"]), "--abi", tags["abi"]]
    if tags["platform"] != "any":
        command += [f"--platform={tag}" for tag in tags["platform"].split(".")]
    _run([*command, "--dest", str(folder), f"{package.name}=={package.version}"], package)


def _run(command: list[str], package: Package) -> None:
    for _ in range(2):  # registries time out now and then
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if not done.returncode:
            return
    last = "\n".join(done.stderr.strip().splitlines()[-6:])
    raise FailedError(
        f"{package} could not be fetched:\n{last}",
        advice="Check the connection to the package registry and run the command again.",
    )

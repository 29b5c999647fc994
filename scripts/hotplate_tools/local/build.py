"""What `sam build` makes of the template, made ready for Lambda, and its size against Lambda's limit.

After `sam build`:

1. What a function never imports is removed from the wheels (`_UNUSED`), and so is debug information.
2. A package that a function's layers hold is removed from the function (`local.repeated`): requirements with
   hashes name every package, those of the layer too.
3. All Python is compiled with unchecked hashes. Lambda's code and layers are read-only, so a `.pyc`
   that is missing or stale costs every cold start: two to three times the import.
4. The generic function `functions/tensor`, which no block of the template names, is laid out as SAM lays out
   a function, for the models that `hotplate up MODEL` adds.
4. Each function and layer is zipped once, and `local.yaml` beside the built template names the
   zips, so that the local cloud does not wait for them to be compressed at every start.

A build is kept until one of its sources changes: template, functions, layers, requirements, or the
rules above.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate_tools.environments import ensure
from hotplate_tools.failures import FailedError
from hotplate_tools.local.elf import remove_debug_information
from hotplate_tools.local.interpreter import find_python
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.local.repeated import layers_of, remove_repeated
from hotplate_tools.project import project_root

if TYPE_CHECKING:
    from hotplate_tools.console import Console

__all__ = ["GENERIC_FUNCTION", "GENERIC_PACKAGE", "Build", "build", "host_architecture", "run_sam"]

# Never imported by a function: tests, stubs, sources of compiled parts, ONNX Runtime's training-time
# tools, and its C library, whose code the Python module holds a second time.
_UNUSED = (
    "**/tests",
    "**/*.pyi",
    "**/*.[ch]",
    "**/*.[ch]pp",
    "**/*.pxd",
    "**/*.pyx",
    "numpy/f2py",
    "onnxruntime/backend",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "onnxruntime/capi/libonnxruntime.so.*",
)
_STAMP = ".sources"

# The folder of `functions` that serves any graph as it is, and its own folder in a build.
GENERIC_PACKAGE = "tensor"
GENERIC_FUNCTION = "TensorFunction"

_CODE = re.compile(r"^( +(?:ContentUri|CodeUri): )(\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Build:
    """A build.

    Attributes:
        folder: Where it lies; one folder for each function and layer, by logical id.
        template: The template that names these folders; what `sam deploy` takes.
        local_template: The same, naming zips.
        runtime: Lambda's name for the Python of the functions.
        functions, layers: Logical ids.
    """

    folder: Path
    template: Path
    local_template: Path
    runtime: str
    functions: tuple[str, ...]
    layers: tuple[str, ...]

    def unzipped_bytes(self, logical_id: str) -> int:
        """Return the size of a function's code, or of a layer, as Lambda counts it."""
        return sum(file.stat().st_size for file in (self.folder / logical_id).rglob("*") if file.is_file())


def host_architecture() -> str:
    """Return Lambda's name for this machine's processor."""
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "aarch64": "arm64"}.get(machine, machine)


def build(console: Console, *, architecture: str = "x86_64") -> Build:
    """Return the build of the project, made if its sources have changed.

    Args:
        console: Told while it is made.
        architecture: `x86_64` or `arm64`, for the compiled packages.

    Raises:
        FailedError: `sam build` failed; its last lines say why.
    """
    root = project_root()
    document = read_yaml(root / "template.yaml")
    folder = root / ".aws-sam" / "build"
    kinds = {name: each["Type"] for name, each in document["Resources"].items()}
    made = Build(
        folder=folder,
        template=folder / "template.yaml",
        local_template=folder / "local.yaml",
        runtime=document["Globals"]["Function"]["Runtime"],
        functions=tuple(name for name, kind in kinds.items() if kind == "AWS::Serverless::Function"),
        layers=tuple(name for name, kind in kinds.items() if kind == "AWS::Serverless::LayerVersion"),
    )
    sources = f"{architecture} {_digest(root)}"
    with _alone(root):
        stamp = folder / _STAMP
        if not stamp.exists() or stamp.read_text() != sources:
            with console.step("Building functions and layers"):
                _build(made, root, console, architecture)
                stamp.write_text(sources)
    return made


def run_sam(arguments: list[str], console: Console, *, environment: dict[str, str], cwd: Path) -> str:
    """Run one command of the SAM CLI and return what it printed.

    Args:
        arguments: Command and options.
        console: Told while the SAM CLI's environment is made.
        environment: Its whole environment, but for telemetry, which is off.
        cwd: Where it runs.

    Raises:
        FailedError: It ended with another code than 0; the last lines say why.
    """
    sam = ensure("sam", console) / "sam"
    done = subprocess.run(
        [str(sam), *arguments],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**environment, "SAM_CLI_TELEMETRY": "0"},
        cwd=cwd,
    )
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-12:])
        raise FailedError(f"sam {arguments[0]} failed:\n{last}")
    return done.stdout


def _build(made: Build, root: Path, console: Console, architecture: str) -> None:
    python = find_python(made.runtime)
    path = f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = ["build", "--cached", "--parallel", "--parameter-overrides", f"Architecture={architecture}"]
    run_sam(command, console, environment={**os.environ, "PATH": path}, cwd=root)
    package = Path("functions", GENERIC_PACKAGE)
    # It has no requirements, so that there is nothing for SAM to install.
    shutil.copytree(root / package, made.folder / GENERIC_FUNCTION / package)
    remove_repeated(made.folder, layers_of(read_yaml(root / "template.yaml")))
    for name in (*made.functions, GENERIC_FUNCTION, *made.layers):
        # Where Lambda puts it, so that tracebacks name files that are there.
        home = "/opt" if name in made.layers else "/var/task"
        packages = made.folder / name / "python" if name in made.layers else made.folder / name
        _remove_unused(packages)
        for library in packages.rglob("*.so"):
            remove_debug_information(library)
        _compile(python, made.folder / name, home)
        _zip(made.folder / name, made.folder / f"{name}.zip")
    text = made.template.read_text(encoding="utf-8")
    made.local_template.write_text(_CODE.sub(r"\1\2.zip", text), encoding="utf-8")


def _remove_unused(packages: Path) -> None:
    for pattern in (*_UNUSED, "**/__pycache__"):
        for found in sorted(packages.glob(pattern)):
            if found.is_dir():
                shutil.rmtree(found)
            else:
                found.unlink(missing_ok=True)


def _compile(python: Path, folder: Path, home: str) -> None:
    command = [str(python), "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    done = subprocess.run(
        [*command, "-s", str(folder), "-p", home, str(folder)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise FailedError(f"{folder.name} does not compile:\n{done.stdout.strip()}")


def _zip(folder: Path, archive: Path) -> None:
    # Not compressed: it only travels over the loopback, and is unpacked at every cold start there.
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                out.write(file, file.relative_to(folder))


def _digest(root: Path) -> str:
    total = hashlib.sha256()
    sources = [root / "template.yaml", root / "requirements" / "sam.txt", Path(__file__)]
    for folder in (root / "functions", root / "layers"):
        files = (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
        sources += sorted(files)
    for file in sources:
        total.update(f"{file}\0{file.stat().st_size}\0".encode())
        total.update(file.read_bytes())
    return total.hexdigest()


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    # Two builds at once would empty each other's folder.
    (root / ".aws-sam").mkdir(exist_ok=True)
    with (root / ".aws-sam" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

"""A stand-in for Lambda's Python base image, made of this machine's own runtime.

Where no container registry can be reached, `sam local` has no base image to start from. The stand-in
has the same layout and start as `public.ecr.aws/lambda/python`: the interpreter in `/var/lang`,
awslambdaric and boto3 in `/var/runtime`, AWS's Runtime Interface Emulator, and the few programs that
the SAM CLI runs in it. It differs in what lies below: this machine's C library and shell, not Amazon
Linux's, so it does not show that a wheel needs a newer C library than Lambda has.

Rules kept: an image is named by nothing but what it is made of (`stamp`), so it is built once.
Not done: extensions.

Source: aws/aws-lambda-base-images; AWS Lambda developer guide, "Deploy Python Lambda functions with
container images".
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hotplate_tools.local.lambda_runtime import LambdaRuntime

__all__ = ["IMAGE_SETTINGS", "stamp", "write_image"]

# As `podman import --change` takes them.
IMAGE_SETTINGS = (
    'ENTRYPOINT ["/lambda-entrypoint.sh"]',
    "WORKDIR /var/task",
    "ENV PATH=/var/lang/bin:/usr/local/bin:/usr/bin:/bin:/opt/bin",
    "ENV LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/task:/var/task/lib:/opt/lib",
    "ENV LAMBDA_TASK_ROOT=/var/task",
    "ENV LAMBDA_RUNTIME_DIR=/var/runtime",
    "ENV LANG=en_US.UTF-8",
    "ENV TZ=:/etc/localtime",
)

# What the SAM CLI's Dockerfiles and our two scripts run.
_PROGRAMS = ("bash", "sh", "cat", "chmod", "cp", "env", "ls", "ln", "mkdir", "mv", "rm", "sleep")
# Libraries that wheels may name without the interpreter needing them.
_LIBRARIES = ("libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "libresolv.so.2", "librt.so.1",
              "libstdc++.so.6", "libutil.so.1")  # fmt: skip
_NOT_COPIED = shutil.ignore_patterns(
    "__pycache__",
    "_tkinter*",
    "*.a",
    "config-*",
    "ensurepip",
    "idlelib",
    "site-packages",
    "test",
    "tkinter",
    "turtledemo",
)
_LIBRARY = re.compile(r"(/\S+\.so\S*)")

_BOOTSTRAP = """#!/bin/bash
export AWS_EXECUTION_ENV=AWS_Lambda_{runtime}
export PYTHONPATH=/var/task:/opt/python/lib/{runtime}/site-packages:/opt/python:/var/runtime
# The wrapper without quotes: where there is none, it is no word.
exec $AWS_LAMBDA_EXEC_WRAPPER /var/lang/bin/{runtime} -m awslambdaric "${{_HANDLER:-$1}}"
"""
_ENTRYPOINT = """#!/bin/sh
export _HANDLER="$1"
if [ -z "$AWS_LAMBDA_RUNTIME_API" ]; then exec /usr/local/bin/aws-lambda-rie /var/runtime/bootstrap; fi
exec /var/runtime/bootstrap
"""


def stamp(runtime: LambdaRuntime, rie: Path) -> str:
    """Return a digest of what the image would be made of, and of how: 12 hex digits."""
    parts = [Path(__file__).read_bytes(), str(runtime.prefix).encode()]
    parts += [(runtime.prefix / "bin" / runtime.name).read_bytes(), rie.read_bytes()]
    parts += [name.encode() for name in sorted(path.name for path in runtime.site_packages.iterdir())]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def write_image(runtime: LambdaRuntime, rie: Path, archive: IO[bytes]) -> None:
    """Write the image's files to `archive` as one uncompressed tar.

    Raises:
        FailedError: A program or library that the image needs is not on this machine.
    """
    with tempfile.TemporaryDirectory(prefix="hotplate-image-") as name:
        root = Path(name)
        _make_folders(root)
        _copy_python(root, runtime, rie)
        _copy_programs(root)
        _copy_libraries(root)
        _write_settings(root, runtime.name)
        _output(["ldconfig", "-r", str(root)])
        with tarfile.open(fileobj=archive, mode="w|") as tar:
            tar.add(root, arcname=".", filter=_owned_by_root)


def _make_folders(root: Path) -> None:
    for name in (
        "etc/ssl/certs", "dev", "home", "opt", "proc", "root", "sys", "tmp", "usr/bin", "usr/lib",
        "usr/lib64", "usr/local/bin", "var/lang/bin", "var/lang/lib", "var/rapid", "var/runtime", "var/task",
    ):  # fmt: skip
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for name, target in {"bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}.items():
        (root / name).symlink_to(target)


def _copy_python(root: Path, runtime: LambdaRuntime, rie: Path) -> None:
    lang = root / "var/lang"
    shutil.copy2(runtime.prefix / "bin" / runtime.name, lang / "bin" / runtime.name)
    for name in ("python3", "python"):
        (lang / "bin" / name).symlink_to(runtime.name)
    shutil.copytree(runtime.prefix / "lib" / runtime.name, lang / "lib" / runtime.name, ignore=_NOT_COPIED)
    for shared in (runtime.prefix / "lib").glob(f"lib{runtime.name}*.so*"):
        shutil.copy2(shared, lang / "lib" / shared.name)
    shutil.copytree(runtime.site_packages, root / "var/runtime", dirs_exist_ok=True)
    shutil.copy2(rie, root / "usr/local/bin/aws-lambda-rie")
    (root / "usr/local/bin/aws-lambda-rie").chmod(0o755)


def _copy_programs(root: Path) -> None:
    for name in _PROGRAMS:
        shutil.copy2(Path(_program(name)).resolve(), root / "usr/bin" / name)


def _copy_libraries(root: Path) -> None:
    binaries = [*(root / "usr/bin").iterdir(), *(root / "var/lang/bin").glob("python3.*")]
    binaries += [path for path in (root / "var").rglob("*.so*") if path.is_file()]
    known = _output(["ldconfig", "-p"])
    named = {match[1] for match in re.finditer(r"=> (\S+)", known) if Path(match[1]).name in _LIBRARIES}
    for library in sorted({*_needed_by(binaries), *named}):
        target = root / "usr/lib64" / Path(library).name
        if Path(library).exists() and not target.exists() and not Path(library).is_relative_to(root):
            shutil.copy2(Path(library).resolve(), target)


def _needed_by(binaries: Iterable[Path]) -> set[str]:
    # ldd fails for a file that needs none, and names what others need all the same.
    ldd = _program("ldd")
    done = subprocess.run([ldd, *map(str, binaries)], check=False, capture_output=True, text=True)
    lines = (line for line in done.stdout.splitlines() if line.startswith("\t"))
    return {match[1] for line in lines if (match := _LIBRARY.search(line))}


def _write_settings(root: Path, runtime: str) -> None:
    scripts = {
        "var/runtime/bootstrap": _BOOTSTRAP.format(runtime=runtime),
        "lambda-entrypoint.sh": _ENTRYPOINT,
    }
    for name, text in scripts.items():
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    user = "sbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin\n"
    (root / "etc/passwd").write_text(f"root:x:0:0:root:/root:/bin/sh\n{user}")
    (root / "etc/group").write_text("root:x:0:\nsbx_user1051:x:990:\n")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    (root / "etc/ld.so.conf").write_text("/usr/lib64\n/var/lang/lib\n")
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if bundle.exists():
        shutil.copy2(bundle, root / "etc/ssl/certs" / bundle.name)


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _output(command: list[str]) -> str:
    program = _program(command[0])
    done = subprocess.run([program, *command[1:]], check=False, capture_output=True, text=True)
    if done.returncode:
        raise FailedError(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _program(name: str) -> str:
    # ldconfig lives where ordinary users do not look.
    found = shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if not found:
        raise FailedError(f"the stand-in image needs the program {name}, which is not here")
    return found

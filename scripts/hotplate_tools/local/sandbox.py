"""One execution environment's walls: a small supervisor process, run as `python -I sandbox.py <json>`.

It starts one command, watches its memory, and ends it. Rules kept:

- Nothing outlives the owner. The supervisor reads its standard input; when that ends (the owner
  closed it, or is dead, however it died), every process under it is killed.
- With `walls`, the command sees Lambda's file system: `/var/task`, `/opt` and the runtime read-only,
  `/tmp` writable and of bounded size, no `/dev/shm`, nothing else of the host's home or data; it
  runs as Lambda's user 993 and sees no process but its own. This takes Linux user, mount and process
  namespaces, no privileges. Without them (`--probe` tells) the command runs unwalled.
- More memory than the limit is answered as Lambda answers it: the runtime is killed.

Not done: a limit on CPU time, a network of its own.

Standard library only, because it must start fast and without anybody's site-packages.
Source: user_namespaces(7), mount(2), proc(5), prctl(2); AWS Lambda runtime environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

# Source: <sys/mount.h>, <sys/prctl.h>.
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
# statvfs's flags as mount's: an unprivileged remount must repeat what the mount has.
_KEPT_FLAGS = {2: 2, 4: 4, 8: 8, 1024: 1024, 2048: 2048, 4096: 1 << 21}

# Lambda's user and group.
_USER, _GROUP = 993, 990
_PASSWD = (
    f"root:x:0:0:root:/root:/bin/sh\nsbx_user1051:x:{_USER}:{_GROUP}::/home/sbx_user1051:/sbin/nologin\n"
)

# What the C library, the resolver and TLS read.
_ETC = ("alternatives", "ca-certificates", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
        "mime.types", "nsswitch.conf", "pki", "resolv.conf", "ssl")  # fmt: skip
_DEVICES = ("full", "null", "random", "tty", "urandom", "zero")

_POLL_S = 0.05

_libc = ctypes.CDLL(None, use_errno=True)


def main(argument: str) -> int:
    """Run what `argument` (JSON) says until its command ends or standard input does."""
    if argument == "--probe":
        _enter_namespaces()
        _mount("tmpfs", Path("/mnt"), "tmpfs", 0, "size=1m")
        return 0
    plan: dict[str, Any] = json.loads(argument)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    root = Path(plan["root"])
    if plan["walls"]:
        _enter_namespaces()
        _build_root(root, plan["mounts"], plan["tmp_mb"])
    child = os.fork()
    if child == 0:
        _become(plan, root)
    try:
        return _watch(child, plan["memory_mb"])
    finally:
        _end_all()


def _enter_namespaces() -> None:
    uid, gid = os.getuid(), os.getgid()
    os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNS | os.CLONE_NEWPID)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_USER} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{_GROUP} {gid} 1")
    _mount(None, Path("/"), None, _MS_REC | _MS_PRIVATE)


def _build_root(root: Path, mounts: list[list[str]], tmp_mb: int) -> None:
    _mount("tmpfs", root, "tmpfs", 0, "size=1m,mode=755")
    for name in ("dev", "etc", "home", "opt", "proc", "root", "tmp", "var/runtime", "var/task"):
        (root / name).mkdir(parents=True)
    for name in ("usr", "bin", "lib", "lib64", "sbin"):
        _copy_or_bind(Path("/") / name, root)
    for name in _ETC:
        _copy_or_bind(Path("/etc") / name, root)
    (root / "etc/passwd").write_text(_PASSWD)
    (root / "etc/group").write_text(f"root:x:0:\nsbx_user1051:x:{_GROUP}:\n")
    for name in _DEVICES:
        _bind(Path("/dev") / name, root, writable=True)
    (root / "dev/fd").symlink_to("/proc/self/fd")
    _bind(Path("/sys"), root)
    _mount("tmpfs", root / "tmp", "tmpfs", 0, f"size={tmp_mb}m,mode=1777")
    for source, target in mounts:
        _bind(Path(source), root, target)
    _mount(None, root, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY)


def _copy_or_bind(path: Path, root: Path) -> None:
    if path.is_symlink():
        target = path.resolve()
        # What a link in /etc points to may lie in a folder that is not bound (/run/systemd/...).
        if path.parent == Path("/etc") and target.is_file():
            _bind(target, root, str(path))
        else:
            (root / str(path).lstrip("/")).symlink_to(path.readlink())
    elif path.exists():
        _bind(path, root)


def _bind(source: Path, root: Path, target: str | None = None, *, writable: bool = False) -> None:
    place = root / (target or str(source)).lstrip("/")
    if source.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    _mount(str(source), place, None, _MS_BIND | _MS_REC)
    if not writable:
        has = os.statvfs(place).f_flag
        kept = sum(flag for bit, flag in _KEPT_FLAGS.items() if has & bit)
        _mount(None, place, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept)


def _become(plan: dict[str, Any], root: Path) -> None:
    # A failure here must not unwind into the supervisor's code: this is another process.
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if plan["walls"]:
            try:
                _mount("proc", root / "proc", "proc", 0)
            except OSError:
                # A container's masked /proc may not be mounted anew; the host's serves.
                _mount("/proc", root / "proc", None, _MS_BIND | _MS_REC)
            os.chroot(root)
        os.chdir(plan["workdir"])
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.execve(plan["command"][0], plan["command"], plan["environment"])  # noqa: S606 - no shell wanted
    except OSError as fault:
        sys.stderr.write(f"sandbox: {fault}\n")
    finally:
        os._exit(127)


def _watch(child: int, memory_mb: int) -> int:
    while True:
        readable, _, _ = select.select([0], [], [], _POLL_S)
        if readable and not os.read(0, 4096):
            return 0
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        runtime = descendants(child)
        # A shared page counts once for each process in the quick sum, so only the slow one decides.
        if sum(map(_resident_kb, runtime)) > memory_mb * 1024:
            used = sum(map(_proportional_kb, runtime))
            if used > memory_mb * 1024:
                sys.stdout.write(f"sandbox: out of memory, {used // 1024} MB of {memory_mb} MB used\n")
                sys.stdout.flush()
                _kill(runtime)


def _end_all() -> None:
    # A process killed between two looks may have left a child; as subreaper we get it, so look again.
    while True:
        _kill(descendants(os.getpid()))
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _kill(processes: list[int]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def descendants(process: int) -> list[int]:
    """Return every process under this one."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has just ended, and its children are somebody else's
    return found


def _resident_kb(process: int) -> int:
    return _sum_kb(Path(f"/proc/{process}/status"), ("RssAnon:", "RssShmem:"))


def _proportional_kb(process: int) -> int:
    return _sum_kb(Path(f"/proc/{process}/smaps_rollup"), ("Pss_Anon:", "Pss_Shmem:"))


def _sum_kb(file: Path, fields: tuple[str, ...]) -> int:
    try:
        lines = file.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has just ended
    return sum(int(line.split()[1]) for line in lines if line.startswith(fields))


def _mount(source: str | None, target: Path, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if part is None else os.fsencode(part) for part in (source, target, kind)]
    if _libc.mount(*encoded, ctypes.c_ulong(flags), None if data is None else data.encode()):
        code = ctypes.get_errno()
        raise OSError(code, f"mount: {os.strerror(code)}", str(target))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""Which processors an optimised graph may be for.

ONNX Runtime can store the weights of convolutions in blocks as wide as the processor's vectors: 8
numbers on AVX2, 16 on AVX-512 and on Arm. A graph stored so computes nonsense elsewhere, or fails, so
such files name their processors and the loader compares. Unknown processors match nothing.

Source: ONNX Runtime, `core/mlas/lib/platform.cpp` (NchwcBlockSize).
"""

from __future__ import annotations

import platform
from pathlib import Path

__all__ = ["isa_of", "this_isa"]


def this_isa() -> str:
    """Return the word for this machine's processor; it is read anew, which takes a millisecond."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux: nothing to compare by
        cpuinfo = ""
    return isa_of(platform.machine(), cpuinfo)


def isa_of(machine: str, cpuinfo: str) -> str:
    """Return e.g. `x86-64-avx2`.

    Args:
        machine: As `uname -m` says.
        cpuinfo: Text of `/proc/cpuinfo`; Linux lists a vector unit only if programs may use it.
    """
    if machine in {"aarch64", "arm64"}:
        return "aarch64-neon" if cpuinfo else "aarch64-unknown"
    if machine not in {"x86_64", "AMD64"}:
        return f"{machine or 'unknown'}-unknown"
    line = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "")
    flags = set(line.partition(":")[2].split())
    if "avx512f" in flags:
        return "x86-64-avx512"
    return "x86-64-avx2" if {"avx2", "fma"} <= flags else "x86-64-unknown"

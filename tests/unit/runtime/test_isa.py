import pytest

from hotplate.runtime.isa import isa_of


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "word"),
    [
        ("x86_64", "processor\t: 0\nflags\t\t: sse fma avx2 avx512f\n", "x86-64-avx512"),
        ("x86_64", "flags\t\t: sse fma avx2\n", "x86-64-avx2"),
        ("x86_64", "flags\t\t: sse avx2\n", "x86-64-unknown"),
        ("x86_64", "", "x86-64-unknown"),
        ("aarch64", "Features\t: fp asimd\n", "aarch64-neon"),
        ("riscv64", "isa : rv64\n", "riscv64-unknown"),
    ],
)
def test_processor_is_named_by_its_widest_vectors(machine: str, cpuinfo: str, word: str) -> None:
    assert isa_of(machine, cpuinfo) == word

"""A process's lines, read when they are asked for."""

from __future__ import annotations

import subprocess
import sys

from hotplate_tools.local.log_file import LogFile


def say(log: LogFile, data: str) -> None:
    program = f"import sys; sys.stdout.buffer.write({data})"
    subprocess.run([sys.executable, "-c", program], stdout=log.written, check=True)


def test_lines_are_there_once_they_are_complete() -> None:
    log = LogFile()
    assert log.lines() == []
    say(log, r"b'one\ntw'")
    assert log.lines() == ["one"]
    say(log, r"b'o\n\n\xff\n'")
    assert log.lines() == ["one", "two", "", "�"]
    log.close()


def test_many_bytes_are_read_to_their_end_and_stay() -> None:
    log = LogFile()
    say(log, r"b'x' * 3_000_000 + b'\nlast\n'")
    log.close()
    assert [len(line) for line in log.lines()] == [3_000_000, 4]

"""What Lambda would refuse is refused before it is deployed."""

from __future__ import annotations

import pytest

from hotplate.limits import MAX_UNZIPPED_BYTES
from hotplate_tools.failures import RefusedError
from hotplate_tools.local.sizes import Report, refuse_oversize


def test_function_at_the_limit_is_fine() -> None:
    refuse_oversize(Report(parts={}, totals={"DigitsFunction": MAX_UNZIPPED_BYTES}))


def test_function_over_the_limit_is_named() -> None:
    with pytest.raises(RefusedError, match=r"DigitsFunction: more than 262,144,000 bytes"):
        refuse_oversize(Report(parts={}, totals={"Small": 1, "DigitsFunction": MAX_UNZIPPED_BYTES + 1}))

"""msgspec without typing_extensions, whose import costs a cold start 3 ms.

msgspec takes from it what every Python that we run on has in `typing`, and takes that where it cannot be had.
Imported before anything that imports msgspec; what wants typing_extensions later gets it.
"""

from __future__ import annotations

import sys

__all__: list[str] = []

if "msgspec" not in sys.modules and "typing_extensions" not in sys.modules:
    # Python's word for a module that cannot be had.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules["typing_extensions"]

"""The part of the layers that a streaming function needs, by its path in the layer."""

from __future__ import annotations

from pathlib import Path

import orjson

import hotplate

__all__ = ["WHOLE_WRAPPER", "WRAPPER", "streaming_layer"]

# Where they are on Lambda.
WRAPPER = "/opt/python/hotplate/streaming/bootstrap"
WHOLE_WRAPPER = "/opt/python/hotplate/streaming/whole"


def streaming_layer() -> dict[str, Path]:
    """Return files by path: the runtime loop from the serving layer, and its codec from the other."""
    package = Path(hotplate.__file__).parent
    files = [package / "__init__.py", package / "http1.py", *(package / "streaming").iterdir()]
    found = {f"python/hotplate/{file.relative_to(package)}": file for file in files if file.is_file()}
    codec = [file for file in Path(orjson.__file__).parent.iterdir() if file.is_file()]
    return found | {f"python/orjson/{file.name}": file for file in codec}

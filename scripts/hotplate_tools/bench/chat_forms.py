"""Forms of smollm2's weights: `python chat_forms.py GGUF FOLDER FORM` writes one.

Runs in the trainer's environment, with hotplate's own code on the path.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hotplate_tools.models.smollm2.train import write_form

if TYPE_CHECKING:
    from hotplate_tools.models.smollm2.weights import Form

__all__: list[str] = []


def main(file: str, folder: Path, form: str) -> None:
    """Write it."""
    from gguf import GGUFReader

    write_form(GGUFReader(file), cast("Form", form), folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])

"""Forms of smollm2's weights: `python chat_forms.py GGUF FOLDER FORM...` writes each into `FOLDER/FORM`.

Runs in the trainer's environment, with hotplate's own code on the path.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

from hotplate_tools.models.smollm2.train import write_form

__all__: list[str] = []


def main(file: str, folder: Path, forms: list[str]) -> None:
    """Write them."""
    from gguf import GGUFReader

    from hotplate_tools.models.smollm2.weights import Form

    network = GGUFReader(file)
    for form in forms:
        (folder / form).mkdir()
        write_form(network, cast("Form", form), folder / form)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])

"""Where the project is: the folder that holds `template.yaml`."""

from __future__ import annotations

from pathlib import Path

from hotplate_tools.failures import FailedError

__all__ = ["project_root"]


def project_root(start: Path | None = None) -> Path:
    """Return the nearest folder at or above `start` (default: where the command runs) with a template.

    Raises:
        FailedError: There is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "template.yaml").is_file() and (folder / "layers").is_dir():
            return folder
    raise FailedError(
        f"no template.yaml at or above {here}", advice="Run the command inside a hotplate project."
    )

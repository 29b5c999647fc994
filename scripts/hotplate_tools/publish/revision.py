"""The git revision of a source: recorded when it is asked for, never by itself.

Not by itself, because the same files must be the same version everywhere: in a clone, in an archive
without git, on a branch whose history was written anew. And what is recorded is the commit that last
changed the source, not the newest one, so that a commit elsewhere makes no new version of it.

`-dirty` is appended where files differ from that commit, or a file that is published is not in git.

Source: git, "git-log", "git-status", "git-ls-files".
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from hotplate_tools.failures import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from hotplate_tools.publish.source import Source

__all__ = ["revision_of"]


def revision_of(source: Source, *, source_path: Path | None = None) -> str:
    """Return the commit, 40 or 64 hex digits, that last changed the source, `-dirty` where it is not all.

    Args:
        source: As it was read. Of a source folder the whole folder counts, of a bare file the file.
        source_path: Folder of the module that `package.module:factory` names.

    Raises:
        RefusedError: There is no git, the source is not in a work tree or in no commit of it, or the
            history is cut off, so that git would name the wrong commit.
    """
    named = [source.graph, source.golden, source.card, source.evaluation, source.folder / "model.yaml"]
    files = [file for file in named if file and file.exists()]
    whole = source_path.resolve() if source_path and not source.graph.exists() else source.folder
    scope = whole if source.spec or not source.graph.exists() else source.graph
    if _git(whole, "rev-parse", "--is-inside-work-tree") != "true":
        raise RefusedError(f"{whole} is not in a git work tree")
    if _git(whole, "rev-parse", "--is-shallow-repository") == "true":
        raise RefusedError(
            f"the history around {whole.name} is cut off: git does not know what last changed it",
            advice="git fetch --unshallow",
        )
    revision = _git(whole, "log", "-1", "--format=%H", "--", str(scope))
    if not revision:
        raise RefusedError(f"no commit holds {scope.name}", advice="Commit it, or leave the revision out.")
    changed = _git(whole, "status", "--porcelain", "--untracked-files=all", "--", str(scope))
    # Untracked ones that git was told to ignore are no change to it, but they are published.
    outside = _git(whole, "ls-files", "--others", "--", *map(str, files)) if files else ""
    return f"{revision}-dirty" if changed or outside else revision


def _git(folder: Path, *arguments: str) -> str:
    # Hooks set GIT_DIR and its like, which would mean another repository than the folder's.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # fsmonitor is a program that a repository's own settings may name.
    command = ["git", "--literal-pathspecs", "--no-optional-locks", "-c", "core.fsmonitor=false"]
    try:
        done = subprocess.run(
            [*command, "-C", str(folder), *arguments],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
        )
    except FileNotFoundError as fault:
        raise RefusedError("git is not installed, so the revision cannot be recorded") from fault
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise RefusedError(f"git tells no revision of {folder.name}: {last}")
    return done.stdout.strip()

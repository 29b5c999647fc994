"""matplotlib: first answers of `hotplate bench cold` in, a PNG file out.

A bar a kind of function, from the first request to its answer; of hotplate's the phases of its ledger, one
beside the other, and what is left: Lambda's own start, the request itself, the way there and back.
"""

from __future__ import annotations

from typing import Any

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
from wire import serve

INCHES, DPI = (8.0, 2.9), 110
INK, FAINT = "#222222", "#999999"
# Of phases in their order, and of what has none.
COLOURS = ("#94a3b8", "#0f766e", "#c2410c", "#eab308", "#7c3aed", "#2563eb", "#db2777")
WHOLE, REST = "#d4d4d4", "#f1f5f9"
# Narrower parts of the axis than this have no room for a figure.
ROOM = 0.035


def draw(job: dict[str, Any]) -> dict[str, Any]:
    """Draw `bars` into `file`."""
    bars, longest = job["bars"], max(bar["median_ms"] for bar in job["bars"])
    plt.rcParams.update({"font.size": 10, "axes.edgecolor": FAINT, "axes.labelcolor": INK})
    figure, axes = plt.subplots(figsize=INCHES, dpi=DPI, layout="constrained")
    for row, bar in enumerate(reversed(bars)):
        _bar(axes, row, bar, longest)
    axes.set_yticks(range(len(bars)), [bar["name"] for bar in reversed(bars)])
    axes.set_xlim(0, longest * 1.12)
    axes.set_xlabel("first answer of a fresh environment on this machine, median (ms)")
    axes.set_title(job["title"], loc="left", fontsize=11, color=INK)
    axes.grid(axis="x", color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=8, frameon=False, fontsize=8, columnspacing=1.2)
    figure.savefig(job["file"], metadata={"Software": None})
    plt.close(figure)
    return {"file": job["file"]}


def _bar(axes: Any, row: int, bar: dict[str, Any], longest: float) -> None:
    """Draw a bar's parts from left to right, and its length at the end."""
    at, phases = 0.0, bar["phases_ms"]
    parts = [(name, ms, COLOURS[i % len(COLOURS)]) for i, (name, ms) in enumerate(phases.items())]
    rest = bar["median_ms"] - sum(phases.values())
    parts.append(("runtime's own, and the request", rest, REST) if phases else ("", rest, WHOLE))
    for name, ms, colour in parts:
        axes.barh(row, ms, 0.6, at, color=colour, edgecolor="white", label=name or None)
        if phases and ms > ROOM * longest:
            ink = INK if colour == REST else "white"
            axes.text(at + ms / 2, row, f"{ms:,.0f}", ha="center", va="center", fontsize=8, color=ink)
        at += ms
    axes.text(bar["median_ms"] + longest * 0.01, row, f"{bar['median_ms']:,.0f} ms", va="center", color=INK)


if __name__ == "__main__":
    serve({"draw": draw})

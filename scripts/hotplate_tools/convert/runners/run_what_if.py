"""matplotlib: what ways to run a model cost by traffic in, a PNG file out.

Across: requests an hour. Up: USD an hour. Both logarithmic. A dot is where a way gets cheaper than the first,
which is Lambda's, if that can hold the model.
"""

from __future__ import annotations

from typing import Any

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter
from wire import serve

INCHES, DPI = (8.0, 4.5), 110
INK, FAINT, LAMBDA = "#222222", "#999999", "#c2410c"
OTHERS = ("#2563eb", "#7c3aed", "#059669", "#475569", "#0891b2", "#be185d")


def draw(job: dict[str, Any]) -> dict[str, Any]:
    """Draw `lines` into `file`."""
    plt.rcParams.update({"font.size": 10, "axes.edgecolor": FAINT, "axes.labelcolor": INK})
    figure, axes = plt.subplots(figsize=INCHES, dpi=DPI, layout="constrained")
    axes.set(xscale="log", yscale="log", xlabel="requests an hour, one row each", ylabel="USD an hour")
    axes.set_title(job["title"], loc="left", fontsize=11, color=INK)
    others = iter(OTHERS * len(job["lines"]))
    for line in job["lines"]:
        is_lambda = line["name"].startswith("lambda")
        colour = LAMBDA if is_lambda else next(others)
        style = "--" if "async" in line["name"] else "-"
        label = line["name"]
        if line["crossing"]:
            x, y = line["crossing"]
            label += f", cheaper from {x:,.0f}"
            axes.plot([x], [y], "o", color=colour, markersize=6, zorder=4)
        width = 2.4 if is_lambda else 1.5
        axes.plot(job["across"], line["usd"], style, color=colour, linewidth=width, label=label, zorder=3)
    if job["traffic"]:
        axes.axvline(job["traffic"], color=FAINT, linewidth=1.0, linestyle=":", label="this traffic")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(job["file"], metadata={"Software": None})
    plt.close(figure)
    return {"file": job["file"]}


if __name__ == "__main__":
    serve({"draw": draw})

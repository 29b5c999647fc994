"""matplotlib: a ranking of `hotplate choose` in, a PNG file out.

Across: p95 of one row. Up: quality. The area of a marker is peak memory, its colour the cold start, and
the line the best quality that every p95 allows. A dark edge marks what no other candidate beats; money
may be why one is there that lies under the line.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox
from wire import serve

INCHES, DPI = (8.0, 5.0), 110
# Points squared of the marker of the most memory, and the least that any has.
LARGEST, SMALLEST = 420.0, 40.0
# Colours span at least this share of the longest cold start: less is no difference to look at.
SPAN = 0.5
# Where the slowest is so many times slower than the quickest, the axis is logarithmic.
WIDE = 8.0
INK, FAINT, LINE = "#222222", "#999999", "#c2410c"


def draw(job: dict[str, Any]) -> dict[str, Any]:
    """Draw `points` into `file`."""
    points = job["points"]
    plt.rcParams.update({"font.size": 10, "axes.edgecolor": FAINT, "axes.labelcolor": INK})
    figure, axes = plt.subplots(figsize=INCHES, dpi=DPI, layout="constrained")
    _axes(axes, points, job)
    step = _step(axes, points)
    areas = _areas([point["peak_mb"] for point in points])
    drawn = axes.scatter(
        [point["p95_ms"] for point in points],
        [point["quality"] for point in points],
        s=areas,
        c=(colds := [point["cold_start_s"] for point in points]),
        cmap="viridis_r",
        vmin=min(*colds, max(colds) * (1 - SPAN)) if len(colds) > 1 else colds[0] * (1 - SPAN),
        vmax=max(colds),
        edgecolors=[INK if point["front"] else "white" for point in points],
        linewidths=1.8,
        zorder=3,
    )
    bar = figure.colorbar(drawn, ax=axes, pad=0.02)
    bar.set_label("cold start (s, estimated)")
    bar.locator = MaxNLocator(5)
    bar.formatter = FuncFormatter(lambda value, _: f"{value:.2f}")
    bar.outline.set_visible(False)
    _legend(axes, [point["peak_mb"] for point in points], areas)
    figure.canvas.draw()  # sizes of texts are known from here on
    _label(figure, axes, points, areas, step)
    figure.savefig(job["file"], metadata={"Software": None})
    plt.close(figure)
    return {"file": job["file"]}


def _axes(axes: Any, points: list[dict[str, Any]], job: dict[str, Any]) -> None:
    times = [point["p95_ms"] for point in points]
    qualities = [point["quality"] for point in points]
    least, most = max(min(times), 0.01), max(max(times), 0.01)
    if most / least > WIDE:
        axes.set_xscale("log")
        axes.set_xlim(least / (most / least) ** 0.3, most * (most / least) ** 0.25)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        margin = 0.25 * (most - least or most)
        axes.set_xlim(max(0.0, least - margin), most + margin)
    margin = 0.18 * (max(qualities) - min(qualities) or 0.05)
    axes.set_ylim(min(qualities) - margin, max(qualities) + margin)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("p95 of one row on this machine, its own steps included (ms)")
    axes.set_ylabel(f"{job['quality']} (1 is best)")
    axes.set_title(f"Candidates on {job['title']}", loc="left", fontsize=11, color=INK)
    axes.grid(color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _step(axes: Any, points: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """Draw the best quality up to every p95; return the corners."""
    across: list[float] = []
    up: list[float] = []
    for point in sorted(points, key=lambda point: (point["p95_ms"], -point["quality"])):
        if not up or point["quality"] > up[-1]:
            across.append(point["p95_ms"])
            up.append(point["quality"])
    across.append(axes.get_xlim()[1])
    up.append(up[-1])
    axes.step(across, up, where="post", color=LINE, linewidth=1.6, zorder=2)
    corners = [(across[0], up[0])]
    for x, y in zip(across[1:], up[1:], strict=True):
        corners += [(x, corners[-1][1]), (x, y)]
    return corners


def _areas(memory: list[float]) -> list[float]:
    """Return areas in proportion to memory."""
    return [max(SMALLEST, LARGEST * each / max(memory)) for each in memory]


def _legend(axes: Any, memory: list[float], areas: list[float]) -> None:
    def marker(area: float, text: str, edge: str) -> Line2D:
        size = math.sqrt(area)
        return Line2D([], [], marker="o", ls="", ms=size, mfc="#d4d4d4", mec=edge, mew=1.8, label=text)

    by_memory = sorted(zip(memory, areas, strict=True))
    ends = dict.fromkeys((by_memory[0], by_memory[-1]))
    handles = [
        Line2D([], [], color=LINE, linewidth=1.6, label="best quality for that p95"),
        marker(90.0, "beaten by none in quality, p95 and USD", INK),
        *(marker(area, f"{each:,.0f} MB peak memory", "white") for each, area in ends),
    ]
    axes.figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        fontsize=8,
        handletextpad=0.6,
        columnspacing=1.4,
    )


def _label(
    figure: Any,
    axes: Any,
    points: list[dict[str, Any]],
    areas: list[float],
    step: list[tuple[float, float]],
) -> None:
    """Write each name and its money where it covers no marker, no other label and not the line."""
    dots = figure.dpi / 72
    corners = axes.transData.transform(step)
    taken = [
        Bbox([corners[i : i + 2].min(axis=0) - 2, corners[i : i + 2].max(axis=0) + 2])
        for i in range(len(corners) - 1)
    ]
    for point, area in zip(points, areas, strict=True):
        x, y = axes.transData.transform((point["p95_ms"], point["quality"]))
        half = math.sqrt(area) / 2 * dots
        taken.append(Bbox.from_extents(x - half, y - half, x + half, y + half))
    inside = axes.get_window_extent()
    for point, area in zip(points, areas, strict=True):
        away = math.sqrt(area) / 2 + 5
        text = axes.annotate(
            f"{point['name']}\n{point['usd']:,.2f} USD a million",
            (point["p95_ms"], point["quality"]),
            textcoords="offset points",
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.8, "shrinkB": away - 5},
            fontsize=9,
            color=INK,
            linespacing=1.25,
            zorder=4,
        )
        taken.append(_placed(text, away, taken, inside, figure))


def _placed(text: Any, away: float, taken: list[Bbox], inside: Bbox, figure: Any) -> Bbox:
    """Move a label outwards until it is free; the least covered place is taken if none is."""
    sides = {(1, 0): "left", (-1, 0): "right", (0, 1): "center", (0, -1): "center"}
    sides |= {(1, 1): "left", (1, -1): "left", (-1, 1): "right", (-1, -1): "right"}
    best: tuple[float, tuple[float, float], str, str] | None = None
    for factor, ((right, above), across) in itertools.product((1.0, 1.8, 3.0, 4.5), sides.items()):
        up = {1: "bottom", 0: "center", -1: "top"}[above]
        offset = (right * away * factor, above * away * factor)
        box = _at(text, offset, across, up, figure)
        cover = sum(_shared(box, other) for other in taken)
        cover += box.width * box.height - _shared(box, inside)
        if best is None or cover < best[0]:
            best = (cover, offset, across, up)
        if not cover:
            break
    assert best is not None  # noqa: S101 - there are always places to try
    return _at(text, *best[1:], figure)


def _at(text: Any, offset: tuple[float, float], across: str, up: str, figure: Any) -> Bbox:
    text.set_position(offset)
    text.set(ha=across, va=up)
    # Of the words alone: an annotation's own extent has its line in it.
    text.update_positions(renderer := figure.canvas.get_renderer())
    return Bbox(Text.get_window_extent(text, renderer).get_points())


def _shared(one: Bbox, other: Bbox) -> float:
    found = Bbox.intersection(one, other)
    return 0.0 if found is None else float(found.width * found.height)


if __name__ == "__main__":
    serve({"draw": draw})

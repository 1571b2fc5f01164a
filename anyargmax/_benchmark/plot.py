"""A picture of the ratios, by matplotlib if it is there."""

import importlib
from typing import Any

from .judge import Row
from .workloads import FRAMEWORKS


def save(rows: list[Row], path: str) -> None:
    """Draw a bar for the ratio of each row that has a peer, and a mark at its target."""
    figures: Any = importlib.import_module("matplotlib.figure")
    rows = [row for row in rows if row["ratio"] is not None][::-1]
    figure = figures.Figure(figsize=(8, 1.5 + 0.22 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    colours = dict(zip(FRAMEWORKS, ("C0", "C1", "C2", "C3"), strict=True))
    axes.barh(
        [f"{FRAMEWORKS[row['framework']]} {row['workload']} {row['pass']}" for row in rows],
        [row["ratio"] - 1 for row in rows],
        left=1,
        color=[colours[row["framework"]] for row in rows],
    )
    marked = [(row["target"], k) for k, row in enumerate(rows) if row["target"] is not None]
    axes.plot(*zip(*marked, strict=True) if marked else ([], []), "k|", markersize=9, label="target")
    axes.axvline(1, color="grey", linewidth=1)
    axes.set(xscale="log", xlabel="our time / that of the fastest peer (left of the line: ours is faster)")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.legend()
    axes.margins(y=0.01)
    figure.savefig(path)

"""Pictures of the saved run of the benchmark, for the page on speed."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

FRAMEWORKS = {"numpy": "NumPy", "autograd": "autograd", "torch": "PyTorch", "jax": "JAX"}
WORKLOADS = ("8x10", "64x1000", "4096x1024", "256x32768", "heatmaps", "cost volume")
PASSES = {"fwd": "forward", "f+b": "forward and backward"}


def chosen(framework, which):
    """Return the rows of a framework and a pass by workload; Sphinx draws in the folder of this file."""
    rows = json.loads(Path("../benchmark.json").read_text(encoding="utf-8"))["rows"]
    return {row["workload"]: row for row in rows if (row["framework"], row["pass"]) == (framework, which)}


def ratios():
    """Draw our time over that of the fastest peer of the same framework."""
    figure, axes = plt.subplots(figsize=(5.6, 3.6))
    for k, (framework, label) in enumerate(FRAMEWORKS.items()):
        for which, text in PASSES.items():
            found = chosen(framework, which)
            drawn = [(found[name]["ratio"], y + 0.2 * k - 0.3) for y, name in enumerate(WORKLOADS) if name in found]
            drawn = [(ratio, y) for ratio, y in drawn if ratio is not None]
            if drawn:
                style = {"color": f"C{k}", "fillstyle": "full" if which == "fwd" else "none"}
                axes.plot(*zip(*drawn, strict=True), "o", label=f"{label}, {text}", **style)
    axes.axvline(1, color="0.4", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2])
    axes.minorticks_off()
    axes.set_yticks(range(len(WORKLOADS)), WORKLOADS)
    axes.invert_yaxis()
    axes.set_xlabel("our time / that of the fastest peer: left of the line, ours is faster")
    figure.legend(loc="outside upper center", ncols=2)


def memory():
    """Draw what forward and backward add to the memory in use, ours and the fastest peer's."""
    figure, panels = plt.subplots(1, 3, figsize=(5.6, 2.4), sharey=True)
    y, large = np.arange(4), WORKLOADS[2:]
    for axes, (framework, label) in zip(panels, list(FRAMEWORKS.items())[1:], strict=True):
        rows = [chosen(framework, "f+b")[name] for name in large]
        axes.barh(y - 0.2, [row["times"]["anyargmax"]["peak"] for row in rows], height=0.38, label="anyargmax")
        axes.barh(y + 0.2, [row["times"][row["best"]]["peak"] for row in rows], height=0.38, label="fastest peer")
        axes.set_title(label, fontsize=9)
        axes.set_xlabel("sizes of the input")
    panels[0].set_yticks(y, large)
    panels[0].invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)

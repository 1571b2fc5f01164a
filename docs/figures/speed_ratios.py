"""Our time over that of the fastest peer of the same framework, from the saved run of the benchmark."""

import json
from pathlib import Path

import matplotlib.pyplot as plt

FRAMEWORKS = {"numpy": "NumPy", "autograd": "autograd", "torch": "PyTorch", "jax": "JAX"}
WORKLOADS = ("8x10", "64x1000", "4096x1024", "256x32768", "heatmaps", "cost volume")

path = Path(__file__).parent.parent / "benchmark.json" if "__file__" in globals() else Path("benchmark.json")
rows = json.loads(path.read_text(encoding="utf-8"))["rows"]

figure, axes = plt.subplots(figsize=(7, 3.6))
for k, (framework, label) in enumerate(FRAMEWORKS.items()):
    for which, filled in (("fwd", True), ("f+b", False)):
        found = {row["workload"]: row["ratio"] for row in rows if (row["framework"], row["pass"]) == (framework, which)}
        drawn = [(found[name], y) for y, name in enumerate(WORKLOADS) if found.get(name)]
        shift = 0.3 - 0.2 * k
        axes.plot(
            [ratio for ratio, _ in drawn],
            [y - shift for _, y in drawn],
            "o",
            color=f"C{k}",
            fillstyle="full" if filled else "none",
            label=f"{label}, {'forward' if filled else 'forward and backward'}" if drawn else None,
        )
axes.axvline(1, color="#777777", linewidth=1)
axes.set_xscale("log")
axes.xaxis.set_major_formatter("{x:g}")
axes.set_xticks([0.1, 0.2, 0.5, 1, 2])
axes.minorticks_off()
axes.set_yticks(range(len(WORKLOADS)), WORKLOADS)
axes.invert_yaxis()
axes.set_xlabel("our time / that of the fastest peer: left of the line, ours is faster")
figure.legend(loc="outside upper center", ncols=2)

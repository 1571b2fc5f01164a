"""What forward and backward add to the memory in use, ours and the fastest peer's, from the saved run of the benchmark."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

FRAMEWORKS = {"autograd": "autograd", "torch": "PyTorch", "jax": "JAX"}
WORKLOADS = ("4096x1024", "256x32768", "heatmaps", "cost volume")

path = Path(__file__).parent.parent / "benchmark.json" if "__file__" in globals() else Path("benchmark.json")
rows = json.loads(path.read_text(encoding="utf-8"))["rows"]

figure, axes = plt.subplots(1, len(FRAMEWORKS), figsize=(7, 2.4), sharey=True)
y = np.arange(len(WORKLOADS))
for panel, (framework, label) in zip(axes, FRAMEWORKS.items(), strict=True):
    found = {row["workload"]: row for row in rows if (row["framework"], row["pass"]) == (framework, "f+b")}
    chosen = [found[name] for name in WORKLOADS]
    ours = [row["times"]["anyargmax"]["peak"] for row in chosen]
    peers = [row["times"][row["best"]]["peak"] for row in chosen]
    panel.barh(y - 0.2, ours, height=0.38, label="anyargmax")
    panel.barh(y + 0.2, peers, height=0.38, label="fastest peer")
    panel.set_title(label, fontsize=9)
    panel.set_xlabel("sizes of the input")
axes[0].set_yticks(y, WORKLOADS)
axes[0].invert_yaxis()
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)

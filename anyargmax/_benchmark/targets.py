"""How fast it should be: data, no code that measures."""

from math import prod
from typing import NamedTuple

from .workloads import BESIDE, COMPILED, DENSE, FLOAT, LARGE, PASSES

LOADING_LIMIT = 0.2  # seconds
PEAK_LIMIT = 1.05  # of forward and backward, beyond the input, in sizes of the input: the gradient is 1 of it
COPIED_BYTES = 32 * 2**20  # of scores that are to move at 90 % of the bandwidth of a copy, on an accelerator


class Target(NamedTuple):
    """The largest ratio of our time to a peer's; the best one's where none is named."""

    limit: float
    peer: str = ""


_RATIOS = {
    "64x1000": (1.0, 1.0, 0.17, 0.57, 1.0),
    "4096x1024": (0.65, 0.70, 0.10, 0.20, 0.80),
    "256x32768": (0.90, 0.20, 0.12, 0.28, 0.60),
    "heatmaps": (0.9, 0.65, 0.12, 0.35, 0.85),
    "cost volume": (0.60, 0.60, 0.15, 0.45, 0.20),
}
_COLUMNS = (("torch", "fwd"), ("torch", "f+b"), ("autograd", "f+b"), ("numpy", "fwd"), ("jax", "f+b"))

_BESIDE = {
    (w.name, "torch", which): Target(1.15, FLOAT) if w.beside == "tensor" else Target(1.0)
    for w in BESIDE
    for which in PASSES
}
_COMPILED = {
    (f"{w.name} comp", "torch", which): Target(1.15 if w.name == "8x10" else limit)
    for w in DENSE
    for which, limit in zip(PASSES, (1.10, 1.00), strict=True)
}
TARGETS = {
    (name, *column): Target(limit)
    for name, limits in _RATIOS.items()
    for column, limit in zip(_COLUMNS, limits, strict=True)
} | {
    ("8x10", "torch", "f+b"): Target(1.3, "softmax @ index"),
    ("8x10", "autograd", "f+b"): Target(0.15),
    ("8x10", "numpy", "fwd"): Target(1.0, "scipy @ index"),
    ("8x10 eager", "jax", "fwd"): Target(0.1),
    **{
        (f"{size} {alpha:g}", "torch", "fwd"): Target(limit)
        for size in ("64x32768", "16x131072")
        for alpha, limit in ((2, 0.30), (1.5, 0.40), (1.25, 0.10))
    },
    **_BESIDE,
    **_COMPILED,
}

# On an accelerator: several a row. A peer's name may be the beginning of several.
_EAGER = {
    w.name: (Target(1.0 if w.name in ("8x10", "64x1000") else 0.35), Target(1.0, COMPILED)) for w in (*DENSE, LARGE)
}
_PACKAGES = {"4096x1024 1.5": (Target(0.15, "entmax"), Target(0.5, "adasplash"))}
ON_ACCELERATOR = {
    (name, "torch", which): targets for name, targets in (_EAGER | _PACKAGES).items() for which in PASSES
} | {key: (target,) for key, target in (_BESIDE | _COMPILED).items()}

# In passes of a copy: of a call that reads once, and with its gradient reads and writes once more.
COPIED = {
    (w.name, "torch", which): passes / 0.9
    for w in (*DENSE, LARGE)
    if 4 * prod(w.shape) >= COPIED_BYTES
    for which, passes in zip(PASSES, (1, 3), strict=True)
}

"""What is counted, and how much it may be: data, no code that counts."""

from math import inf
from typing import Any, NamedTuple


class Limits(NamedTuple):
    """The most kernels, bytes in sizes of the scores, and values read by the host of a call."""

    kernels: float = inf
    passes: float = inf
    reads: float = 0

    def of(self, factor: float) -> "Limits":
        """Return the limits of a call that may do more."""
        return Limits(int(self.kernels * factor), self.passes * factor, self.reads)


class Budget(NamedTuple):
    """The limits of the value, and of the value with its gradients."""

    forward: Limits
    both: Limits


class Call(NamedTuple):
    """A function of the library, its options, which of those are arrays, and what naive code makes of it."""

    name: str
    shape: tuple[int, ...]
    function: str
    options: dict[str, Any]
    naive: str
    most: Budget
    arrays: tuple[str, ...] = ()
    learned: tuple[str, ...] = ()  # arrays with a gradient
    dtype: str = "float32"
    reached: Budget | None = None  # what it may not get behind where it misses a limit, which is shown

    def scaled(self, factor: float) -> "Call":
        """Return the same call of other lengths, none below 16 that is not below it as it stands."""
        return self._replace(shape=tuple(max(min(n, 16), round(n * factor)) for n in self.shape))


POSITION = Budget(Limits(15, 9), Limits(28, 18))
WEIGHTS = Budget(Limits(15, 8), Limits(28, 16))
MORE = Budget(POSITION.forward.of(1.6), POSITION.both.of(1.6))  # with arrays beside the scores, and in half types
SPARSE = Budget(Limits(120, inf, 1), Limits(140, inf, 1))
READS = Budget(Limits(), Limits())  # nothing but that the host waits for nothing

ROWS = (4096, 1024)
_LAST = {"axis": -1}
CALLS = (
    Call("rows", ROWS, "soft_argmax", _LAST, "position", POSITION),
    Call("long rows", (256, 32768), "soft_argmax", _LAST, "position", POSITION),
    Call("heatmaps", (32, 17, 64, 64), "spatial_soft_argmax", {}, "coordinates", POSITION),
    Call("cost volume", (1, 192, 135, 240), "soft_argmax", {"axis": 1}, "position", POSITION),
    # That weights are 0 in rows without a kept score, and below the smallest normal number, takes 3.5 passes.
    Call("weights", ROWS, "soft_one_hot", {}, "weights", WEIGHTS, reached=Budget(Limits(12, 10.6), Limits(24, 20.6))),
    # The quotient is a pass of two, and stays behind the difference: before it, large scores would lose their digits.
    Call(
        *("temperature 0.1", ROWS, "soft_argmax", _LAST | {"temperature": 0.1}, "position", POSITION),
        reached=Budget(Limits(11, 10.1), POSITION.both),
    ),
    Call("temperature tensor", ROWS, "soft_argmax", _LAST, "position", MORE, ("temperature",)),
    Call("temperature learned", ROWS, "soft_argmax", _LAST, "position", MORE, ("temperatures",), ("temperatures",)),
    Call("mask", ROWS, "soft_argmax", _LAST, "position", MORE, ("mask",)),
    Call("bfloat16", ROWS, "soft_argmax", _LAST, "position", MORE, dtype="bfloat16"),
    Call("moments", ROWS, "soft_argmax_moments", _LAST, "moments", READS),
    Call("median", ROWS, "soft_argmax", _LAST | {"readout": "median"}, "median", READS),
    Call("window", ROWS, "soft_argmax", _LAST | {"window": 3}, "window", READS),
    Call("cross-entropy", ROWS, "fenchel_young_loss", {}, "loss", READS, ("target",)),
    Call("sparsemax", (512, 1024), "soft_one_hot", {"alpha": 2}, "sparsemax", SPARSE),
    Call("1.5-entmax", (512, 1024), "soft_one_hot", {"alpha": 1.5}, "entmax15", SPARSE),
    Call("1.25-entmax", (512, 1024), "soft_one_hot", {"alpha": 1.25}, "entmax_bisect", SPARSE),
    Call("top 8, capped", (512, 1024), "soft_top_k", {"k": 8}, "", SPARSE),
)


class Graph(NamedTuple):
    """A function whose graph is exported, and how many nodes it may have."""

    name: str
    function: str
    options: dict[str, Any]
    nodes: int


SECONDS = 10.0  # for each
GRAPHS = (
    Graph("sparsemax", "soft_one_hot", {"alpha": 2}, 60),
    Graph("1.5-entmax", "soft_one_hot", {"alpha": 1.5}, 60),
    Graph("1.25-entmax", "soft_one_hot", {"alpha": 1.25}, 250),
    Graph("top 3, capped", "soft_top_k", {"k": 3}, 60),
)

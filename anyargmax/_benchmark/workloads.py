"""What is timed, and how fast it should be: data, no code that measures."""

from typing import NamedTuple

PACKAGE = __name__.rpartition("._benchmark")[0]
OURS = PACKAGE.rpartition(".")[2]
COMPILED = "torch.compile"
OURS_COMPILED = f"{COMPILED} of {OURS}"
INSTALL = f'pip install "{OURS}[bench]"'
FRAMEWORKS = {"numpy": "NumPy", "autograd": "autograd", "torch": "PyTorch", "jax": "JAX"}
PASSES = {"fwd": "forward", "f+b": "forward and backward"}
LOADING = "first call"
LOADING_LIMIT = 0.2  # seconds
PEAK_LIMIT = 1.05  # of forward and backward, beyond the input, in sizes of the input: the gradient is 1 of it
PEAK_BYTES = 8 * 2**20  # the kernel counts pages, so that a small input's peak says nothing


class Workload(NamedTuple):
    """One question: the position along an axis, the coordinates in a map, or the weights themselves."""

    name: str
    shape: tuple[int, ...]
    kind: str = "position"
    axis: int = -1
    alpha: float = 1.0
    frameworks: tuple[str, ...] = tuple(FRAMEWORKS)
    passes: tuple[str, ...] = tuple(PASSES)
    eager: bool = False  # in JAX: not compiled by the user

    def scaled(self, factor: float) -> "Workload":
        """Return the same question of other lengths, none below 2 that is not 1 as it stands."""
        return self._replace(shape=tuple(max(min(n, 2), round(n * factor)) for n in self.shape))


class Target(NamedTuple):
    """The largest ratio of our time to a peer's; the best one's where none is named."""

    limit: float
    peer: str = ""


def _sparse(kind: str, label: str) -> tuple[Workload, ...]:
    return tuple(
        Workload(f"{rows}x{n}{label} {alpha:g}", (rows, n), kind, -1, alpha, ("torch",), ("fwd",))
        for rows, n in ((64, 1000), (64, 32768), (16, 131072))
        for alpha in (2.0, 1.5, 1.25)
    )


WORKLOADS = (
    Workload("8x10", (8, 10)),
    Workload("8x10 eager", (8, 10), frameworks=("jax",), eager=True),
    Workload("64x1000", (64, 1000)),
    Workload("4096x1024", (4096, 1024)),
    Workload("256x32768", (256, 32768)),
    Workload("heatmaps", (32, 17, 64, 64), "coordinates"),
    Workload("cost volume", (1, 192, 135, 240), axis=1),
    *_sparse("weights", ""),
    *_sparse("position", " i"),
)

_RATIOS = {
    "64x1000": (1.0, 1.0, 0.17, 0.57, 1.0),
    "4096x1024": (0.65, 0.70, 0.10, 0.20, 0.80),
    "256x32768": (0.90, 0.20, 0.12, 0.28, 0.60),
    "heatmaps": (0.9, 0.65, 0.12, 0.35, 0.85),
    "cost volume": (0.60, 0.60, 0.15, 0.45, 0.20),
}
_COLUMNS = (("torch", "fwd"), ("torch", "f+b"), ("autograd", "f+b"), ("numpy", "fwd"), ("jax", "f+b"))

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
}

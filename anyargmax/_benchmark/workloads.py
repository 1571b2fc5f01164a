"""What is timed, and how fast it should be: data, no code that measures."""

from typing import NamedTuple

PACKAGE = __name__.rpartition("._benchmark")[0]
OURS = PACKAGE.rpartition(".")[2]
COMPILED = "torch.compile"
OURS_COMPILED = f"{COMPILED} of {OURS}"
FLOAT = f"{OURS}, a float"  # as the temperature
FRAMEWORKS = {"numpy": "NumPy", "autograd": "autograd", "torch": "PyTorch", "jax": "JAX"}
PASSES = {"fwd": "forward", "f+b": "forward and backward"}
DEVICES = ("cpu", "accelerator")
LOADING = "first call"
PEAK_BYTES = 8 * 2**20  # the kernel counts pages, so that a small input's peak says nothing


class Workload(NamedTuple):
    """One question: the position along an axis, the coordinates in a map, the weights themselves, or their position."""

    name: str
    shape: tuple[int, ...]
    kind: str = "position"
    axis: int = -1
    alpha: float = 1.0
    frameworks: tuple[str, ...] = tuple(FRAMEWORKS)
    passes: tuple[str, ...] = tuple(PASSES)
    eager: bool = False  # in JAX: not compiled by the user
    beside: str = ""  # what is given beside the scores: see `beside`
    dtype: str = "float32"
    compiled: bool = False  # by torch.compile, as its peer is
    devices: tuple[str, ...] = DEVICES

    @property
    def is_variant(self) -> bool:
        """Whether there is more to it than float32 scores, and no target for its memory."""
        return bool(self.beside or self.compiled or self.dtype != "float32" or self.kind == "expectation")

    def scaled(self, factor: float) -> "Workload":
        """Return the same question of other lengths, none below 2 that is not 1 as it stands."""
        return self._replace(shape=tuple(max(min(n, 2), round(n * factor)) for n in self.shape))


def _sparse(kind: str, label: str) -> tuple[Workload, ...]:
    return tuple(
        Workload(f"{rows}x{n}{label} {alpha:g}", (rows, n), kind, -1, alpha, ("torch",), ("fwd",))
        for rows, n in ((64, 1000), (64, 32768), (16, 131072))
        for alpha in (2.0, 1.5, 1.25)
    )


DENSE = (
    Workload("8x10", (8, 10)),
    Workload("64x1000", (64, 1000)),
    Workload("4096x1024", (4096, 1024)),
    Workload("256x32768", (256, 32768)),
    Workload("heatmaps", (32, 17, 64, 64), "coordinates"),
    Workload("cost volume", (1, 192, 135, 240), axis=1),
)
_KEYPOINTS = Workload("keypoints", (16, 512, 20, 20), "coordinates", frameworks=("torch",))
# Not in JAX: the gradient of what is linear is a constant, which XLA computes once.
_NOT_FOLDED = ("numpy", "autograd", "torch")
GIVEN = tuple(
    w._replace(name=f"{w.name} given", kind="expectation", frameworks=_NOT_FOLDED) for w in (*DENSE[1:3], DENSE[5])
)
LARGE = Workload("32768x1024", (32768, 1024), frameworks=("torch", "jax"), devices=("accelerator",))


def _with(workload: Workload, suffix: str, **changes) -> Workload:
    return workload._replace(name=f"{workload.name} {suffix}", frameworks=("torch",), **changes)


def _beside() -> tuple[Workload, ...]:
    """Temperatures in tensors, masks, half types: what layers call."""
    rows = DENSE[1:3]
    return (
        *(_with(w, "T[1]", beside="tensor") for w in (*rows, _KEYPOINTS)),
        *(_with(w, "T grad", beside="learned") for w in (*rows, _KEYPOINTS)),
        *(_with(w, "T rows", beside="rows") for w in rows),
        *(_with(w, "mask", beside="mask") for w in rows),
        *(_with(w, "bf16", dtype="bfloat16") for w in rows),
    )


BESIDE = _beside()
WORKLOADS = (
    DENSE[0],
    Workload("8x10 eager", (8, 10), frameworks=("jax",), eager=True),
    *DENSE[1:],
    LARGE,
    *GIVEN,
    *BESIDE,
    *(_with(w, "comp", compiled=True) for w in DENSE),
    *_sparse("weights", ""),
    *_sparse("position", " i"),
    *(
        Workload(f"4096x1024 {alpha:g}", (4096, 1024), "weights", -1, alpha, ("torch",), devices=("accelerator",))
        for alpha in (2.0, 1.5)
    ),
)

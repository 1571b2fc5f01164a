"""Where random integers come from: what a framework gives, and the generators that are made as NumPy's are."""

from collections.abc import Callable
from typing import Any, NamedTuple

from .._rules.rule import Array

_OWN_ARRAYS = ("cupy", "dask")  # whose generators give arrays of their own


class Random(NamedTuple):
    """How a framework draws integers.

    Attributes
    ----------
    kind, example
        What a key is called, and how one is made.
    owns
        ``owns(key) -> bool``: whether this is one key of the framework. Its arrays may have no values yet.
    integers
        ``integers(key, bound, lead, x)``: uniform integers from 0 to ``bound - 1``, in an array of the shape
        ``lead + x.shape`` on the device of x. The bound is a power of 2. Its dtype has a sign and at least 32 bits.
    move
        ``move(noise, x)``: the noise on the device of x, where keys have devices that may be others.
    """

    kind: str
    example: str
    owns: Callable[[Any], bool]
    integers: Callable[[Any, int, tuple[int, ...], Array], Array]
    move: Callable[[Array, Array], Array] = lambda noise, x: noise


def of_generators(xp: Any, place: Callable[[Array], dict[str, Any]]) -> Random:
    """Return how a namespace draws integers by its own generators, or by NumPy's: whatever has `integers` as those have."""
    root = xp.__name__.rpartition("array_api_compat.")[2].partition(".")[0]
    own = {"cupy": "cupy.random", "dask": "dask.array.random"}.get(root, "numpy.random")

    def owns(key):
        draws = callable(getattr(key, "integers", None)) and not isinstance(key, type)
        home = _root(type(key))
        return draws and (home == root or home not in _OWN_ARRAYS)

    def integers(key, bound, lead, x):
        if root == "dask":
            return _in_chunks(xp, key, bound, lead, x)
        drawn = key.integers(0, bound, size=(*lead, *x.shape), dtype="int32")
        return drawn if isinstance(drawn, getattr(xp, "ndarray", ())) else xp.asarray(drawn, **place(x))

    return Random(f"a {own}.Generator", f"{own}.default_rng(0)", owns, integers)


def _root(kind):
    return kind.__module__.partition(".")[0]


def _in_chunks(xp, key, bound, lead, x):
    """Integers in the chunks of x. A generator of NumPy seeds one that draws them where they are needed."""
    if _root(type(key)) != "dask":
        key = xp.random.default_rng(key.integers(0, 2**32, size=4).tolist())
    count, *draws = lead
    shape = (*lead, *x.shape)
    along = draws if 0 in shape else ["auto" for _ in draws]  # Dask divides by the size of a chunk
    return key.integers(0, bound, size=shape, dtype="int32", chunks=((count,), *along, *x.chunks))

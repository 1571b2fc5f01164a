"""What is compared: a function of arrays, its inputs, and what is known about the answers."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .tolerance import TOLERANCE, round_to

Arrays = tuple[np.ndarray, ...]


class Answers(NamedTuple):
    """Values and derivatives as float64 arrays of NumPy; what a framework has not, or was not asked for, is None.

    The derivatives belong to the cotangents and tangents of `draw`: ``gradient`` is ``J^T g`` (an array for
    each floating-point input), ``tangent`` is ``J t``, and ``second`` is the gradient of ``<t, J^T g>``. ``pulled``
    and ``pushed`` are the values that came with the VJP and the JVP, ``stored`` the dtypes of the value.
    """

    value: Arrays
    pulled: Arrays | None = None
    pushed: Arrays | None = None
    gradient: Arrays | None = None
    tangent: Arrays | None = None
    second: Arrays | None = None
    stored: tuple[str, ...] = ()
    note: str = ""


class Inputs(NamedTuple):
    """Arrays for one dtype, rounded to it and given as float64 (integers and Booleans as they are)."""

    arrays: Arrays
    dtype: str
    seed: int

    @property
    def moving(self) -> tuple[int, ...]:
        """Which of the arrays are differentiated."""
        return tuple(k for k, x in enumerate(self.arrays) if x.dtype.kind == "f")


class Problem(NamedTuple):
    """A function in every framework, and how its inputs come about.

    ``function(backend, dtype, device)`` is the function of the arrays; ``inputs(dtype, seed)`` are those;
    ``oracle(inputs)`` are independent answers; ``invariants(inputs, answers)`` are
    conditions, as triples of a name, the error in eps and how many are allowed; ``exact_zeros`` demands zeros in the same places; ``ours`` says that it is a function of this
    library, which has derivatives everywhere; ``choice`` that its derivatives are not those of its value; ``scale`` is the least that errors of its
    derivatives are relative to; ``tolerance`` is the table, in eps.
    """

    name: str
    function: Callable[..., Callable[..., Any]]
    inputs: Callable[[str, int], Inputs]
    oracle: Callable[[Inputs], Answers] | None = None
    invariants: Callable[[Inputs, Answers], list[tuple[str, float, float]]] | None = None
    exact_zeros: bool = False
    ours: bool = False
    choice: bool = False
    scale: float = 1.0
    tolerance: Mapping[str, float] = TOLERANCE


def tuple_of(y) -> tuple:
    return y if isinstance(y, tuple) else (y,)


def draw(seed: int, purpose: str, like: Arrays) -> Arrays:
    """Draw multiples of 1/16 of given shapes, which every dtype holds exactly, independently for each purpose."""
    rng = np.random.default_rng([seed, zlib.crc32(purpose.encode())])
    return tuple(np.round(16 * rng.normal(size=x.shape)) / 16 for x in like)


def cotangents(seed: int, values: Arrays) -> Arrays:
    return draw(seed, "cotangents", values)


def tangents(inputs: Inputs) -> Arrays:
    return draw(inputs.seed, "tangents", tuple(inputs.arrays[k] for k in inputs.moving))


def directions(inputs: Inputs) -> Arrays:
    """What second derivatives are contracted with, beside the tangents."""
    return draw(inputs.seed, "directions", tuple(inputs.arrays[k] for k in inputs.moving))


def rounded(arrays, dtype: str, seed: int) -> Inputs:
    """Inputs for a dtype: floating-point arrays rounded to it, everything else as it is."""
    kept = tuple(np.asarray(x) for x in arrays)
    return Inputs(tuple(round_to(x, dtype) if x.dtype.kind == "f" else x for x in kept), dtype, seed)

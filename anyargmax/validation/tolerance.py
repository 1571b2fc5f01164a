"""The one table of tolerances, and the distance of two results in multiples of eps."""

from typing import NamedTuple

import numpy as np

# In multiples of the eps of the dtype that was computed in, on results scaled to 1 (by their largest entry,
# if that is above 1). The largest errors that were measured are about a third of these.
TOLERANCE = {"value": 16, "derivative": 64}
EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
# The library computes half precision in float32.
COMPUTED_IN = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}


class Distance(NamedTuple):
    """How far a result is from what was expected where that is farthest, in eps; NaN in one only is infinitely far."""

    error: float
    allowed: float
    expected: float
    actual: float
    entry: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        return self.error <= self.allowed


def dtype_name(array) -> str:
    """``float32`` for ``torch.float32`` and its like."""
    named = getattr(array.dtype, "name", None)
    return named if isinstance(named, str) else str(array.dtype).rpartition(".")[2]


def round_to(x, dtype: str) -> np.ndarray:
    """Round to the values of a dtype (bfloat16 by cutting the significand of float32), as float64."""
    if dtype != "bfloat16":
        return np.asarray(x).astype(dtype).astype("float64")
    bits = np.asarray(x, dtype="float32").view("uint32")
    return (bits & np.uint32(0xFFFF0000)).view("float32").astype("float64")


def distance(
    actual, expected, *, tolerance: float, eps: float, stored: float = 0.0, slack: float = 0.0, least: float = 1.0
) -> Distance:
    """Return the largest distance of two arrays of one shape, in multiples of eps of their scale.

    Parameters
    ----------
    actual, expected
        Arrays of one shape.
    tolerance
        How many eps are allowed.
    eps
        Of the dtype computed in.
    stored
        The eps of the dtype stored in, which rounds once more; 0 if it is the one computed in.
    slack
        What else is allowed, such as the error of a finite difference.
    least
        The scale of results whose entries are all smaller.
    """
    actual, expected = (np.asarray(a, dtype=np.float64) for a in (actual, expected))
    if expected.size == 0:
        return Distance(0.0, tolerance, 0.0, 0.0)
    finite = np.abs(expected[np.isfinite(expected)])
    unit = eps * max(least, float(np.max(finite, initial=0.0)))
    with np.errstate(invalid="ignore"):
        error = np.where(actual == expected, 0.0, np.abs(actual - expected))
    one_nan = np.isnan(actual) != np.isnan(expected)
    error = np.where(one_nan, np.inf, np.where(np.isnan(expected), 0.0, error))
    allowed = tolerance * unit + slack + stored * np.where(np.isfinite(expected), np.abs(expected), 0.0)
    index = np.unravel_index(int(np.argmax(error - allowed)), error.shape)
    return Distance(
        float(error[index]) / unit,
        float(allowed[index]) / unit,
        float(expected[index]),
        float(actual[index]),
        tuple(map(int, index)),
    )


def within(actual, expected, dtype: str, kind: str, stored: str | None = None, *, computed_in=COMPUTED_IN) -> Distance:
    """Return the distance of a result from what was expected, by the table.

    Parameters
    ----------
    actual, expected
        Arrays of one shape.
    dtype
        Of the input.
    kind
        ``"value"`` or ``"derivative"``.
    stored
        The dtype that the result came in, if it may have been rounded to that.
    computed_in
        What a dtype is computed in.
    """
    return distance(
        actual,
        expected,
        tolerance=TOLERANCE[kind],
        eps=EPS[computed_in[dtype]],
        stored=EPS[stored] if stored else 0.0,
    )


def assert_close(actual, expected, dtype: str, kind: str, stored: str | None = None) -> None:
    """Raise an AssertionError unless a result is where it is expected, by the table."""
    assert np.shape(actual) == np.shape(expected), f"shape {np.shape(actual)} instead of {np.shape(expected)}"
    found = within(actual, expected, dtype, kind, stored)
    assert found.ok, (
        f"off by {found.error:.3g} eps at {found.entry}, allowed are {found.allowed:.3g}:\n{actual}\n{expected}"
    )

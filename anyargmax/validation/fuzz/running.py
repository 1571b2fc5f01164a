"""A drawn call in a framework: its value and its gradients, as arrays of NumPy; and how two of them are compared."""

import warnings
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..catalogue import bound
from ..evaluation import Failure
from ..frameworks import Backend, load
from ..problems import cotangents, draw, tuple_of
from ..tolerance import COMPUTED_IN, EPS, TOLERANCE, distance, dtype_name
from .case import Case

Arrays = tuple[np.ndarray, ...]


class Outcome(NamedTuple):
    """A value and the gradients of it (by the scores first), in NumPy, and the dtypes that they came in."""

    value: Arrays
    gradient: Arrays = ()
    stored: tuple[str, ...] = ()
    gradient_stored: tuple[str, ...] = ()


def is_floating(case: Case) -> bool:
    """Whether the scores have a gradient."""
    return case.dtype in COMPUTED_IN


def computed_in(case: Case, backend: Backend) -> str:
    """The dtype that the library computes the call in: the framework's default for integers."""
    default = backend.default_float if is_floating(case) is False else case.dtype
    if not is_floating(case) and backend.name == "jax":
        default = "float64"  # in the scope below
    return COMPUTED_IN[default]


@contextmanager
def scope(case: Case, backend: Backend):
    """The context in which a framework has the dtype of a call: JAX has 64 bits where they are enabled."""
    wide = "float64" if case.dtype == "float64" or not is_floating(case) else case.dtype
    with backend.scope(wide), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Output seems independent of input")  # autograd's, of gradients that are 0
        yield


def stored_in(array: Any) -> str:
    """The name of a dtype, whatever the order of its bytes."""
    name = dtype_name(array)
    return np.dtype(name).newbyteorder("=").name if name[:1] in "<>" else name


Put = Callable[[Backend, np.ndarray, str | None], Any]


def put(backend: Backend, values: np.ndarray, dtype: str | None) -> Any:
    """An array of a framework."""
    return backend.asarray(values, dtype)


def put_options(case: Case, backend: Backend, how: Put = put) -> dict[str, Any]:
    """The option arrays in a framework: those that are computed with in the dtype that the scores are computed in."""
    dtype = computed_in(case, backend)
    return {
        name: how(backend, value, dtype if value.dtype.kind == "f" else None)
        for name, value in case.call.arrays.items()
    }


def prepared(case: Case, backend: Backend, how: Put = put) -> tuple[Callable[[Any], Any], Any]:
    """Return the call as a function of the scores, and the scores, in a framework."""
    arrays = put_options(case, backend, how)
    call = case.call._replace(options=case.call.options | arrays, arrays={})
    return bound(call, None), how(backend, case.x, case.dtype)


def in_numpy(backend: Backend, y: Any) -> Arrays:
    """A value as float64 arrays of NumPy."""
    return tuple(np.asarray(backend.to_numpy(part), dtype=np.float64) for part in tuple_of(y))


def shaped(y: Any, parts: Any) -> Any:
    """Arrays in the structure of a value."""
    return tuple(parts) if isinstance(y, tuple) else parts[0]


def like(case: Case, backend: Backend, y: Any) -> Any:
    """A cotangent for a value, drawn independently of everything else."""
    gs = cotangents(case.seed, tuple(np.zeros(part.shape) for part in tuple_of(y)))
    return shaped(y, [backend.asarray(g, stored_in(part)) for g, part in zip(gs, tuple_of(y), strict=True)])


def tangent(case: Case, backend: Backend) -> Any:
    """A tangent of the scores."""
    return backend.asarray(draw(case.seed, "tangents", (case.x,))[0], case.dtype)


def pulled(case: Case, backend: Backend, f: Callable[..., Any], *arrays: Any, vjp: Any = None) -> Outcome:
    """Value and gradients of a function of arrays in a framework."""
    y, pullback = (vjp or backend.vjp)(f, *arrays)
    found = pullback(like(case, backend, y))
    gradients = [
        backend.asarray(np.zeros(x.shape), stored_in(x)) if g is None else g for g, x in zip(found, arrays, strict=True)
    ]
    return Outcome(
        in_numpy(backend, y),
        in_numpy(backend, tuple(gradients)),
        tuple(map(stored_in, tuple_of(y))),
        tuple(map(stored_in, gradients)),
    )


def outcome(case: Case, backend: Backend, how: Put = put, derivative: bool = True) -> Outcome:
    """Value of a call, and its gradient if its scores have one."""
    with scope(case, backend):
        f, x = prepared(case, backend, how)
        if derivative and is_floating(case):
            return pulled(case, backend, f, x)
        y = f(x)
        if not all(hasattr(part, "dtype") for part in tuple_of(y)):
            raise Failure(f"returned {type(y).__name__} instead of an array")
        return Outcome(in_numpy(backend, y), (), tuple(map(stored_in, tuple_of(y))))


def first(case: Case) -> Backend:
    """The framework of a case that runs in one."""
    return load(case.frameworks[0])


def text_of(x: np.ndarray) -> str:
    """An array in one line."""
    return np.array2string(np.asarray(x), separator=", ", max_line_width=10**6, threshold=24, floatmode="unique")


def assert_same(got: Arrays, want: Arrays, what: str) -> None:
    """Raise an AssertionError unless arrays are equal to the bit, NaN being equal to NaN."""
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a.shape == b.shape, f"{what}: expected shape {b.shape}, got {a.shape}"
        assert np.array_equal(a, b, equal_nan=True), (
            f"{what}: expected {text_of(b)}, got {text_of(a)}{' in part ' * bool(k)}"
        )


class Closeness(NamedTuple):
    """How near results must be: within the table of tolerances for a kind of them, in eps of what was computed in.

    ``stored`` are the dtypes that they were rounded to, ``least`` is the size that they may have whatever those are,
    and ``zeros`` demands zeros in the same places.
    """

    dtype: str
    stored: tuple[str, ...]
    kind: str
    least: float
    zeros: bool = False


def assert_near(got: Arrays, want: Arrays, what: str, by: Closeness) -> None:
    """Raise an AssertionError unless arrays agree."""
    for a, b, name in zip(got, want, by.stored, strict=True):
        assert a.shape == b.shape, f"{what}: expected shape {b.shape}, got {a.shape}"
        stored = EPS.get(name, 0.0)
        found = distance(a, b, tolerance=TOLERANCE[by.kind], eps=EPS[by.dtype], stored=stored, least=by.least)
        assert found.ok, (
            f"{what}: expected {found.expected:.9g}, got {found.actual:.9g} at {list(found.entry)}, "
            f"{found.error:.3g} eps off where {found.allowed:.3g} are allowed; expected {text_of(b)}, got {text_of(a)}"
        )
        wrong = by.zeros and np.any((a == 0) != (b == 0))
        assert not wrong, f"{what}: zeros in other places, expected {text_of(b)}, got {text_of(a)}"

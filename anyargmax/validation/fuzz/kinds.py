"""How each kind of argument is drawn, and what must be refused in its place, by the annotation in the signature.

What must be refused is written as Python, so that a failure shows it as it can be typed: ``np`` is NumPy, ``like``
makes an array of the framework out of one of NumPy.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args, get_origin

import numpy as np
from hypothesis import strategies as st

from ..._calls import annotations as named
from .case import Scene

Draw = Callable[[Any], Any]

TEMPERATURES = (0.5, 2.0, 0.25, 4, 0.1, 3.0, 1e-3, 100.0, 1e-6, 1e6, 1e-30, 1e30)
ORDERS = (2, 1.5, 1.25, 4 / 3, 1.75, 1, 1.0, 2.0, 1.1, 1 + 2.0**-20, 3, 2.5, 5, 10)
WORDS = ("'abc'", "None", "[1.0]", "(1, 2)", "{}", "1j", "np", "object()", "b'mean'", "2.5", "-1", "like(np.ones(2))")
NO_NUMBER = ("'1'", "None", "[1.0]", "True", "np.True_", "1j", "np", "np.zeros(1, dtype='c8')", "object()", "10**400")
NO_NUMBER_ARRAY = (
    "np.zeros(1, dtype=[('a', 'f4')])",
    "np.asarray([None])",
    "np.asarray(['1'])",
    "like(np.ones((2, 3, 4, 5, 6)))",
)
NO_COUNT = ("1.5", "-1", "'1'", "True", "like(np.asarray([1]))", "float('nan')", "float('inf')", "np", "1j")
NO_FLAG = (
    "0",
    "1",
    "'yes'",
    "None",
    "[True]",
    "like(np.asarray(True))",
    "np.asarray([True, False])",
    "1.0",
    "np",
    "10**400",
)
NO_AXIS = (
    "1.0",
    "'last'",
    "99",
    "-99",
    "10**400",
    "2**64",
    "True",
    "[]",
    "(0, 0)",
    "like(np.asarray([0]))",
    "float('nan')",
    "np",
    "1j",
)
NO_SCORES = ("None", "1.0", "[1.0, 2.0]", "'abc'", "np", "np.asarray(['a', 'b'])", "np.asarray([None, 1])", "np.zeros(2, dtype=[('a', 'f4')])", "np.ma.masked_array([1.0, 2.0])", "like(np.asarray([True, False]))", "np.zeros(3, dtype='c16')", "object()", "(1.0, 2.0)", "np.zeros(2, dtype='M8[s]')")  # fmt: skip


class Kind(NamedTuple):
    """One kind of argument: how to draw a value (an array of NumPy, or a plain one), and what must be refused."""

    draw: Callable[[Draw, Scene], Any]
    bad: tuple[str, ...]


def one_of(*values: Any) -> Callable[[Draw, Scene], Any]:
    """Draw one of a few values, the first being the simplest."""
    strategy = st.sampled_from(values)
    return lambda draw, scene: draw(strategy)


def bytes_of(draw: Draw, size: int) -> np.ndarray:
    """Draw so many numbers from 0 to 255 at once, which is far quicker than one by one, and shrinks to zeros."""
    return np.frombuffer(draw(st.binary(min_size=size, max_size=size)), dtype=np.uint8).astype(int)


def number(draw: Draw, limit: int) -> int:
    """Draw a number below a limit of at most 2^16, out of bytes: hypothesis prefers integers that stand in modules, and
    which of those are loaded would decide what a seed means.
    """
    high, low = bytes_of(draw, 2)
    return int(256 * high + low) % limit


def _narrowed(draw: Draw, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Draw a shape that broadcasts against another: some axes of length 1, leading ones left out."""
    cut = draw(st.integers(0, 15))
    narrowed = tuple(1 if n and cut >> k & 1 and cut & 8 else n for k, n in enumerate(shape))
    first = 1 if cut == 15 and narrowed[:1] == (1,) else 0
    return narrowed[first:]


def _of_reduced(values: tuple[float, ...]) -> Callable[[Draw, Scene], Any]:
    """Draw a number, or now and then an array of the reduced shape."""
    strategy = st.sampled_from(values)

    def drawn(draw: Draw, scene: Scene) -> Any:
        if not scene.arrays and draw(st.integers(0, 3)) != 3:
            return draw(strategy)
        shape = _narrowed(draw, scene.reduced)
        numbers = np.asarray([float(value) for value in values[:8]])
        return numbers[bytes_of(draw, int(np.prod(shape, dtype=int))) % len(numbers)].reshape(shape)

    return drawn


def _mask(draw: Draw, scene: Scene) -> np.ndarray:
    shape = _narrowed(draw, scene.shape)
    size = int(np.prod(shape, dtype=int))
    if size > 64:
        return np.random.default_rng(number(draw, 1000)).random(shape) < 0.7
    dropped = draw(st.sampled_from((3, 2, 1)))  # of 3 entries; with 3 of them whole rows go
    return (bytes_of(draw, size) % 3 < dropped - (dropped == 3)).reshape(shape)


def _positions(draw: Draw, scene: Scene) -> np.ndarray:
    n = scene.length
    laid = len(scene.axes) == 1 and draw(st.booleans())
    shape: tuple[int, ...] = (n,)
    if laid:
        shape = tuple(m if k in scene.axes else draw(st.sampled_from((1, m))) for k, m in enumerate(scene.shape))
    size = int(np.prod(shape, dtype=int))
    if size > 64:
        return np.random.default_rng(number(draw, 1000)).integers(-8, 9, shape) / 2
    return ((bytes_of(draw, size) % 33).astype(float) / 2 - 8).reshape(shape)


def _target(draw: Draw, scene: Scene) -> np.ndarray:
    """Sixteenths that sum to 1 along the axis, or indices."""
    (axis,), n = scene.axes, scene.length
    rest = tuple(m for k, m in enumerate(scene.shape) if k != axis)
    rows = int(np.prod(rest, dtype=int))
    if draw(st.booleans()):
        return (bytes_of(draw, rows) % n).astype(np.int64).reshape(rest)
    counts = np.zeros((rows, n))
    places = bytes_of(draw, min(16 * rows, 64))
    for k in range(16 * rows if rows else 0):
        counts[k // 16, places[k % len(places)] % n] += 1 / 16
    return np.moveaxis(counts.reshape((*rest, n)), -1, axis)


def _window(draw: Draw, scene: Scene) -> Any:
    return draw(st.sampled_from((1, 0, 2, 3, 100)))


def _windows(draw: Draw, scene: Scene) -> Any:
    if draw(st.booleans()):
        return tuple(draw(st.integers(0, 3)) for _ in scene.axes)
    return _window(draw, scene)


def _axis(draw: Draw, scene: Scene) -> Any:
    """Scenes of axes alone: an axis of so many, none of which is reduced yet."""
    ndim = len(scene.shape)
    return draw(st.sampled_from((-1, *range(ndim), *range(-ndim, -1))))


def _several(draw: Draw, scene: Scene) -> tuple[int, ...]:
    ndim = len(scene.shape)
    order = draw(st.permutations(range(ndim)))
    signs = draw(st.integers(0, 15))
    chosen = order[: draw(st.integers(1, min(ndim, 3)))]
    return tuple(axis - ndim if signs >> k & 1 else axis for k, axis in enumerate(chosen))


def _axis_or_all(draw: Draw, scene: Scene) -> Any:
    return None if not scene.shape or draw(st.integers(0, 5)) == 5 else _axis(draw, scene)


def _axes_or_all(draw: Draw, scene: Scene) -> Any:
    way = draw(st.integers(0, 3)) if scene.shape else 3
    return None if way == 3 else _several(draw, scene) if way == 2 else _axis(draw, scene)


# Those that come first, because all others depend on what is reduced.
AXES: dict[Any, Kind] = {
    named.Axis: Kind(_axis, (*NO_AXIS, "None", "(0,)")),
    named.AxisOrAll: Kind(_axis_or_all, (*NO_AXIS, "(0,)")),
    named.AxesOrAll: Kind(_axes_or_all, (*NO_AXIS, "()")),
    named.Axes: Kind(_several, (*NO_AXIS, "None", "0", "()", "(0, 'a')", "(0, 1.0)", "(0, 99)")),
}
ARRAYS: dict[Any, tuple[str, ...]] = {named.Scores: NO_SCORES, named.Shares: NO_SCORES}
KINDS: dict[Any, Kind] = {
    bool: Kind(one_of(True, True, True, False), NO_FLAG),
    int: Kind(one_of(1, 0, 2, 3), NO_COUNT),
    int | None: Kind(one_of(1, None, 0, 2, 3), NO_COUNT),
    float: Kind(one_of(1.0, 0.5, 2.0, 3), NO_NUMBER),
    named.Temperature: Kind(
        _of_reduced(TEMPERATURES),
        (*NO_NUMBER, *NO_NUMBER_ARRAY, "0", "-1.0", "float('nan')", "-float('inf')", "-(10**400)", "like(np.asarray(0.0))"),
    ),
    named.Order: Kind(
        _of_reduced(ORDERS),
        (*NO_NUMBER, *NO_NUMBER_ARRAY, "0.5", "-1", "float('nan')", "float('inf')", "like(np.asarray(float('inf')))", "like(np.asarray(0.5))"),
    ),
    named.OrderNumber: Kind(one_of(*ORDERS), (*NO_NUMBER, "0.5", "-1", "float('nan')", "float('inf')", "like(np.asarray([1.5]))")),
    named.Mask: Kind(
        _mask,
        ("True", "'abc'", "[True]", "1.0", "np", "like(np.ones(1))", "np.asarray([None])", "like(np.ones((2, 3, 4, 5, 6), dtype=bool))"),
    ),
    named.Positions: Kind(
        _positions,
        ("[0.0]", "'abc'", "1.0", "np", "like(np.ones(1, dtype=bool))", "np.asarray([1j])", "like(np.ones((2, 3, 4, 5, 6)))", "like(np.ones(99))"),
    ),
    named.Window: Kind(_window, (*NO_COUNT, "(1, 2)", "()", "-(2**64)")),
    named.Windows: Kind(_windows, (*NO_COUNT, "(1, 2, 3, 4, 5)", "()", "(-1,)", "('a',)", "-(2**64)")),
    named.Count: Kind(lambda draw, scene: draw(st.integers(1, scene.length)), (*NO_COUNT, "0", "10**400", "None")),
    named.Target: Kind(
        _target,
        ("None", "[0]", "0", "'abc'", "np", "like(np.ones((2, 3, 4, 5, 6)))", "like(np.asarray([[True]]))", "np.asarray([None])"),
    ),
    named.Power: Kind(
        one_of(10.0, 2.0, 3, 1.0, 0.5), (*NO_NUMBER, "0", "-1.0", "float('nan')", "float('inf')", "like(np.asarray([2.0]))")
    ),
    named.Rounds: Kind(one_of(1, 0, 2, 3), (*NO_COUNT, "None")),
}  # fmt: skip


def kind_of(annotation: Any, name: str) -> Kind:
    """Return how an argument is drawn.

    Raises
    ------
    TypeError
        If nothing says how: no option is ever left out in silence.
    """
    if get_origin(annotation) is Literal:
        return Kind(one_of(*get_args(annotation)), WORDS)
    for table in (KINDS, AXES):
        if annotation in table:
            return table[annotation]
    raise TypeError(
        f"`{name}` must be annotated with bool, a Literal or a name of `_calls/annotations.py`, got {annotation!r}. "
        f"Name its kind there, and say in `{__name__}.KINDS` how it is drawn and what must be refused."
    )

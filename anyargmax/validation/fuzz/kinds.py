"""How each kind of argument is drawn, and what must be refused in its place, by the annotation in the signature.

What must be refused is written as Python, so that a failure shows it as it can be typed: ``np`` is NumPy, ``like``
makes an array of the framework out of one of NumPy.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args, get_origin

from hypothesis import strategies as st

from ..._calls import annotations as named
from . import values
from .case import Scene
from .values import Draw, one_of

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


# Those that come first, because all others depend on what is reduced.
AXES: dict[Any, Kind] = {
    named.Axis: Kind(values.axis, (*NO_AXIS, "None", "(0,)")),
    named.AxisOrAll: Kind(values.axis_or_all, (*NO_AXIS, "(0,)")),
    named.SomeAxes: Kind(values.some_axes, (*NO_AXIS, "None", "()")),
    named.AxesOrAll: Kind(values.axes_or_all, (*NO_AXIS, "()")),
    named.Axes: Kind(values.several, (*NO_AXIS, "None", "0", "()", "(0, 'a')", "(0, 1.0)", "(0, 99)")),
}
ARRAYS: dict[Any, tuple[str, ...]] = {named.Scores: NO_SCORES, named.Shares: NO_SCORES, named.Weights: NO_SCORES}
KINDS: dict[Any, Kind] = {
    bool: Kind(one_of(True, True, True, False), NO_FLAG),
    int: Kind(one_of(1, 0, 2, 3), NO_COUNT),
    int | None: Kind(one_of(1, None, 0, 2, 3), NO_COUNT),
    float: Kind(one_of(1.0, 0.5, 2.0, 3), NO_NUMBER),
    named.Temperature: Kind(
        values.of_reduced(TEMPERATURES),
        (*NO_NUMBER, *NO_NUMBER_ARRAY, "0", "-1.0", "float('nan')", "-float('inf')", "-(10**400)", "like(np.asarray(0.0))"),
    ),
    named.Scale: Kind(  # a number a row at most, as Gumbel noise has it
        values.of_reduced(TEMPERATURES),
        (*NO_NUMBER, *NO_NUMBER_ARRAY, "0", "-1.0", "float('nan')", "-float('inf')", "-(10**400)", "like(np.asarray(0.0))"),
    ),
    named.Order: Kind(
        values.of_reduced(ORDERS),
        (*NO_NUMBER, *NO_NUMBER_ARRAY, "0.5", "-1", "float('nan')", "float('inf')", "like(np.asarray(float('inf')))", "like(np.asarray(0.5))"),
    ),
    named.OrderNumber: Kind(one_of(*ORDERS), (*NO_NUMBER, "0.5", "-1", "float('nan')", "float('inf')", "like(np.asarray([1.5]))")),
    named.Mask: Kind(
        values.mask,
        ("True", "'abc'", "[True]", "1.0", "np", "like(np.ones(1))", "np.asarray([None])", "like(np.ones((2, 3, 4, 5, 6), dtype=bool))"),
    ),
    named.Positions: Kind(
        values.positions,
        ("[0.0]", "'abc'", "1.0", "np", "like(np.ones(1, dtype=bool))", "np.asarray([1j])", "like(np.ones((2, 3, 4, 5, 6)))", "like(np.ones(99))"),
    ),
    named.Window: Kind(values.window, (*NO_COUNT, "(1, 2)", "()", "-(2**64)")),
    named.Windows: Kind(values.windows, (*NO_COUNT, "(1, 2, 3, 4, 5)", "()", "(-1,)", "('a',)", "-(2**64)")),
    named.Count: Kind(lambda draw, scene: draw(st.integers(1, scene.length)), (*NO_COUNT, "0", "10**400", "None")),
    named.Target: Kind(
        values.target,
        ("None", "[0]", "0", "'abc'", "np", "like(np.ones((2, 3, 4, 5, 6)))", "like(np.asarray([[True]]))", "np.asarray([None])"),
    ),
    named.Power: Kind(
        one_of(10.0, 2.0, 3, 1.0, 0.5), (*NO_NUMBER, "0", "-1.0", "float('nan')", "float('inf')", "like(np.asarray([2.0]))")
    ),
    named.Ignored: Kind(
        one_of(-100, 0, 1, None), ("1.5", "'1'", "True", "like(np.asarray([1]))", "float('nan')", "[0]", "np", "1j")
    ),
    named.Rounds: Kind(one_of(1, 0, 2, 3), (*NO_COUNT, "None")),
    named.Members: Kind(one_of(None), ("0", "'nobody'", "('a', 'b')", "()", "True", "np", "object()", "[1]", "like(np.ones(1))")),
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

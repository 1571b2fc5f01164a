"""A drawn call, in no framework yet."""

from typing import Any, NamedTuple

import numpy as np

from ..catalogue import Call
from ..invariants import axes_of, rows_of


class Scene(NamedTuple):
    """What the options of a call depend on: the shape of the scores and what is reduced."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]  # not negative, in the order given
    dtype: str
    arrays: bool = False  # whether options that may be arrays are

    @property
    def reduced(self) -> tuple[int, ...]:
        """The shape with the reduced axes of length 1."""
        return tuple(1 if axis in self.axes else n for axis, n in enumerate(self.shape))

    @property
    def length(self) -> int:
        """How many entries are reduced to one answer."""
        return int(np.prod([self.shape[axis] for axis in self.axes], dtype=int))


class Case(NamedTuple):
    """A drawn call: its options are in ``call``, and its scores are the numbers of ``dtype`` in x, given as float64.

    ``frameworks`` are those that it runs in; ``pick`` is a drawn number for choices that only one property has.
    ``recipe`` is Python that makes x where that is shorter than x itself.
    """

    call: Call
    x: np.ndarray
    dtype: str
    seed: int
    pick: int
    frameworks: tuple[str, ...]
    recipe: str = ""

    @property
    def axes(self) -> tuple[int, ...]:
        """The reduced axes, not negative, in the order given."""
        return axes_of(self.call, self.x.ndim)

    @property
    def scene(self) -> Scene:
        return Scene(self.x.shape, self.axes, self.dtype)

    @property
    def mask(self) -> np.ndarray:
        """The mask in the shape of the scores, True everywhere without one."""
        return np.broadcast_to(self.call.arrays.get("mask", np.asarray(True)), self.x.shape)

    def option(self, name: str, default: Any = None) -> Any:
        """An option of the call, number or array."""
        return self.call.arrays.get(name, self.call.options.get(name, default))

    @property
    def temperature(self) -> Any:
        """What scores are divided by, number or array; the scale of noise is one."""
        return self.option("temperature", self.option("scale", 1.0))

    def rows(self, values) -> np.ndarray:
        """One row for each answer of something that broadcasts against the scores."""
        return rows_of(self.call, np.broadcast_to(values, self.x.shape))

    def with_options(self, **options) -> "Case":
        """The case with other options: arrays and everything else; None takes one away."""
        arrays = {name: v for name, v in options.items() if isinstance(v, np.ndarray)}
        plain = {name: v for name, v in options.items() if v is not None and name not in arrays}
        old = {name: v for name, v in self.call.options.items() if name not in options}
        old_arrays = {name: v for name, v in self.call.arrays.items() if name not in options}
        return self._replace(call=self.call._replace(options=old | plain, arrays=old_arrays | arrays))

    def with_scores(self, x: np.ndarray) -> "Case":
        """The case with other scores."""
        return self._replace(x=x, recipe="", call=self.call._replace(shape=x.shape))

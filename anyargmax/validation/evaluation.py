"""Run a function in one framework: its value, and what its derivatives make of given directions."""

import warnings
from typing import Any

import numpy as np

from .frameworks import Backend
from .problems import Answers, Inputs, Problem, cotangents, tangents, tuple_of
from .tolerance import dtype_name

# Frameworks that differentiate some functions only: NumPy and its like those of this library, autograd those that
# know its arrays. Elsewhere a derivative that raises is a failure.
UNSURE = ("numpy", "autograd", "array_api_strict", "dask", "cupy")


def summary(error: BaseException) -> str:
    """The first line of an error, after its kind."""
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, Failure):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Failure(Exception):
    """A function that raised in a framework, or answered with something that is no array of it."""


def _float64(backend: Backend, arrays) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(backend.to_numpy(x), dtype=np.float64) for x in arrays)


def _shaped(value, parts):
    return tuple(parts) if isinstance(value, tuple) else parts[0]


class Cell:
    """A problem in one framework, dtype and device, with its inputs in place."""

    def __init__(self, problem: Problem, backend: Backend, inputs: Inputs, device: Any = None):
        self.problem, self.backend, self.inputs, self.device = problem, backend, inputs, device
        self.arrays = tuple(
            self.put(x, inputs.dtype if k in inputs.moving else None) for k, x in enumerate(inputs.arrays)
        )
        self.f = problem.function(backend, inputs.dtype, device)

    def put(self, values, dtype=None):
        return self.backend.asarray(values, dtype, self.device)

    def moved(self, moving) -> tuple:
        """The arrays with the differentiated ones replaced."""
        arrays = list(self.arrays)
        for k, x in zip(self.inputs.moving, moving, strict=True):
            arrays[k] = x
        return tuple(arrays)

    def of_moving(self, *moving):
        return self.f(*self.moved(moving))

    @property
    def moving(self) -> tuple:
        return tuple(self.arrays[k] for k in self.inputs.moving)

    def value_at(self, moving: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """The value where the differentiated inputs are given NumPy arrays."""
        y = self.of_moving(*(self.put(x, self.inputs.dtype) for x in moving))
        return _float64(self.backend, tuple_of(y))

    def gradient_at(self, moving: tuple[np.ndarray, ...], gs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """The gradient where the differentiated inputs are given NumPy arrays."""
        value, pullback = self.backend.vjp(self.of_moving, *(self.put(x, self.inputs.dtype) for x in moving))
        return self._filled(pullback(self.cotangents(value, gs)))

    def cotangents(self, value, gs):
        parts = [self.put(g, dtype_name(y)) for g, y in zip(gs, tuple_of(value), strict=True)]
        return _shaped(value, parts)

    def _filled(self, found):
        """Gradients in NumPy, zeros where a framework has None."""
        zeros = [np.zeros(self.inputs.arrays[k].shape) for k in self.inputs.moving]
        return tuple(
            zero if x is None else np.asarray(self.backend.to_numpy(x), dtype=np.float64)
            for x, zero in zip(found, zeros, strict=True)
        )

    def tangents(self):
        return tuple(self.put(t, self.inputs.dtype) for t in tangents(self.inputs))

    def answers(self, order: int) -> Answers:
        """Value, and for order 1 its VJP and JVP, for order 2 the second derivative too, of all that the framework has."""
        y = self.f(*self.arrays)
        if not all(hasattr(part, "dtype") and hasattr(part, "shape") for part in tuple_of(y)):
            raise Failure(f"returned {type(y).__name__} instead of an array or a tuple of arrays")
        answers = Answers(_float64(self.backend, tuple_of(y)), stored=tuple(map(dtype_name, tuple_of(y))))
        if order < 1 or not self.inputs.moving:
            return answers
        try:
            return self._differentiated(y, answers, order)
        except Exception as error:
            if self.problem.ours or self.backend.name not in UNSURE:
                raise
            by_rules = self.backend.second is None
            note = "values only: it differentiates single calls of this library" if by_rules else summary(error)
            return answers._replace(note=note if by_rules else f"no derivative ({note})")

    def _differentiated(self, y, answers: Answers, order: int) -> Answers:
        if self.backend.second is None and len(self.inputs.moving) > 1:
            return answers._replace(note="values only: it differentiates by one array")
        twice = self.backend.second if order > 1 and self.inputs.dtype in ("float32", "float64") else None
        g = self.cotangents(y, cotangents(self.inputs.seed, answers.value))

        def derivatives(moving, g, ts):
            pulled, pullback = self.backend.vjp(self.of_moving, *moving)
            gradient = tuple(pullback(g))
            pushed, tangent = self.backend.jvp(self.of_moving, tuple(moving), tuple(ts))
            return pulled, gradient, pushed, tangent, twice and twice(self.of_moving, moving, g, ts)

        run = self.backend.compile(derivatives) if self.problem.ours else derivatives
        with warnings.catch_warnings():  # autograd's, of derivatives that are rightly 0
            warnings.filterwarnings("ignore", "Output seems independent of input")
            pulled, gradient, pushed, tangent, second = run(self.moving, g, self.tangents())
        return answers._replace(
            pulled=_float64(self.backend, tuple_of(pulled)),
            pushed=_float64(self.backend, tuple_of(pushed)),
            gradient=self._filled(gradient),
            tangent=_float64(self.backend, tuple_of(tangent)),
            second=None if second is None else _float64(self.backend, second),
        )

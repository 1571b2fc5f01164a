"""Answer the calls of the catalogue by the oracle: value, products with the Jacobian, and second derivatives."""

from decimal import Decimal
from functools import lru_cache, partial

import numpy as np

from .catalogue import BY_ID, Call
from .oracle import decimals, draws, functions
from .problems import Answers, Inputs, cotangents, directions, tangents, tuple_of


def _options(call: Call):
    arrays = {
        name: value if name in ("mask", "target", "chosen") else decimals.exact(value)
        for name, value in call.arrays.items()
    }
    return {name: value for name, value in call.options.items() if name != "group"} | arrays  # of whole rows


def exactly(call: Call, x):
    """The oracle's value of the call, of an array of decimal numbers."""
    oracle = functions if hasattr(functions, call.function) else draws
    return getattr(oracle, call.function)(x, **_options(call))


def smooth(call: Call, x):
    """The function whose derivatives at x are those of the call: its value, or what a choice has the derivatives of."""
    surrogate = getattr(draws, f"smooth_{call.function}", None)
    return partial(exactly, call) if surrogate is None else partial(surrogate, at=x, **_options(call))


@decimals.precise
def jacobian_products(call: Call, x, gs, t):
    """``J^T g``, column by column, and ``J t``."""
    f = smooth(call, x)
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        unit = decimals.exact(np.zeros(x.shape))
        unit[index] = decimals.ONE
        columns = tuple_of(decimals.derivative(f, x, unit))
        gradient[index] = float(sum(_dot(g, column) for g, column in zip(gs, columns, strict=True)))
    return gradient, tuple(map(decimals.rounded, tuple_of(decimals.derivative(f, x, t))))


def _dot(g, y):
    """Inner product in which what is NaN or infinite, whatever the scores, has no part."""
    return sum((a * b for a, b in zip(np.ravel(g), np.ravel(y), strict=True) if b.is_finite()), decimals.ZERO)


@decimals.precise
def curvature(f, x, t, u):
    """``t^T H u`` of a scalar function, by differences of differences."""
    h = Decimal(10) ** -12
    return (f(x + h * t + h * u) - f(x + h * t - h * u) - f(x - h * t + h * u) + f(x - h * t - h * u)) / (4 * h * h)


def expected(call: Call, given: Inputs, order: int = 1) -> Answers:
    """The oracle's answers: value, VJP and JVP, and ``<second, u>`` for order 2."""
    return _expected(call.id, given.arrays[0].tobytes(), given.arrays[0].shape, given.dtype, given.seed, order)


@lru_cache(maxsize=1024)
def _expected(call_id: str, content: bytes, shape: tuple[int, ...], dtype: str, seed: int, order: int) -> Answers:
    call = BY_ID[call_id]
    given = Inputs((np.frombuffer(content).reshape(shape),), dtype, seed)
    x = decimals.exact(given.arrays[0])
    value = tuple(map(decimals.rounded, tuple_of(exactly(call, x))))
    if not order:
        return Answers(value)
    gs = tuple(map(decimals.exact, cotangents(seed, value)))
    gradient, tangent = jacobian_products(call, x, gs, decimals.exact(tangents(given)[0]))
    answers = Answers(value, gradient=(gradient,), tangent=tangent)
    return answers if order == 1 else answers._replace(second=(_contraction(call, given, x, gs),))


def _contraction(call: Call, given: Inputs, x, gs) -> np.ndarray:
    """The second derivative of ``<g, f>`` along the tangents and the directions."""
    t, u = (decimals.exact(draw(given)[0]) for draw in (tangents, directions))
    f = smooth(call, x)

    def scalar(z):
        return sum(_dot(g, y) for g, y in zip(gs, tuple_of(f(z)), strict=True))

    return np.asarray(float(curvature(scalar, x, t, u)))

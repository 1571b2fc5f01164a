"""Softmax by sums along the axes as they lie, for the compilers of accelerators and for axes that may be sharded."""

import math
from typing import NamedTuple

from ..._rules.jacobian import jacobian_product
from ..._rules.relaxations import Relaxation
from ..._rules.rule import Array
from ..._rules.scores import divided, square_root
from ..kernel import Kernel, KernelOps, Traced
from .sums import Form, distances, expectation, factors, kept, largest, tangent, tangent_temperature


def is_softmax(ops: KernelOps, *args, axes, relaxation: Relaxation) -> bool:
    return relaxation.alpha == 1 and len(axes) > 0


def _expectation(ops: KernelOps, x, temperature, alpha, mask, positions, *, axes, relaxation, limits) -> Array:
    return expectation(ops, x, temperature, mask, positions, Form(axes))


def _tangent_of(tangent):
    def jvp(ops: KernelOps, t, y, x, temperature, alpha, mask, positions, *, axes, relaxation, limits) -> Array:
        return tangent(ops, t, x, temperature, mask, positions, Form(axes))

    return jvp


def weights(ops: KernelOps, x, temperature, alpha, mask, *, axes, relaxation, limits) -> Array:
    """Scores to weights, exactly 0 below the smallest normal number."""
    xp = ops.xp
    e = xp.exp(distances(ops, kept(ops, x, mask), temperature, axes)[1])
    total = xp.sum(e, axis=axes, keepdims=True)
    p = e / xp.where(total == 0, 1.0, total)
    return xp.where(p < float(xp.finfo(p.dtype).smallest_normal), 0.0, p)


class _Slopes(NamedTuple):
    """What a derivative of the weights is made of."""

    s: Array  # proportional to the weights
    total: Array  # its sum
    before: Array  # which tangents are looked at
    after: Array  # and at which entries their deviation from the mean is


def _slopes(ops: KernelOps, p, x, temperature, axes) -> _Slopes:
    """Return the weights on a CPU. Elsewhere, exponentials that are made again cost less than weights that are read."""
    xp = ops.xp

    def of_weights():
        score, value = ops.detach(x), ops.detach(p)
        spread = (score == math.inf) & (value == value)
        before, after = (value != 0) & (score != -math.inf), ~((value == 0) | spread)
        return p, xp.ones_like(largest(ops, x, axes)), before, after

    def of_exponentials():
        f = factors(ops, x, temperature, None, (), Form(axes))
        return f.e, f.total, f.moves, f.moves

    return _Slopes(*ops.compiler.on_platform(cpu=of_weights, default=of_exponentials))


def _weights_moved(ops: KernelOps, f: _Slopes, t, temperature, axes) -> Array:
    """``p_i (t_i - sum_j p_j t_j) / T`` of tangents that are 0 where they are not looked at."""
    xp, half = ops.xp, square_root(ops, temperature)
    t = divided(t, half)
    deviation = xp.where(f.after, t - xp.sum(f.s * t, axis=axes, keepdims=True) / f.total, 0.0)
    return divided(f.s * deviation / f.total, half)


def _weights_tangent(ops: KernelOps, t, p, x, temperature, alpha, mask, *, axes, relaxation, limits) -> Array:
    """What a tangent of the scores does to the weights."""
    slopes = _slopes(ops, p, kept(ops, x, mask), temperature, axes)
    return _weights_moved(ops, slopes, ops.xp.where(slopes.before, t, 0.0), temperature, axes)


def _weights_tangent_temperature(
    ops: KernelOps, t, p, x, temperature, alpha, mask, *, axes, relaxation, limits
) -> Array:
    """What a tangent of the temperature does to the weights: that of ``-z t`` with ``z = (x - top) / T``."""
    x = kept(ops, x, mask)
    slopes = _slopes(ops, p, x, temperature, axes)
    still = (ops.detach(x) == math.inf) | ~slopes.before
    z = ops.xp.where(still, 0.0, x - largest(ops, x, axes)) / temperature
    return _weights_moved(ops, slopes, -z * t, temperature, axes)


def product(ops: KernelOps, v, p, x, temperature, alpha, mask, *, axes, relaxation, divisor, limits) -> Array | None:
    """``J v / divisor`` at weights p of a relaxation with slopes; None if it has none.

    What does not move shows in a score and its weight: no row is looked at.
    """
    if relaxation.product is not None:
        return None
    xp, value, score = ops.xp, ops.detach(p), ops.detach(kept(ops, x, mask))
    still = (score == -math.inf) | ((score == math.inf) & (value == value))
    moved = jacobian_product(ops, v, p, alpha, relaxation, axes, still | (value == 0))
    return xp.where(still, 0.0, divided(moved, divisor))


_OF_WEIGHTS = Traced(is_softmax, forward=weights, jvp=_weights_tangent, jvp_temperature=_weights_tangent_temperature)
OF_POSITIONS = Traced(
    is_softmax, forward=_expectation, jvp=_tangent_of(tangent), jvp_temperature=_tangent_of(tangent_temperature)
)
REDUCTIONS = Kernel(
    "reductions",
    traced={
        **dict.fromkeys(("weights", "dense_weights"), _OF_WEIGHTS),
        "expectation": OF_POSITIONS,
    },
    product=product,
    needs=("compiler",),
)

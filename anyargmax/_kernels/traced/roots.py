"""Entmax and capped winners in few operations, for code that is compiled, exported or transformed.

The weights p are solved on scores that are held. With ``J(p)`` for the Jacobian of a relaxation and d for the move of the
scores, of value 0, ``p + J(p + J(p) d / 2) d`` has their value, and their derivatives to second order: the midpoint rule.
"""

import math

from ..._rules.jacobian import jacobian_product
from ..._rules.relaxations import ENTMAX, WINNERS, Relaxation
from ..._rules.rule import Array
from ..kernel import Kernel, KernelOps, Traced
from . import thresholds
from .distances import quotient, shifted

LOWEST_ALPHA = 1.01  # below, the digits of a threshold are not enough
CAPPED = WINNERS["capped"].name


def is_solvable(ops: KernelOps, x, alpha, axes, relaxation: Relaxation) -> bool:
    """Whether weights have a threshold that is found in few operations: those of a number alpha along one axis."""
    if alpha is not None or len(axes) != 1:
        return False
    if relaxation.name == CAPPED:
        return True
    order = relaxation.alpha
    if relaxation.name != ENTMAX.name or order is None or not LOWEST_ALPHA <= order <= 2:
        return False
    n = x.shape[axes[0]]  # a symbol in exports
    return not isinstance(n, int) or n ** (order - 1) * float(ops.xp.finfo(x.dtype).eps) <= 2.0**-4


def _fits(ops: KernelOps, x, temperature, alpha, *args, axes, relaxation: Relaxation) -> bool:
    return not ops.is_concrete(x) and is_solvable(ops, x, alpha, axes, relaxation)


def entmax_weights(ops: KernelOps, z: Array, alpha: float, axis: int) -> Array:
    """Return the weights of scores of which none has a derivative, and the largest is 0; 0 in a row of ``-inf`` alone."""
    xp = ops.xp
    sorts = alpha in thresholds.SORTED and not ops.fuses()
    root = (thresholds.by_sorting if sorts else thresholds.by_steps)(ops, z, alpha, axis)
    p = thresholds.weights_at(ops, z, root, alpha)
    top = xp.max(z, axis=axis, keepdims=True)
    p = p / xp.sum(p, axis=axis, keepdims=True)
    return xp.where((p < float(xp.finfo(p.dtype).smallest_normal)) | (top == -math.inf), 0.0, p)


def _entmax(ops: KernelOps, x, temperature, mask, axis, relaxation):
    """The weights, the move of the scores of value 0, and where it is nothing: out of reach of the largest score."""
    xp = ops.xp
    distance, _ = shifted(ops, x, mask, (axis,))
    reach = -1 / (relaxation.alpha - 1)
    far = ops.detach(distance) <= (reach if temperature is None else reach * ops.detach(temperature))
    z = quotient(ops, distance, temperature, far)
    held = ops.detach(z)
    return entmax_weights(ops, xp.where(far, -math.inf, held), relaxation.alpha, axis), z - held, None


def _capped(ops: KernelOps, x, temperature, mask, axis, relaxation):
    """The weights, the move of the scores of value 0, and which weights are 1 because fewer than k scores are kept."""
    xp, k = ops.xp, relaxation.k
    distance, kth = shifted(ops, x, mask, (axis,), k)
    value = ops.detach(distance)
    far = xp.abs(value) >= (1.0 if temperature is None else ops.detach(temperature))
    z = quotient(ops, distance, temperature, far)
    held = ops.detach(z)
    clipped = xp.where(far, xp.where(value > 0, 1.0, -1.0), held)
    p = thresholds.clipped(ops, clipped - thresholds.of_winners(ops, clipped, k, axis))
    few = kth == -math.inf
    return xp.where(few, xp.astype(value != -math.inf, p.dtype), p), z - held, few


def _weights(ops: KernelOps, x, temperature, alpha, mask, *, axes, relaxation, limits) -> Array:
    """Scores to weights, which do not move where they are 0."""
    xp = ops.xp
    solve = _capped if relaxation.name == CAPPED else _entmax
    p, move, still = solve(ops, x, temperature, mask, axes[0], relaxation)
    middle = p
    if relaxation.alpha not in (2, None):
        middle = p + jacobian_product(ops, move / 2, p, None, relaxation, axes, None)
    moved = jacobian_product(ops, move, middle, None, relaxation, axes, None)
    still = p == 0 if still is None else still | (p == 0)
    return p + xp.where(still, 0.0, moved)


ROOTS = Kernel(
    "roots", traced=dict.fromkeys(("weights", "dense_weights"), Traced(_fits, composite=_weights)), needs=("fuses",)
)

"""Entmax and capped winners in few operations, for code that is compiled, exported or transformed.

The weights p are solved on scores that are held. With ``J(p)`` for the Jacobian of a relaxation and d for the move of the
scores, of value 0, ``p + J(p + J(p) d / 2) d`` has their value, and their derivatives to second order: the midpoint rule.
"""

import math

from ..._rules.jacobian import jacobian_product
from ..._rules.relaxations import ENTMAX, WINNERS, Relaxation
from ..._rules.rule import Array
from ..kernel import Kernel, KernelOps, Traced
from ..layout import are_foldable, are_neighbours, folded, of, reshaped
from . import thresholds
from .distances import above_kth, quotient, shifted

LOWEST_ALPHA = 1.01  # below, the digits of a threshold are not enough
CAPPED = WINNERS["capped"].name


def is_solvable(ops: KernelOps, x, alpha, axes, relaxation: Relaxation) -> bool:
    """Whether weights have a threshold that is found in few operations: those of a number alpha along neighbouring axes."""
    if alpha is not None or not are_neighbours(axes):
        return False
    if relaxation.name == CAPPED:
        return True
    order = relaxation.alpha
    if relaxation.name != ENTMAX.name or order is None or not LOWEST_ALPHA <= order <= 2:
        return False
    n = math.prod([x.shape[axis] for axis in axes])  # a symbol in exports
    return not isinstance(n, int) or n ** (order - 1) * float(ops.xp.finfo(x.dtype).eps) <= 2.0**-4


def _fits(ops: KernelOps, x, temperature, alpha, *args, axes, relaxation: Relaxation) -> bool:
    return not ops.is_concrete(x) and are_foldable(x, axes) and is_solvable(ops, x, alpha, axes, relaxation)


def entmax_weights(ops: KernelOps, z: Array, empty: Array, alpha: float, axis: int) -> Array:
    """Return the weights of scores that do not move, of which the largest is 0; 0 in rows that are empty."""
    xp = ops.xp
    sorts = alpha in thresholds.SORTED and not ops.ordering.fuses()
    u = z if alpha == 2 else z * (alpha - 1)
    root = (thresholds.by_sorting if sorts else thresholds.by_steps)(ops, u, alpha, axis)
    p = thresholds.weights_at(ops, u, root, alpha)
    p = p / xp.sum(p, axis=axis, keepdims=True)
    return xp.where((p < float(xp.finfo(p.dtype).smallest_normal)) | empty, 0.0, p)


def _entmax(ops: KernelOps, x, temperature, mask, axis, relaxation, moves):
    """The weights, the scores that move them if they are to, and the largest score of each row."""
    distance, top = shifted(ops, x, mask, (axis,))
    z, held = None, ops.detach(distance)
    if moves or temperature is not None:
        reach = -1 / (relaxation.alpha - 1)  # further from the largest, a score has no weight
        far = held <= (reach if temperature is None else reach * ops.detach(temperature))
        z = quotient(ops, distance, temperature, far)
        held = ops.xp.where(far, -math.inf, ops.detach(z))
    return entmax_weights(ops, held, top == -math.inf, relaxation.alpha, axis), z, top


def _capped(ops: KernelOps, x, temperature, mask, axis, relaxation, moves):
    """The weights, the scores that move them if they are to, and the k-th largest score of each row."""
    xp, k = ops.xp, relaxation.k
    distance, kth = above_kth(ops, x, mask, k, axis)
    z, held = None, ops.detach(distance)
    if moves or temperature is not None:
        far = xp.abs(held) >= (1.0 if temperature is None else ops.detach(temperature))  # a weight is 0 or 1 there
        z = quotient(ops, distance, temperature, far)
        held = xp.where(far, xp.where(held > 0, 1.0, -1.0), ops.detach(z))
    else:
        held = xp.clip(held, -1.0, 1.0)
    return thresholds.clipped(ops, held - thresholds.of_winners(ops, held, k, axis)), z, kth


def solved(ops: KernelOps, x, temperature, mask, axis: int, relaxation: Relaxation, moves: bool = False):
    """Return the weights; scores over T, of those that may move them, None unless `moves` or there is a T; the reference."""
    return (_capped if relaxation.name == CAPPED else _entmax)(ops, x, temperature, mask, axis, relaxation, moves)


def _weights(ops: KernelOps, x, temperature, alpha, mask, *, axes, relaxation, limits) -> Array:
    """Scores to weights, along the one axis that neighbouring ones are made."""
    if len(axes) == 1:
        return _along(ops, x, temperature, mask, axes[0], relaxation)
    layout = of(x, axes)
    temperature, mask = folded(ops, layout, x, temperature), folded(ops, layout, x, mask)
    return reshaped(ops, _along(ops, ops.xp.reshape(x, layout.folded), temperature, mask, 1, relaxation), x.shape)


def _along(ops: KernelOps, x, temperature, mask, axis, relaxation) -> Array:
    """Scores to weights, which do not move where they are 0."""
    moves = ops.is_recorded(x, temperature)
    p, z, _ = solved(ops, x, temperature, mask, axis, relaxation, moves)
    if not moves:
        return p
    move, middle = z - ops.detach(z), p
    if relaxation.alpha not in (2, None):
        middle = p + jacobian_product(ops, move / 2, p, None, relaxation, (axis,), None)
    moved = jacobian_product(ops, move, middle, None, relaxation, (axis,), None)
    return p + ops.xp.where(p == 0, 0.0, moved)


ROOTS = Kernel(
    "roots",
    traced=dict.fromkeys(("weights", "dense_weights"), Traced(_fits, composite=_weights)),
    needs=("ordering",),
)

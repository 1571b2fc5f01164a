"""What a loss may be given as a target: weights that are a distribution, or indices that exist."""

from typing import Any

from .._frameworks.registry import Ops
from .._rules.losses import are_weights
from .._rules.rule import Array
from .validate import described, has_kind, is_readable, real_floating


def target_of(ops: Ops, target: Any, shape: tuple[int, ...], axis: int) -> Array:
    """Return target weights of the scores' shape, or target indices of the shape without the axis."""
    if not has_kind(ops, target, ("real floating", "integral")):
        raise TypeError(
            f"`target` must be an array of weights or of integer indices, got {described(target)}. Pass one of these."
        )
    indices = ops.xp.isdtype(target.dtype, "integral")
    expected = (*shape[:axis], *shape[axis + 1 :]) if indices else shape
    if tuple(target.shape) != expected:
        what = "indices, of the scores' shape without the axis," if indices else "weights, of the scores' shape,"
        raise ValueError(f"`target` must be {what} {expected}, got shape {tuple(target.shape)}. Give one target a row.")
    if is_readable(ops, target):
        with ops.eagerly():
            (_check_indices if indices else _check_weights)(ops, ops.detach(target), shape[axis], axis)
    return target


def _check_indices(ops: Ops, target, n, axis):
    wrong = (target < 0) | (target >= n)
    if bool(ops.xp.any(wrong)):
        raise ValueError(
            f"`target` must hold indices from 0 to {n - 1}, got {target}. Mask or drop rows without a target."
        )


def _check_weights(ops: Ops, target, n, axis):
    if not bool(ops.xp.all(are_weights(ops, target, axis, real_floating(ops, target, "target")))):
        raise ValueError(
            f"`target` must be weights >= 0 that sum to 1 along the axis, got {target}. Normalise it first."
        )

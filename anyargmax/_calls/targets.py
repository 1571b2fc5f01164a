"""What a loss may be given as a target: weights that are a distribution, or indices that exist."""

import numbers
from typing import Any

from .._frameworks.registry import Ops
from .._rules.losses import are_weights, have_scores
from .._rules.positions import entries
from .._rules.rule import Array
from .validate import described, has_kind, is_boolean, is_readable


def target_of(
    ops: Ops, target: Any, x: Array, mask: Array | None, axes: tuple[int, ...], ignored: int | None
) -> tuple[Array, int | None]:
    """Return target weights of the scores' shape, or target indices of the shape without the axes, and the ignored index.

    Rows that do not count are not looked at: those with the ignored index, and those without any kept score.
    """
    shape = tuple(x.shape)
    if not has_kind(ops, target, ("real floating", "integral")):
        raise TypeError(
            f"`target` must be an array of weights or of integer indices, got {described(target)}. Pass one of these."
        )
    rest = tuple(n for axis, n in enumerate(shape) if axis not in axes)
    indices = bool(ops.xp.isdtype(target.dtype, "integral"))
    _check_shape(target, shape, rest, indices)
    if indices and int(ops.xp.iinfo(target.dtype).max) < 2**31 - 1:  # which may count less far than there are entries
        target = ops.xp.astype(target, ops.xp.int32)
    if ignored is not None and not indices:
        raise ValueError(
            f"`ignore_index` must be None with target weights, got {ignored}. Leave rows out with `mask`, or pass indices."
        )
    if indices and ignored is not None and not _is_in_range(ops, ignored, target.dtype):
        ignored = None  # no index is that, and some dtypes would wrap it
    if is_readable(ops, target):
        with ops.eagerly():
            value = ops.detach(target)
            count = entries(ops, x, axes)
            wrong = _wrong_indices(value, count, ignored) if indices else _wrong_weights(ops, value, axes)
            if bool(ops.xp.any(wrong)) and _matters(ops, wrong, x, mask, axes):
                _refuse(target, indices, count, ignored)
    return target, ignored


def _check_shape(target, shape, rest, indices):
    expected = rest if indices else shape
    got = tuple(target.shape)
    if len(got) == len(expected) and all(None in (n, m) or n == m for n, m in zip(got, expected, strict=True)):
        return
    what = "indices, of the scores' shape without the axis," if indices else "weights, of the scores' shape,"
    done = "Give one target a row."
    if not indices and got == rest:
        done = f"Convert indices of classes, here of dtype {target.dtype}, to integers."
    raise ValueError(f"`target` must be {what} {expected}, got shape {got}. {done}")


def _is_in_range(ops: Ops, number: int, dtype: Any) -> bool:
    """Whether an integer dtype has a number."""
    limits = ops.xp.iinfo(dtype)
    return int(limits.min) <= number <= int(limits.max)


def _wrong_indices(target, count, ignored):
    wrong = (target < 0) | (target >= count)
    return wrong if ignored is None else wrong & (target != ignored)


def _wrong_weights(ops: Ops, target, axes):
    return ~are_weights(ops, target, axes)


def _matters(ops: Ops, wrong, x, mask, axes) -> bool:
    """Whether a row with a wrong target has a kept score, as far as can be seen; what cannot be, makes its row NaN later."""
    if mask is not None and not is_readable(ops, mask):
        return False
    if is_readable(ops, x):
        return bool(ops.xp.any(wrong & have_scores(ops, x, mask, axes)))
    return mask is None or bool(ops.xp.any(wrong & ops.xp.any(ops.xp.broadcast_to(mask, x.shape), axis=axes)))


def _refuse(target, indices, count, ignored):
    if indices:
        but = "" if ignored is None else f" or {ignored}"
        raise ValueError(
            f"`target` must hold indices from 0 to {count - 1}{but}, got {target}. Name the index of rows without a target "
            "by `ignore_index`, or mask these rows."
        )
    raise ValueError(f"`target` must be weights >= 0 that sum to 1 along the axis, got {target}. Normalise it first.")


def ignored_index(value: Any) -> int | None:
    """Return the index of rows that do not count."""
    if value is None:
        return None
    if is_boolean(value) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`ignore_index` must be an integer or None, got {described(value)}. Pass such as -100.")
    return int(value)

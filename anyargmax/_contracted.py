"""The expectation under softmax as one contraction, for frameworks whose compiler handles that best.

``sum e`` and ``sum c e`` of a row are the product of ``e = exp(z - max z)`` with a table ``[1, c]``. A compiler may
compute a sum again inside each use of it, for every entry of the row; a product it computes once.
"""

import math

from ._relaxations import Relaxation
from ._rule import Array
from ._scores import kept_and_reference, scaled


def fits(ops, alpha, axes, relaxation: Relaxation) -> bool:
    """Whether the framework contracts, and the weights are softmax's along neighbouring axes in order."""
    r = relaxation
    if ops.contract is None or r.kind != "entmax" or r.k is not None or alpha is not None or r.alpha != 1:
        return False
    return axes == tuple(range(axes[0], axes[0] + len(axes)))


def _merged(ops, x, shape, axes):
    """The axes as one, behind all before them and before all behind them; a number or None stays what it is."""
    if not hasattr(x, "shape"):
        return x
    n = math.prod(x.shape[axis] for axis in axes)
    before, after = math.prod(shape[: axes[0]]), math.prod(shape[axes[-1] + 1 :])
    return ops.xp.reshape(x, (before, n) if axes[-1] == len(shape) - 1 else (before, n, after))


def _table(ops, shape, positions, axes):
    """``[1, c]`` for the entries along the merged axes: shape (1 + number of positions, n)."""
    xp = ops.xp
    sizes = tuple(shape[axis] for axis in axes)
    laid = [xp.broadcast_to(xp.reshape(c, (-1,) + (1,) * (len(sizes) - k - 1)), sizes) for k, c in enumerate(positions)]
    rows = xp.stack([xp.ones_like(laid[0]), *laid])
    return xp.reshape(rows, (1 + len(positions), math.prod(sizes)))


def _parts(ops, x, temperature, mask, table):
    """``e = exp(z)``, the sum of each row of it, and the expected positions, those first."""
    xp = ops.xp
    z, keep = scaled(ops, x, temperature, mask, (1,))
    e = xp.exp(z) if keep is None else xp.where(keep, xp.exp(z), 0.0)
    if e.ndim == 2:
        sums = xp.moveaxis(ops.contract(e, table, axes=((1,), (1,))), 1, 0)
    else:
        sums = ops.contract(table, e, axes=((1,), (1,)))
    total = sums[:1, ...]
    empty = ops.detach(total) == 0
    total = xp.where(empty, 1.0, total)
    return e, total, xp.where(empty, float("nan"), sums[1:, ...] / total)


def _arguments(ops, x, temperature, mask, positions, axes):
    shape = tuple(x.shape)
    mask = mask if mask is None else ops.xp.broadcast_to(mask, shape)
    merged = [_merged(ops, array, shape, axes) for array in (x, temperature, mask)]
    return *merged, _table(ops, shape, positions, axes)


def _restored(ops, y, shape, axes):
    """Answers first to answers last, and the other axes as they were."""
    others = tuple(n for axis, n in enumerate(shape) if axis not in axes)
    return ops.xp.moveaxis(ops.xp.reshape(y, (y.shape[0], *others)), 0, -1)


def expectation(ops, x, temperature, mask, positions, axes) -> Array:
    """``sum_i c_i p_i``, one answer for each of the positions, stacked last."""
    _, _, y = _parts(ops, *_arguments(ops, x, temperature, mask, positions, axes))
    return _restored(ops, y, x.shape, axes)


def tangent(ops, t, x, temperature, mask, positions, axes) -> Array:
    """``sum_i p_i (c_i - y) t_i / T``: its transpose broadcasts, where that of a contraction would multiply out."""
    xp, shape = ops.xp, tuple(x.shape)
    x, temperature, mask, table = _arguments(ops, x, temperature, mask, positions, axes)
    e, total, y = _parts(ops, x, temperature, mask, table)
    _, _, peak = kept_and_reference(ops, x, mask, (1,))
    t = xp.where(peak | (ops.detach(e) == 0), 0.0, _merged(ops, t, shape, axes))
    t = t * (e / xp.expand_dims(total[0, ...], axis=1))
    t = t if temperature is None else t / temperature
    moved = []
    for k in range(len(positions)):
        c = xp.reshape(table[k + 1, :], (-1,) + (1,) * (x.ndim - 2))
        moved.append(xp.sum((c - xp.expand_dims(y[k, ...], axis=1)) * t, axis=1))
    return _restored(ops, xp.stack(moved), shape, axes)

"""The expectation under softmax as one contraction, for frameworks whose compiler handles that best.

``sum e`` and ``sum c e`` of a row are the product of ``e = exp(z - max z)`` with a table ``[1, c]``. A compiler may
compute a sum again inside each use of it, for every entry of the row; a product it computes once.
"""

import math

from ._relaxations import Relaxation
from ._rule import Array
from ._scores import kept_and_reference, largest, scaled


def fits(ops, alpha, axes, relaxation: Relaxation) -> bool:
    """Whether the framework contracts, and the weights are softmax's along neighbouring axes in order."""
    r = relaxation
    if ops.contract is None or r.kind != "entmax" or r.k is not None or alpha is not None or r.alpha != 1:
        return False
    return axes == tuple(range(axes[0], axes[0] + len(axes)))


def _merged(ops, x, shape, axes):
    """The axes as one, behind all before them and before all behind them; a number or None stays what it is."""
    if getattr(x, "ndim", 0) == 0:
        return x
    n = math.prod(x.shape[axis] for axis in axes)
    before, after = math.prod(shape[: axes[0]]), math.prod(shape[axes[-1] + 1 :])
    return ops.xp.reshape(x, (before, n) if axes[-1] == len(shape) - 1 else (before, n, after))


def _table(ops, shape, positions, axes):
    """``[1, c]`` for the entries along the merged axes: the 1 and each of the positions, shape (n,)."""
    xp = ops.xp
    sizes = tuple(shape[axis] for axis in axes)
    laid = [xp.broadcast_to(xp.reshape(c, (-1,) + (1,) * (len(sizes) - k - 1)), sizes) for k, c in enumerate(positions)]
    return [xp.reshape(c, (math.prod(sizes),)) for c in (xp.ones_like(laid[0]), *laid)]


def _exponentials(ops, x, temperature, mask, apart=False):
    """``e = exp((x - max) / T)``, and in which rows the largest score is ``+inf``.

    Without a mask the care for infinities is taken once a row: a selection for each entry is one that a compiler
    may not vectorise. In a row with ``+inf``, those entries are capped at 0 and half of any finite score, less the
    largest finite number, is as good as ``-inf``.
    """
    xp = ops.xp
    if mask is not None:
        z, keep = scaled(ops, x, temperature, mask, (1,))
        return xp.where(keep, xp.exp(z), 0.0), kept_and_reference(ops, x, mask, (1,))[2]
    top = largest(ops, ops.detach(x), (1,))
    top = ops.apart(top) if apart else top
    peak = top == math.inf
    shift = xp.where(peak, float(xp.finfo(x.dtype).max), xp.where(top == -math.inf, 0.0, top))
    z = xp.minimum(
        x * xp.where(peak, 0.5, xp.ones_like(top)) - shift, xp.where(peak, 0.0, math.inf * xp.ones_like(top))
    )
    if temperature is not None:
        z = z / xp.where(peak, 1.0, temperature * xp.ones_like(top))
    return xp.exp(z), peak


def _parts(ops, x, temperature, mask, table):
    """``e``, in which rows the weights cannot move, the sum of each row, and the expected positions, those first."""
    xp = ops.xp
    e, peak = _exponentials(ops, x, temperature, mask)
    rows = xp.stack(table)
    if e.ndim == 2:
        sums = xp.matrix_transpose(ops.contract(e, rows, axes=((1,), (1,))))
    else:
        sums = xp.moveaxis(ops.matmul(xp.broadcast_to(rows, (e.shape[0], *rows.shape)), e), 1, 0)
    total = sums[:1, ...]
    empty = ops.detach(total) == 0
    total = xp.where(empty, 1.0, total)
    return e, peak, total, xp.where(empty, float("nan"), sums[1:, ...] / total)


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
    *_, y = _parts(ops, *_arguments(ops, x, temperature, mask, positions, axes))
    return _restored(ops, y, x.shape, axes)


def tangent(ops, t, x, temperature, mask, positions, axes) -> Array:
    """``sum_i p_i (c_i - y) t_i / T``: its transpose broadcasts, where that of a contraction would multiply out."""
    xp, shape = ops.xp, tuple(x.shape)
    x, temperature, mask, table = _arguments(ops, x, temperature, mask, positions, axes)
    e, peak, total, y = _parts(ops, x, temperature, mask, table)
    if mask is None and shape != x.shape:
        # The same again rather than kept: for reshaped scores a compiler gives what it keeps a buffer of its own.
        e, peak = _exponentials(ops, x, temperature, mask, apart=True)
    t = xp.where(peak | (ops.detach(e) == 0), 0.0, _merged(ops, t, shape, axes))
    t = t * (e / xp.expand_dims(total[0, ...], axis=1))
    t = t if temperature is None else t / temperature
    moved = []
    for k in range(len(positions)):
        c = xp.reshape(table[k + 1], (-1,) + (1,) * (x.ndim - 2))
        moved.append(xp.sum((c - xp.expand_dims(y[k, ...], axis=1)) * t, axis=1))
    return _restored(ops, xp.stack(moved), shape, axes)

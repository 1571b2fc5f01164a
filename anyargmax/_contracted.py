"""The expectation under softmax as one contraction, for frameworks whose compiler handles that best.

``sum e`` and ``sum c e`` of a row are the product of ``e = exp(z - max z)`` with a table ``[1, c]``: a compiler does not
compute a product again inside what uses it, as it may a sum.
"""

from ._readouts import expand
from ._relaxations import Relaxation
from ._rule import Array
from ._scores import kept_and_reference, scaled


def fits(ops, alpha, relaxation: Relaxation) -> bool:
    """Whether the weights are softmax's and the framework contracts."""
    r = relaxation
    return ops.contract is not None and r.kind == "entmax" and r.k is None and alpha is None and r.alpha == 1


def _table(ops, x, positions, axes):
    """``[1, c]`` for the entries along the axes, in their order: shape (n, ..., 1 + number of positions)."""
    xp = ops.xp
    n = tuple(x.shape[axis] for axis in axes)
    laid = [
        xp.broadcast_to(xp.reshape(c, (1,) * k + (n[k],) + (1,) * (len(n) - k - 1)), n) for k, c in enumerate(positions)
    ]
    return xp.stack([xp.ones_like(laid[0]), *laid], axis=-1)


def _parts(ops, x, temperature, mask, positions, axes):
    """``e`` and, for each row, its sum and the expected positions."""
    xp = ops.xp
    z, keep = scaled(ops, x, temperature, mask, axes)
    e = xp.exp(z) if keep is None else xp.where(keep, xp.exp(z), 0.0)
    sums = ops.contract(e, _table(ops, x, positions, axes), axes=(axes, tuple(range(len(axes)))))
    total = sums[..., :1]
    empty = ops.detach(total) == 0
    total = xp.where(empty, 1.0, total)
    return e, total, xp.where(empty, float("nan"), sums[..., 1:] / total)


def expectation(ops, x, temperature, mask, positions, axes) -> Array:
    """``sum_i c_i p_i``, one answer for each of the positions, stacked last."""
    return _parts(ops, x, temperature, mask, positions, axes)[2]


def tangent(ops, t, x, temperature, mask, positions, axes) -> Array:
    """``sum_i p_i (c_i - y) t_i / T``: of a cotangent it broadcasts, where a contraction would multiply out."""
    xp = ops.xp
    e, total, y = _parts(ops, x, temperature, mask, positions, axes)
    _, _, peak = kept_and_reference(ops, x, mask, axes)
    t = xp.where(peak | (ops.detach(e) == 0), 0.0, t) * (e / expand(ops, total[..., 0], axes))
    t = t if temperature is None else t / temperature
    moved = [xp.sum((c - expand(ops, y[..., k], axes)) * t, axis=axes) for k, c in enumerate(positions)]
    return xp.stack(moved, axis=-1)

"""The relaxations: scores to weights, ``p = phi(z - tau)`` with ``sum p = 1``, and their one Jacobian.

Every map of the family has the Jacobian ``diag(s) - s s^T / sum(s)`` with ``s = phi'(z - tau)``,
which depends on the scores through the weights alone.
"""

from ._rule import Array


def softmax(ops, z: Array, keep: Array, axes: tuple[int, ...]) -> Array:
    """Weights ``exp(z) / sum exp(z)`` over the kept entries; a row that keeps none has weights 0."""
    xp = ops.xp
    e = xp.where(keep, xp.exp(z), 0.0)
    total = xp.sum(e, axis=axes, keepdims=True)
    return e / xp.where(ops.detach(total) == 0, 1.0, total)


def jacobian_product(ops, v: Array, p: Array, axes: tuple[int, ...], dead: Array) -> Array:
    """Return ``J v = s * (v - <s, v> / sum(s))``; J is symmetric, so this is both JVP and VJP.

    `dead` marks entries whose derivative is 0 whatever `v` holds there (even NaN).
    """
    xp = ops.xp
    s = p  # softmax: phi = exp, so phi' = phi
    v = xp.where(dead, 0.0, v)
    total = xp.sum(s, axis=axes, keepdims=True)
    total = xp.where(ops.detach(total) == 0, 1.0, total)
    return s * (v - xp.sum(s * v, axis=axes, keepdims=True) / total)

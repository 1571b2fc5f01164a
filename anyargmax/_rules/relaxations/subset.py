"""The marginals of a random k-subset whose probability is proportional to ``exp(sum of its scores)``: softmax at k = 1.

The weights are no function of one score and a threshold, but any threshold may be taken from the scores: it multiplies the
weights of all subsets by one number. With that of the sigmoid, the probabilities of independent members that sum to k, the
weight of k members is among the largest of all numbers of them, so that nothing underflows.
"""

from functools import partial

from ..ops import RuleOps
from ..rule import Array
from ..scores import log_smallest
from ..subsets import filled, grown, grown_in_blocks, leaves, moments, outside
from .sigmoid import SIGMOID


def _tilt(ops: RuleOps, r, root, sums, order):
    """Take a step to the threshold of the sigmoid, none if the sum is within 1/2 of k: it need not be exact."""
    move, over = SIGMOID.move(ops, r, root, sums, order)
    return ops.xp.where(ops.xp.abs(over) < 0.5, 0.0, move), over


def _stay(ops: RuleOps, r, root, sums, order):
    """Leave the threshold as it is: nothing moves with it."""
    return ops.xp.zeros_like(root), None


def members(ops: RuleOps, root: Array, z: Array, keep: Array) -> tuple[Array, Array, Array]:
    """Return the probabilities of members and of others, each without a difference from 1, and where the first are larger.

    A constant factor of the odds is the threshold: subtracted from the scores, it would cost them digits.
    """
    xp = ops.xp
    far = -log_smallest(ops, z.dtype)
    root = xp.clip(root, -far, far)
    high = ops.detach(z) >= root
    odds = xp.exp(xp.where(high, -z, z)) * xp.where(high, xp.exp(root), xp.exp(-root))  # at most 1, or its rounding
    larger = 1 / (1 + odds)
    smaller = odds * larger
    p, q = xp.where(high, larger, smaller), xp.where(high, smaller, larger)
    return xp.where(keep, p, 0.0), xp.where(keep, q, 1.0), high


def _in_front(ops: RuleOps, axes, blocks, *arrays):
    """Return arrays with the axis of rows in front of the others, or with the axes of the entries in blocks and of blocks."""
    for a in (ops.moveaxis(a, axes[0], 0) for a in arrays):
        yield a if blocks == 1 else ops.moveaxis(ops.xp.reshape(a, (blocks, -1, *a.shape[1:])), 0, 1)


def _put_back(ops: RuleOps, axes, blocks, a):
    """Return an array with the axis of rows where it was."""
    if blocks > 1:
        a = ops.moveaxis(a, 1, 0)
        a = ops.xp.reshape(a, (-1, *a.shape[2:]))
    return ops.moveaxis(a, 0, axes[0])


def _tree(ops: RuleOps, leaf, blocks, k):
    return grown(ops, leaf, k) if blocks == 1 else grown_in_blocks(ops, leaf, k)


def _marginals(ops: RuleOps, r, root, z, keep, order, axes):
    return ops.by_rows(partial(_marginals_of_rows, r=r, axes=axes), z, keep, root, axes=axes, kept=True)


def _marginals_of_rows(ops: RuleOps, z, keep, root, r, axes):
    xp = ops.xp
    blocks = ops.blocks(z, axes[0])
    p, q = _in_front(ops, axes, blocks, *members(ops, root, z, keep)[:2])
    n, leaf = p.shape[0], leaves(ops, q, p)
    outer = outside(ops, _tree(ops, leaf, blocks, r.k), r.k)
    one = p * outer[0, :n, ...]
    total = q * outer[1, :n, ...] + one
    mu = one / xp.where(ops.detach(total) == 0, 1.0, total)
    mu = xp.where(ops.detach(mu) < float(xp.finfo(mu.dtype).smallest_normal), 0.0, mu)
    return _put_back(ops, axes, blocks, mu)


def _covariances(ops: RuleOps, r, v, root, z, keep, axes):
    return ops.by_rows(partial(_covariances_of_rows, r=r, axes=axes), v, root, z, keep, axes=axes, kept=True)


def _covariances_of_rows(ops: RuleOps, v, root, z, keep, r, axes):
    """Return the covariance of each indicator with ``V = sum_j v_j b_j``.

    With the probabilities p of independent members and ``d = E[b] - p``, it is ``E[(b_i - p_i) sum_j v_j (b_j - p_j)] - d_i
    <d, v>``, in which nothing is larger than among independent members. A constant in all v changes nothing, as their sum is
    k. Their mean by the variances ``s = p q`` is subtracted. All is symmetric, so that its transpose has the same digits.
    """
    xp, blocks = ops.xp, ops.blocks(z, axes[0])
    p, q, high, v = _in_front(ops, axes, blocks, *members(ops, root, z, keep), v)
    row = (0,) if blocks == 1 else (0, 1)
    n, s, leaf = p.shape[0], p * q, leaves(ops, q, p)
    fixed = ops.detach(s)
    share = xp.sum(fixed, axis=row, keepdims=True)
    share = fixed / xp.where(share == 0, 1.0, share)
    v = v - xp.sum(share * v, axis=row, keepdims=True)
    moved = filled(ops, s * v, leaf.shape[1])
    outer, first = moments(ops, _tree(ops, leaf, blocks, r.k), xp.stack([-moved, moved], axis=0), r.k)
    one, none = p * outer[0, :n, ...], q * outer[1, :n, ...]
    total = one + none
    total = xp.where(ops.detach(total) == 0, 1.0, total)
    one, none = one / total, none / total
    d = xp.where(high, q - none, one - p)
    others = s / total * (first[0, :n, ...] - first[1, :n, ...])
    moved = others + (q * q * one + p * p * none) * v - d * xp.sum(d * v, axis=row, keepdims=True)
    moved = moved - share * xp.sum(moved, axis=row, keepdims=True)
    return _put_back(ops, axes, blocks, moved)


SUBSET = SIGMOID._replace(
    name="subset",
    steps=8,  # of 150,000 adversarial rows of up to 200 scores, none took more than 5
    move=_tilt,
    weights=_marginals,
    last_move=_stay,
    product=_covariances,
)

"""Random k-subsets with probabilities proportional to ``exp(sum of scores / T)``, from Gumbel noise that the caller brings."""

from .ops import RuleOps
from .positions import along
from .relaxations import Relaxation
from .relaxations.subset import members
from .rule import Array
from .scores import scaled
from .subsets import convolved, filled, grown, halves, leaves
from .threshold import are_winners, root_of


def draw_subset(
    ops: RuleOps,
    x: Array,
    noise: Array,
    temperature: Array | None,
    mask: Array | None,
    *,
    axes: tuple[int, ...],
    relaxation: Relaxation,
) -> Array:
    """Return which entries are members of a random subset: k of those that are kept, or all where at most k are.

    The noise has the shape of the answer: that of the scores, behind any number of axes for draws. Node a of M parents on a
    level of the tree chooses how many members its left child has, by the noise of entry ``M + a``. That is the first leaf of
    its right child: of n entries, each but the first one serves one node. What of a row's noise is NaN only changes the
    choice. A row with NaN among its scores has any answer.
    """
    xp, k = ops.xp, relaxation.k or 1
    x, noise = ops.detach(x), ops.detach(noise)
    draws = noise.ndim - x.ndim
    axes = (axes[0] + draws,)
    for _ in range(draws):
        x, temperature, mask = (_widened(ops, a) for a in (x, temperature, mask))
    z, keep = scaled(ops, x, _detached(ops, temperature), mask, axes, k, relaxation.tail)
    p, q, _ = members(ops, root_of(ops, z, keep, None, relaxation, axes), z, keep)
    none, one, g = (ops.moveaxis(a, axes[0], 0) for a in (q, p, noise))
    levels = grown(ops, leaves(ops, none, one), k)
    u = filled(ops, _uniform(ops, g if g.dtype == one.dtype else xp.astype(g, one.dtype)), levels[0].shape[1])
    chosen = ops.moveaxis(_descended(ops, levels, u, k)[: one.shape[0], ...] == 1, 0, axes[0])
    return keep & (chosen | are_winners(ops, keep, relaxation, axes))


def _widened(ops: RuleOps, a):
    return ops.xp.expand_dims(a, axis=0) if hasattr(a, "shape") else a


def _detached(ops: RuleOps, a):
    return ops.detach(a) if hasattr(a, "shape") else a


def _uniform(ops: RuleOps, g: Array) -> Array:
    """Uniform numbers above 0 and below 1 of Gumbel noise: smaller or larger ones it has not."""
    xp, eps = ops.xp, float(ops.xp.finfo(g.dtype).eps)
    return xp.clip(xp.exp(-xp.exp(-xp.maximum(g, -80.0))), eps / 2, 1 - eps)


def _descended(ops: RuleOps, levels: list[Array], u: Array, k: int) -> Array:
    """Return how many members each leaf has: each node shares its own between its children, from the root down."""
    xp = ops.xp
    count = xp.astype(xp.zeros_like(u[:1, ...]), xp.int32) + k
    width = k + 1
    for level in reversed(levels):
        left, right = halves(level)
        parents, size = left.shape[1], left.shape[0]
        # What is outside of the parent has the rest of k for sure: then what is outside of the left child is one
        # coefficient of the right one, in the order from the most members to none.
        outside = xp.astype(_index(ops, u, width) == xp.expand_dims(width - 1 - count, axis=0), u.dtype)
        rest = xp.flip(convolved(ops, right, outside, width - size, size), axis=0)
        number = _chosen(ops, left * rest, u[parents : 2 * parents, ...])
        count = ops.concat([number, count - number], axis=0)
        width = size
    return count


def _index(ops: RuleOps, u: Array, size: int) -> Array:
    """Return 0, 1, ... along an axis in front of those of u."""
    return along(ops, ops.xp.arange(size, dtype=ops.xp.int32, **ops.place(u)), u.ndim + 1, 0)


def _chosen(ops: RuleOps, weights: Array, u: Array) -> Array:
    """Return the first index at which the sum of weights is above their share u. Its weight is positive if any is."""
    xp = ops.xp
    sums = xp.where(weights > 0, ops.cumulative_sum(weights, axis=0), 0.0)
    level = u * xp.max(sums, axis=0)
    above = (weights > 0) & ~(sums <= xp.expand_dims(level, axis=0))
    size = weights.shape[0]
    return xp.min(xp.where(above, _index(ops, u, size), size - 1), axis=0)

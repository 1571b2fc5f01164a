"""Entmax of shards by candidates, the largest scores of each member, outside of which no score has weight.

Of few rows, candidates are exchanged: that takes less time than one small exchange a step of a search. Their threshold is that
of the row unless the smallest that a member sent has weight: then others that it has not sent may have some. Of many rows, and
there, each member searches in steps among its own candidates.
"""

import math
from functools import partial
from typing import NamedTuple

from ..._rules.relaxations import ENTMAX, Relaxation
from ..._rules.rule import Array
from ..._rules.scores import is_empty, scaled
from ..._rules.threshold import root_of
from ..kernel import Kernel, KernelOps, Traced


class Limits(NamedTuple):
    """Numbers of candidates."""

    candidates: int = 32  # of a row, that each member sends
    numbers: int = 2**16  # of all rows and members, that are exchanged
    share: float = 0.25  # of a shard, up to which candidates are worth finding


LIMITS = Limits()


def _fits(ops: KernelOps, x, temperature, alpha, *args, axes, relaxation: Relaxation) -> bool:
    """Whether weights are those of entmax of one order along one axis."""
    groups = ops.groups or {}
    return relaxation.name == ENTMAX.name and alpha is None and len(axes) == len(groups) == 1 and not is_empty(x)


def _are_few(x, group, axis, limits: Limits) -> bool:
    """Whether rows are so few that candidates are exchanged."""
    rows = math.prod(x.shape) // max(x.shape[axis], 1)
    return rows * limits.candidates * len(group.lengths) <= limits.numbers


def _largest(ops: KernelOps, z, keep, group, axis: int, count: int) -> Array:
    """The largest kept scores of this member, the axis last."""
    xp = ops.xp
    rows = ops.moveaxis(z if keep is None else xp.where(keep, z, -math.inf), axis, -1)
    top = group.top(rows, min(count, rows.shape[-1]))
    missing = count - top.shape[-1]
    if not missing:
        return top
    return ops.concat([top, *[xp.zeros_like(top[..., :1]) - math.inf] * missing], axis=-1)


def _in_steps(ops: KernelOps, z, keep, order, relaxation: Relaxation, axis: int, limits: Limits) -> Array:
    """Scores less the largest to weights, by a search in steps among what is within reach of the largest score."""
    xp, axes, ((_, group),) = ops.xp, (axis,), (ops.groups or {}).items()
    form, among, kept = relaxation.form(ops, relaxation, z, order, axes), z, keep
    if ops.is_concrete(z):
        near = z > -1 / (order - 1)
        near = near if keep is None else near & keep
        most = int(xp.max(ops.whole.xp.sum(xp.astype(near, xp.int32), axis=axis)))
        if most <= limits.share * z.shape[axis]:
            among = ops.moveaxis(_largest(ops, z, keep, group, axis, max(most, 1)), -1, axis)
            kept = (among > -math.inf) | (among != among)
            among = xp.where(kept, among, 0.0)
    root = root_of(ops, among, kept, None, form, axes)
    p = form.weights(ops, form, root, z, keep, order, axes)
    return _settled(xp, p, xp.sum(p, axis=axis, keepdims=True))


def _settled(xp, p, total):
    """Weights that sum to 1, 0 below the smallest normal number."""
    p = p / xp.where(total == 0, 1.0, total)
    return xp.where(p < float(xp.finfo(p.dtype).smallest_normal), 0.0, p)


def _weights(ops: KernelOps, x, temperature, alpha, mask, *, axes, relaxation: Relaxation, limits: Limits) -> Array:
    """Scores to weights: by an exchange of candidates, or in steps."""
    (axis,), ((_, group),) = axes, (ops.groups or {}).items()
    z, keep = scaled(ops, x, temperature, mask, axes, None, relaxation.tail)
    steps = partial(_in_steps, ops, keep=keep, order=relaxation.alpha, relaxation=relaxation, axis=axis, limits=limits)
    return _exchanged(ops, z, keep, steps, relaxation, axis, limits) if _are_few(x, group, axis, limits) else steps(z)


def _exchanged(ops: KernelOps, z, keep, steps, relaxation: Relaxation, axis: int, limits: Limits) -> Array:
    """Weights by an exchange of candidates, or by what searches in steps if a member has more with weight than it sent."""
    ((_, group),) = (ops.groups or {}).items()
    whole, xp, order = ops.whole, ops.whole.xp, relaxation.alpha  # of what all members have, sums are complete
    sent = xp.moveaxis(group.gather(_largest(ops, z, keep, group, axis, limits.candidates)), 0, -2)
    row = xp.reshape(sent, (*sent.shape[:-2], -1))
    last, there = (row.ndim - 1,), (row > -math.inf) | (row != row)
    row = xp.where(there, row, 0.0)
    form = relaxation.form(whole, relaxation, row, order, last)
    root = root_of(whole, row, there, None, form, last)
    total = xp.sum(form.weights(whole, form, root, row, there, order, last), axis=-1, keepdims=True)
    least = xp.min(sent, axis=-1)
    is_kept = least > -math.inf
    weight = form.weights(whole, form, root, xp.where(is_kept, least, 0.0), is_kept, order, last)
    has_more = xp.asarray([n > limits.candidates for n in group.lengths], **ops.place(z))
    overflows = xp.any(has_more & (weight > 0))

    def by_candidates(z):
        p = form.weights(whole, form, ops.moveaxis(root, -1, axis), z, keep, order, (axis,))
        return _settled(xp, p, ops.moveaxis(total, -1, axis))

    return group.branch(overflows, steps, by_candidates, z)


CANDIDATES = Kernel(
    "candidates",
    LIMITS,
    traced=dict.fromkeys(("weights", "dense_weights"), Traced(_fits, forward=_weights)),
    needs=("groups",),
)

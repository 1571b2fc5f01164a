"""Entmax of shards by an exchange of candidates: of few rows, it takes less time than one small exchange a step of a search.

Each member sends its largest scores. Their threshold is that of the row unless the smallest that one sent has weight: then
others that it has not sent may have some, and the search goes on in steps.
"""

import math
from typing import NamedTuple

from ..._rules.readouts.mean import mean
from ..._rules.relaxations import ENTMAX, Relaxation
from ..._rules.rule import Array
from ..._rules.scores import scaled
from ..._rules.threshold import root_of
from ..._rules.weights import WEIGHTS
from ..kernel import Kernel, KernelOps, Traced


class Limits(NamedTuple):
    """How many candidates a row each member sends, and how many numbers there may be of all rows and members."""

    candidates: int = 32
    numbers: int = 2**16


LIMITS = Limits()


def _fits(ops: KernelOps, x, temperature, alpha, *args, axes, relaxation: Relaxation) -> bool:
    """Whether weights are those of entmax of one order along one axis, of few rows."""
    groups = ops.groups or {}
    if relaxation.name != ENTMAX.name or alpha is not None or len(axes) != 1 or len(groups) != 1:
        return False
    (group,) = groups.values()
    rows = math.prod(x.shape) // max(x.shape[axes[0]], 1)
    return 0 < rows * LIMITS.candidates * len(group.lengths) <= LIMITS.numbers


def _largest(ops: KernelOps, z, keep, group, axis: int, count: int) -> Array:
    """The largest kept scores of each member, the axis last and the members first."""
    xp = ops.xp
    rows = ops.moveaxis(z if keep is None else xp.where(keep, z, -math.inf), axis, -1)
    top = group.top(rows, min(count, rows.shape[-1]))
    missing = count - top.shape[-1]
    if missing:
        top = ops.concat([top, *[xp.zeros_like(top[..., :1]) - math.inf] * missing], axis=-1)
    return group.gather(top)


def _weights(ops: KernelOps, x, temperature, alpha, mask, *, axes, relaxation: Relaxation, limits: Limits) -> Array:
    """Scores to weights: by candidates, or in steps."""
    (axis,), ((_, group),) = axes, (ops.groups or {}).items()
    whole, xp = ops.whole, ops.whole.xp  # of what all members have, sums are complete
    z, keep = scaled(ops, x, temperature, mask, axes, None, relaxation.tail)
    sent = _largest(ops, z, keep, group, axis, limits.candidates)
    gathered = xp.moveaxis(sent, 0, -2)
    row = xp.reshape(gathered, (*gathered.shape[:-2], -1))
    there, order = row > -math.inf, relaxation.order(alpha)
    row = xp.where(there | (row != row), row, 0.0)
    last = (row.ndim - 1,)
    form = relaxation.form(whole, relaxation, row, order, last)
    root = root_of(whole, row, there, alpha, form, last)
    found = form.weights(whole, form, root, row, there, order, last)
    total = xp.sum(found, axis=-1, keepdims=True)
    least = xp.min(gathered, axis=-1)
    sent_all = [n <= limits.candidates for n in group.lengths]
    has_more = xp.asarray(sent_all, **ops.place(x)) == xp.zeros_like(least, dtype=xp.bool)
    weight = form.weights(whole, form, root, xp.where(least > -math.inf, least, 0.0), least > -math.inf, order, last)
    overflows = xp.any(has_more & (weight > 0))

    def by_candidates(z):
        p = form.weights(whole, form, ops.moveaxis(root, -1, axis), z, keep, order, axes)
        p = p / ops.moveaxis(xp.where(total == 0, 1.0, total), -1, axis)
        return xp.where(p < float(xp.finfo(p.dtype).smallest_normal), 0.0, p)

    def in_steps(z):
        return WEIGHTS.forward(ops, x, temperature, alpha, mask, axes=axes, relaxation=relaxation)

    return group.branch(overflows, in_steps, by_candidates, z)


def _expectation(ops: KernelOps, x, temperature, alpha, mask, positions, *, axes, relaxation, limits) -> Array:
    p = _weights(ops, x, temperature, alpha, mask, axes=axes, relaxation=relaxation, limits=limits)
    return mean(ops, p, positions, axes=axes)


CANDIDATES = Kernel(
    "candidates",
    LIMITS,
    traced={
        **dict.fromkeys(("weights", "dense_weights"), Traced(_fits, forward=_weights)),
        "expectation": Traced(_fits, forward=_expectation),
    },
    needs=("groups",),
)

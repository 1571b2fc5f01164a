"""Gapped straight-through (Fan, Chi, Rudnicky and Ramadge 2022)."""

from ..draws import drawn, shifted
from ..ops import RuleOps
from ..relaxations import SOFTMAX


def _gap(ops: RuleOps, x, chosen, mask, axes):
    """What lifts the choice to the largest score, and lowers others until they are 1 below that."""
    xp = ops.xp
    z, _ = shifted(ops, x, mask, axes)
    over = xp.where(z > -1, z + 1, 0.0)
    return xp.where(chosen != 0, -z, -over)


def gapped(ops: RuleOps, x, g, temperature, mask, axes):
    """Choose the largest of ``x + g``, with the gradient of ``softmax((x + m) / T)``.

    m is constant: ``max(x) - x_D`` at the choice D, ``-max(x_j + 1 - max(x), 0)`` elsewhere.
    """
    still = ops.detach(x)
    chosen = drawn(ops, ops.perturb(still, ops.detach(g), mask, axes=axes), axes)
    s = ops.perturb(x, _gap(ops, still, chosen, mask, axes), mask, axes=axes)
    p = ops.weights(s, temperature, None, None, axes=axes, relaxation=SOFTMAX)
    return ops.straight_through(p, chosen)

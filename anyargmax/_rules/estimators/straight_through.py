"""Straight-through (Bengio, Leonard and Courville 2013)."""

from ..draws import drawn
from ..ops import RuleOps
from ..relaxations import SOFTMAX


def straight_through(ops: RuleOps, x, g, temperature, mask, axes):
    """Choose the largest of ``x + g``, with the gradient of ``softmax(x / T)``."""
    s = ops.perturb(ops.detach(x), ops.detach(g), mask, axes=axes)
    p = ops.weights(x, temperature, None, mask, axes=axes, relaxation=SOFTMAX)
    return ops.straight_through(p, drawn(ops, s, axes))

"""Straight-through Gumbel-softmax (Jang, Gu and Poole 2017; Maddison, Mnih and Teh 2017)."""

from ..draws import drawn
from ..ops import RuleOps
from ..relaxations import SOFTMAX


def gumbel(ops: RuleOps, x, g, temperature, mask, axes):
    """Choose the largest of ``x + g``, with the gradient of ``softmax((x + g) / T)``, also for g."""
    s = ops.perturb(x, g, mask, axes=axes)
    p = ops.weights(s, temperature, None, None, axes=axes, relaxation=SOFTMAX)
    return ops.straight_through(p, drawn(ops, s, axes))

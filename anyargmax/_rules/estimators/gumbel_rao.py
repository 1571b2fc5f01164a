"""Straight-through Gumbel-softmax, averaged over noise given the choice (Paulus, Maddison and Krause 2020)."""

from ..conditional import CONDITIONAL
from ..draws import drawn
from ..ops import RuleOps
from ..relaxations import SOFTMAX


def gumbel_rao(ops: RuleOps, x, g, temperature, mask, axes):
    """Choose by the first of the draws, with the gradient of the mean of ``softmax((x + G_k) / T)`` over all.

    The first axis is that of the draws. ``G_0`` is the noise that chooses, the others are conditioned on the choice. All are
    constant.
    """
    xp = ops.xp
    still, g = ops.detach(x), ops.detach(g)
    rest = tuple(axis - 1 for axis in axes)
    first = ops.perturb(still[0, ...], g[0, ...], mask, axes=rest)
    chosen = drawn(ops, first, rest)
    given = xp.expand_dims(chosen, axis=0) != 0
    others = CONDITIONAL.forward(ops, still, g, given & (still == still), mask, axes=axes)
    others = xp.where(others == others, others, g)
    index = xp.reshape(xp.arange(g.shape[0], **ops.place(g)), (-1,) + (1,) * (g.ndim - 1))
    s = ops.perturb(x, xp.where(index == 0, g, others), mask, axes=axes)
    if hasattr(temperature, "shape"):  # one number a row of the result
        temperature = ops.spread(temperature, still[(*(slice(None),) * axes[0], slice(1), ...)])
    p = ops.weights(s, temperature, None, None, axes=axes, relaxation=SOFTMAX)
    return ops.straight_through(ops.average(p), chosen)

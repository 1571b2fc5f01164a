"""ReinMax, a second-order straight-through estimator (Liu, Dong, Liu, Yu and Gao 2023)."""

from ..draws import drawn
from ..ops import RuleOps
from ..relaxations import SOFTMAX
from ..rule import Rule
from ..scores import kept_and_reference
from ..weights import WEIGHTS


def _jacobian_product(ops: RuleOps, v, p, axes):
    """``J v`` with ``J = diag(p) - p p^T``."""
    return p * (v - ops.xp.sum(p * v, axis=axes, keepdims=True))


def _product(ops: RuleOps, v, x, chosen, temperature, mask, axes):
    """``2 J((p_T + D) / 2) v - J(p_1) v / 2``, which is symmetric."""
    keep, _, peak = kept_and_reference(ops, x, mask, axes)
    live = keep & ~peak
    v = ops.xp.where(live, v, 0.0)
    temperature = ops.detach(temperature) if hasattr(temperature, "shape") else temperature
    once, cooled = (
        WEIGHTS.composite(ops, x, t, None, mask, axes=axes, relaxation=SOFTMAX) for t in (None, temperature)
    )
    moved = 2 * _jacobian_product(ops, v, (cooled + chosen) / 2, axes) - _jacobian_product(ops, v, once, axes) / 2
    return ops.xp.where(live, moved, 0 * ops.detach(once))  # NaN where the weights are


def _vjp(ops: RuleOps, g, y, x, chosen, temperature, mask, *, axes):
    return _product(ops, g, x, chosen, temperature, mask, axes)


def _chosen(ops: RuleOps, x, chosen, temperature, mask, *, axes):
    """The choice, with the product as its derivative: no function has it, and of second derivatives this has the symmetric part.

    The product is taken at ``x + dx / 2`` of ``dx = x - detach(x)``, which is 0.
    """
    xp, still = ops.xp, ops.detach(x)
    infinite = xp.isinf(still)
    moved = xp.where(infinite, 0.0, x - xp.where(infinite, 0.0, still))
    middle = still + moved / 2
    return chosen + _product(ops, moved, middle, chosen, temperature, mask, axes)


REINMAX = Rule("reinmax", _chosen, (_vjp,), (_vjp,), _chosen, inlined=True)


def reinmax(ops: RuleOps, x, g, temperature, mask, axes):
    """Choose the largest of ``x + g``, with a gradient that is exact for quadratic functions at T = 1.

    The cotangent of x is ``2 J((p_T + D) / 2) v - J(p_1) v / 2``, of the choice D, ``p_T = softmax(x / T)`` and
    ``J(q) v = q (v - <q, v>)``. The temperature has no gradient.
    """
    s = ops.perturb(ops.detach(x), ops.detach(g), mask, axes=axes)
    return ops.reinmax(x, drawn(ops, s, axes), temperature, mask, axes=axes)

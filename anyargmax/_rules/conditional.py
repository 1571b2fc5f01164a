"""Gumbel noise given what it chooses."""

import math

from .draws import shifted
from .ops import RuleOps
from .rule import Rule
from .scores import kept_and_reference

# Arguments: x scores, g noise and chosen, True at the choice of a row, all of one shape; a mask that broadcasts against them,
# None keeps all. Static: axes. With ``top = logsumexp(x) + g_D`` for the choice D, ``a = x + g - top`` and
# ``s = 1 / (1 + exp(-a))``, the noise is ``top - x_D`` at the choice, ``g - log(1 + exp(a))`` elsewhere.


def _total(ops: RuleOps, x, axes):
    return ops.xp.sum(x, axis=axes, keepdims=True)


def _parts(ops: RuleOps, x, g, chosen, mask, axes):
    """Return the shifted scores, where others than the choice take part, their softmax weights, `a` there, and `top`."""
    xp = ops.xp
    z, keep = shifted(ops, x, mask, axes)
    e = xp.where(keep, xp.exp(z), 0.0)
    total = _total(ops, e, axes)
    total = xp.where(ops.detach(total) == 0, 1.0, total)
    top = xp.log(total) + _total(ops, xp.where(chosen, g, 0.0), axes)
    others = keep & ~chosen
    return z, others, e / total, xp.where(others, z + g - top, 0.0), top


def _is_choice(ops: RuleOps, x, chosen, mask, axes):
    """Where one score that takes part is chosen."""
    keep, *_ = kept_and_reference(ops, x, mask, axes)
    return _total(ops, ops.xp.astype(keep & chosen, ops.xp.int32), axes) == 1


def _conditional(ops: RuleOps, x, g, chosen, mask, *, axes):
    """The noise; where a score takes no part as it is given, and NaN in a row whose choice is none."""
    xp = ops.xp
    z, others, _, a, top = _parts(ops, x, g, chosen, mask, axes)
    high = ops.detach(a) > 0
    softplus = xp.where(high, a, 0.0) + xp.log1p(xp.exp(xp.where(high, -a, a)))
    y = xp.where(chosen, top - z, xp.where(others, g - softplus, g))
    return xp.where(_is_choice(ops, x, chosen, mask, axes), y, math.nan)


def _logistic(ops: RuleOps, a):
    xp = ops.xp
    high = ops.detach(a) > 0
    e = xp.exp(xp.where(high, -a, a))
    return xp.where(high, 1.0, e) / (1 + e)


def _derivative(ops: RuleOps, x, g, chosen, mask, axes):
    """Return where a score moves something, the softmax weights, and `s` where others than the choice take part, else 0."""
    _, others, p, a, _ = _parts(ops, x, g, chosen, mask, axes)
    keep, _, peak = kept_and_reference(ops, x, mask, axes)
    s = ops.xp.where(others, _logistic(ops, a), 0.0)
    return keep & ~peak, p, s


def _selected(ops: RuleOps, v, x, chosen, mask, axes):
    """A cotangent or tangent, 0 in a row without an answer."""
    return ops.xp.where(_is_choice(ops, x, chosen, mask, axes), v, 0.0)


def _pulled(ops: RuleOps, v, x, g, chosen, mask, axes):
    """The cotangent of `top`, beside what it is made of."""
    v = _selected(ops, v, x, chosen, mask, axes)
    live, p, s = _derivative(ops, x, g, chosen, mask, axes)
    return v, live, p, s, _total(ops, s * v + ops.xp.where(chosen, v, 0.0), axes)


def _vjp_x(ops: RuleOps, v, y, x, g, chosen, mask, *, axes):
    v, live, p, s, top = _pulled(ops, v, x, g, chosen, mask, axes)
    return ops.xp.where(live, p * top - s * v - ops.xp.where(chosen, v, 0.0), 0.0)


def _vjp_noise(ops: RuleOps, v, y, x, g, chosen, mask, *, axes):
    v, _, _, s, top = _pulled(ops, v, x, g, chosen, mask, axes)
    return ops.xp.where(chosen, top, v - s * v)


def _jvp_x(ops: RuleOps, t, y, x, g, chosen, mask, *, axes):
    live, p, s = _derivative(ops, x, g, chosen, mask, axes)
    t = _selected(ops, ops.xp.where(live, t, 0.0), x, chosen, mask, axes)
    top = _total(ops, p * t, axes)
    return ops.xp.where(chosen, top - t, -s * (t - top))


def _jvp_noise(ops: RuleOps, t, y, x, g, chosen, mask, *, axes):
    _, _, s = _derivative(ops, x, g, chosen, mask, axes)
    t = _selected(ops, t, x, chosen, mask, axes)
    top = _total(ops, ops.xp.where(chosen, t, 0.0), axes)
    return ops.xp.where(chosen, top, t - s * (t - top))


CONDITIONAL = Rule("conditional", _conditional, (_vjp_x, _vjp_noise), (_jvp_x, _jvp_noise), _conditional)

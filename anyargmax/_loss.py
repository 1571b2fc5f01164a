"""The Fenchel-Young loss of the entmax family as a rule: its gradient is weights minus target."""

from typing import Any

from ._readouts import expand
from ._rule import Array, Rule
from ._scores import kept_and_reference

# Arguments: x scores, target weights, temperature (None is 1), mask. Static: axes, relaxation.


def are_weights(ops, target: Array, axis: int, dtype: Any) -> Array:
    """Whether each row is a distribution: entries ``>= 0`` that sum to 1, within half of the digits."""
    xp = ops.xp
    slack = float(xp.finfo(target.dtype).eps) ** 0.5
    total = xp.sum(xp.astype(target, dtype), axis=axis)
    return xp.all(target >= 0, axis=axis) & (xp.abs(total - 1) <= slack)


def _entropy(ops, p, relaxation, axes):
    """``H(p) = sum (p - p^alpha) / (alpha (alpha - 1))``, at alpha = 1 ``-sum p log p``; axes kept."""
    xp, alpha = ops.xp, relaxation.alpha
    positive = ops.detach(p) > 0
    safe = xp.where(positive, p, 1.0)
    log = xp.log(safe)
    terms = -safe * (log if alpha == 1 else xp.expm1((alpha - 1) * log) / (alpha * (alpha - 1)))
    return xp.sum(xp.where(positive, terms, p * 0), axis=axes, keepdims=True)


def _entropy_slope(ops, p, relaxation):
    """``dH/dp``; at alpha = 1 that is infinite where p is 0."""
    xp, alpha = ops.xp, relaxation.alpha
    positive = ops.detach(p) > 0
    log = xp.where(positive, xp.log(xp.where(positive, p, 1.0)), -float("inf"))
    return -1 - log if alpha == 1 else (1 / alpha - xp.exp((alpha - 1) * log)) / (alpha - 1)


def _shifted(ops, x, mask, axes):
    xp = ops.xp
    keep, top, _ = kept_and_reference(ops, x, mask, axes)
    top = xp.where((top == float("inf")) | (top == -float("inf")), 0.0, top)
    return xp.where(keep & (ops.detach(x) != float("inf")), x, top) - top, keep


def _loss(ops, x, target, temperature, mask, *, axes, relaxation):
    """``<p - y, x> + T H(p) - T H(y)``: ``+inf`` where the target has weight on a masked score."""
    xp = ops.xp
    p = ops.weights(x, temperature, None, mask, axes=axes, relaxation=relaxation)
    z, keep = _shifted(ops, x, mask, axes)
    moved = p - target
    gap = xp.where(ops.detach(moved) == 0, 0.0, moved * z)
    entropy = _entropy(ops, p, relaxation, axes) - _entropy(ops, target, relaxation, axes)
    loss = xp.sum(gap, axis=axes, keepdims=True) + (entropy if temperature is None else temperature * entropy)
    barred = xp.any(~keep & (ops.detach(target) > 0), axis=axes, keepdims=True)
    return xp.sum(xp.where(barred & (ops.detach(loss) == ops.detach(loss)), float("inf"), loss), axis=axes)


def _difference(ops, x, target, temperature, mask, axes, relaxation):
    return ops.weights(x, temperature, None, mask, axes=axes, relaxation=relaxation) - target


def _vjp_x(ops, g, y, x, target, temperature, mask, *, axes, relaxation):
    return expand(ops, g, axes) * _difference(ops, x, target, temperature, mask, axes, relaxation)


def _jvp_x(ops, t, y, x, target, temperature, mask, *, axes, relaxation):
    return ops.xp.sum(t * _difference(ops, x, target, temperature, mask, axes, relaxation), axis=axes)


def _target_slope(ops, x, target, temperature, mask, axes, relaxation):
    slope = _entropy_slope(ops, target, relaxation)
    return -_shifted(ops, x, mask, axes)[0] - (slope if temperature is None else temperature * slope)


def _vjp_target(ops, g, y, x, target, temperature, mask, *, axes, relaxation):
    return expand(ops, g, axes) * _target_slope(ops, x, target, temperature, mask, axes, relaxation)


def _jvp_target(ops, t, y, x, target, temperature, mask, *, axes, relaxation):
    return ops.xp.sum(t * _target_slope(ops, x, target, temperature, mask, axes, relaxation), axis=axes)


def _temperature_slope(ops, x, target, temperature, mask, axes, relaxation):
    p = ops.weights(x, temperature, None, mask, axes=axes, relaxation=relaxation)
    return _entropy(ops, p, relaxation, axes) - _entropy(ops, target, relaxation, axes)


def _vjp_temperature(ops, g, y, x, target, temperature, mask, *, axes, relaxation):
    return expand(ops, g, axes) * _temperature_slope(ops, x, target, temperature, mask, axes, relaxation)


def _jvp_temperature(ops, t, y, x, target, temperature, mask, *, axes, relaxation):
    return ops.xp.sum(t * _temperature_slope(ops, x, target, temperature, mask, axes, relaxation), axis=axes)


FENCHEL_YOUNG = Rule(
    name="fenchel_young",
    forward=_loss,
    vjps=(_vjp_x, _vjp_target, _vjp_temperature),
    jvps=(_jvp_x, _jvp_target, _jvp_temperature),
    plain=_loss,
)

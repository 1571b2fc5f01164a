"""The logarithms of weights, without a logarithm of an exponential: right where the weights themselves are 0 for their size.

With the weights ``p_i = q phi(z_i q^(1 - alpha))`` of the largest weight q, ``log p_i = log q + log phi(..)``. From
``l = log p`` alone come all slopes: ``dp_i = s_i (dz_i - dtau)`` with ``s = exp((2 - alpha) l)``, so that
``dl_i = b_i (dz_i - dtau)`` with ``b = exp((1 - alpha) l)`` and ``dtau = <s, dz> / sum(s)``.
"""

import math

from .hard import first_largest
from .ops import RuleOps
from .ratios import log1p_ratio
from .rule import Array, Rule
from .scores import divided, kept_and_reference, largest, square_root

# Arguments: x scores; temperature and alpha (None is 1, and that of the relaxation), of the reduced shape; mask. Static: axes,
# relaxation.


def _distances(ops: RuleOps, x, temperature, mask, axes):
    """Return ``z = (x - largest) / T``, 0 where it does not move, and which scores have weight."""
    xp = ops.xp
    keep, top, peak = kept_and_reference(ops, x, mask, axes)
    moves = keep & ~peak
    top = xp.where(peak | (top == -math.inf), 0.0, top)
    z = xp.where(moves, x, top) - top
    # Two scores at both ends of the range are infinitely far, and an infinite temperature has no quotient with that.
    z = xp.where(ops.detach(z) == -math.inf, -float(xp.finfo(z.dtype).max), z)
    return divided(z, temperature), keep


def of_softmax(ops: RuleOps, x, temperature, mask, axes):
    """``z - log sum exp z``, of which each score is selected on its own: nothing is differentiated through this."""
    xp = ops.xp
    x = x if mask is None else xp.where(mask, x, -math.inf)
    top, infinite = largest(ops, x, axes), xp.abs(x) == math.inf
    z = xp.where(infinite, xp.minimum(x, 0.0), xp.where(infinite, 0.0, x) - top)
    # Not divided: an infinite temperature has no quotient with what is infinitely far.
    z = z if temperature is None else xp.where(z == -math.inf, z, xp.where(z == -math.inf, 0.0, z) / temperature)
    total = xp.sum(xp.exp(z), axis=axes, keepdims=True)
    return z - xp.log(xp.where(total == 0, 1.0, total))


def _of_softmax_composite(ops: RuleOps, z, keep, axes):
    xp = ops.xp
    total = xp.sum(xp.where(keep, xp.exp(z), 0.0), axis=axes, keepdims=True)
    some = xp.where(ops.detach(total) == 0, 1.0, total)
    return xp.where(keep, z - xp.log(some), 0 * ops.detach(total) - math.inf)


def _of_entmax(ops: RuleOps, p, z, keep, order, chosen, axes):
    """Logarithms of weights p that are there, and what those that are too small for their dtype would be."""
    xp, value = ops.xp, ops.detach(p)
    there = value > 0
    q = xp.sum(xp.where(chosen & there, p, 0.0), axis=axes, keepdims=True)
    log_q = xp.log(xp.where(ops.detach(q) > 0, q, 1.0))
    u = z * xp.exp(-(order - 1) * log_q)
    rise = (order - 1) * u
    small = keep & ~there & (ops.detach(rise) > 8 * float(xp.finfo(z.dtype).eps) - 1)
    rise, u = xp.where(small, rise, 0.0), xp.where(small, u, 0.0)
    far = xp.where(small, log_q + u * log1p_ratio(ops, rise), -math.inf)
    log = xp.where(there, xp.log(xp.where(there, p, 1.0)), far)
    return xp.where(value == value, log, value)


def _of_sparse(ops: RuleOps, x, z, keep, temperature, alpha, mask, axes, relaxation):
    p = ops.weights(x, temperature, alpha, mask, axes=axes, relaxation=relaxation)
    chosen = first_largest(ops, ops.detach(x), keep, axes)
    return _of_entmax(ops, p, z, keep, relaxation.order(alpha), chosen, axes)


def _log_weights(ops: RuleOps, x, temperature, alpha, mask, *, axes, relaxation):
    if relaxation.alpha == 1:
        return of_softmax(ops, x, temperature, mask, axes)
    z, keep = _distances(ops, x, temperature, mask, axes)
    return _of_sparse(ops, x, z, keep, temperature, alpha, mask, axes, relaxation)


def _log_weights_composite(ops: RuleOps, x, temperature, alpha, mask, *, axes, relaxation):
    z, keep = _distances(ops, x, temperature, mask, axes)
    if relaxation.alpha == 1:
        return _of_softmax_composite(ops, z, keep, axes)
    return _of_sparse(ops, x, z, keep, temperature, alpha, mask, axes, relaxation)


def _slopes(ops: RuleOps, y, x, mask, alpha, relaxation, axes):
    """Return s, b, which scores move, and the sum of s; s and b are 0 where a score moves nothing. b is None for softmax.

    In a row with a score of +inf, no other has a finite logarithm.
    """
    xp, order = ops.xp, relaxation.order(alpha)
    moves = (ops.detach(y) != -math.inf) & (xp.abs(ops.detach(x)) != math.inf)
    moves = moves if mask is None else moves & mask
    y = xp.where(moves, y, 0.0)
    s = xp.where(moves, xp.exp((2 - order) * y), 0.0)
    b = None if relaxation.alpha == 1 else xp.where(moves, _finite(ops, xp.exp((1 - order) * y)), 0.0)
    total = xp.sum(s, axis=axes, keepdims=True)
    return s, b, moves, xp.where(ops.detach(total) == 0, 1.0, total)


def _finite(ops: RuleOps, x):
    """Slopes, of which one that overflows is the largest number: a product with 0 is 0."""
    most = float(ops.xp.finfo(x.dtype).max)
    return ops.xp.clip(x, -most, most)


def _pulled(ops: RuleOps, g, y, x, alpha, mask, axes, relaxation):
    """``b g - s sum(b g) / sum(s)``: not symmetric, unlike the Jacobian of the weights."""
    xp = ops.xp
    s, b, moves, total = _slopes(ops, y, x, mask, alpha, relaxation, axes)
    g = xp.where(moves, g, 0.0)
    g = g if b is None else b * g
    return g - s * (xp.sum(g, axis=axes, keepdims=True) / total)


def _pushed(ops: RuleOps, t, y, x, alpha, mask, axes, relaxation):
    """``b (t - <s, t> / sum(s))``."""
    xp = ops.xp
    s, b, moves, total = _slopes(ops, y, x, mask, alpha, relaxation, axes)
    t = xp.where(moves, t, 0.0)
    moved = xp.where(moves, t - xp.sum(s * t, axis=axes, keepdims=True) / total, 0.0)
    return moved if b is None else b * moved


def _vjp_x(ops: RuleOps, g, y, x, temperature, alpha, mask, *, axes, relaxation):
    return divided(_pulled(ops, g, y, x, alpha, mask, axes, relaxation), temperature)


def _jvp_x(ops: RuleOps, t, y, x, temperature, alpha, mask, *, axes, relaxation):
    half = square_root(ops, temperature)
    return divided(_pushed(ops, divided(t, half), y, x, alpha, mask, axes, relaxation), half)


def _vjp_temperature(ops: RuleOps, g, y, x, temperature, alpha, mask, *, axes, relaxation):
    """``dl/dT = -J z / T``."""
    z, _ = _distances(ops, x, temperature, mask, axes)
    moved = divided(_pulled(ops, g, y, x, alpha, mask, axes, relaxation), temperature)
    return -ops.xp.sum(moved * z, axis=axes, keepdims=True)


def _jvp_temperature(ops: RuleOps, t, y, x, temperature, alpha, mask, *, axes, relaxation):
    z, _ = _distances(ops, x, temperature, mask, axes)
    return -divided(_pushed(ops, z * t, y, x, alpha, mask, axes, relaxation), temperature)


def _excess(ops: RuleOps, c: Array) -> Array:
    """``(expm1(c) - c) / c^2``, smooth through 0, where it is 1/2."""
    xp = ops.xp
    small = xp.abs(ops.detach(c)) < 0.5
    near, far = xp.where(small, c, 0.0), xp.where(small, 1.0, c)
    series = xp.ones_like(near)
    for n in range(16, 2, -1):
        series = 1 + near / n * series
    return xp.where(small, series / 2, (xp.expm1(far) - far) / far**2)


def _slope_alpha(ops: RuleOps, y, x, alpha, mask, axes, relaxation):
    """``dl/d alpha = v - b <p, v> / sum(s)`` with ``v = -l^2 h((1 - alpha) l)``, ``h(c) = (exp(c) - 1 - c) / c^2``."""
    xp = ops.xp
    _, b, moves, total = _slopes(ops, y, x, mask, alpha, relaxation, axes)
    log = xp.where(moves, y, 0.0)
    v = xp.where(moves, -(log**2) * _excess(ops, (1 - alpha) * log), 0.0)
    p = xp.where(moves, xp.exp(log), 0.0)
    return xp.where(moves, _finite(ops, v - b * (xp.sum(p * v, axis=axes, keepdims=True) / total)), 0.0)


def _vjp_alpha(ops: RuleOps, g, y, x, temperature, alpha, mask, *, axes, relaxation):
    slope = _slope_alpha(ops, y, x, alpha, mask, axes, relaxation)
    g = ops.xp.where(ops.detach(slope) == 0, 0.0, g)
    return ops.xp.sum(g * slope, axis=axes, keepdims=True)


def _jvp_alpha(ops: RuleOps, t, y, x, temperature, alpha, mask, *, axes, relaxation):
    return t * _slope_alpha(ops, y, x, alpha, mask, axes, relaxation)


LOG_WEIGHTS = Rule(
    name="log_weights",
    forward=_log_weights,
    vjps=(_vjp_x, _vjp_temperature, _vjp_alpha),
    jvps=(_jvp_x, _jvp_temperature, _jvp_alpha),
    composite=_log_weights_composite,
    rows=(1, 2),
)

"""The entmax family: ``phi(u) = [1 + (alpha - 1) u]_+^(1 / (alpha - 1))``, softmax at alpha 1, sparsemax at 2.

Where alpha is large, or rows are very long, weights are too small for a threshold: ``1 - (alpha - 1) tau`` has no
digits left. With q for the largest weight, they are ``p_i = q phi(z_i q^(1 - alpha))``, which loses none.
"""

import math
from functools import partial

from ..ops import RuleOps
from ..positions import entries
from ..ratios import expm1_ratio, log1p_ratio
from ..rule import Array
from .record import Relaxation, not_vanishing


def _exponential(ops: RuleOps, u, keep, order):
    p = ops.xp.exp(u) if keep is None else ops.xp.where(keep, ops.xp.exp(u), 0.0)
    return p, p


def _value(ops: RuleOps, u, keep, order):
    xp = ops.xp
    rise = (order - 1) * u
    alive = ~(ops.detach(rise) <= -1) if keep is None else keep & ~(ops.detach(rise) <= -1)
    rise, u = xp.where(alive, rise, 0.0), xp.where(alive, u, 0.0)
    base = 1 + rise
    powers = {2.0: lambda: (base, xp.ones_like(base)), 1.5: lambda: (base**2, base), 4 / 3: lambda: (base**3, base**2)}
    if isinstance(order, float) and order in powers:
        p, s = powers[order]()
    else:
        p = xp.exp(u * log1p_ratio(ops, rise))
        s = p / base
    return xp.where(alive, p, 0.0), xp.where(alive, s, 0.0)


def _slope(ops: RuleOps, p, order):
    """``phi' = p^(2 - alpha)``."""
    xp, value = ops.xp, ops.detach(p)
    if isinstance(order, float) and order == 2:
        return xp.where(value > 0, 1.0, value * 0)
    positive = xp.where(value > 0, p, 1.0)
    exponent = 1 - (order - 1)
    return xp.where(value > 0, xp.exp(exponent * xp.log(positive)), p * 0)


def _norm_move(ops: RuleOps, r, root, sums, order):
    """Newton's step on the norm ``(sum p^a)^(1/a) = 1``, ``a = alpha - 1`` being the norm's inverse order.

    For alpha <= 2 that is convex and nearly linear, and at alpha = 1 one step is exact.
    """
    xp = ops.xp
    sums, slope = sums
    slope = xp.where(ops.detach(slope) == 0, 1.0, slope)
    sums = xp.where(ops.detach(sums) > 0, sums, xp.where(ops.detach(sums) == 0, 1.0, sums))
    log = xp.log(sums)
    return sums * log * expm1_ratio(ops, -(order - 1) * log) / slope, None


def _of_largest(ops: RuleOps, r, root, z, keep, order):
    """The weights, and the slopes of their sum, from minus the largest weight."""
    xp = ops.xp
    largest = -root
    power = -(order - 1) * xp.log(largest)
    most = math.log(float(xp.finfo(z.dtype).max))
    e, s = r.value(ops, z * xp.exp(xp.where(ops.detach(power) > most, most, power)), keep, order)
    return largest * e, s


def _largest_weights(ops: RuleOps, r, root, z, keep, order, axes):
    return _of_largest(ops, r, root, z, keep, order)[0]


def _largest_move(ops: RuleOps, r, root, sums, order, solved=False):
    p, s = sums
    over = p - 1
    over = over - ops.detach(over) if solved else over
    return over / not_vanishing(ops, s), over


def _largest_bracket(ops: RuleOps, z, keep, axes, k):
    zero = ops.row_zeros(z, axes)
    return zero - 1, zero - 1 / entries(ops, z, axes)


def _form(ops: RuleOps, r, z, order, axes):
    """Return the record whose unknown is the largest weight where a threshold may lose weights in its digits."""
    if isinstance(order, float) and order <= 2:
        sizes = [z.shape[axis] and ops.span(z, axis)[1] for axis in axes]  # None in graphs
        known = all(isinstance(n, int) for n in sizes)  # exports have symbols
        if not known or math.prod(sizes) ** (order - 1) * float(ops.xp.finfo(z.dtype).eps) <= 2.0**-4:
            return r
    return BY_LARGEST._replace(alpha=r.alpha)


def _is_convex(order):
    return order - 1 <= 1


def _weights_slope(ops: RuleOps, p, order):
    return p


SOFTMAX = Relaxation("softmax", _exponential, _weights_slope, None, steps=1, move=_norm_move, alpha=1.0)
# Under other names for kernels: weights that are given, of which nothing is solved, and logarithms of softmax.
GIVEN, LOGARITHM = SOFTMAX._replace(name="given"), SOFTMAX._replace(name="logarithm")
ENTMAX = Relaxation("entmax", _value, _slope, None, steps=24, move=_norm_move, form=_form)
BY_LARGEST = Relaxation(
    "entmax",
    _value,
    _slope,
    _largest_bracket,
    steps=72,
    terms=_of_largest,
    move=_largest_move,
    weights=_largest_weights,
    is_convex=_is_convex,
    last_move=partial(_largest_move, solved=True),
    shortest=0,
)


def alpha_derivative(ops: RuleOps, p: Array, alpha: Array, axes: tuple[int, ...]) -> Array:
    """``dp/d alpha = w - s sum(w) / sum(s)`` with ``w = p [y/(1+y) - log1p(y)] / a^2``, ``y = p^a - 1``, a = alpha - 1.

    From the weights alone, without the cancellation of the published form (Correia, Niculae and Martins
    2019, eq. 12) near alpha = 1; there it is ``p (sum_j p_j log^2 p_j - log^2 p) / 2``.
    """
    xp = ops.xp
    a = alpha - 1
    alive = ops.detach(p) > 0
    log = xp.log(xp.where(alive, p, 1.0))
    s = _slope(ops, p, alpha)
    ratio = log * expm1_ratio(ops, a * log)  # y / a
    y = a * ratio
    small = xp.abs(ops.detach(y)) < 0.1
    near = xp.where(small, y, 0.0)
    series = xp.zeros_like(near)
    for n in range(18, 1, -1):
        series = (1 - n) / n - near * series
    safe = xp.where(small, 1.0, a)
    far = (s * xp.where(small, 0.0, y) - p * safe * log) / safe**2
    w = xp.where(alive, xp.where(small, p * series * ratio**2, far), 0.0)
    slopes, moved = ops.totals(axes, s, w)
    return w - s * (moved / xp.where(ops.detach(slopes) == 0, 1.0, slopes))

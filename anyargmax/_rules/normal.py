"""The logarithm of the Normal distribution function, right in both tails, as a rule: the Array API standard has none.

``erfcx(t) = exp(t^2) erfc(t)`` for ``t >= 0`` is a polynomial in ``y = (t - 3) / (t + 3)`` over ``1 + 2 t``: the form of
Shepherd and Laframboise (1981), "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < inf", Math. Comp. 36, 249.
The coefficients are those of the Chebyshev interpolant in 60 nodes, computed in 60 digits, cut where the rest is 7e-18 (`LONG`)
and 3e-9 (`SHORT`), and written in powers of y: their absolute values sum to 1.8, so that Horner's scheme loses nothing.
"""

import math

from .ops import RuleOps
from .rule import Array, Rule

CENTER = 3.0
LONG = (
    *(1.2530080582697296, -0.1356211061245812, -0.0475622943534492, 0.12964515870276475, -0.11927366341538638),
    *(0.06830802734384515, -0.02377051491717134, 0.0025293918180474668, 0.0018886903449991718, -0.0007798322884823084),
    *(-0.00010515971958448065, 0.0001250994355712812, 4.949196649968345e-06, -2.0100843094844725e-05),
    *(-7.308281468783614e-07, 3.473024167841533e-06, 3.5576086684080595e-07, -6.175617678992323e-07),
    *(-1.4047654315428462e-07, 1.0277997488271058e-07, 4.1064013667940355e-08, -1.3906145791730994e-08),
    *(-8.217595058711455e-09, 1.2019719440135793e-09, 8.393734858690877e-10, -3.451497487664328e-11),
)
SHORT = (
    *(1.2530080582534238, -0.1356210694002736, -0.04756229269565379, 0.1296441143440814, -0.11927369132068087),
    *(0.06831656777114085, -0.023770334675484478, 0.0024991168696069477, 0.0018881128646091253, -0.0007264536790340485),
    *(-0.00010413071427970404, 7.731024224076895e-05, 3.861849136821459e-06),
)
GONE = 40.0  # where the density is 0 in every dtype: exp(-800)


def _half_erfcx(ops: RuleOps, t: Array) -> Array:
    """``erfcx(t) / 2`` for ``t >= 0``."""
    y = 1 - 2 * CENTER / (t + CENTER)  # and not a quotient with t above, which infinity has none of
    coefficients = SHORT if float(ops.xp.finfo(t.dtype).eps) > 2.0**-24 else LONG
    total = y * coefficients[-1] + coefficients[-2]
    for c in coefficients[-3::-1]:
        total = total * y + c
    return total / (2 + 4 * t)


def _log_ndtr(ops: RuleOps, u):
    """``u^2`` of the upper tail is split, because exp would make a relative error of its rounding."""
    xp = ops.xp
    size = xp.abs(u)
    half = _half_erfcx(ops, size * math.sqrt(0.5))
    low = xp.log(half) - u * u / 2
    near = xp.where(size > GONE, GONE, size)
    coarse = xp.round(near * 16) / 16
    # In this order: XLA makes one exponential of a product of two.
    tail = xp.exp(-coarse * coarse / 2) * half * xp.exp(-(near - coarse) * (near + coarse) / 2)
    return xp.where(u < 0, low, _log_less(ops, tail))


def _log_less(ops: RuleOps, q: Array) -> Array:
    """``log(1 - q)``, right for small q where a framework's log1p is not: the quotient corrects the rounding of ``1 - q``.

    Kahan (1982), in the manual of HP's 15C.
    """
    rest = 1 - q
    lost = 1 - rest
    return -q * ops.xp.where(lost == 0, 1.0, -ops.xp.log(rest) / ops.xp.where(lost == 0, 1.0, lost))


def hazard(ops: RuleOps, u: Array, y: Array) -> Array:
    """``phi(u) / Phi(u)``, the derivative of ``y = log Phi(u)``, with an error of ``u^2`` eps.

    A derivative of y differentiates it exactly.
    """
    return ops.xp.exp(-(u * u / 2 + y)) * (1 / math.sqrt(2 * math.pi))


def _product(ops: RuleOps, v, y, u):
    return v * hazard(ops, u, y)


def _composite(ops: RuleOps, u):
    """Taylor's polynomial round the value of a finite u, exact to second derivatives."""
    still = ops.detach(u)
    y = _log_ndtr(ops, still)
    slope = hazard(ops, still, y)
    move = u - still
    return y + move * slope * (1 - move / 2 * (still + slope))


LOG_NDTR = Rule("log_ndtr", _log_ndtr, (_product,), (_product,), _composite)

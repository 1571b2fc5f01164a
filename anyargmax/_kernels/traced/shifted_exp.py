"""``exp((x - top) / T)`` along the middle or last axis of few, as a rule: its derivatives are finite where it is NaN."""

import math

from ..._rules.rule import Rule
from ..kernel import KernelOps


def _forward(ops: KernelOps, x, temperature, top, *, careful):
    """NaN where infinities are subtracted, unless it is careful: then 1 at ``+inf``, and 0 in rows of ``-inf`` alone."""
    xp = ops.xp
    e = xp.exp(x - top if temperature is None else (x - top) / temperature)
    return xp.where(x == top, xp.astype(top != -math.inf, x.dtype), e) if careful else e


def live(ops: KernelOps, e, top):
    """``e`` as the factor of a derivative: 0 in rows that an infinite score decides."""
    return ops.xp.where(ops.xp.abs(top) == math.inf, 0.0, e)


def slope_x(ops: KernelOps, v, e, x, temperature, top):
    """What a tangent of the scores does to ``e``, which is live."""
    v = ops.xp.where(ops.detach(e) == 0, 0.0, v) * e
    return v if temperature is None else v / temperature


def slope_temperature(ops: KernelOps, t, e, x, temperature, top):
    """What a tangent of the temperature does to ``e``, which is live."""
    dead = ops.detach(e) == 0
    z = ops.xp.where(dead, 0.0, x - ops.xp.where(dead, 0.0, top)) / temperature
    return -t * e * z / temperature


def _product(slope):
    def product(ops: KernelOps, v, e, x, temperature, top, *, careful):
        return slope(ops, v, live(ops, e, top), x, temperature, top)

    return product


def _vjp_temperature(ops: KernelOps, g, *args, careful):
    return ops.xp.sum(_product(slope_temperature)(ops, g, *args, careful=careful), axis=1, keepdims=True)


# Arguments: x scores of shape (rows, n) or (rows, n, columns); temperature (None is 1) and top, the largest score,
# of the same rank with axis 1 reduced to length 1. The top only shifts: it is a constant.
SHIFTED_EXP = Rule(
    "shifted_exp",
    _forward,
    (_product(slope_x), _vjp_temperature),
    (_product(slope_x), _product(slope_temperature)),
    _forward,
)

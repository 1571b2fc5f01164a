"""Weights of non-negative heatmaps without the pull of their zero background: proportional to ``expm1``."""

from .ops import RuleOps
from .rule import Rule
from .scores import kept_and_reference, log_smallest, square_root


def _parts(ops: RuleOps, x, temperature, mask, axes):
    """Return ``w = T [exp((x - top) / T) - exp(-top / T)]`` and ``e = exp((x - top) / T)`` of the kept scores, and ``sum w``.

    A temperature far above the scores leaves w near them, and ``e / sum w`` is the derivative of each weight. A row with
    +inf has neither.
    """
    xp, value = ops.xp, ops.detach(x)
    keep, top, peak = kept_and_reference(ops, x, mask, axes)
    top = xp.where((top > 0) & ~peak, top, 0.0)
    alive = keep & ~peak
    small = ~alive | (value < (1.0 if temperature is None else ops.detach(temperature)))
    near, far = xp.where(alive & small, x, 0.0), xp.where(small, top, x) - top
    shrunk, far = _vanishing(ops, -top, temperature), _vanishing(ops, far, temperature)
    grown, low = _grown(ops, near, temperature)
    high = far - shrunk
    w = xp.where(small, shrunk * low, high if temperature is None else _unless(xp, small, temperature) * high)
    w = xp.where(alive, xp.where(value < 0, float("nan"), w), 0.0)
    e = xp.where(alive, xp.where(small, shrunk * (1 + grown), far), 0.0)
    return w, e, keep, xp.sum(w, axis=axes, keepdims=True)


def _vanishing(ops: RuleOps, z, temperature):
    """``exp(z / T)`` of z at most 0. What vanishes is not divided: it has no derivative, and a lazy array would warn later."""
    xp = ops.xp
    if temperature is None or (isinstance(temperature, float) and ops.is_concrete(z)):
        return xp.exp(z if temperature is None else z / temperature)
    lowest = log_smallest(ops, z.dtype) * ops.detach(temperature)
    if isinstance(lowest, float):
        lowest = max(lowest, -float(xp.finfo(z.dtype).max))
    gone = ops.detach(z) < lowest
    return xp.where(gone, 0.0, xp.exp(xp.where(gone, 0.0, z) / temperature))


def _grown(ops: RuleOps, z, temperature):
    """``expm1(z / T)`` and T times that; by their series, which is right to second derivatives, where the first has no digits."""
    xp = ops.xp
    if temperature is None:
        grown = xp.expm1(z)
        return grown, grown
    rise = z / temperature
    tiny = ops.detach(rise) < float(xp.finfo(z.dtype).eps) / 2
    grown = xp.expm1(xp.where(tiny, 0.0, rise))
    return xp.where(tiny, rise, grown), xp.where(tiny, z * (1 + rise / 2), _unless(xp, tiny, temperature) * grown)


def _unless(xp, condition, temperature):
    """A temperature, 1 in an array of them where a product is not looked at: one that is infinite has no derivative there."""
    return temperature if isinstance(temperature, float) else xp.where(condition, 1.0, temperature)


def _is_blank(ops: RuleOps, total):
    """Whether a map has no weight; less than the smallest normal number is none, as where subnormal numbers are flushed to 0."""
    return ops.detach(total) < float(ops.xp.finfo(total.dtype).smallest_normal)


def _compensated(ops: RuleOps, x, temperature, mask, *, axes):
    xp = ops.xp
    w, _, keep, total = _parts(ops, x, temperature, mask, axes)
    blank = _is_blank(ops, total)
    count = xp.sum(xp.astype(keep, w.dtype), axis=axes, keepdims=True)
    even = xp.where(keep, 1 / xp.where(count == 0, 1.0, count), 0.0)
    return xp.where(blank, even, w / xp.where(blank, 1.0, total))


def _slopes(ops: RuleOps, x, temperature, mask, axes):
    """``s = exp(x / T) / (T sum expm1(x / T))``, of which the Jacobian is made; 0 in blank rows and where nothing is kept."""
    xp = ops.xp
    _, e, keep, total = _parts(ops, x, temperature, mask, axes)
    blank = _is_blank(ops, total)
    return xp.where(blank | ~keep, 0.0, e / xp.where(blank, 1.0, total))


def _vjp_x(ops: RuleOps, g, p, x, temperature, mask, *, axes):
    """``J = diag(s) - p s^T``, which is not symmetric: ``J^T g = s (g - <p, g>)``."""
    s = _slopes(ops, x, temperature, mask, axes)
    still = ops.detach(s) == 0
    g = ops.xp.where(still, 0.0, g)
    pulled = s * (g - ops.xp.sum(p * g, axis=axes, keepdims=True))
    return ops.xp.where(still, 0.0, pulled)


def _jvp_x(ops: RuleOps, t, p, x, temperature, mask, *, axes):
    s = _slopes(ops, x, temperature, mask, axes)
    still = ops.detach(s) == 0
    t = ops.xp.where(still, 0.0, t)
    product = s * t - p * ops.xp.sum(s * t, axis=axes, keepdims=True)
    return ops.xp.where(still, 0.0, product)


def _shifted(ops: RuleOps, p, x, temperature, mask, axes):
    """Return ``x - c`` of the kept scores and ``c J 1``, so that ``J x = J (x - c) + c J 1``.

    c is the largest score if that is above T: far above it, ``J x`` would cancel to nothing, and ``J 1 =
    (1 - n p) / (T sum expm1(x / T))`` vanishes. Below T there is nothing to be gained, and c is 0.
    """
    xp = ops.xp
    keep, top, peak = kept_and_reference(ops, x, mask, axes)
    _, e, _, total = _parts(ops, x, temperature, mask, axes)
    top = xp.where((top > ops.detach(temperature)) & ~peak, top, 0.0)
    alive, blank = keep & ~peak, _is_blank(ops, total)
    count = xp.sum(xp.astype(alive, x.dtype), axis=axes, keepdims=True)
    ones = top * (_vanishing(ops, -top, temperature) / xp.where(blank, 1.0, total))
    offset = xp.where(ops.detach(e) == 0, 0.0, x - top)  # what is too low for a weight does not move
    return offset, xp.where(alive & ~blank, ones * (1 - count * p), 0.0)


def _vjp_temperature(ops: RuleOps, g, p, x, temperature, mask, *, axes):
    """``dp/dT = -J x / T``."""
    offset, ones = _shifted(ops, p, x, temperature, mask, axes)
    pulled = _vjp_x(ops, g, p, x, temperature, mask, axes=axes) * offset
    through = ops.xp.where(ops.detach(ones) == 0, 0.0, g) * ones
    return -ops.xp.sum((pulled + through) / temperature, axis=axes, keepdims=True)


def _jvp_temperature(ops: RuleOps, t, p, x, temperature, mask, *, axes):
    half = square_root(ops, temperature)
    offset, ones = _shifted(ops, p, x, temperature, mask, axes)
    moved = _jvp_x(ops, offset / half * t / half, p, x, temperature, mask, axes=axes)
    return -(moved + ones / half * (t / half))


COMPENSATED = Rule(
    name="compensated",
    forward=_compensated,
    vjps=(_vjp_x, _vjp_temperature),
    jvps=(_jvp_x, _jvp_temperature),
    composite=_compensated,
    rows=(1,),
)

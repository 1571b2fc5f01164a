"""Weights of non-negative heatmaps without the pull of their zero background: proportional to ``expm1``."""

from .ops import RuleOps
from .rule import Rule
from .scores import kept_and_reference, log_smallest, root


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
    w = xp.where(small, shrunk * low, high if temperature is None else temperature * high)
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
    return xp.where(tiny, rise, grown), xp.where(tiny, z * (1 + rise / 2), temperature * grown)


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


def _kept(ops: RuleOps, x, mask, axes):
    keep, _, peak = kept_and_reference(ops, x, mask, axes)
    return ops.xp.where(keep & ~peak, x, 0.0)


def _vjp_temperature(ops: RuleOps, g, p, x, temperature, mask, *, axes):
    """``dp/dT = -J x / T^2``."""
    product = _vjp_x(ops, g, p, x, temperature, mask, axes=axes) * _kept(ops, x, mask, axes) / temperature
    return -ops.xp.sum(product, axis=axes, keepdims=True)


def _jvp_temperature(ops: RuleOps, t, p, x, temperature, mask, *, axes):
    half = root(ops, temperature)
    return -_jvp_x(ops, _kept(ops, x, mask, axes) / half * t / half, p, x, temperature, mask, axes=axes)


COMPENSATED = Rule(
    name="compensated",
    forward=_compensated,
    vjps=(_vjp_x, _vjp_temperature),
    jvps=(_jvp_x, _jvp_temperature),
    composite=_compensated,
)

"""The relaxations: ``p_i = phi(z_i - tau)`` with ``sum p = k``, and the one Jacobian of them all.

A relaxation is a scalar function phi. With ``s = phi'(z - tau)`` the Jacobian of every one of them is
``diag(s) - s s^T / sum(s)``, and s is a function of the weights alone.
"""

from typing import Any, NamedTuple

from ._rule import Array


class Relaxation(NamedTuple):
    """Which phi. For ``entmax``, alpha None means that it comes as an array; k None means ``sum p = 1``."""

    kind: str = "entmax"
    alpha: float | None = 1.0
    k: int | None = None


def excess_order(alpha: Array | None, r: Relaxation) -> Any:
    """Return ``alpha - 1``, from the array if there is one."""
    order: Any = r.alpha if alpha is None else alpha
    return order - 1


def parts(ops, u: Array, keep: Array, r: Relaxation):
    """Return ``phi(u)`` of winners in two parts, what it is above or below the nearest of 0 and 1, and that; and ``phi'(u)``.

    A sum near k of whole weights would be rounded to multiples of k eps; a sum of parts is not.
    """
    xp, value = ops.xp, ops.detach(u)
    if r.kind == "capped":
        # Scores that tie with the threshold, or lie 1 above it, do so whatever the threshold's last digits are.
        edge = 8 * float(xp.finfo(u.dtype).eps)
        high = value >= 1 - edge
        s = xp.astype(keep & (value > edge) & ~high, u.dtype)
        return u * s, xp.astype(keep & high, u.dtype), s
    kept, high = xp.astype(keep, u.dtype), xp.astype(value >= 0, u.dtype)
    sign = 1 - 2 * high
    e = xp.exp(u * sign)  # and not -abs(u), which has no derivative at 0
    q = e / (1 + e)
    return q * sign * kept, high * kept, q * (1 - q) * kept


def phi(ops, u: Array, keep: Array | None, alpha: Array | None, r: Relaxation):
    """Return ``p = phi(u)`` and ``s = phi'(u)`` over the kept entries (keep None: all), 0 elsewhere.

    ``entmax``: ``[1 + (alpha - 1) u]_+^(1 / (alpha - 1))``, at alpha = 1 its limit ``exp(u)``;
    ``capped``: ``clip(u, 0, 1)``; ``sigmoid``: ``1 / (1 + exp(-u))``.
    """
    xp = ops.xp
    if r.kind != "entmax":
        rest, whole, s = parts(ops, u, keep, r)
        # A compiler selects where a product with 0 and 1 stands: NaN is added again.
        return rest + whole + 0 * ops.detach(u), s
    if r.alpha == 1:
        p = xp.exp(u) if keep is None else xp.where(keep, xp.exp(u), 0.0)
        return p, p
    a = excess_order(alpha, r)
    rise = a * u
    alive = ~(ops.detach(rise) <= -1) if keep is None else keep & ~(ops.detach(rise) <= -1)
    rise, u = xp.where(alive, rise, 0.0), xp.where(alive, u, 0.0)
    base = 1 + rise
    powers = {2.0: lambda: (base, xp.ones_like(base)), 1.5: lambda: (base**2, base), 4 / 3: lambda: (base**3, base**2)}
    if alpha is None and r.alpha in powers:
        p, s = powers[r.alpha]()
    else:
        p = xp.exp(u * log1p_ratio(ops, rise))
        s = p / base
    return xp.where(alive, p, 0.0), xp.where(alive, s, 0.0)


def log1p_ratio(ops, w: Array) -> Array:
    """``log1p(w) / w``, smooth through w = 0, where it and its derivatives come from a series.

    The series is that of ``2 artanh(w / (2 + w))``. It reaches as far as 0.5 because XLA's log1p on the CPU
    is ``log(1 + w)`` from 1e-4 on, which there has lost four digits.
    """
    xp = ops.xp
    small = xp.abs(ops.detach(w)) < 0.5
    near, far = xp.where(small, w, 0.0), xp.where(small, 1.0, w)
    square = (near / (2 + near)) ** 2
    series = xp.zeros_like(w)
    for n in range(33, 0, -2):
        series = 1 / n + square * series
    return xp.where(small, 2 / (2 + near) * series, xp.log(1 + far) / far)


def expm1_ratio(ops, w: Array) -> Array:
    """``expm1(w) / w``, smooth through w = 0, where it and its derivatives come from the series."""
    xp = ops.xp
    small = xp.abs(ops.detach(w)) < 1e-1
    near, far = xp.where(small, w, 0.0), xp.where(small, 1.0, w)
    series = xp.ones_like(w)
    for n in range(11, 1, -1):
        series = 1 + near / n * series
    return xp.where(small, series, xp.expm1(far) / far)


def norm_step(ops, total: Array, slope: Array, r: Relaxation) -> Array:
    """Newton step of the threshold of entmax, from ``sum phi`` and ``sum phi'`` there.

    It is Newton's on the norm ``(sum p^a)^(1/a) = 1``, ``a = alpha - 1`` being the norm's inverse order: for
    alpha <= 2 that is convex and nearly linear, and at alpha = 1 one step is exact.
    """
    xp = ops.xp
    slope = xp.where(ops.detach(slope) == 0, 1.0, slope)
    total = xp.where(ops.detach(total) > 0, total, xp.where(ops.detach(total) == 0, 1.0, total))
    log = xp.log(total)
    a = excess_order(None, r)
    return total * log * expm1_ratio(ops, -a * log) / slope


def sensitivity(ops, p: Array, alpha: Array | None, r: Relaxation) -> Array:
    """``s = phi'(z - tau)`` from the weights; 0 where they are 0."""
    xp = ops.xp
    if r.kind == "sigmoid":
        return p * (1 - p)
    value = ops.detach(p)
    if r.kind == "capped":
        return xp.where((value > 0) & (value < 1), 1.0, value * 0)
    if alpha is None and r.alpha == 1:
        return p
    if alpha is None and r.alpha == 2:
        return xp.where(value > 0, 1.0, value * 0)
    positive = xp.where(value > 0, p, 1.0)
    exponent = 1 - excess_order(alpha, r)
    return xp.where(value > 0, xp.exp(exponent * xp.log(positive)), p * 0)


def jacobian_product(
    ops, v: Array, p: Array, alpha: Array | None, r: Relaxation, axes: tuple[int, ...], dead: Array | None
):
    """Return ``J v = s * (v - <s, v> / sum(s))``; J is symmetric, so this is both JVP and VJP.

    `dead` marks entries whose derivative is 0 whatever `v` holds there (even NaN); None if there are none.
    """
    xp = ops.xp
    s = sensitivity(ops, p, alpha, r)
    if dead is not None:
        v = xp.where(dead, 0.0, v)
    pulled = xp.sum(s * v, axis=axes, keepdims=True)
    if not (r.kind == "entmax" and alpha is None and r.alpha == 1):  # softmax: s = p sums to 1, or to 0
        total = xp.sum(s, axis=axes, keepdims=True)
        pulled = pulled / xp.where(ops.detach(total) == 0, 1.0, total)
    return s * (v - pulled)


def alpha_derivative(ops, p: Array, alpha: Array, r: Relaxation, axes: tuple[int, ...]) -> Array:
    """``dp/d alpha = w - s sum(w) / sum(s)`` with ``w = p [y/(1+y) - log1p(y)] / a^2``, ``y = p^a - 1``, a = alpha - 1.

    From the weights alone, without the cancellation of the published form (Correia, Niculae and Martins
    2019, eq. 12) near alpha = 1; there it is ``p (sum_j p_j log^2 p_j - log^2 p) / 2``.
    """
    xp = ops.xp
    a = alpha - 1
    alive = ops.detach(p) > 0
    log = xp.log(xp.where(alive, p, 1.0))
    s = sensitivity(ops, p, alpha, r)
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
    total = xp.sum(s, axis=axes, keepdims=True)
    total = xp.where(ops.detach(total) == 0, 1.0, total)
    return w - s * (xp.sum(w, axis=axes, keepdims=True) / total)

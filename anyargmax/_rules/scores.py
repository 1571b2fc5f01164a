"""From raw scores to shifted, scaled and finite ones: masks and infinities end here."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from .ops import RuleOps
from .rule import Array


def log_smallest(ops: RuleOps, dtype) -> float:
    """Logarithm of the smallest normal number; of float64 for dtypes that reach below it."""
    return math.log(max(float(ops.xp.finfo(dtype).smallest_normal), 2.0**-1022))


def is_empty(x: Array) -> bool:
    """Whether an array has no entries; a length that is not known yet is taken for one that is not 0."""
    return any(isinstance(n, int) and n == 0 for n in x.shape)


def largest(ops: RuleOps, x: Array, axes: tuple[int, ...]) -> Array:
    """Return the maximum along the axes, kept; NaN if there is a NaN. An empty batch has none, but no entries to show it either."""
    xp = ops.xp
    reduced = partial(xp.sum if is_empty(x) else xp.max, x, axis=axes, keepdims=True)
    if ops.folds(x) and len(axes) == 1 and axes[0] < x.ndim - 1:
        top = ops.compiler.on_platform(cpu=partial(_folded, ops, x, axes[0]), default=reduced)
    else:
        top = reduced()
    if ops.maximum_drops_nan and xp.isdtype(x.dtype, "real floating"):
        return xp.where(xp.any(x != x, axis=axes, keepdims=True), math.nan, top)
    return top


def _folded(ops: RuleOps, x: Array, axis: int) -> Array:
    """Maximum along an axis by halves: whole lines beside each other, where a reduction would walk across them."""
    n = x.shape[axis]
    while n > 1:
        half, before = (n + 1) // 2, (slice(None),) * axis
        x = ops.xp.maximum(x[(*before, slice(half), ...)], x[(*before, slice(n - half, n), ...)])
        n = half
    return x


def kth_largest(ops: RuleOps, x: Array, k: int, axes: tuple[int, ...]) -> Array:
    """The k-th largest score along the one axis, kept; NaN if there is a NaN."""
    xp, (axis,) = ops.xp, axes
    if is_empty(x):  # there is no row
        kth = xp.max(x, axis=axis, keepdims=True)
    elif ops.kth_largest is None:
        n = x.shape[axis]
        kth = xp.sort(x, axis=axis)[(*(slice(None),) * axis, slice(n - k, n - k + 1), ...)]
    else:
        kth = ops.moveaxis(ops.kth_largest(ops.moveaxis(x, axis, -1), k), -1, axis)
    if not xp.isdtype(x.dtype, "real floating"):
        return kth
    return xp.where(xp.any(x != x, axis=axes, keepdims=True), math.nan, kth)


def square_root(ops: RuleOps, temperature: Array | None) -> Any:
    """Return the square root of the temperature, None for None.

    A tangent is divided by it before and after the Jacobian. A framework that transposes the product divides a
    cotangent in the same way, and neither order overflows where the Jacobian is 0.
    """
    if temperature is None or isinstance(temperature, float):
        return None if temperature is None else math.sqrt(temperature)
    return ops.xp.sqrt(temperature)


def divided(v: Array, divisor: Any) -> Array:
    """Return ``v / divisor``, v for None."""
    return v if divisor is None else v / divisor


def kept_and_reference(ops: RuleOps, x: Array, mask: Array | None, axes: tuple[int, ...], k: int | None = None):
    """Return which scores take part, the score to shift by, and in which rows that is +inf.

    The reference is the largest kept score, or the k-th largest. A ``-inf`` score counts as masked. Where
    the reference is ``+inf``, only the ``+inf`` entries take part. All three come from detached scores:
    they select, they carry no gradient.
    """
    xp = ops.xp
    x = ops.detach(x)
    keep = x != -math.inf
    if mask is not None:
        keep = keep & mask
    kept = xp.where(keep, x, -math.inf)
    reference = largest(ops, kept, axes) if k is None else kth_largest(ops, kept, k, axes)
    peak = reference == math.inf
    keep = keep & (~peak | (x == math.inf))
    return keep, reference, peak


def is_tame(ops: RuleOps, x: Array, temperature: Array | None, mask: Array | None) -> bool:
    """Whether no score needs care: none is masked, NaN or infinite, and none lies so low that its weight would vanish.

    That costs two passes of reading and saves several of selecting, where values can be looked at cheaply.
    """
    if mask is not None or not ops.is_cheap_to_read(x) or is_empty(x):
        return False
    xp = ops.xp
    x = ops.detach(x)
    spread = float(xp.max(x)) - float(xp.min(x))  # NaN or infinite if any score is
    coldest = 1.0 if temperature is None else temperature
    coldest = coldest if isinstance(coldest, float) else float(xp.min(ops.detach(coldest)))
    return math.isfinite(spread) and spread <= -0.9 * log_smallest(ops, x.dtype) * coldest


def scaled(
    ops: RuleOps,
    x: Array,
    temperature: Array | None,
    mask: Array | None,
    axes: tuple[int, ...],
    k: int | None = None,
    tail: Callable[..., float] = log_smallest,
):
    """Return ``z = (x - reference) / temperature`` and where it takes part (None: everywhere); z is 0 elsewhere.

    The shift comes before the division, so neither a tiny temperature nor a huge score overflows.
    Scores below `tail`, whose weight would fall below the smallest normal number, take no part: what is left of
    them differs between frameworks, which may or may not flush subnormal numbers to zero. As far above a
    k-th largest score, z is held at that distance. Selecting before any arithmetic keeps the gradient of
    the others exact (a masked NaN times zero would be NaN).
    """
    xp = ops.xp
    if k is None and is_tame(ops, x, temperature, mask):
        z = x - largest(ops, ops.detach(x), axes)
        return (z if temperature is None else z / temperature), None
    keep, reference, peak = kept_and_reference(ops, x, mask, axes, k)
    flat = peak | (reference == -math.inf)
    reference = xp.where(flat, 0.0, reference)
    half_gap = ops.detach(x) * 0.5 - reference * 0.5  # halved, because scores at both ends of the range overflow
    floor = tail(ops, x.dtype)
    bound = floor / 2 if temperature is None else floor / 2 * ops.detach(temperature)
    if isinstance(bound, float):
        bound = max(bound, -float(xp.finfo(x.dtype).max))
    keep = keep & (flat | ~(half_gap < bound))  # ~(<) and not >=, so that NaN stays and shows
    high = half_gap > -bound
    z = xp.where(keep & ~flat & ~high, x, reference) - reference
    z = z if temperature is None else z / temperature
    return (z if k is None else xp.where(high & keep & ~flat, -floor, z)), keep

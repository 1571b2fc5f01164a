"""From raw scores to shifted, scaled and finite ones: masks and infinities end here."""

import math

from ._rule import Array


def largest(ops, x: Array, axes: tuple[int, ...]) -> Array:
    """Maximum along the axes, kept. An empty batch has none, but no entries to show it either."""
    reduce = ops.xp.max if math.prod(x.shape) != 0 else ops.xp.sum
    return reduce(x, axis=axes, keepdims=True)


def kept_and_peak(ops, x: Array, mask: Array | None, axes: tuple[int, ...]):
    """Return which scores take part, their maximum, and which rows hold a +inf.

    A ``-inf`` score counts as masked. In a row with a ``+inf`` only the ``+inf`` entries take part.
    All three come from detached scores: they select, they carry no gradient.
    """
    xp = ops.xp
    x = ops.detach(x)
    keep = x != -math.inf
    if mask is not None:
        keep = keep & mask
    top = largest(ops, xp.where(keep, x, -math.inf), axes)
    peak = top == math.inf
    keep = keep & (~peak | (x == math.inf))
    return keep, top, peak


def scaled(ops, x: Array, temperature: Array | None, mask: Array | None, axes: tuple[int, ...]):
    """Return ``z = (x - max x) / temperature`` and where it takes part; z is 0 elsewhere.

    The shift comes before the division, so neither a tiny temperature nor a huge score overflows.
    Scores whose ``exp(z)`` would fall below the smallest normal number take no part: what is left of
    them differs between frameworks, which may or may not flush subnormal numbers to zero.
    Selecting before any arithmetic keeps the gradient of the others exact (a masked NaN times zero
    would be NaN).
    """
    xp = ops.xp
    keep, top, peak = kept_and_peak(ops, x, mask, axes)
    flat = peak | (top == -math.inf)
    top = xp.where(flat, 0.0, top)
    half_gap = ops.detach(x) * 0.5 - top * 0.5  # halved, because scores at both ends of the range overflow
    floor = math.log(xp.finfo(x.dtype).smallest_normal) / 2
    bound = floor if temperature is None else floor * ops.detach(temperature)
    keep = keep & (flat | ~(half_gap < bound))  # ~(<) and not >=, so that NaN stays and shows
    z = xp.where(keep & ~flat, x, top) - top
    return (z if temperature is None else z / temperature), keep

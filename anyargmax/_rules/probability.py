"""The probability that each score is the largest once independent Normal noise is added: one integral a score, as a rule.

With ``u_i = (m - x_i) / s_i``, ``h_i = phi(u_i) / (s_i Phi(u_i))``, ``F = prod Phi(u_i)`` and ``H = sum h_i``, the maximum has
the distribution function F, and ``p_i = int F h_i dm``. The Jacobian ``int F (H diag(h) - h h^T) dm`` is symmetric. That of
the scales is ``int F (H diag(h) - h h^T) diag(u) dm``: a scale moves its score by u at m.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .normal import GONE, hazard
from .ops import RuleOps
from .positions import along
from .rule import Array, Rule
from .scores import kept_and_reference, largest

# Arguments: x scores; scale (None is 1), a number or an array of the shape of x; mask. Static: axes, and the count of nodes.

ENTRIES = 2**18  # of temporary arrays: so many scores times nodes at once
PIECES = 16  # at most, where a compiler would take a copy of the code for each
UNKNOWN = 1000  # the length of an axis that is not known yet


class Precision(NamedTuple):
    """How far from the scores, in scales, their noise reaches, and the nodes for a rise of 1 in t: constant, and by log n.

    The maximum of n is distributed the more sharply the larger n is. As measured for n from 1 to 10^4, the integrals of
    probabilities and of first derivatives have then an error below 5 eps, those of second ones below 10 eps.
    """

    reach: float
    fewest: float
    more: float


WIDE, NARROW = Precision(9.0, 2.0, 1.9), Precision(6.0, 1.5, 1.0)  # for float64 and float32


def _precision(ops: RuleOps, dtype) -> Precision:
    return NARROW if float(ops.xp.finfo(dtype).eps) > 2.0**-24 else WIDE


def _density(precision: Precision, n: int | None) -> float:
    return precision.fewest + precision.more * math.log(max(UNKNOWN if n is None else n, 1))


def nodes_for(ops: RuleOps, dtype, n: int | None, ratio: float) -> int:
    """Return how many nodes are enough for rows of n scores whose scales are at most so many times each other.

    At a distance d above the lowest node, noise of a scale below ``d / (2 reach)`` has no part any more, as every score
    lies within its reach of that node or lower. So ``d = 2 reach s (exp(t / (2 reach)) - 1)``, of the smallest scale s,
    is fine enough for all of them with equal steps of t, and the range of t grows with the logarithm of the ratio.
    """
    precision = _precision(ops, dtype)
    rise = 2 * precision.reach * math.log1p(ratio)
    return math.ceil(rise * _density(precision, n)) + 1


class _Row(NamedTuple):
    """Rows in units of their smallest scale that matters. Of these, only `place` and `width` are differentiable.

    A score matters if it may be the maximum: its noise reaches above the highest of all lower ends. Others have
    probability 0, below 1e-19 (in float32 1e-9) in truth. Where a score moves nothing, its place is 0 and its width 1.
    """

    place: Array
    width: Array  # of the noise: the unit over the scale
    matters: Array
    alone: Array  # what matters alone, and has probability 1
    moves: Array
    kept: Array
    unit: Array
    start: Array  # the lowest node
    step: Array  # of t between nodes, NaN where they are too few


def _reference(ops: RuleOps, x, scale, live, flat, top, axes, reach):
    """Return the score with the highest lower end, or one as good: ends that are measured from it are right to their digits.

    A compiler may round products in one place and not in another. So ends that are equal but for that are taken for equal.
    """
    xp = ops.xp
    shifted = xp.where(live & ~flat, x, top) - top
    low = xp.where(live, shifted - reach * scale, -math.inf)
    slack = 8 * float(xp.finfo(x.dtype).eps) * (xp.abs(shifted) + reach * scale)
    highest = largest(ops, low, axes)
    chosen = live & (low + slack >= highest)
    return largest(ops, xp.where(chosen, xp.where(flat, 0.0, x), -math.inf), axes) + 0 * highest


def _row(ops: RuleOps, x, scale, mask, axes, count) -> _Row:
    xp, (axis,) = ops.xp, axes
    precision = _precision(ops, x.dtype)
    reach = precision.reach
    scale = xp.zeros_like(x) + (1.0 if scale is None else scale)
    kept, top, peak = kept_and_reference(ops, x, mask, axes)
    empty = top == -math.inf
    flat, live = peak | empty, kept | empty  # whose scores are all 0, and scales 1
    still = xp.where(flat | ~live, 1.0, ops.detach(scale))
    value, top = ops.detach(x), xp.where(flat, 0.0, top)
    reference = _reference(ops, value, still, live, flat, top, axes, reach)
    place = xp.where(live & ~flat, value, reference) - reference
    low = largest(ops, xp.where(live, place - reach * still, -math.inf), axes)
    matters = live & ~(place + reach * still <= low)  # so that NaN stays and shows
    high = largest(ops, xp.where(matters, place + reach * still, -math.inf), axes)
    unit = -largest(ops, xp.where(matters, -still, -math.inf), axes)
    rise = 2 * reach * xp.log1p((high - low) / (2 * reach * unit))
    step = rise / (count - 1)
    fits = step * _density(precision, x.shape[axis]) <= 1.01
    step = xp.where(fits, step, math.nan)
    alone = matters & fits & (xp.sum(xp.astype(matters, xp.int32), axis=axes, keepdims=True) == 1)
    moves = matters & ~flat & ~alone
    return _Row(
        place=(xp.where(moves, x, reference) - reference) / unit,
        width=unit / xp.where(moves, scale, unit),
        matters=matters,
        alone=alone,
        moves=moves,
        kept=kept,
        unit=unit,
        start=low / unit,
        step=step,
    )


def _pieces(ops: RuleOps, row: _Row, count: int) -> Iterator[Array]:
    """The numbers of the nodes, along a first axis, of as many nodes at once as memory allows."""
    like = row.place
    size = math.prod(n or 1 for n in like.shape)
    at_once = max(1, ENTRIES // size)
    if not ops.is_concrete(like):
        at_once = max(at_once, math.ceil(count / PIECES))
    for first in range(0, count, at_once):
        numbers = ops.xp.arange(min(at_once, count - first), dtype=like.dtype, **ops.place(like))
        yield along(ops, numbers + first, like.ndim + 1, 0)


def _integral(ops: RuleOps, row: _Row, axes, count, term: Callable[[Array, Array], Array]) -> Array:
    """``int F term(h, u) dm`` by the trapezium rule in t, of terms with a first axis of nodes.

    It is divided by ``int F H dm``, which is 1 but for what the sums over long rows have added to the logarithms of F.
    """
    xp, inner, total, mass = ops.xp, axes[0] + 1, 0.0, 0.0
    length = 2 * _precision(ops, row.place.dtype).reach
    for number in _pieces(ops, row, count):
        grown = xp.exp(number * (row.step / length))
        m = row.start + length * (grown - 1)
        u = xp.where(row.matters, (m - row.place) * row.width, GONE)
        y = ops.log_ndtr(u)
        h = row.width * hazard(ops, u, y)
        weight = grown * xp.exp(xp.sum(y, axis=inner, keepdims=True))
        total = total + xp.sum(weight * term(h, u), axis=0)
        mass = mass + xp.sum(ops.detach(weight) * xp.sum(ops.detach(h), axis=inner, keepdims=True), axis=0)
    return total / mass


def _probability(ops: RuleOps, x, scale, mask, *, axes, count):
    xp = ops.xp
    row = _row(ops, x, scale, mask, axes, count)
    p = _integral(ops, row, axes, count, lambda h, u: h)
    p = xp.where(row.alone, 1.0, _summing_to_1(ops, p, axes))
    p = xp.where(ops.detach(p) < float(xp.finfo(p.dtype).smallest_normal), 0.0, p)
    return xp.where(row.kept | (p != p), p, 0.0)


def _summing_to_1(ops: RuleOps, p, axes):
    """Divide by the sum, and then by what rounding has left: a sum of differences from their mean has smaller errors."""
    xp, n = ops.xp, p.shape[axes[0]]
    p = p / xp.sum(p, axis=axes, keepdims=True)
    return p if n is None else p - p * xp.sum(p - 1 / n, axis=axes, keepdims=True)


def _moved(ops: RuleOps, v, x, scale, mask, axes, count, before=False, behind=False):
    """``J v``, of which the factor u of a scale is before or behind J. Half of the unit is divided by on each side."""
    xp, inner = ops.xp, axes[0] + 1
    row = _row(ops, x, scale, mask, axes, count)
    half = xp.sqrt(row.unit)
    v = xp.where(row.moves, v, 0.0) / half

    def term(h, u):
        w = u * v if before else v
        whole, pulled = (xp.sum(a, axis=inner, keepdims=True) for a in (h, h * w))
        moved = h * (whole * w - pulled)
        return u * moved if behind else moved

    return xp.where(row.moves, _integral(ops, row, axes, count, term) / half, 0.0)


def _product_x(ops: RuleOps, v, p, x, scale, mask, *, axes, count):
    return _moved(ops, v, x, scale, mask, axes, count)


def _vjp_scale(ops: RuleOps, g, p, x, scale, mask, *, axes, count):
    return _moved(ops, g, x, scale, mask, axes, count, behind=True)


def _jvp_scale(ops: RuleOps, t, p, x, scale, mask, *, axes, count):
    return _moved(ops, t, x, scale, mask, axes, count, before=True)


PROBABILITY = Rule(
    name="argmax_probability",
    forward=_probability,
    vjps=(_product_x, _vjp_scale),
    jvps=(_product_x, _jvp_scale),
    composite=_probability,
)

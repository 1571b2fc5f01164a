"""What a relaxation is made of."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..ops import RuleOps
from ..rule import Array
from ..scores import log_smallest


def not_vanishing(ops: RuleOps, slope: Array) -> Array:
    """Return a slope whose square does not underflow, by which a derivative of a step would be divided."""
    least = float(ops.xp.finfo(slope.dtype).smallest_normal) ** 0.5
    return ops.xp.where(ops.detach(slope) < least, least, slope)


def values(ops: RuleOps, r, root, z, keep, order):
    """Return phi and its derivative at a threshold: what Newton's step sums up."""
    return r.value(ops, z - root, keep, order)


def newton(ops: RuleOps, r, root, sums, order):
    """Return Newton's step on ``sum phi = k`` from the sums of `values`, and how far the first is over k."""
    p, s = sums
    over = p - (1 if r.k is None else r.k)
    return over / not_vanishing(ops, s), over


def newton_by_parts(ops: RuleOps, r, root, sums, order):
    """Return Newton's step from the sums of parts, and how far they are over k.

    Of each weight, the parts are a whole number and what is beside it: ``rest, whole, phi'``. A sum near k of whole weights
    would be rounded to multiples of k eps; a sum of parts is not.
    """
    rest, whole, s = sums
    over = rest + (whole - r.k)
    return over / not_vanishing(ops, s), over


def value_by_parts(parts):
    """Make phi and its derivative of parts."""

    def value(ops: RuleOps, u, keep, order):
        rest, whole, s = parts(ops, u, keep)
        # A compiler selects where a product with 0 and 1 stands: NaN is added again.
        return rest + whole + 0 * ops.detach(u), s

    return value


def _weights(ops: RuleOps, r, root, z, keep, order, axes):
    return r.value(ops, z - root, keep, order)[0]


def _as_it_is(ops: RuleOps, r, z, order, axes):
    return r


def _always(order):
    return True


class Relaxation(NamedTuple):
    """Weights ``p_i = phi(z_i - tau)`` with the threshold tau at which ``sum p = k``. The k-th largest score z is 0.

    Every function takes the operations of a framework first. ``order`` is alpha, a number or an array of one number a row,
    or None. ``keep`` is True where a score takes part; None if all of them do. Values are 0 where a score takes no part.

    Attributes
    ----------
    name
        How the relaxation is asked for.
    value
        ``(ops, u, keep, order) -> phi(u), phi'(u)``.
    slope
        ``(ops, p, order) -> phi'`` from the weights, 0 where it is 0.
    bracket
        ``(ops, z, keep, axes, k) -> low, high``: thresholds at which the sum is surely at least k, and surely at most k.
        None: Newton's steps from ``tau = 0`` are monotone.
    steps
        How many steps of the search are unrolled where values cannot be looked at.
    terms
        ``(ops, r, root, z, keep, order) -> tuple of arrays``: numbers for each score at a threshold, of which a step takes
        the sums.
    move
        ``(ops, r, root, sums, order) -> move, over``: Newton's step from a threshold, and ``sum p - k`` there, or None where
        Newton is monotone.
    weights
        ``(ops, r, root, z, keep, order, axes)``: the weights at a threshold.
    form
        ``(ops, r, z, order, axes) -> Relaxation``: the record to solve with, which may have another unknown for long rows.
    is_convex
        ``order -> bool``, or an array of them: whether Newton's method converges monotonically.
    last_move
        Newton's step at the solution, with value 0 and an exact derivative. None: `move`, which is enough where the slope
        is finite.
    product
        ``(ops, r, v, root, z, keep, axes) -> J v`` with the symmetric Jacobian J of weights that are not each a function of its
        score and the threshold. None: that of `slope`.
    shortest
        The least size of the unknown in the stopping test: 1 if the unknown may be 0.
    tail
        ``(ops, dtype) -> float``: the score below which a weight counts as 0.
    alpha, k
        The order if it is a number, and the sum: None is 1.
    """

    name: str
    value: Callable[..., tuple[Array, Array]]
    slope: Callable[..., Array]
    bracket: Callable[..., tuple[Array, Array]] | None
    steps: int
    terms: Callable[..., tuple[Array, ...]] = values
    move: Callable[..., tuple[Array, Any]] = newton
    weights: Callable[..., Array] = _weights
    form: Callable[..., Any] = _as_it_is
    is_convex: Callable[[Any], Any] = _always
    last_move: Callable[..., tuple[Array, Any]] | None = None
    product: Callable[..., Array] | None = None
    shortest: int = 1
    tail: Callable[..., float] = log_smallest
    alpha: float | None = None
    k: int | None = None

    def order(self, alpha: Array | None) -> Any:
        """Return alpha from the array if there is one."""
        return self.alpha if alpha is None else alpha

    def step(
        self, ops: RuleOps, root: Array, z: Array, keep: Array | None, order: Any, axes: tuple[int, ...], move=None
    ):
        """Return what `move` does, or another function like it, at a threshold."""
        sums = ops.totals(axes, *self.terms(ops, self, root, z, keep, order))
        return (move or self.move)(ops, self, root, sums, order)

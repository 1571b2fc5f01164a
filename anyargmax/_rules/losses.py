"""The Fenchel-Young loss of the entmax family as a rule: its gradient is weights minus target."""

from functools import partial
from typing import NamedTuple

from .ops import RuleOps
from .readouts.stacked import expand, squeezed
from .rule import Array, Rule
from .scores import is_tame, kept_and_reference, largest

# Arguments: x scores, target weights (Boolean ones are all at one entry), temperature (None is 1), mask. Static: axes,
# relaxation.


def are_weights(ops: RuleOps, target: Array, axes: tuple[int, ...]) -> Array:
    """Whether each row is a distribution: entries ``>= 0`` that sum to 1, within half of the digits of their dtype."""
    xp = ops.xp
    limits = xp.finfo(target.dtype)
    slack = float(limits.eps) ** 0.5
    total = xp.sum(target if limits.bits >= 32 else xp.astype(target, xp.float32), axis=axes)
    return xp.all(target >= 0, axis=axes) & (xp.abs(total - 1) <= slack)


def have_scores(ops: RuleOps, x: Array, mask: Array | None, axes: tuple[int, ...]) -> Array:
    """Whether each row has a score that is kept."""
    xp, x = ops.xp, ops.detach(x)
    if not xp.isdtype(x.dtype, "real floating"):
        return xp.any((x == x) if mask is None else (x == x) & mask, axis=axes)
    top = largest(ops, x if mask is None else xp.where(mask, x, -float("inf")), axes)
    return squeezed(top != -float("inf"), axes)


def entropy(ops: RuleOps, p, relaxation, axes, steep=False):
    """``H(p) = sum (p - p^alpha) / (alpha (alpha - 1))``, at alpha = 1 ``-sum p log p``; axes kept."""
    return ops.xp.sum(entropy_terms(ops, p, relaxation, steep), axis=axes, keepdims=True)


def entropy_terms(ops: RuleOps, p, relaxation, steep=False):
    """What the entropy is the sum of.

    At alpha = 1 its slope at 0 is infinite. Weights that vanish do not move, and have 0 there unless it is to be steep.
    """
    xp, alpha = ops.xp, relaxation.alpha
    positive = ops.detach(p) > 0
    safe = xp.where(positive, p, 1.0)
    log = xp.log(safe)
    terms = -safe * (log if alpha == 1 else xp.expm1((alpha - 1) * log) / (alpha * (alpha - 1)))
    rest = p * 0 if alpha == 1 else p / (alpha * (alpha - 1))  # of value 0, with the slope at 0
    if alpha == 1 and steep:
        rest = xp.sqrt(xp.where(positive, 1.0, p))
    return xp.where(positive, terms, rest)


def _entropy_slope(ops: RuleOps, p, relaxation):
    """``dH/dp``; at alpha = 1 that is infinite where p is 0."""
    xp, alpha = ops.xp, relaxation.alpha
    positive = ops.detach(p) > 0
    log = xp.where(positive, xp.log(xp.where(positive, p, 1.0)), -float("inf"))
    return -1 - log if alpha == 1 else -xp.expm1((alpha - 1) * log) / (alpha - 1) - 1 / alpha


class _Rows(NamedTuple):
    """Scores less the largest, 0 where they do not move; which are kept; which move; rows with any. None: all of them."""

    z: Array
    keep: Array | None
    moves: Array | None
    there: Array | None


def _rows(ops: RuleOps, x, mask, axes) -> _Rows:
    xp = ops.xp
    if is_tame(ops, x, None, mask):
        return _Rows(x - largest(ops, ops.detach(x), axes), None, None, None)
    keep, top, peak = kept_and_reference(ops, x, mask, axes)
    top = xp.where((top == float("inf")) | (top == -float("inf")), 0.0, top)
    moves = keep & ~peak  # in the row of a NaN, a score of +inf has its gradient too
    return _Rows(xp.where(moves, x, top) - top, keep, moves, xp.any(keep, axis=axes, keepdims=True))


def _shares(ops: RuleOps, target, x):
    """Target weights in the dtype of the scores."""
    return ops.xp.astype(target, x.dtype) if ops.xp.isdtype(target.dtype, "bool") else target


def _where(ops: RuleOps, condition, x):
    """x where a condition holds, 0 elsewhere; x if the condition is None."""
    return x if condition is None else ops.xp.where(condition, x, 0.0)


def _times(ops: RuleOps, temperature, entropy):
    return entropy if temperature is None else temperature * entropy


def _times_difference(ops: RuleOps, temperature, difference):
    """Return ``T (H(p) - H(y))``, 0 where the entropies are equal: an infinite temperature has no product with 0."""
    if temperature is None or isinstance(temperature, float):
        return _times(ops, temperature, difference)
    equal = ops.detach(difference) == 0
    return ops.xp.where(equal, 1.0, temperature) * difference


def _times_differentiably(ops: RuleOps, temperature, own, wanted):
    """Return ``T (H(p) - H(y))`` where it is differentiated, and a temperature near the end of the range would overflow.

    The value, with its derivative by T, is that of a product with a constant. The entropy of the weights moves at a
    temperature below a bound: beside one above it, what it changes has no digits. That of the target moves at any.
    """
    xp = ops.xp
    most = float(xp.finfo(own.dtype).max)
    if temperature is None or (isinstance(temperature, float) and temperature < most * 2.0**-12):
        return _times(ops, temperature, own) - _times(ops, temperature, wanted)
    temperature = xp.zeros_like(own) + temperature if isinstance(temperature, float) else temperature
    value, still, wished = ops.detach(temperature), ops.detach(own), ops.detach(wanted)
    bound = most * 2.0**-12
    moving = xp.where(value > bound, bound, temperature) * (own - still)
    moving = moving - xp.where(value > most, most, temperature) * (wanted - wished)
    return moving + xp.where(still == wished, 0.0, temperature * (still - wished))


def _loss(ops: RuleOps, x, target, temperature, mask, *, axes, relaxation, steep=False):
    """``<p - y, x> + T H(p) - T H(y)``: ``+inf`` where the target has weight on a masked score, 0 in a row without any kept one."""
    xp = ops.xp
    p, target = ops.weights(x, temperature, None, mask, axes=axes, relaxation=relaxation), _shares(ops, target, x)
    rows, moved = _rows(ops, x, mask, axes), p - target
    z = rows.z
    if rows.keep is not None:
        # Two scores at both ends of the range are infinitely far: the further one has weight 0. What is not moved is not lost.
        z = xp.where((ops.detach(z) == -float("inf")) & (ops.detach(moved) == 0), 0.0, z)
    gap = xp.sum(moved * z, axis=axes, keepdims=True)
    own, wanted = entropy(ops, p, relaxation, axes), entropy(ops, target, relaxation, axes, steep)
    if steep:  # whose slope at 0 is infinite, and times 0 no number
        wanted = entropy(ops, _where(ops, rows.there, target), relaxation, axes, steep)
        loss = gap + _times_differentiably(ops, temperature, own, wanted)
    else:
        loss = gap + _times_difference(ops, temperature, own - wanted)
    if rows.keep is not None:
        barred = xp.any(~rows.keep & (ops.detach(target) > 0), axis=axes, keepdims=True)
        loss = xp.where(barred & (ops.detach(loss) == -float("inf")), 0.0, loss)
        loss = loss + xp.where(barred, float("inf"), xp.zeros_like(loss))  # added: the gradient stays p - y
    return squeezed(_where(ops, rows.there, loss), axes)


def _difference(ops: RuleOps, rows, x, target, temperature, mask, axes, relaxation):
    """``p - y``, 0 where scores do not move."""
    p = ops.weights(x, temperature, None, mask, axes=axes, relaxation=relaxation)
    return _where(ops, rows.moves, p - _shares(ops, target, x))


def _vjp_x(ops: RuleOps, g, y, x, target, temperature, mask, *, axes, relaxation):
    rows = _rows(ops, x, mask, axes)
    slope = _difference(ops, rows, x, target, temperature, mask, axes, relaxation)
    return _where(ops, rows.there, expand(ops, g, axes)) * slope


def _jvp_x(ops: RuleOps, t, y, x, target, temperature, mask, *, axes, relaxation):
    rows = _rows(ops, x, mask, axes)
    slope = _difference(ops, rows, x, target, temperature, mask, axes, relaxation)
    return ops.xp.sum(_where(ops, rows.moves, t) * slope, axis=axes)


def _target_slope(ops: RuleOps, rows, target, temperature, relaxation):
    slope = _entropy_slope(ops, target, relaxation)
    return _where(ops, rows.there, -rows.z - (slope if temperature is None else temperature * slope))


def _vjp_target(ops: RuleOps, g, y, x, target, temperature, mask, *, axes, relaxation):
    rows = _rows(ops, x, mask, axes)
    return _where(ops, rows.there, expand(ops, g, axes)) * _target_slope(ops, rows, target, temperature, relaxation)


def _jvp_target(ops: RuleOps, t, y, x, target, temperature, mask, *, axes, relaxation):
    slope = _target_slope(ops, _rows(ops, x, mask, axes), target, temperature, relaxation)
    return ops.xp.sum(t * slope, axis=axes)


def _temperature_slope(ops: RuleOps, rows, x, target, temperature, mask, axes, relaxation):
    p = ops.weights(x, temperature, None, mask, axes=axes, relaxation=relaxation)
    wanted = entropy(ops, _shares(ops, target, x), relaxation, axes)
    return _where(ops, rows.there, entropy(ops, p, relaxation, axes) - wanted)


def _vjp_temperature(ops: RuleOps, g, y, x, target, temperature, mask, *, axes, relaxation):
    rows = _rows(ops, x, mask, axes)
    slope = _temperature_slope(ops, rows, x, target, temperature, mask, axes, relaxation)
    return _where(ops, rows.there, expand(ops, g, axes)) * slope


def _jvp_temperature(ops: RuleOps, t, y, x, target, temperature, mask, *, axes, relaxation):
    slope = _temperature_slope(ops, _rows(ops, x, mask, axes), x, target, temperature, mask, axes, relaxation)
    return squeezed(t * slope, axes)


FENCHEL_YOUNG = Rule(
    name="fenchel_young",
    forward=_loss,
    vjps=(_vjp_x, _vjp_target, _vjp_temperature),
    jvps=(_jvp_x, _jvp_target, _jvp_temperature),
    composite=partial(_loss, steep=True),
    rows=(2,),
    reduces=True,
)

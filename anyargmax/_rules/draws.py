"""Scores and noise of draws: brought to one shape, added, and averaged."""

import math

from .hard import first_largest, ranks
from .ops import RuleOps
from .rule import Array, Rule
from .scores import is_empty, is_tame, kept_and_reference, largest

# Arguments: x scores, g noise and a mask that broadcasts against them; None keeps all. Static: axes, one non-negative integer.
# The noise is longer than the scores by leading axes, those of draws.


def _spread(ops: RuleOps, x, like):
    """x with the shape that it has beside another array."""
    return x + ops.xp.zeros_like(like)


def _gathered(ops: RuleOps, g, x):
    """The sum of g over whatever x was spread along."""
    lead = g.ndim - x.ndim
    g = ops.xp.sum(g, axis=tuple(range(lead))) if lead else g
    short = tuple(k for k, n in enumerate(x.shape) if isinstance(n, int) and n == 1 and g.shape[k] != 1)
    return ops.xp.sum(g, axis=short, keepdims=True) if short else g


SPREAD = Rule(
    "spread",
    _spread,
    (lambda ops, g, y, x, like: _gathered(ops, g, x),),
    (lambda ops, t, y, x, like: _spread(ops, t, like),),
    _spread,
)


def _kept(ops: RuleOps, x, mask, axes):
    """Which scores take part, and which of these move: none in a row that is spread over +inf scores."""
    keep, _, peak = kept_and_reference(ops, x, mask, axes)
    return keep, keep & ~peak


def shifted(ops: RuleOps, x: Array, mask: Array | None, axes: tuple[int, ...]):
    """Return scores less the largest of their row, 0 where they take no part, and where they do: among +inf scores those."""
    keep, reference, peak = kept_and_reference(ops, x, mask, axes)
    flat = peak | (reference == -math.inf)
    reference = ops.xp.where(flat, 0.0, reference)
    return ops.xp.where(keep & ~flat, x, reference) - reference, keep


def _perturb(ops: RuleOps, x, g, mask, *, axes):
    if is_tame(ops, x, None, mask):
        return x - largest(ops, ops.detach(x), axes) + g
    z, keep = shifted(ops, x, mask, axes)
    return ops.xp.where(keep, z + ops.xp.where(keep, g, 0.0), -math.inf)


def _moved(ops: RuleOps, v, y, x, g, mask, *, axes):
    if is_tame(ops, x, None, mask):
        return v
    return ops.xp.where(_kept(ops, x, mask, axes)[1], v, 0.0)


def _moved_by_noise(ops: RuleOps, v, y, x, g, mask, *, axes):
    if mask is None and is_tame(ops, x, None, None):
        return v
    return ops.xp.where(_kept(ops, x, mask, axes)[0], v, 0.0)


# The largest score of a row, which the shift subtracts, is a constant: whatever follows does not change with it.
PERTURB = Rule("perturb", _perturb, (_moved, _moved_by_noise), (_moved, _moved_by_noise), _perturb)


def drawn(ops: RuleOps, s: Array, axes: tuple[int, ...]) -> Array:
    """Return the one-hot encoding of the (first) largest of perturbed scores; 0 in a row without any, NaN in that of a NaN."""
    xp, s = ops.xp, ops.detach(s)
    if ops.is_cheap_to_read(s) and not is_empty(s) and bool(xp.all(largest(ops, s, axes) > -math.inf)):
        first = xp.argmax(s, axis=axes[0], keepdims=True)
        return xp.astype(ranks(ops, s, axes) == first, s.dtype)
    chosen = xp.astype(first_largest(ops, s, s != -math.inf, axes), s.dtype)
    return xp.where(xp.any(s != s, axis=axes, keepdims=True), math.nan, chosen)


def _average(ops: RuleOps, p):
    """The mean over the first axis."""
    return ops.xp.sum(p, axis=0) / p.shape[0]


AVERAGE = Rule(
    "average",
    _average,
    (lambda ops, g, y, p: ops.xp.expand_dims(g, axis=0) / p.shape[0] + ops.xp.zeros_like(p),),
    (lambda ops, t, y, p: _average(ops, t),),
    _average,
)

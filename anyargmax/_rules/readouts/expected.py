"""The mean of positions under weights that are given, taken as they are."""

from ..ops import RuleOps
from ..rule import Rule
from .mean import mean, mean_transposed
from .stacked import expand

# Arguments: p weights, of any sign and sum; c positions that get a gradient, or None; tables, a tuple of constant positions
# in place of None. Static: axes. Where the answer is NaN nothing moves, so that the row of a NaN keeps it to itself.


def _positions(c, tables):
    return tables if c is None else (c,)


def expected(ops: RuleOps, p, c, tables, *, axes):
    """``sum_i c_i p_i``; NaN in a row whose weights are all 0."""
    xp = ops.xp
    there = xp.any(ops.detach(p) != 0, axis=axes)
    return xp.where(
        xp.expand_dims(there, axis=-1), mean(ops, p, _positions(c, tables), axes=axes, given=True), float("nan")
    )


def _composite(ops: RuleOps, p, c, tables, *, axes):
    """The mean of weights that are selected first: those of a row without an answer do not move."""
    xp, positions = ops.xp, _positions(c, tables)
    still = expected(ops, ops.detach(p), None, tuple(map(ops.detach, positions)), axes=axes)[..., 0]
    there = still == still
    y = mean(ops, xp.where(expand(ops, there, axes), p, 0.0), positions, axes=axes, given=True)
    return xp.where(xp.expand_dims(there, axis=-1), y, float("nan"))


def answered(ops: RuleOps, g, y):
    """A cotangent or tangent of the answers, 0 where these are NaN."""
    return ops.xp.where(ops.detach(y) == ops.detach(y), g, 0.0)


def _vjp_weights(ops: RuleOps, g, y, p, c, tables, *, axes):
    return mean_transposed(ops, answered(ops, g, y), _positions(c, tables), axes=axes)


def _vjp_positions(ops: RuleOps, g, y, p, c, tables, *, axes):
    g = expand(ops, answered(ops, g, y)[..., 0], axes)
    p = ops.xp.where(ops.detach(p) == ops.detach(p), p, 0.0)
    shared = tuple(k for k, n in enumerate(c.shape) if n == 1 and k not in axes)  # a shard may have one position
    return ops.xp.sum(g * p, axis=shared, keepdims=True) if shared else g * p


def _jvp_weights(ops: RuleOps, t, y, p, c, tables, *, axes):
    return answered(ops, mean(ops, t, _positions(c, tables), axes=axes, given=True), y)


def _jvp_positions(ops: RuleOps, t, y, p, c, tables, *, axes):
    p = ops.xp.where(ops.detach(p) == ops.detach(p), p, 0.0)  # whose product is transposed
    return answered(ops, mean(ops, p, (t,), axes=axes, given=True), y)


EXPECTED = Rule(
    name="expected",
    forward=expected,
    vjps=(_vjp_weights, _vjp_positions),
    jvps=(_jvp_weights, _jvp_positions),
    composite=_composite,
    reduces=True,
)

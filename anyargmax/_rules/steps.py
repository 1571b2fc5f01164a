"""The small maps round the weights: into the compute dtype, straight-through, and out again."""

from .ops import RuleOps
from .readouts.moments import pairs_of
from .readouts.stacked import expand, squeezed
from .rule import Rule
from .scores import largest


def _prepare(ops: RuleOps, x, *, dtype, sign, flat):
    xp = ops.xp
    if flat:
        x = xp.reshape(x, (-1,))
    if x.dtype != dtype:
        x = xp.astype(x, dtype)
    return x if sign > 0 else -x


def _prepare_vjp(ops: RuleOps, g, y, x, *, dtype, sign, flat):
    g = ops.xp.astype(g if sign > 0 else -g, x.dtype)
    return ops.xp.reshape(g, x.shape) if flat else g


def _prepare_jvp(ops: RuleOps, t, y, x, *, dtype, sign, flat):
    return _prepare(ops, t, dtype=dtype, sign=sign, flat=flat)


PREPARE = Rule("prepare", _prepare, (_prepare_vjp,), (_prepare_jvp,), _prepare)


def _log(ops: RuleOps, p):
    xp = ops.xp
    value = ops.detach(p)
    logarithm = xp.where(value > 0, xp.log(xp.where(value > 0, p, 1.0)), float("nan"))
    return xp.where(value == 0, -float("inf"), logarithm)


def _log_product(ops: RuleOps, v, y, p):
    xp = ops.xp
    positive = ops.detach(p) > 0
    return xp.where(positive, v, 0.0) / xp.where(positive, p, 1.0)


LOG = Rule("log", _log, (_log_product,), (_log_product,), _log)


def _scaled_to_1(ops: RuleOps, p, axes):
    """Return weights over the largest of their row, the sum of those, and the largest; of +inf weights each is 1."""
    xp, value = ops.xp, ops.detach(p)
    top = largest(ops, value, axes)
    peak = top == float("inf")
    p = xp.where(peak, xp.astype(value == float("inf"), p.dtype), p)
    p = xp.where(value < 0, float("nan"), p)
    # No larger than numbers whose reciprocal is normal: a compiler multiplies by that, and may take it for 0.
    most = float(xp.finfo(p.dtype).max) / 4
    scale = xp.where(peak | ~(top > 0), 1.0, xp.where(top < most, top, most))
    q = p / scale
    total = xp.sum(q, axis=axes, keepdims=True)
    return q, xp.where(ops.detach(total) == 0, 1.0, total), xp.where(peak, float("inf"), scale)


def _normalise(ops: RuleOps, p, *, axes):
    q, total, _ = _scaled_to_1(ops, p, axes)
    return q / total


def _normalise_vjp(ops: RuleOps, g, q, p, *, axes):
    _, total, scale = _scaled_to_1(ops, p, axes)
    return (g - ops.xp.sum(g * q, axis=axes, keepdims=True)) / total / scale


def _normalise_jvp(ops: RuleOps, t, q, p, *, axes):
    _, total, scale = _scaled_to_1(ops, p, axes)
    return (t - q * ops.xp.sum(t, axis=axes, keepdims=True)) / total / scale


NORMALISE = Rule("normalise", _normalise, (_normalise_vjp,), (_normalise_jvp,), _normalise)


def _straight_through(ops: RuleOps, y, hard):
    """The hard value, exactly, with the derivative of the soft one: ``y - y`` is 0 or NaN."""
    return (hard + (y - ops.detach(y)))[...]  # NumPy makes numbers of arrays without axes


STRAIGHT_THROUGH = Rule(
    "straight_through",
    _straight_through,
    (lambda ops, g, y, soft, hard: g,),
    (lambda ops, t, y, soft, hard: t,),
    _straight_through,
    inlined=True,
)


def _replaced(ops: RuleOps, y, value):
    """The value, exactly, with the derivative of another array, which is 0 where that is infinite."""
    xp, still = ops.xp, ops.detach(y)
    infinite = xp.isinf(still)
    return value + xp.where(infinite, 0.0, y - xp.where(infinite, 0.0, still))


def _of_finite(ops: RuleOps, v, answer, y, value):
    return ops.xp.where(ops.xp.isinf(ops.detach(y)), 0.0, v)


REPLACED = Rule("replaced", _replaced, (_of_finite,), (_of_finite,), _replaced, inlined=True)


def _blank(ops: RuleOps, y, valid):
    return ops.xp.where(valid, y, float("nan"))


BLANK = Rule(
    "blank",
    _blank,
    (lambda ops, g, y, answer, valid: ops.xp.where(valid, g, 0.0),),
    (lambda ops, t, y, answer, valid: ops.xp.where(valid, t, 0.0),),
    _blank,
    inlined=True,
)


def _finish(ops: RuleOps, y, *, axes, count):
    """Put the reduced axes back if axes names any, and unstack the answers: one array or a tuple."""
    y = expand(ops, y, axes)
    return y[..., 0] if count == 1 else tuple(y[..., k] for k in range(count))


def _finish_vjp(ops: RuleOps, g, y, stacked, *, axes, count):
    stack = ops.xp.stack([g] if count == 1 else list(g), axis=-1)
    return squeezed(stack, axes) if axes else stack


def _finish_jvp(ops: RuleOps, t, y, stacked, *, axes, count):
    return _finish(ops, t, axes=axes, count=count)


FINISH = Rule("finish", _finish, (_finish_vjp,), (_finish_jvp,), _finish, inlined=True)


def _halves(ops: RuleOps, y):
    d = y.shape[-1] // 2
    return y[..., :d], y[..., d:]


HALVES = Rule(
    "halves",
    _halves,
    (lambda ops, g, y, stacked: ops.xp.concat(list(g), axis=-1),),
    (lambda ops, t, y, stacked: _halves(ops, t),),
    _halves,
    inlined=True,
)


def _number_of_means(count: int) -> int:
    """How many means d there are among so many answers, d and ``d (d + 1) / 2`` covariances."""
    return next(d for d in range(1, count + 1) if d * (d + 3) // 2 >= count)


def _with_matrix(ops: RuleOps, y):
    """Split the means from the covariances of pairs, in the order of `pairs_of`, and lay these out as a symmetric matrix."""
    xp = ops.xp
    d = _number_of_means(y.shape[-1])
    place = {pair: d + k for k, pair in enumerate(pairs_of(d, crossed=True))}
    rows = [xp.stack([y[..., place[min(k, m), max(k, m)]] for m in range(d)], axis=-1) for k in range(d)]
    return y[..., :d], xp.stack(rows, axis=-2)


def _with_matrix_vjp(ops: RuleOps, g, y, stacked):
    means, matrix = g
    pairs = pairs_of(matrix.shape[-1], crossed=True)
    seconds = [matrix[..., k, m] if k == m else matrix[..., k, m] + matrix[..., m, k] for k, m in pairs]
    return ops.concat([means, ops.xp.stack(seconds, axis=-1)], axis=-1)


WITH_MATRIX = Rule(
    "with_matrix",
    _with_matrix,
    (_with_matrix_vjp,),
    (lambda ops, t, y, stacked: _with_matrix(ops, t),),
    _with_matrix,
    inlined=True,
)


def _kept(ops: RuleOps, p, keep):
    return ops.xp.where(keep, p, 0.0)


KEPT = Rule(
    "kept",
    _kept,
    (lambda ops, g, y, p, keep: _kept(ops, g, keep),),
    (lambda ops, t, y, p, keep: _kept(ops, t, keep),),
    _kept,
)

"""The mean and the variance of positions under weights."""

from ..ops import RuleOps
from ..rule import Rule
from .mean import mean_tangent, mean_transposed
from .stacked import blank, expand


def moments(ops: RuleOps, p, positions, *, axes):
    """For each of the positions the mean, then for each the variance ``sum_i p_i (c_i - mean)^2``."""
    xp = ops.xp
    means = [xp.sum(p * c, axis=axes) for c in positions]
    variances = [xp.sum(p * (c - expand(ops, m, axes)) ** 2, axis=axes) for c, m in zip(positions, means, strict=True)]
    return blank(ops, p, means + variances, axes)


def _moment_weights(ops: RuleOps, y, positions, axes):
    """``d mean / dp = c`` and ``d variance / dp = (c - mean)^2``: the term through the mean is 0 on the
    directions that keep ``sum p``, and those are the only ones the weights move in."""
    y = ops.xp.where(ops.detach(y) == ops.detach(y), y, 0.0)  # a row without a mean has weights that do not move
    return (*positions, *((c - expand(ops, y[..., k], axes)) ** 2 for k, c in enumerate(positions)))


MOMENTS = Rule(
    name="moments",
    forward=moments,
    vjps=(lambda ops, g, y, p, c, *, axes: mean_transposed(ops, g, _moment_weights(ops, y, c, axes), axes=axes),),
    jvps=(lambda ops, t, y, p, c, *, axes: mean_tangent(ops, t, y, p, _moment_weights(ops, y, c, axes), axes=axes),),
    composite=moments,
    inlined=True,
)

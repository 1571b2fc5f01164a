"""The mean of positions under weights."""

from ..ops import RuleOps
from ..rule import Rule
from .stacked import blank, expand, summed


def mean(ops: RuleOps, p, positions, *, axes, given=False):
    """``sum_i c_i p_i``."""
    return blank(ops, *summed(ops, p, [p * c for c in positions], axes, given))


def mean_transposed(ops: RuleOps, g, positions, *, axes):
    """Transpose of `mean`: ``sum_k g_k c_k``, the cotangent of the weights."""
    terms = [expand(ops, g[..., k], axes) * c for k, c in enumerate(positions)]
    return sum(terms[1:], terms[0])


def mean_tangent(ops: RuleOps, t, y, p, positions, *, axes, given=False):
    return ops.xp.stack([*ops.totals(axes, *[t * c for c in positions], keepdims=False)], axis=-1)


MEAN = Rule(
    name="mean",
    forward=mean,
    vjps=(lambda ops, g, y, p, positions, *, axes, given=False: mean_transposed(ops, g, positions, axes=axes),),
    jvps=(mean_tangent,),
    composite=mean,
    inlined=True,
    reduces=True,
)

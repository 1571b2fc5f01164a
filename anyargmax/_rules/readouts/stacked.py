"""What the answers of all readouts have: one for each of the positions, stacked last."""

from ..ops import RuleOps
from ..rule import Array

# Arguments: p weights; positions, a tuple with one array per answer that broadcasts against p and
# varies along the reduced axis of the same place in axes. Static: axes, non-negative integers.


def expand(ops: RuleOps, y: Array, axes: tuple[int, ...]) -> Array:
    """Put the reduced axes back, with length 1."""
    for axis in sorted(axes):
        y = ops.xp.expand_dims(y, axis=axis)
    return y


def blank(ops: RuleOps, p: Array, answers: list[Array], axes: tuple[int, ...], given: bool = False) -> Array:
    """Stack the answers; NaN (with gradient 0) in a row whose weights are all 0, which has no argmax, or hold a NaN.

    Weights that are given may be negative. Whoever gives them says which rows have an answer, and none is blank here.
    """
    xp = ops.xp
    if given:
        return xp.stack(answers, axis=-1)
    there = xp.sum(ops.detach(p), axis=axes) > 0
    return xp.stack([xp.where(there, y, float("nan")) for y in answers], axis=-1)

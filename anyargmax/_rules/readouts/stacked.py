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


def squeezed(y: Array, axes: tuple[int, ...]) -> Array:
    """Drop axes of length 1."""
    return y[(*(0 if axis in axes else slice(None) for axis in range(max(axes) + 1)), ...)]


def summed(ops: RuleOps, p: Array, terms: list[Array], axes: tuple[int, ...], given: bool = False):
    """Return the sums of terms along the axes, and which rows have an answer: those whose weights p are not all 0, and no NaN.

    Weights that are given may be negative. Whoever gives them says which rows have an answer: None is returned here.
    """
    if given:
        return ops.totals(axes, *terms, keepdims=False), None
    *sums, total = ops.totals(axes, *terms, ops.detach(p), keepdims=False)
    return sums, total > 0


def blank(ops: RuleOps, answers, there: Array | None) -> Array:
    """Stack the answers; NaN (with gradient 0) in a row that has none."""
    xp = ops.xp
    return xp.stack(
        [*answers] if there is None else [xp.where(there, y, float("nan")) for y in answers],
        axis=-1,
    )

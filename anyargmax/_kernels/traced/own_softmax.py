"""The kernel of a framework's own softmax along one axis, on scores that are shifted and kept as for any relaxation."""

from ..._rules.readouts.mean import mean
from ..._rules.relaxations import Relaxation
from ..._rules.rule import Array
from ..._rules.scores import log_smallest, scaled
from ..kernel import Kernel, KernelOps, Traced


def _fits(ops: KernelOps, *args, axes, relaxation: Relaxation) -> bool:
    return relaxation.alpha == 1 and len(axes) == 1


def _weights(ops: KernelOps, x, temperature, alpha, mask, *, axes, relaxation, limits) -> Array:
    """Scores to weights, exactly 0 where a score is not kept or its weight would be subnormal."""
    z, keep = scaled(ops, x, temperature, mask, axes, relaxation.k, relaxation.tail)
    if keep is None:
        return ops.functions.softmax(z, axes[0])
    xp = ops.xp
    # Not -inf: a row of those alone has weights 0, a row with NaN has NaN everywhere.
    p = ops.functions.softmax(xp.where(keep, z, 2 * log_smallest(ops, z.dtype)), axes[0])
    small = p < float(xp.finfo(p.dtype).smallest_normal)
    return xp.where(keep & ~small, p, p * 0)


def _expectation(ops: KernelOps, x, temperature, alpha, mask, positions, *, axes, relaxation, limits) -> Array:
    """``sum_i c_i p_i``, one answer for each of the positions, stacked last."""
    p = _weights(ops, x, temperature, alpha, mask, axes=axes, relaxation=relaxation, limits=limits)
    return mean(ops, p, positions, axes=axes)


OWN_SOFTMAX = Kernel(
    "own softmax",
    traced={
        **dict.fromkeys(("weights", "dense_weights"), Traced(_fits, forward=_weights)),
        "expectation": Traced(_fits, forward=_expectation),
    },
    needs=("functions",),
)

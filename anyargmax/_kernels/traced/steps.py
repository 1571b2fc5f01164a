"""Entmax by a fixed number of Newton's steps, for accelerators: XLA makes one kernel of them, and no test of a loop waits."""

import math

from ..._rules.relaxations import ENTMAX, Relaxation
from ..._rules.rule import Array
from ..._rules.weights import WEIGHTS
from ..kernel import Kernel, KernelOps, Traced
from . import thresholds
from .roots import is_solvable
from .sums import distances, kept


def _fits(ops: KernelOps, x, temperature, alpha, mask, *, axes, relaxation: Relaxation) -> bool:
    return relaxation.name == ENTMAX.name and is_solvable(ops, x, alpha, axes, relaxation)


def _by_steps(ops: KernelOps, x, temperature, mask, axes, relaxation) -> Array:
    xp, alpha = ops.xp, relaxation.alpha
    top, z = distances(ops, kept(ops, x, mask), temperature, axes)
    u = z if alpha == 2 else z * (alpha - 1)
    p = thresholds.weights_at(ops, u, thresholds.by_steps(ops, u, alpha, axes), alpha)
    p = p / xp.sum(p, axis=axes, keepdims=True)
    return xp.where((p < float(xp.finfo(p.dtype).smallest_normal)) | (top == -math.inf), 0.0, p)


def _weights(ops: KernelOps, x, temperature, alpha, mask, *, axes, relaxation, limits) -> Array:
    """Scores to weights. On a CPU, a loop that ends is quicker than all of the steps."""
    return ops.compiler.on_platform(
        cpu=lambda: WEIGHTS.forward(ops, x, temperature, alpha, mask, axes=axes, relaxation=relaxation),
        default=lambda: _by_steps(ops, x, temperature, mask, axes, relaxation),
    )


STEPS = Kernel(
    "steps",
    traced=dict.fromkeys(("weights", "dense_weights"), Traced(_fits, forward=_weights)),
    needs=("compiler",),
)

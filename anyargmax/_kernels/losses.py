"""The kernel of few operations for losses: a closed way forward and back, for memory in which each operation is a pass.

Of a target index the loss is ``T log sum exp((x - top) / T) - (x - top)`` at that index. Nothing looks at a value.
"""

import math
from functools import partial
from typing import Any, NamedTuple

from .._rules.losses import entropy
from .._rules.readouts.stacked import expand
from .._rules.rule import Array
from .kernel import Kernel, KernelOps
from .layout import are_neighbours, of
from .traced import roots


class Limits(NamedTuple):
    """Temperatures in between are served: with others, a product or a quotient needs the care of the rules."""

    coldest: float = 2.0**-10
    warmest: float = 2.0**10


def is_moderate(temperature, limits: Limits) -> bool:
    """Whether a product with the temperature, and a quotient, needs no care."""
    return temperature is None or (isinstance(temperature, float) and limits.coldest <= temperature <= limits.warmest)


class Held(NamedTuple):
    """What the way back needs: the kept scores, their largest, the weights and the target."""

    x: Array
    top: Array
    p: Array
    target: Array


def _times(temperature, value):
    return value if temperature is None else temperature * value


def _weights(ops: KernelOps, x, d, temperature, axes, relaxation):
    """Weights of scores at distances d from the largest, which are 0 or less."""
    layout = of(x, axes)
    rows = ops.xp.reshape(d, layout.folded)
    if relaxation.alpha == 1:
        return ops.xp.reshape(ops.functions.softmax(rows if temperature is None else rows / temperature, 1), x.shape)
    return ops.xp.reshape(roots.solved(ops, rows, temperature, None, 1, relaxation)[0], x.shape)


def _gap(ops: KernelOps, d, target, axes):
    """``-<y, d>``: infinite where the target has weight on what is not kept."""
    xp = ops.xp
    sure = xp.isdtype(target.dtype, "bool")
    return -xp.sum(
        xp.where(target, d, 0.0) if sure else xp.where(target > 0, target * d, 0.0), axis=axes, keepdims=True
    )


def _own(ops: KernelOps, p, d, temperature, axes, relaxation):
    """``<p, d> + T H(p)``; of softmax that is ``T log sum exp(d / T)``, in which the largest d is 0."""
    xp = ops.xp
    if relaxation.alpha == 1:
        return _times(temperature, -xp.log(xp.max(p, axis=axes, keepdims=True)))
    mean = xp.sum(xp.where(p > 0, p * d, 0.0), axis=axes, keepdims=True)
    return mean + _times(temperature, entropy(ops, p, relaxation, axes))


def _loss(ops: KernelOps, x, target, temperature, mask, *, axes, relaxation, limits) -> Any:
    """Return the loss of each row and its pullback to the scores."""
    xp = ops.xp
    known = is_moderate(temperature, limits)
    solvable = relaxation.alpha == 1 or roots.is_solvable(ops, x, None, axes, relaxation)
    if not known or not are_neighbours(axes) or math.prod(x.shape) == 0 or not solvable:
        return None
    x = x if mask is None else xp.where(mask, x, -math.inf)
    top = xp.max(x, axis=axes, keepdims=True)
    d = xp.where(x == top, 0.0, x - top)
    p = _weights(ops, x, d, temperature, axes, relaxation)
    loss = _own(ops, p, d, temperature, axes, relaxation) + _gap(ops, d, target, axes)
    if not xp.isdtype(target.dtype, "bool"):
        loss = loss - _times(temperature, entropy(ops, target, relaxation, axes))
    y = xp.sum(xp.where(top == -math.inf, 0.0, loss), axis=axes)
    return y, partial(pulled, ops, Held(x, top, p, target), axes)


def pulled(ops: KernelOps, held: Held, axes, g, needed=(True,)):
    """``(p - y) g``, 0 where a score is not kept and in rows that do not move; None for other cotangents."""
    if any(needed[1:]):
        return None
    xp = ops.xp
    g = xp.where(xp.abs(held.top) == math.inf, 0.0, expand(ops, g, axes))
    sure = xp.isdtype(held.target.dtype, "bool")
    slope = xp.where(held.target, held.p - 1, held.p) if sure else held.p - held.target
    return xp.where(held.x == -math.inf, 0.0, slope * g), *[None] * (len(needed) - 1)


LOSSES = Kernel("losses", Limits(), serves={"fenchel_young": _loss}, needs=("functions", "ordering"))

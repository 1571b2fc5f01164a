"""Softmax and losses of shards: one collective operation for the largest score, and one for all sums.

A framework that records whole rules keeps the largest score and the sums. The gradient of an answer then needs no collective
operation, that of the temperature one.
"""

import math
from functools import partial
from typing import Any, NamedTuple

from ..._rules.losses import entropy_terms
from ..._rules.readouts.mean import mean_transposed
from ..._rules.readouts.stacked import expand, squeezed
from ..._rules.relaxations import Relaxation
from ..._rules.rule import Array
from ..._rules.scores import divided
from ..kernel import Kernel, KernelOps, Traced
from ..losses import Held, Limits, is_moderate, pulled
from .reductions import OF_POSITIONS, is_softmax, product, weights
from .sums import answers, distances, kept, parts, top_and_sums


class _Held(NamedTuple):
    """What the way back of an expectation needs: the kept scores, and of each row the largest, the sum and the answers."""

    x: Array
    top: Array
    total: Array
    y: Array


def _exponentials(ops: KernelOps, held: _Held, temperature, axes):
    """Return the weights, 0 where nothing moves, ``(x - top) / T``, and which scores move."""
    xp, x = ops.xp, held.x
    z = divided(xp.where(xp.abs(x) == math.inf, xp.minimum(x, 0.0), x - held.top), temperature)
    e = xp.exp(z)
    moves = ((e > 0) | (e != e) | ((held.total != held.total) & (x != -math.inf))) & (xp.abs(held.top) != math.inf)
    return xp.where(moves, e / held.total, 0.0), z, moves


def _expectation(ops: KernelOps, x, temperature, alpha, mask, positions, *, axes, relaxation, limits) -> Any:
    """Return the expected positions, stacked last, and their pullback to scores and temperature."""
    if relaxation.alpha != 1:
        return None
    xp, x = ops.xp, kept(ops, x, mask)
    top, total, sums = parts(top_and_sums(ops, x, temperature, positions, axes), axes)
    empty = total == 0
    total = xp.where(empty, 1.0, total)
    y = answers(ops, xp.where(empty, math.nan, sums / total), x.shape, axes)
    return y, partial(_pulled, ops, _Held(x, top, total, y), temperature, positions, axes)


def _pulled(ops: KernelOps, held: _Held, temperature, positions, axes, g, needed):
    """``p_i sum_k g_k (c_i - y_k) / T``, and ``-sum`` of that times the distance from the largest score over T."""
    if any(needed[2:]):
        return None
    xp = ops.xp
    p, z, moves = _exponentials(ops, held, temperature, axes)
    off = tuple(c - expand(ops, held.y[..., k], axes) for k, c in enumerate(positions))
    moved = xp.where(moves, p * xp.where(moves, mean_transposed(ops, g, off, axes=axes), 0.0), 0.0)
    moved = divided(moved, temperature)
    dt = None
    if needed[1]:
        (dt,) = ops.totals(axes, xp.where(moves, -moved * z, 0.0))
        dt = ops.shared(dt)
    return moved, dt, *[None] * (len(needed) - 2)


def _gap_terms(ops: KernelOps, d, target, temperature, relaxation: Relaxation):
    """Terms of ``-<y, d> - T H(y)``: infinite where the target has weight on what is not kept."""
    xp = ops.xp
    if xp.isdtype(target.dtype, "bool"):
        return -xp.where(target, d, 0.0)
    wanted = entropy_terms(ops, target, relaxation)
    gap = xp.where(target > 0, target * d, 0.0) + (wanted if temperature is None else temperature * wanted)
    return -gap


def _softmax_loss(ops: KernelOps, x, target, temperature, axes, relaxation):
    """The largest score, the weights, and the loss of each row, in which ``<p, d> + T H(p)`` is ``T log sum exp(d / T)``."""
    xp = ops.xp
    top, d = distances(ops, x, None, axes)
    z = d if temperature is None else xp.where(d == -math.inf, d, d / temperature)
    e = xp.exp(z)
    total, gap = ops.totals(axes, e, _gap_terms(ops, d, target, temperature, relaxation))
    total = xp.where(total == 0, 1.0, total)
    log = xp.log(total)
    return top, e / total, (log if temperature is None else temperature * log) + gap


def _entmax_loss(ops: KernelOps, x, target, temperature, axes, relaxation):
    xp = ops.xp
    p = ops.weights(x, temperature, None, None, axes=axes, relaxation=relaxation)
    top, d = distances(ops, x, None, axes)
    own = entropy_terms(ops, p, relaxation)
    terms = xp.where(p > 0, p * d, 0.0) + (own if temperature is None else temperature * own)
    (loss,) = ops.totals(axes, terms + _gap_terms(ops, d, target, temperature, relaxation))
    return top, p, loss


def _loss_of(ops: KernelOps, x, target, temperature, mask, axes, relaxation):
    x = kept(ops, x, mask)
    solve = _softmax_loss if relaxation.alpha == 1 else _entmax_loss
    top, p, loss = solve(ops, x, target, temperature, axes, relaxation)
    return x, top, p, squeezed(ops.xp.where(top == -math.inf, 0.0, loss), axes)


def _loss(ops: KernelOps, x, target, temperature, mask, *, axes, relaxation, limits) -> Any:
    """Return the loss of each row and its pullback to the scores."""
    if not is_moderate(temperature, limits):
        return None
    x, top, p, y = _loss_of(ops, x, target, temperature, mask, axes, relaxation)
    return y, partial(pulled, ops, Held(x, top, p, target), axes)


def _loss_fits(ops: KernelOps, x, target, temperature, mask, *, axes, relaxation) -> bool:
    return is_moderate(temperature, LIMITS) and relaxation.alpha == 1


def _loss_forward(ops: KernelOps, x, target, temperature, mask, *, axes, relaxation, limits) -> Array:
    return _loss_of(ops, x, target, temperature, mask, axes, relaxation)[-1]


def _loss_tangent(ops: KernelOps, t, y, x, target, temperature, mask, *, axes, relaxation, limits) -> Array:
    """``sum (p - y) t`` of the scores that move."""
    xp, x = ops.xp, kept(ops, x, mask)
    top, _ = distances(ops, x, None, axes)
    p = ops.weights(x, temperature, None, None, axes=axes, relaxation=relaxation)
    moves = (ops.detach(x) != -math.inf) & (xp.abs(top) != math.inf)
    shares = xp.astype(target, x.dtype) if xp.isdtype(target.dtype, "bool") else target
    return ops.totals(axes, xp.where(moves, t, 0.0) * xp.where(moves, p - shares, 0.0), keepdims=False)[0]


_OF_WEIGHTS = Traced(is_softmax, forward=weights)
LIMITS = Limits()
SHARDS = Kernel(
    "shards",
    LIMITS,
    serves={"expectation": _expectation, "fenchel_young": _loss},
    product=product,
    traced={
        **dict.fromkeys(("weights", "dense_weights"), _OF_WEIGHTS),
        "expectation": OF_POSITIONS,
        "fenchel_young": Traced(_loss_fits, forward=_loss_forward, jvp=_loss_tangent),
    },
    needs=("groups",),
)

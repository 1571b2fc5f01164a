"""Softmax by sums along the axes as they lie, for the compilers of accelerators and for axes that may be sharded.

XLA makes one kernel of the maximum, the exponentials and the sums of a row, as long as nothing is done to the maximum but
to subtract it. So each score is selected on its own, and rows are looked at only after the sums.
"""

import math
from typing import Any, NamedTuple

from ..._rules.jacobian import jacobian_product
from ..._rules.relaxations import Relaxation
from ..._rules.rule import Array
from ..._rules.scores import divided, square_root
from ..kernel import Kernel, KernelOps, Traced
from .shifted_exp import live


def _fits(ops: KernelOps, *args, axes, relaxation: Relaxation) -> bool:
    return relaxation.alpha == 1 and len(axes) > 0


def kept(ops: KernelOps, x: Array, mask: Array | None) -> Array:
    """The scores, ``-inf`` where the mask does not keep them."""
    return x if mask is None else ops.xp.where(mask, x, -math.inf)


def largest(ops: KernelOps, x: Array, axes: tuple[int, ...]) -> Array:
    """The largest score of each row, axes kept: by a reduction, which a compiler may merge with what follows."""
    reduce = ops.xp.max if math.prod(x.shape) != 0 else ops.xp.sum
    return reduce(ops.detach(x), axis=axes, keepdims=True)


def distances(ops: KernelOps, x: Array, temperature, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Return the largest score of each row, and ``(x - top) / T``: 0 at ``+inf``, ``-inf`` at ``-inf``."""
    xp, top = ops.xp, largest(ops, x, axes)
    z = xp.where(xp.abs(x) == math.inf, xp.minimum(x, 0.0), x - top)
    # Not divided: a temperature may be infinite, or so large that a compiler takes its reciprocal for 0.
    return top, z if temperature is None else xp.where(z == -math.inf, z, z / temperature)


def sums(ops: KernelOps, e: Array, positions, axes: tuple[int, ...]) -> Array:
    """``sum e`` of each row, and ``sum c e`` for each of the positions, behind each other along the first of the axes."""
    each = [ops.xp.sum(e if c is None else e * c, axis=axes, keepdims=True) for c in (None, *positions)]
    return ops.xp.concat(each, axis=axes[0])


def top_and_sums(ops: KernelOps, x: Array, temperature, positions, axes: tuple[int, ...]) -> Array:
    """Return the largest score of each row and the sums of ``exp((x - top) / T)``, likewise."""
    top, z = distances(ops, x, temperature, axes)
    return ops.xp.concat([top, sums(ops, ops.xp.exp(z), positions, axes)], axis=axes[0])


class Form(NamedTuple):
    """How an expectation is computed: by products on a CPU, with their limits, or by sums alone.

    Products take axes that have been merged into one, whose lengths were `sizes`. `apart`: whether the compiler of a CPU is
    to keep a derivative apart from the sums.
    """

    axes: tuple[int, ...]
    limits: Any = None
    sizes: tuple[int, ...] = ()
    apart: bool = False


def _part(array: Array, form: Form, start: int, stop: int | None) -> Array:
    return array[(*(slice(None),) * form.axes[0], slice(start, stop), ...)]


def _means(ops: KernelOps, x, temperature, positions, form: Form):
    """Of each row: the largest score, the expected positions (0 if there are none), the sum, and whether that is 0."""
    static = {"axes": form.axes, "limits": form.limits, "sizes": form.sizes}
    made = ops.top_and_sums(x, temperature, positions, **static)
    top, total, moments = (_part(made, form, *ends) for ends in ((0, 1), (1, 2), (2, None)))
    empty = ops.detach(total) == 0
    total = ops.xp.where(empty, 1.0, total)
    return ops.detach(top), moments / total, total, empty


def _answers(ops: KernelOps, y, shape, axes) -> Array:
    """The answers, which are behind each other along the first of the axes, stacked last."""
    others = tuple(n for axis, n in enumerate(shape) if axis not in axes)
    y = y if axes[0] == len(shape) - 1 else ops.xp.moveaxis(y, axes[0], -1)
    return ops.xp.reshape(y, (*others, y.shape[-1]))


def expectation(ops: KernelOps, x, temperature, mask, positions, form: Form) -> Array:
    """``sum_i c_i p_i``, one answer for each of the positions, stacked last."""
    x = kept(ops, x, mask)
    _, y, _, empty = _means(ops, x, temperature, positions, form)
    return _answers(ops, ops.xp.where(empty, float("nan"), y), x.shape, form.axes)


class _Factors(NamedTuple):
    """What a derivative is made of."""

    x: Array
    top: Array
    y: Array
    total: Array
    e: Array  # 0 where nothing moves
    moves: Array  # which entries do


def _factors(ops: KernelOps, x, temperature, mask, positions, form: Form) -> _Factors:
    x = kept(ops, x, mask)
    *rows, _ = _means(ops, x, temperature, positions, form)
    top, y, total = ops.compiler.apart(*rows) if form.apart else rows
    xp, value = ops.xp, ops.detach(x)
    broken = ops.detach(total) != ops.detach(total)

    def moving():
        """NaN, which e is in rows that an infinite score decides, moves nothing but in the row of a NaN."""
        e = ops.shifted_exp(x, temperature, top, careful=False)
        moves = (ops.detach(e) > 0) | (broken & (value != -math.inf))
        return xp.where(moves, e, 0.0), moves

    def moving_on_cpu():
        """The same but in the row of a NaN, which is NaN as a whole: to read the scores once more takes half as long again."""
        careful = not ops.compiler.merges(x, form.limits)
        e = ops.shifted_exp(x, temperature, top, careful=careful)
        moves = (ops.detach(e) > 0) | broken
        return xp.where(moves, live(ops, e, top) if careful else e, 0.0), moves

    made = moving() if form.limits is None else ops.compiler.on_platform(cpu=moving_on_cpu, default=moving)
    return _Factors(x, top, y, total, *made)


def _moved(ops: KernelOps, f: _Factors, t, temperature, positions, form: Form) -> Array:
    """``sum_i p_i (c_i - y) t_i / T`` of tangents that are 0 where nothing moves.

    The transpose of this broadcasts, where that of a contraction would multiply out.
    """
    xp, half = ops.xp, square_root(ops, temperature)
    e, one, moved = divided(f.e, half), len(positions) == 1, []
    t = t if one else t * e
    for k, c in enumerate(positions):
        slope = c - _part(f.y, form, k, k + 1)
        moved.append(xp.sum((slope * e if one else slope) * t, axis=form.axes, keepdims=True))
    moved = divided(xp.concat(moved, axis=form.axes[0]) / f.total, half)
    return _answers(ops, moved, f.x.shape, form.axes)


def tangent(ops: KernelOps, t, x, temperature, mask, positions, form: Form) -> Array:
    """What a tangent of the scores does to the answers."""
    f = _factors(ops, x, temperature, mask, positions, form)
    t = t if mask is None else ops.xp.where(mask, t, 0.0)
    return _moved(ops, f, ops.xp.where(f.moves, t, 0.0), temperature, positions, form)


def tangent_temperature(ops: KernelOps, t, x, temperature, mask, positions, form: Form) -> Array:
    """What a tangent of the temperature does to the answers: that of ``-z t`` with ``z = (x - top) / T``."""
    f = _factors(ops, x, temperature, mask, positions, form)
    z = ops.xp.where(f.moves, f.x - f.top, 0.0) / temperature
    return _moved(ops, f, -z * t, temperature, positions, form)


def _expectation(ops: KernelOps, x, temperature, alpha, mask, positions, *, axes, relaxation, limits) -> Array:
    return expectation(ops, x, temperature, mask, positions, Form(axes))


def _tangent_of(tangent):
    def jvp(ops: KernelOps, t, y, x, temperature, alpha, mask, positions, *, axes, relaxation, limits) -> Array:
        return tangent(ops, t, x, temperature, mask, positions, Form(axes))

    return jvp


def _weights(ops: KernelOps, x, temperature, alpha, mask, *, axes, relaxation, limits) -> Array:
    """Scores to weights, exactly 0 below the smallest normal number."""
    xp = ops.xp
    e = xp.exp(distances(ops, kept(ops, x, mask), temperature, axes)[1])
    total = xp.sum(e, axis=axes, keepdims=True)
    p = e / xp.where(total == 0, 1.0, total)
    return xp.where(p < float(xp.finfo(p.dtype).smallest_normal), 0.0, p)


class _Slopes(NamedTuple):
    """What a derivative of the weights is made of."""

    s: Array  # proportional to the weights
    total: Array  # its sum
    before: Array  # which tangents are looked at
    after: Array  # and at which entries their deviation from the mean is


def _slopes(ops: KernelOps, p, x, temperature, axes) -> _Slopes:
    """Return the weights on a CPU. Elsewhere, exponentials that are made again cost less than weights that are read."""
    xp = ops.xp

    def of_weights():
        score, value = ops.detach(x), ops.detach(p)
        spread = (score == math.inf) & (value == value)
        before, after = (value != 0) & (score != -math.inf), ~((value == 0) | spread)
        return p, xp.ones_like(largest(ops, x, axes)), before, after

    def of_exponentials():
        f = _factors(ops, x, temperature, None, (), Form(axes))
        return f.e, f.total, f.moves, f.moves

    return _Slopes(*ops.compiler.on_platform(cpu=of_weights, default=of_exponentials))


def _weights_moved(ops: KernelOps, f: _Slopes, t, temperature, axes) -> Array:
    """``p_i (t_i - sum_j p_j t_j) / T`` of tangents that are 0 where they are not looked at."""
    xp, half = ops.xp, square_root(ops, temperature)
    t = divided(t, half)
    deviation = xp.where(f.after, t - xp.sum(f.s * t, axis=axes, keepdims=True) / f.total, 0.0)
    return divided(f.s * deviation / f.total, half)


def _weights_tangent(ops: KernelOps, t, p, x, temperature, alpha, mask, *, axes, relaxation, limits) -> Array:
    """What a tangent of the scores does to the weights."""
    slopes = _slopes(ops, p, kept(ops, x, mask), temperature, axes)
    return _weights_moved(ops, slopes, ops.xp.where(slopes.before, t, 0.0), temperature, axes)


def _weights_tangent_temperature(
    ops: KernelOps, t, p, x, temperature, alpha, mask, *, axes, relaxation, limits
) -> Array:
    """What a tangent of the temperature does to the weights: that of ``-z t`` with ``z = (x - top) / T``."""
    x = kept(ops, x, mask)
    slopes = _slopes(ops, p, x, temperature, axes)
    still = (ops.detach(x) == math.inf) | ~slopes.before
    z = ops.xp.where(still, 0.0, x - largest(ops, x, axes)) / temperature
    return _weights_moved(ops, slopes, -z * t, temperature, axes)


def _product(ops: KernelOps, v, p, x, temperature, alpha, mask, *, axes, relaxation, divisor, limits) -> Array:
    """``J v / divisor`` at weights p of any relaxation. What does not move shows in a score and its weight: no row is looked at."""
    xp, value, score = ops.xp, ops.detach(p), ops.detach(kept(ops, x, mask))
    still = (score == -math.inf) | ((score == math.inf) & (value == value))
    moved = jacobian_product(ops, v, p, alpha, relaxation, axes, still | (value == 0))
    return xp.where(still, 0.0, divided(moved, divisor))


_OF_WEIGHTS = Traced(_fits, _weights, None, _weights_tangent, _weights_tangent_temperature)
REDUCTIONS = Kernel(
    "reductions",
    traced={
        **dict.fromkeys(("weights", "dense_weights"), _OF_WEIGHTS),
        "expectation": Traced(_fits, _expectation, None, _tangent_of(tangent), _tangent_of(tangent_temperature)),
    },
    product=_product,
    needs=("compiler",),
)

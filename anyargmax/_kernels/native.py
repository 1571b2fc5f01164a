"""The kernel of a framework's own softmax and matrix product, for scores that turn out to need no care.

It is differentiated by the framework itself, and the quickest for few scores or many threads.
"""

import math
from functools import partial
from typing import NamedTuple

from .kernel import NEVER, Kernel, KernelOps, Load, Step
from .whole import Call

COST = 0.25


class Limits(NamedTuple):
    """Numbers of scores up to which this kernel is quicker than blocks."""

    alone: int = 2**14  # without a backward pass
    recorded: int = 2**19  # with a backward pass
    quick: int = 2**17  # with a backward pass, if the framework lends blocks a quick exponential, or with two threads
    huge: int = 2**25  # bytes from which new memory comes in pages of 4 KiB, unless NumPy asks for larger ones
    threads: int = 2  # with more threads this kernel is quicker up to `huge`: blocks mostly use one


def _plan(ops: KernelOps, call: Call, limits: Limits) -> Step | None:
    if not call.has_only("half"):
        return None
    plan, itemsize = call.plan, call.plan.positions.itemsize
    if call.reduces:
        native = _expectation(ops, plan, call)
        recorded = limits.quick if ops.memory.exponential or call.half else limits.recorded
        # A temperature is two passes more, and its gradient others.
        most = limits.alone, limits.alone if call.tempered else recorded // 4 if call.divides else recorded
    else:
        native = _weights(ops, call) if len(call.axes) == 1 else None
        most = (limits.huge // itemsize - 1,) * 2
        if call.half or call.tempered:  # which blocks read as they are
            most = limits.alone, limits.quick
    if native is None:
        return None
    size = math.prod(call.sizes)
    divisor = call.divisor
    run = partial(_run, native) if call.tempered else lambda x, load, beside: native(x, divisor)
    return Step("native", run, partial(_cost, limits, size, itemsize, most), plan.positions.nbytes)


def _run(native, x, load: Load, beside):
    """With a temperature that has a gradient, or is one of each row, the framework divides by its array."""
    number = beside.transposed is None and isinstance(beside.divisor, float)
    return native(x, beside.divisor if number else beside.arrays[0])


def _cost(limits: Limits, size, itemsize, most, load: Load) -> float:
    recorded, threads, exact = load
    limit = most[recorded]
    if threads > limits.threads:
        limit = max(limit, limits.huge // itemsize - 1)
    elif threads > 1:
        limit = max(limit, limits.quick)
    return COST if exact and size <= limit else NEVER


def _only_nan(xp, z, y) -> bool:
    """Whether NaN is all that is amiss: it makes its own row NaN, which needs no care."""
    explained, finite = xp.any(z != z, axis=1), xp.isfinite(y)
    finite = xp.all(finite, axis=-1) if finite.ndim > explained.ndim else finite
    return bool(xp.all(finite | explained)) and not bool(xp.any(xp.isinf(z)))


def _expectation(ops: KernelOps, plan, call: Call):
    """Return an expectation by the framework's own softmax and matrix product, for scores that turn out to need no care.

    An answer that is finite says so: NaN, a ``+inf`` score and a row without any kept score show in it.
    """
    xp, (outer, n, inner) = ops.xp, (plan.outer, plan.n, plan.inner)
    folded, sizes, half, sign = (outer, n) if inner == 1 else (outer, n, inner), call.sizes, call.half, call.sign
    if (len(plan.positions) == 1) + (inner == 1) + (not plan.moments) < 2:
        return None  # further from a mean of rows, native operations are no quicker
    c = ops.memory.constant(plan.positions[0] if len(plan.positions) == 1 else plan.positions.T.copy())
    softmax, total = ops.functions.softmax, ops.memory.total

    def native(x, divisor):
        x = xp.astype(x, xp.float32) if half else x
        rows = z = x if folded == sizes else xp.reshape(x, folded)
        if divisor is not None:
            top = (xp.max if sign == 1 else xp.min)(ops.detach(z), axis=1, keepdims=True)
            z = (z - top) / divisor if isinstance(divisor, float) else _divided(ops, x, top, divisor, folded, sign)
        p = softmax(z, 1)
        y = p @ c if inner == 1 else c @ p
        if plan.moments:
            y = xp.stack([y, xp.sum(p * (c - y[:, None]) ** 2, axis=1)], axis=-1)
        if not math.isfinite(total(y)) and not _only_nan(xp, ops.detach(rows), ops.detach(y)):
            return None
        return y if y.shape == plan.shape else xp.reshape(y, plan.shape)

    return native


def _divided(ops: KernelOps, x, top, divisor, folded, sign):
    """``(x - top) / T`` for an array of temperatures, whose shape is that of the scores as they came."""
    divisor = divisor if divisor.dtype == x.dtype else ops.xp.astype(divisor, x.dtype)
    shifted = ops.xp.reshape(ops.xp.reshape(x, folded) - top, x.shape)
    return ops.xp.reshape(shifted / (divisor if sign == 1 else -divisor), folded)


def _weights(ops: KernelOps, call: Call):
    """The framework's own softmax, for scores of which none is so low that its weight would vanish, nor infinite, nor NaN."""
    xp, (axis,), half, sizes = ops.xp, call.axes, call.half, call.sizes

    def native(x, temperature):
        z = xp.astype(x, xp.float32) if half else x
        if temperature is not None:
            top = xp.max(ops.detach(z), axis=axis, keepdims=True)
            number = isinstance(temperature, float)
            z = (z - top) / temperature if number else _divided(ops, z, top, temperature, sizes, 1)
        p = ops.functions.softmax(z, axis)
        if not float(xp.min(ops.detach(p))) > float(xp.finfo(p.dtype).smallest_normal):
            return None
        return xp.astype(p, x.dtype) if half else p

    return native


def _given(ops: KernelOps, call: Call, limits: Limits) -> Step | None:
    """Means under weights that are given, by products that the framework differentiates, for rows that all have an answer.

    The reciprocal of an answer shows one that is NaN, and one that is 0, which a row without weight is at.
    """
    plan = call.plan
    if not call.has_only() or plan.moments:
        return None
    folded, shape = (plan.outer, plan.n) if plan.inner == 1 else (plan.outer, plan.n, plan.inner), tuple(plan.shape)
    columns, total, xp = [ops.memory.constant(c.copy()) for c in plan.positions], ops.memory.total, ops.xp

    def run(x, load, beside):
        rows = x if x.ndim == 2 and folded == call.sizes else xp.reshape(x, folded)
        means = [rows @ c if rows.ndim == 2 else c @ rows for c in columns]
        y = means[0] if len(means) == 1 else xp.stack(means, axis=-1)
        if not math.isfinite(total(1 / ops.detach(y))):
            return None
        return y if y.shape == shape else xp.reshape(y, shape)

    return Step("native", run, partial(_cost_given, limits, math.prod(call.sizes)), plan.positions.nbytes)


def _cost_given(limits: Limits, size, load: Load) -> float:
    recorded, _, exact = load
    return COST if exact and recorded and size <= limits.recorded else NEVER


def _logarithms(ops: KernelOps, call: Call, limits: Limits) -> Step | None:
    """The framework's own logarithms of a softmax, for scores that all have one."""
    if not call.has_only("half") or call.tempered or len(call.axes) != 1:
        return None
    xp, (axis,), half, divisor = ops.xp, call.axes, call.half, call.divisor

    def run(x, load, beside):
        z = xp.astype(x, xp.float32) if half else x
        if divisor is not None:
            z = (z - xp.max(ops.detach(z), axis=axis, keepdims=True)) / divisor
        y = ops.functions.log_softmax(z, axis)
        if not math.isfinite(float(xp.min(ops.detach(y)))):
            return None
        return xp.astype(y, x.dtype) if half else y

    return Step("native", run, lambda load: COST)


NATIVE = Kernel(
    "native",
    Limits(),
    plans={"softmax": _plan, "given": _given, "logarithm": _logarithms},
    needs=("memory", "functions"),
)

"""The kernel of sparse weights: a whole call, or what a rule gives, and the cotangent of its scores, from compact memory.

Each function returns None where the rule must do it: masks, values that are recorded or in no plain memory,
rows with NaN or infinities, weights that are not sparse.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from ..._rules.relaxations import Relaxation
from ..._rules.rule import Array
from ..beside import Beside
from ..kernel import Kernel, KernelOps, Load, Step
from ..whole import Call, MemoryCall, running
from . import compact

LOWEST_ALPHA = 1.05  # below, hardly any score is out of reach of the largest

COST = 0.5  # of the rule

Answered = tuple[Array, Callable[..., tuple[Array | None, ...] | None]]


def _is_sparse(alpha, mask, axes, r: Relaxation) -> bool:
    """Whether the weights are sparse by a plain number, without a mask and along neighbouring axes."""
    if r.alpha is None or not LOWEST_ALPHA <= r.alpha <= 2 or alpha is not None:
        return False
    return mask is None and bool(axes) and max(axes) - min(axes) + 1 == len(axes)


def _memory(ops: KernelOps, x: Array) -> Any:
    """The memory of an array of a dtype to compute in; a number as it is."""
    if not hasattr(x, "shape"):
        return 1.0 if x is None else x
    view = ops.memory.open(x)
    usable = view is not None and view.dtype.char in "fd" and view.dtype.isnative and view.size
    return view if usable else None


def _solved(ops: KernelOps, x, temperature, alpha, mask, axes, relaxation, limits):
    """The support of the weights, and the temperature in memory of its own."""
    if not _is_sparse(alpha, mask, axes, relaxation):
        return None
    view, temperature = _memory(ops, x), _memory(ops, temperature)
    if view is None or temperature is None:
        return None
    held = compact.support(view, temperature, axes, relaxation.alpha, limits)
    return held and (held, temperature.copy() if hasattr(temperature, "shape") else temperature)


def _pulled(ops: KernelOps, held, temperature, alpha, transposed, g, needed=(True,)) -> tuple[Array | None, ...] | None:
    """The cotangent of the scores; `transposed` turns that of the answer into that of the weights on the support."""
    view = None if any(needed[1:]) else _memory(ops, g)
    if view is None:
        return None
    moved = compact.product(held, transposed(view), temperature, alpha)
    return None if moved is None else (ops.memory.close(compact.dense(held, moved), g), *[None] * (len(needed) - 1))


def weights(ops: KernelOps, x, temperature, alpha, mask, *, axes, relaxation, limits) -> Answered | None:
    """Return the weights, and the function that pulls a cotangent of theirs back to the scores."""
    solved = _solved(ops, x, temperature, alpha, mask, axes, relaxation, limits)
    if solved is None:
        return None
    held, temperature = solved
    pull = partial(_pulled, ops, held, temperature, relaxation.alpha, partial(compact.at, held))
    return ops.memory.close(compact.dense(held, held.weights), x), pull


def expectation(ops: KernelOps, x, temperature, alpha, mask, positions, *, axes, relaxation, limits) -> Answered | None:
    """Return the expected positions and their pullback, without laying the weights out."""
    tables = [_memory(ops, c) for c in positions] if relaxation.alpha != 1 else [None]
    if any(table is None for table in tables):
        return None
    solved = _solved(ops, x, temperature, alpha, mask, axes, relaxation, limits)
    if solved is None:
        return None
    held, temperature = solved
    places = [compact.along(held, table, axis, max(axes)) for axis, table in zip(axes, tables, strict=True)]
    shape = tuple(n for axis, n in enumerate(x.shape) if axis not in axes)
    pull = partial(_pulled, ops, held, temperature, relaxation.alpha, partial(compact.means_transposed, held, places))
    return ops.memory.close(compact.means(held, places, (*shape, len(places))), x), pull


def _pulled_expectation(ops: KernelOps, g, y, x, *args, **static) -> Array | None:
    """The cotangent of the scores of an expectation, of which nothing was kept."""
    made = expectation(ops, x, *args, **static)
    pulled = None if made is None else made[1](g)
    return None if pulled is None else pulled[0]


def product(ops: KernelOps, v, p, x, temperature, alpha, mask, *, axes, relaxation, divisor, limits) -> Array | None:
    """Return ``J v / divisor`` at weights p, whatever mask they had: they are 0 there."""
    if not _is_sparse(alpha, None, axes, relaxation):
        return None
    views = [_memory(ops, array) for array in (v, p, x, divisor)]
    if any(view is None for view in views) or views[0].shape != views[1].shape:
        return None
    held = compact.support_of(views[1], axes, limits)
    if held is None or not math.isfinite(float(compact.at(held, views[2]).max())):
        return None
    moved = compact.product(held, compact.at(held, views[0]), views[3], relaxation.alpha)
    return None if moved is None else ops.memory.close(compact.dense(held, moved), v)


def _plan(ops: KernelOps, call: Call, limits) -> Step | None:
    """A whole call, on NumPy arrays that are seen as (outer, n, inner)."""
    plan = call.plan
    if not LOWEST_ALPHA <= call.alpha <= 2 or plan.moments or call.sign < 0 or not call.has_only():
        return None
    shape = plan.outer, plan.n, plan.inner

    def solved(x, beside):
        return compact.support(x.reshape(shape), _divisor(beside), (1,), call.alpha, limits)

    def places(held):
        return [positions[held.entry] for positions in plan.positions]

    def forward(x, keep, beside):
        held = solved(x, beside)
        if held is None:
            return None
        if call.reduces:
            y = compact.means(held, places(held), plan.shape)
        else:
            y = compact.dense(held, held.weights).reshape(plan.shape)
        return y, held if keep else None

    def backward(g, y, x, kept, beside):
        held = solved(x, beside) if kept is None else kept
        if held is None:
            return None
        g = g.reshape(plan.shape)  # or it is an error
        v = compact.means_transposed(held, places(held), g) if call.reduces else compact.at(held, g.reshape(shape))
        moved = compact.product(held, v, _divisor(beside), call.alpha)
        if moved is None:
            return None
        rows = None if beside.transposed is None else compact.turned(held, moved, plan.positions.dtype)
        return compact.dense(held, moved).reshape(call.sizes), rows

    return Step(
        "support",
        running(ops.memory, MemoryCall(call.by_rules, forward, backward, lasts=True)),
        _cost,
        plan.positions.nbytes,
    )


def _divisor(beside: Beside) -> Any:
    return 1.0 if beside.divisor is None else beside.divisor


def _cost(load: Load) -> float:
    return COST


SUPPORT = Kernel(
    "support",
    compact.Limits(),
    plans={"entmax": _plan},
    serves={"weights": weights, "expectation": expectation},
    pulls={"expectation": _pulled_expectation},
    product=product,
    needs=("memory",),
)

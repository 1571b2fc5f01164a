"""The kernel of softmax in blocks, for whole calls on plain CPU memory: faster the larger the array is."""

from functools import lru_cache, partial
from typing import NamedTuple

from ..kernel import Kernel, KernelOps, Load, Step
from ..whole import Call, MemoryCall, running

COST = 0.5  # of the rule, once more than one pass over the memory counts


class Limits(NamedTuple):
    """Sizes that decide how an array is cut."""

    block: int = 2**19  # bytes: half of a usual second-level cache
    columns: int = 64  # fewer than these side by side are not worth a strided read
    few: int = 32  # numbers that are looked at faster in Python
    share: int = 64  # of the scores, one part may be scratch beside the gradient
    powers_of_two: bool | None = None  # whether they are the quicker exponentials; None asks NumPy


def _plan(ops: KernelOps, call: Call, limits: Limits) -> Step | None:
    if not _is_known(call):
        return None
    of_divisor, forward, backward = _divided(ops, call, limits)
    keeps, positions = call.reduces or call.half, call.plan.positions
    if call.tempered:
        forwards, backwards = _tempered(of_divisor, forward, backward, keeps, call.background)
    else:
        plan = of_divisor(call.divisor)
        forwards = lambda x, keep, beside: forward(plan, beside.mask, x, keep and keeps)  # noqa: E731
        backwards = lambda g, y, x, kept, beside: backward(plan, beside.mask, g, y, x, kept)  # noqa: E731
    held = MemoryCall(call.by_rules, forwards, backwards, needs_answer=not keeps)
    nbytes = positions.nbytes + positions.itemsize * call.plan.n
    return Step("blocks", running(ops.memory, held), _cost, nbytes)


def _tempered(of_divisor, forward, backward, keeps, background):
    """The functions forward and backward where each run has a divisor of its own; its plan is kept for the way back."""
    of_number = lru_cache(1)(of_divisor)  # which mostly stays the same

    def forwards(x, keep, beside):
        learned = beside.transposed is not None
        if learned and background:
            return None  # the rule has a gradient of the temperature that does not cancel
        plan = (of_number if isinstance(beside.divisor, float) else of_divisor)(beside.divisor)
        made = forward(plan, beside.mask, x, keep and (keeps or learned))
        return made if made is None or made[1] is None else (made[0], (plan, made[1]))

    def backwards(g, y, x, kept, beside):
        plan, kept = kept or (of_divisor(beside.divisor), None)
        return backward(plan, beside.mask, g, y, x, kept, beside.transposed is not None)

    return forwards, backwards


def _is_known(call: Call) -> bool:
    """Whether the options are such as go together. In another order of the axes, of equal scores another is the first."""
    if call.window is not None and list(call.axes) != sorted(call.axes):
        return False
    return any(call.has_only("mask", "half", name) for name in ("window", "median", "background"))


def _divided(ops: KernelOps, call: Call, limits: Limits):
    """Return the function that makes the plan for a divisor, and the functions forward and backward of a plan."""
    import numpy as np

    from .exponential import scaled_exponential
    from .plan import Plan

    outer, n, inner, positions, shape, moments = call.plan
    fill, scale_of, safe = scaled_exponential(
        str(positions.dtype), call.divides, ops.memory.exponential, limits.powers_of_two
    )
    tables = np.concatenate([positions, np.ones_like(positions, shape=(1, n))])
    span = max(1.0, float(np.max(np.abs(tables)))) ** (1 + moments)
    itemsize, tiny = positions.itemsize, float(np.finfo(positions.dtype).smallest_normal)
    copied, little = ops.memory.copied if call.half else None, 2 * limits.block // itemsize
    sums = safe, limits, copied, itemsize, tiny, little
    plan, forward, backward = _functions(
        call, Plan(outer, n, inner, call.sign, tables, span, shape, moments, fill, *sums)
    )

    def of_divisor(divisor):
        scale, by_row = scale_of(divisor), divisor is not None and not isinstance(divisor, float)
        return Plan._make((*plan[:-3], by_row, divisor, scale[:, None] if by_row else scale))

    return of_divisor, forward, backward


def _functions(call: Call, plan):
    """Return the plan and the functions of it, by what is asked for."""
    from . import background, dense, dense_vjp, dense_weights, median, windowed

    if call.window is not None:
        plan, window = windowed.planned(plan, call.reduced, call.window)
        return plan, partial(windowed.forward, window), partial(windowed.backward, window)
    if call.readout == "median":
        order = (0,) if call.flat else tuple(sorted(call.axes).index(axis) for axis in call.axes)
        axes = median.planned(plan, call.reduced, order)
        return plan, partial(median.forward, axes), partial(median.backward, axes)
    if call.background:
        return plan, background.forward, background.backward
    if not call.reduces:
        return plan, dense_weights.forward, dense_weights.backward
    return plan, dense.forward, dense_vjp.backward


def _cost(load: Load) -> float:
    return COST


BLOCKS = Kernel("blocks", Limits(), plans={"softmax": _plan}, needs=("memory",))

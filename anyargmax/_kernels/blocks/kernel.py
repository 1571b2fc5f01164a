"""The kernel of softmax in blocks, for whole calls on plain CPU memory: faster the larger the array is."""

from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

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
    import numpy as np

    from . import dense, dense_vjp, dense_weights, windowed
    from .exponential import scaled_exponential

    if call.window is not None and list(call.axes) != sorted(call.axes):
        return None  # of equal scores the first in another order is the largest
    forward: Any = dense if call.reduces else dense_weights
    backward: Any = dense_vjp if call.reduces else dense_weights
    outer, n, inner, positions, shape, moments = call.plan
    fill, scale_of, safe = scaled_exponential(
        str(positions.dtype), call.divides, ops.memory.exponential, limits.powers_of_two
    )
    tables = np.concatenate([positions, np.ones_like(positions, shape=(1, n))])
    span = max(1.0, float(np.max(np.abs(tables)))) ** (1 + moments)
    itemsize, tiny = positions.itemsize, float(np.finfo(positions.dtype).smallest_normal)
    copied, little = ops.memory.copied if call.half else None, 2 * limits.block // itemsize
    plan = dense.Plan(
        *(outer, n, inner, call.sign, tables, span, shape, moments, fill, safe, limits, copied, itemsize, tiny, little)
    )

    if call.window is not None:
        sizes = tuple(call.sizes[axis] for axis in call.axes) if len(call.window) == len(call.axes) else (n,)
        plan, window = windowed.planned(plan, sizes, call.window)
        forward = backward = SimpleNamespace(
            forward=partial(windowed.forward, window), backward=partial(windowed.backward, window)
        )

    def divided(divisor):
        scale, by_row = scale_of(divisor), divisor is not None and not isinstance(divisor, float)
        return dense.Plan(*plan[:-3], by_row, divisor, scale[:, None] if by_row else scale)

    fixed, kept_always = None if call.tempered else divided(call.divisor), call.reduces or call.half

    def forwards(x, keep, beside):
        p, keep = fixed or divided(beside.divisor), keep and (kept_always or beside.transposed is not None)
        made = forward.forward(p, beside.mask, x, keep)
        return made if fixed or made is None or made[1] is None else (made[0], (p, made[1]))

    def backwards(g, y, x, kept, beside):
        p = fixed
        if p is None:
            p, kept = kept or (divided(beside.divisor), None)
        return backward.backward(p, beside.mask, g, y, x, kept, beside.transposed is not None)

    needs_answer = not (call.reduces or call.half)
    held = MemoryCall(call.by_rules, forwards, backwards, needs_answer=needs_answer)
    return Step("blocks", running(ops.memory, held), _cost, tables.nbytes)


def _cost(load: Load) -> float:
    return COST


BLOCKS = Kernel("blocks", Limits(), plans={"softmax": _plan}, needs=("memory",))

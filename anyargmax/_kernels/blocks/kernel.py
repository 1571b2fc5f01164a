"""The kernel of softmax in blocks, for whole calls on plain CPU memory: faster the larger the array is."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ..._rules.rule import Array
from ..kernel import Kernel, KernelOps, Load, Memory, Step
from ..whole import Call

COST = 0.5  # of the rule, once more than one pass over the memory counts


class Limits(NamedTuple):
    """Sizes that decide how an array is cut."""

    block: int = 2**19  # bytes: half of a usual second-level cache
    columns: int = 64  # fewer than these side by side are not worth a strided read
    few: int = 32  # numbers that are looked at faster in Python
    share: int = 64  # of the scores, one part may be scratch beside the gradient
    powers_of_two: bool | None = None  # whether they are the quicker exponentials; None asks NumPy


class Served(NamedTuple):
    """A call of the kernel, on NumPy arrays, and what does it where the kernel declines.

    ``forward(x, keep)`` returns y and, if it is to keep them, what ``backward(g, y, x, kept)`` can use, once, instead of
    computing it again. Either may return None, and then ``by_rules(x)`` does it.
    """

    by_rules: Callable[[Array], Array]
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    needs_answer: bool  # whether the backward looks at y: a caller may not write into it then


def _plan(ops: KernelOps, call: Call, limits: Limits) -> Step | None:
    from . import dense, dense_vjp, dense_weights
    from .exponential import scaled_exponential

    if not call.answers and call.mask is not None:
        return None
    forward, backward = (dense, dense_vjp) if call.answers else (dense_weights, dense_weights)
    dtype = str(call.plan.tables.dtype)
    scaled, safe = scaled_exponential(dtype, call.plan.divisor, ops.memory.exponential, limits.powers_of_two)
    plan = call.plan._replace(exponential=scaled, safe=safe, limits=limits)
    served = Served(
        call.by_rules,
        partial(forward.forward, plan, call.mask),
        partial(backward.backward, plan, call.mask),
        not call.answers,
    )
    return Step("blocks", _running(ops.memory, served), _cost)


def _cost(load: Load) -> float:
    return COST


def _running(memory: Memory, served: Served):
    forward, view, keeps, attach, close = served.forward, memory.view, memory.keeps, memory.attach, memory.close

    def run(x, load: Load):
        recorded = load[0]
        made = forward(view(x), recorded and keeps())
        if made is None:
            return None
        return attach(x, served, *made) if recorded else close(made[0], x)

    return run


BLOCKS = Kernel("blocks", Limits(), plan=_plan, needs=("memory",))

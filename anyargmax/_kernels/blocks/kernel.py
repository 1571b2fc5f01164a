"""The kernel of softmax in blocks, for whole calls on plain CPU memory: faster the larger the array is."""

from functools import partial
from typing import NamedTuple

from ..kernel import Kernel, KernelOps, Load, Step
from ..whole import Call, Served, running

COST = 0.5  # of the rule, once more than one pass over the memory counts


class Limits(NamedTuple):
    """Sizes that decide how an array is cut."""

    block: int = 2**19  # bytes: half of a usual second-level cache
    columns: int = 64  # fewer than these side by side are not worth a strided read
    few: int = 32  # numbers that are looked at faster in Python
    share: int = 64  # of the scores, one part may be scratch beside the gradient
    powers_of_two: bool | None = None  # whether they are the quicker exponentials; None asks NumPy


def _plan(ops: KernelOps, call: Call, limits: Limits) -> Step | None:
    from . import dense, dense_vjp, dense_weights
    from .exponential import scaled_exponential

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
    return Step("blocks", running(ops.memory, served), _cost)


def _cost(load: Load) -> float:
    return COST


BLOCKS = Kernel("blocks", Limits(), plans={"softmax": _plan}, needs=("memory",))

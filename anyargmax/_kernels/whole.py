"""A whole call on the memory of a plain array, described for the kernels that can do it at once."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

from .._rules.positions import table
from .._rules.rule import Array
from .kernel import KernelOps, Load, Memory


class Plan(NamedTuple):
    """A call on C-contiguous arrays of one shape, seen as (outer, n, inner), of which n is reduced."""

    outer: int
    n: int
    inner: int
    divisor: float | None  # the temperature, negative for the smallest score; None is 1
    positions: Any  # (k, n), of the dtype of the scores
    shape: tuple[int, ...]  # of the answer
    moments: bool  # whether each position is followed, after all of them, by its variance


class Call(NamedTuple):
    """A validated call as a function of its scores, for arrays of one shape and dtype.

    ``by_rules(x)`` is the same function in rules: it takes any array and is differentiable.
    """

    by_rules: Callable[[Array], Array]
    alpha: float  # 1 for softmax
    sizes: tuple[int, ...]
    axes: tuple[int, ...]
    plan: Plan
    mask: Any  # in memory
    beside: tuple[Array, ...]  # the arrays that go with the scores
    reduces: bool  # whether it reduces the axes; if not, it gives the weights


def of(ops: KernelOps, x, controls, options, make, shape) -> Call | None:
    """Describe a call to kernels.

    None if an option is not supported, if temperature or alpha is an array, if a mask goes with a call for the weights,
    or if the memory of x cannot be read. ``make()`` returns the function in rules. `shape` is that of the reduced
    result, None of a call for the weights.
    """
    number = controls.temperature is None or isinstance(controls.temperature, float)
    if not number or controls.alpha is not None or (controls.mask is not None and shape is None):
        return None
    if not _is_readable(ops, x, options):
        return None
    try:
        import numpy as np
    except ModuleNotFoundError:
        return None
    mask = None if controls.mask is None else ops.memory.open(controls.mask)
    if (mask is None) != (controls.mask is None):
        return None
    sizes = tuple(x.shape)
    axes = tuple(range(len(sizes))) if options.flat else options.axes
    plan = _plan(np, sizes, str(x.dtype).rpartition(".")[2], axes, controls.temperature, options, shape)
    if plan is None:
        return None
    mask = mask.reshape(sizes) if mask is not None and options.flat else mask
    return Call(
        make(),
        options.relaxation.alpha,
        sizes,
        axes,
        plan,
        mask,
        () if mask is None else (controls.mask,),
        shape is not None,
    )


# Options that kernels may support, at their defaults. The rules do a call that sets any other option.
_KNOWN = {"kept": (), "sign": 1, "flat": False, "readout": "mean", "hard": False, "coordinates": "index"}


def _is_readable(ops: KernelOps, x, o) -> bool:
    """Whether the options are known ones, alpha is a number, and the memory of x may be read."""
    known = o._replace(**_KNOWN) == type(o)(o.axes, o.dtype, relaxation=o.relaxation)
    read = o.readout in ("mean", "moments") and o.relaxation.alpha is not None
    computed = x.dtype == o.dtype and str(x.dtype).rpartition(".")[2] in ("float32", "float64")
    there = x.ndim > 0 and math.prod(x.shape) != 0
    return bool(known and read and computed and there and ops.memory.is_plain(x))


def _plan(np, sizes, dtype, axes, temperature, o, shape):
    n = math.prod(sizes[axis] for axis in axes)
    divisor = temperature if o.sign == 1 else -(temperature or 1.0)
    tables = []
    if shape is not None:
        made_by: Any = SimpleNamespace(xp=np, place=lambda x: {})
        like = np.broadcast_to(np.zeros((), dtype=dtype), (n,) if o.flat else sizes)
        laid = [table(made_by, like, axis, o.coordinates) for axis in o.axes]
        inside = (n,) if o.flat else tuple(m if axis in axes else 1 for axis, m in enumerate(sizes))
        tables = [np.broadcast_to(values, inside).reshape(-1) for values in laid]
    result = sizes if shape is None else shape
    return _planned(np, sizes, axes, dtype, tables, divisor, result, o.readout == "moments")


def _planned(np, shape, axes, dtype, tables, divisor, result, moments=False) -> Plan | None:
    """Plan the reduction of neighbouring axes, in which the flattened positions are `tables`; None if they are not."""
    first, last = min(axes), max(axes)
    if last - first + 1 != len(axes):
        return None
    n = math.prod(shape[first : last + 1])
    positions = np.stack(tables).astype(dtype) if tables else np.empty((0, n), dtype=dtype)
    return Plan(math.prod(shape[:first]), n, math.prod(shape[last + 1 :]), divisor, positions, result, moments)


class MemoryCall(NamedTuple):
    """The forward and backward functions of a kernel on NumPy arrays, and the rules that stand in for them.

    ``forward(x, keep)`` returns the result and what it keeps for ``backward(g, y, x, kept)``, None unless `keep`. Either
    returns None if it cannot do these values. Then ``by_rules(x)`` does.
    """

    by_rules: Callable[[Array], Array]
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    beside: tuple[Array, ...] = ()  # arrays whose memory the call holds, and which must not change before backward
    needs_answer: bool = False  # whether backward uses y, which the caller must not overwrite then
    lasts: bool = False  # whether kept values can be used more than once, and backward needs nothing else

    def take(self, state: dict[str, Any]) -> Any:
        """Return what was kept; only once if the gradient takes over its memory."""
        return state.get("kept") if self.lasts else state.pop("kept", None)


def running(memory: Memory, call: MemoryCall):
    forward, view, keeps, attach, close = call.forward, memory.view, memory.keeps, memory.attach, memory.close

    def run(x, load: Load):
        recorded = load[0]
        made = forward(view(x), recorded and (keeps is None or keeps()))
        if made is None:
            return None
        return attach(x, call, *made) if recorded else close(made[0], x)

    return run

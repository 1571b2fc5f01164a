"""A whole call of softmax on the memory of a plain array, described for the kernels that can do it at once."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .._rules.positions import table
from .._rules.rule import Array
from .kernel import KernelOps


class Call(NamedTuple):
    """A validated call as a function of its scores alone, on arrays of one shape and dtype.

    ``by_rules(x)`` is the way of the rules: any array, differentiable. The plan sees the array as (outer, n, inner), of
    which n is reduced, and holds the table of positions.
    """

    by_rules: Callable[[Array], Array]
    sizes: tuple[int, ...]
    axes: tuple[int, ...]
    plan: Any
    mask: Any  # in memory
    answers: bool  # whether it reduces the axes; if not, it gives the weights


def of(ops: KernelOps, x, controls, options, make, answer) -> Call | None:
    """Describe a call; None if it is none of softmax at one temperature, or the memory of x may not be read.

    ``make()`` gives the way of the rules. `answer` is the shape of what the positions are reduced to; None of a call for
    the weights.
    """
    if not _is_softmax(ops, x, controls, options):
        return None
    try:
        from .blocks import dense
    except ModuleNotFoundError:  # no NumPy
        return None
    mask = None if controls.mask is None else ops.memory.open(controls.mask)
    if (mask is None) != (controls.mask is None):
        return None
    sizes = tuple(x.shape)
    axes = tuple(range(len(sizes))) if options.flat else options.axes
    plan = _plan(dense, sizes, str(x.dtype).rpartition(".")[2], axes, controls.temperature, options, answer)
    if plan is None:
        return None
    mask = mask.reshape(sizes) if mask is not None and options.flat else mask
    return Call(make(), sizes, axes, plan, mask, answer is not None)


# The options that kernels for whole calls know, at their defaults: with any other that is set, the rules do the call.
_KNOWN = {"kept": (), "sign": 1, "flat": False, "readout": "mean", "hard": False, "coordinates": "index"}


def _is_softmax(ops: KernelOps, x, controls, o) -> bool:
    """Whether the weights are those of softmax at one temperature, and the memory of x may be read."""
    softmax = o.relaxation.alpha == 1 and o._replace(**_KNOWN) == type(o)(o.axes, o.dtype)
    read = o.readout in ("mean", "moments")
    number = controls.temperature is None or isinstance(controls.temperature, float)
    known = x.dtype == o.dtype and str(x.dtype).rpartition(".")[2] in ("float32", "float64")
    there = x.ndim > 0 and math.prod(x.shape) != 0
    return bool(softmax and read and number and known and there and ops.memory.open(ops.detach(x)) is not None)


def _plan(dense, sizes, dtype, axes, temperature, o, answer):
    n = math.prod(sizes[axis] for axis in axes)
    divisor = temperature if o.sign == 1 else -(temperature or 1.0)
    tables = []
    if answer is not None:
        like = dense.stand_in((n,) if o.flat else sizes, dtype)
        tables = [table(dense.NUMPY, like, axis, o.coordinates) for axis in o.axes]
        tables = tables if o.flat else dense.flattened(sizes, axes, tables)
    result = sizes if answer is None else answer
    return dense.planned(sizes, axes, dtype, tables, divisor, result, o.readout == "moments")

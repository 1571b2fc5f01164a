"""A whole call on the memory of a plain array, described for the kernels that can do it at once."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

from .._rules.positions import table
from .._rules.rule import Array
from .beside import Beside, Rows, opener
from .kernel import KernelOps, Load, Memory


class Plan(NamedTuple):
    """A call on C-contiguous arrays of one shape, seen as (outer, n, inner), of which n is reduced."""

    outer: int
    n: int
    inner: int
    positions: Any  # (k, n), of the dtype of the computation
    shape: tuple[int, ...]  # of the answer
    moments: bool  # whether each position is followed, after all of them, by its variance


class Call(NamedTuple):
    """A validated call as a function of its scores and of the arrays beside them, for arrays of their shapes and dtypes.

    ``by_rules(x, *arrays)`` is the same function in rules: it takes any arrays and is differentiable.
    """

    by_rules: Callable[..., Array]
    alpha: float  # 1 for softmax
    sizes: tuple[int, ...]
    axes: tuple[int, ...]
    flat: bool  # whether the axes are one, along which the array is flattened
    plan: Plan
    open: Callable[..., Beside | None]  # ``open(*arrays)``, the caller's
    divisor: float | None  # what the scores are divided by, negative for the smallest; None is 1, or an array's to say
    tempered: bool  # whether there is an array of temperatures
    masked: bool
    sign: int  # -1 if the smallest score is looked for
    window: tuple[int, ...] | None  # how far from the argmax weights may reach, along each axis
    readout: str  # "mean", "moments" or "median"
    background: bool  # whether weights are 0 where scores are
    half: bool  # whether the scores have a half type, which is computed in float32
    reduces: bool  # whether it reduces the axes; if not, it gives the weights

    @property
    def divides(self) -> bool:
        """Whether the scores are divided by anything but 1."""
        return self.tempered or self.divisor is not None

    @property
    def reduced(self) -> tuple[int, ...]:
        """The sizes of the axes that are reduced, as they lie in memory; one size of a flattened array."""
        return (self.plan.n,) if self.flat else tuple(self.sizes[axis] for axis in sorted(self.axes))

    def has_only(self, *names: str) -> bool:
        """Whether the call has no more than these of what not every kernel knows, named as below."""
        has = {
            "mask": self.masked,
            "half": self.half,
            "window": self.window is not None,
            "median": self.readout == "median",
            "background": self.background,
        }
        return all(not there or name in names for name, there in has.items())


def of(ops: KernelOps, x, controls, arrays, options, make, shape) -> Call | None:
    """Describe a call to kernels.

    None if an option is not supported, if alpha is an array, or if the memory of an array cannot be read. `arrays` are
    temperature and mask as the caller gave them, None where that is no array. ``make()`` returns the function in rules.
    `shape` is that of the reduced result, None of a call for the weights.
    """
    given = [array for array in arrays if array is not None]
    if controls.alpha is not None or not _is_readable(ops, x, options) or not all(map(ops.memory.is_plain, given)):
        return None
    try:
        import numpy as np
    except ModuleNotFoundError:
        return None
    sizes, half = tuple(x.shape), _name(x.dtype) in _HALF
    axes = tuple(range(len(sizes))) if options.flat else options.axes
    if max(axes) - min(axes) + 1 != len(axes):
        return None
    has = arrays[0] is not None, arrays[1] is not None
    rows = _rows(np, sizes, axes, "float32" if half else _name(x.dtype), options.sign)
    divisor = None if has[0] else controls.temperature
    divisor = divisor if options.sign == 1 or has[0] else -(divisor or 1.0)
    return Call(
        make(),
        options.relaxation.alpha,
        sizes,
        axes,
        options.flat,
        _plan(np, rows, axes, options, shape),
        opener(ops.memory, rows, divisor, arrays[0]) if any(has) else Beside,
        divisor,
        *has,
        options.sign,
        options.window,
        options.readout,
        options.zero_background,
        half,
        shape is not None,
    )


# Options that kernels may support, at their defaults. The rules do a call that sets any other option.
_KNOWN = {
    "kept": (),
    "sign": 1,
    "flat": False,
    "readout": "mean",
    "hard": False,
    "coordinates": "index",
    "window": None,
    "zero_background": False,
}
_WIDE, _HALF = ("float32", "float64"), ("float16", "bfloat16")


def _name(dtype) -> str:
    return str(dtype).rpartition(".")[2]


def _is_readable(ops: KernelOps, x, o) -> bool:
    """Whether the options are known ones, alpha is a number, and the memory of x may be read."""
    known = o._replace(**_KNOWN) == type(o)(o.axes, o.dtype, relaxation=o.relaxation)
    read = o.relaxation.alpha is not None
    computed = x.dtype == o.dtype if _name(x.dtype) in _WIDE else _name(x.dtype) in _HALF
    there = x.ndim > 0 and math.prod(x.shape) != 0
    return bool(known and read and computed and there and ops.memory.is_plain(x))


def _rows(np, sizes, axes, dtype, sign) -> Rows:
    first, last, limits = min(axes), max(axes) + 1, np.finfo(dtype)
    folded = math.prod(sizes[:first]), math.prod(sizes[first:last]), math.prod(sizes[last:])
    return Rows(sizes, first, last, folded, limits.dtype, float(limits.smallest_normal), float(limits.max), sign)


def _plan(np, rows: Rows, axes, o, shape) -> Plan:
    outer, n, inner = rows.folded
    sizes, positions = rows.sizes, np.empty((0, n), dtype=rows.dtype)
    if shape is not None:
        made_by: Any = SimpleNamespace(
            xp=np,
            span=lambda x, axis: (0, x.shape[axis]),
            indices=lambda x, axis, **kind: np.arange(x.shape[axis], **kind),
        )
        like = np.broadcast_to(np.zeros((), dtype=rows.dtype), (n,) if o.flat else sizes)
        laid = [table(made_by, like, axis, o.coordinates) for axis in o.axes]
        inside = (n,) if o.flat else tuple(m if axis in axes else 1 for axis, m in enumerate(sizes))
        tables = [np.broadcast_to(values, inside).reshape(-1) for values in laid]
        positions = np.stack(tables).astype(rows.dtype)
    return Plan(outer, n, inner, positions, sizes if shape is None else shape, o.readout == "moments")


class MemoryCall(NamedTuple):
    """The forward and backward functions of a kernel on NumPy arrays, and the rules that stand in for them.

    ``forward(x, keep, beside)`` returns the result and what it keeps for ``backward(g, y, x, kept, beside)``, None unless
    `keep`. The latter returns the cotangent of x, and one number a row for the temperature where that has a gradient.
    Either returns None if it cannot do these values. Then ``by_rules(x, *arrays)`` does.
    """

    by_rules: Callable[..., Array]
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    needs_answer: bool = False  # whether backward uses y, which the caller must not overwrite then
    lasts: bool = False  # whether kept values can be used more than once, and backward needs nothing else

    def pulled(self, g, y, x, state: dict[str, Any], beside: Beside):
        """Return the cotangents of the scores and of the temperature's array; None if the rules must do it."""
        # What was kept is used only once if the gradient takes over its memory.
        kept = state.get("kept") if self.lasts else state.pop("kept", None)
        made = self.backward(g, y, x, kept, beside)
        if made is None or beside.transposed is None:
            return made
        return made[0], beside.transposed(made[1])


def running(memory: Memory, call: MemoryCall):
    forward, view, keeps, attach, close = call.forward, memory.view, memory.keeps, memory.attach, memory.close

    def run(x, load: Load, beside: Beside):
        recorded = load[0]
        made = forward(view(x), recorded and (keeps is None or keeps()), beside)
        if made is None:
            return None
        return attach(x, call, beside, *made) if recorded else close(made[0], x)

    return run

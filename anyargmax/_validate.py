"""What a caller may pass, and what it is turned into. Messages say what was expected, what came, what to do."""

import math
import numbers
import operator
from typing import Any

from ._dispatch import Ops, select
from ._rule import Array


def described(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"a {type(value).__name__} of shape {tuple(value.shape)} and dtype {value.dtype}"
    return f"{value!r} of type {type(value).__name__}"


def operations(x: Array, name: str, *others: Any) -> Ops:
    """Return the operations for x; every other array must belong to the same framework."""
    arrays = [x, *[other for other in others if not isinstance(other, numbers.Real) and hasattr(other, "shape")]]
    ops = select(arrays)
    if ops is None:
        raise TypeError(
            f"`{name}` must be an array (NumPy, autograd, torch, JAX or any other of the Array API standard), "
            f"got {described(x)}. Pass an array, such as `numpy.asarray({name})`."
        )
    if type(x).__name__ in ("MaskedArray", "matrix"):
        raise TypeError(
            f"`{name}` must be a plain array, got a {type(x).__name__}. Pass `numpy.asarray({name})`, "
            f"of a masked array with `mask=~numpy.ma.getmaskarray({name})`."
        )
    if getattr(x, "is_sparse", False):
        raise TypeError(f"`{name}` must be a dense array, got a sparse one. Pass `{name}.to_dense()`.")
    for other in arrays:
        constant = getattr(ops.adapter, "takes_numpy", False) and type(other).__module__ == "numpy"
        if not constant and select([other]) is not ops:
            raise TypeError(
                f"`{name}` and the arrays beside it must be of one framework, here {ops.name}, got {described(other)} of "
                f"{type(other).__module__}. Convert all of them to one."
            )
    return ops


def real_floating(ops: Ops, x: Array, name: str) -> Any:
    """Return the dtype in which x is computed: at least float32, the framework's default for integers."""
    xp = ops.xp
    if xp.isdtype(x.dtype, "integral"):
        dtype = ops.adapter.default_float()
        return xp.float32 if xp.finfo(dtype).bits < 32 else dtype
    if not xp.isdtype(x.dtype, "real floating"):
        raise TypeError(
            f"`{name}` must have a real floating-point or integer dtype, got {x.dtype}. "
            "Convert it first, such as with `astype`; of complex values take the real part or the modulus."
        )
    dtype = xp.float32 if xp.finfo(x.dtype).bits < 32 else x.dtype
    canonical = getattr(ops.adapter, "canonical_dtype", None)
    return dtype if canonical is None else canonical(dtype)


def one_axis(axis: Any, shape: tuple[int, ...], name: str = "axis") -> int:
    """Return a valid, non-negative axis whose length is not 0."""
    ndim = len(shape)
    try:
        index = operator.index(axis)
    except TypeError:
        raise TypeError(
            f"`{name}` must be an integer, got {described(axis)}. Pass one axis of shape {shape}."
        ) from None
    if isinstance(axis, bool) or not -ndim <= index < ndim:
        allowed = f"in [{-ndim}, {ndim - 1}]" if ndim else "None"
        raise ValueError(f"`{name}` must be {allowed} for shape {shape}, got {axis!r}. Pass one that the array has.")
    index %= ndim
    if shape[index] == 0:
        raise ValueError(
            f"`{name}` must be an axis with at least one entry, got axis {axis} of shape {shape}: there is no argmax of nothing."
        )
    return index


def several_axes(axes: Any, shape: tuple[int, ...], name: str = "axes") -> tuple[int, ...]:
    """Return valid, distinct, non-negative axes in the order given."""
    if not isinstance(axes, (tuple, list)) or not axes:
        raise TypeError(
            f"`{name}` must be a tuple of one or more integers, got {described(axes)}. Pass such as `(-2, -1)`."
        )
    result = tuple(one_axis(axis, shape, name) for axis in axes)
    if len(set(result)) != len(result):
        raise ValueError(f"`{name}` must be distinct for shape {shape}, got {axes!r}. Name every axis once.")
    return result


def all_axes(shape: tuple[int, ...], name: str = "axis") -> tuple[int, ...]:
    """Return every axis; none may be empty."""
    if math.prod(shape) == 0:
        raise ValueError(
            f"`{name}=None` takes every entry, and shape {shape} has none: there is no argmax of nothing. Pass at least one."
        )
    return tuple(range(len(shape)))


def positive_number(ops: Ops, value: Any, name: str, dtype: Any, reduced: tuple[int, ...]) -> Any:
    """Return None for 1, a float for a number, or an array of the reduced shape: a temperature."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        number = float(value)
        if not number > 0:
            raise ValueError(
                f"`{name}` must be greater than 0, got {value!r}. Pass a small positive number for a nearly hard argmax."
            )
        limits = ops.xp.finfo(dtype)
        return None if number == 1 else min(max(number, float(limits.smallest_normal)), float(limits.max))
    if isinstance(value, bool) or not hasattr(value, "shape"):
        raise TypeError(
            f"`{name}` must be a real number or an array, got {described(value)}. Pass a number greater than 0."
        )
    return _broadcast_temperature(ops, value, name, dtype, reduced)


def _breaks(ops, value, condition) -> bool:
    """Whether a value breaks a condition somewhere; one that may not be looked at is believed."""
    if not ops.is_concrete(value):
        return False
    with ops.eagerly():
        return bool(ops.xp.any(~condition(ops.detach(value))))


def _broadcast_temperature(ops, value, name, dtype, reduced):
    array = _fitted(ops, value, name, dtype, reduced)
    if _breaks(ops, value, lambda v: v > 0):
        raise ValueError(f"`{name}` must be greater than 0 everywhere, got {ops.detach(value)}. Pass positive values.")
    return array


def _fitted(ops, value, name, dtype, reduced):
    """Return an array of one number a row, in the compute dtype and broadcast to the reduced shape."""
    xp = ops.xp
    if not xp.isdtype(value.dtype, ("real floating", "integral")):
        raise TypeError(f"`{name}` must be real, got dtype {value.dtype}. Convert it to the dtype of the scores.")
    shape = tuple(value.shape)
    padded = (1,) * (len(reduced) - len(shape)) + shape
    if len(shape) > len(reduced) or any(n not in (1, m) for n, m in zip(padded, reduced, strict=True)):
        raise ValueError(
            f"`{name}` must broadcast against the reduced shape {reduced} (reduced axes kept, with length 1), "
            f"got shape {shape}. Add the reduced axis to it, such as with `{name}[..., None]`."
        )
    if value.dtype != dtype:
        value = ops.prepare(value, dtype=dtype, sign=1, flat=False)
    return xp.broadcast_to(xp.reshape(value, padded), reduced)  # autograd cannot add axes by broadcasting


def entmax_order(ops: Ops, value: Any, dtype: Any, reduced: tuple[int, ...]) -> tuple[float | None, Any]:
    """Return alpha as a number and None, or as None and an array of the reduced shape."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        if not 1 <= float(value) < math.inf:
            raise ValueError(
                f"`alpha` must be a finite number of at least 1, got {value!r}. Pass 1 for softmax, 2 for sparsemax."
            )
        return float(value), None
    if isinstance(value, bool) or not hasattr(value, "shape"):
        raise TypeError(
            f"`alpha` must be a real number or an array, got {described(value)}. Pass 1 for softmax, 2 for sparsemax."
        )
    array = _fitted(ops, value, "alpha", dtype, reduced)
    if _breaks(ops, value, lambda v: v >= 1):
        raise ValueError(
            f"`alpha` must be at least 1 everywhere, got {ops.detach(value)}. Clip it, or learn its logarithm above 1."
        )
    return None, array


def count_of_winners(value: Any, n: int) -> int:
    """Return how many entries share the weight."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not 1 <= int(value) <= n:
        raise ValueError(
            f"`k` must be an integer from 1 to {n}, the length of the axis, got {value!r}. Pass how many to choose."
        )
    return int(value)


def reach(value: Any, count: int) -> tuple[int, ...] | None:
    """Return a window for each of so many axes."""
    if value is None:
        return None
    windows = value if isinstance(value, (tuple, list)) else (value,) * count
    whole = all(isinstance(w, numbers.Integral) and not isinstance(w, bool) and int(w) >= 0 for w in windows)
    if not whole or len(windows) != count:
        ways = "an integer of at least 0" + (f", or {count} of them" if count > 1 else "")
        raise ValueError(f"`window` must be {ways}, got {value!r}. Pass how far from the argmax weights may reach.")
    return tuple(int(w) for w in windows)


def boolean_mask(ops: Ops, mask: Any, shape: tuple[int, ...]) -> Array | None:
    """Return the mask after checking that it is boolean and broadcasts against the scores."""
    if mask is None:
        return None
    if not hasattr(mask, "shape") or not ops.xp.isdtype(mask.dtype, "bool"):
        raise TypeError(
            f"`mask` must be a boolean array, True where a score is kept, got {described(mask)}. Pass such as `mask != 0`."
        )
    got = tuple(mask.shape)
    padded = (1,) * (len(shape) - len(got)) + got
    if len(got) > len(shape) or any(n not in (1, m) for n, m in zip(padded, shape, strict=True)):
        raise ValueError(
            f"`mask` must broadcast against the scores' shape {shape}, got shape {got}. Give it one entry a score, or length 1."
        )
    return mask


def position_table(ops: Ops, positions: Any, dtype: Any, shape: tuple[int, ...], axis: int) -> Array:
    """Return the positions in the compute dtype, laid along the axis if 1-D."""
    if not hasattr(positions, "shape") or not ops.xp.isdtype(positions.dtype, ("real floating", "integral")):
        raise TypeError(
            f"`positions` must be a real array, got {described(positions)}. Pass one position for each entry of the axis."
        )
    got, n = tuple(positions.shape), shape[axis]
    if len(got) == 1 and got[0] == n:
        got = (1,) * axis + (n,) + (1,) * (len(shape) - axis - 1)
    fits = len(got) == len(shape) and got[axis] == n and all(a in (1, b) for a, b in zip(got, shape, strict=True))
    if not fits:
        raise ValueError(
            f"`positions` must have shape ({n},), or the scores' rank with length {n} along axis {axis} and lengths "
            f"that broadcast against {shape} elsewhere, got shape {tuple(positions.shape)}. Give one position an entry."
        )
    if positions.dtype != dtype:
        positions = ops.prepare(positions, dtype=dtype, sign=1, flat=False)
    return ops.xp.reshape(positions, got)


def choice(value: Any, name: str, allowed: tuple[str, ...]) -> str:
    """Return value, which must be one of a few words."""
    if value not in allowed:
        words = " or ".join(repr(word) for word in allowed)
        raise ValueError(f"`{name}` must be {words}, got {value!r}. Pass one of them.")
    return value


def flag(value: Any, name: str) -> bool:
    """Return a Boolean option."""
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be True or False, got {described(value)}. Pass one of them.")
    return value


def total_power(power: Any, rounds: Any) -> float:
    """Return ``power ** rounds`` of a positive power and a number of rounds."""
    if isinstance(power, bool) or not isinstance(power, numbers.Real) or not 0 < float(power) < math.inf:
        raise ValueError(f"`power` must be a finite number greater than 0, got {power!r}. Pass such as 10.0.")
    if isinstance(rounds, bool) or not isinstance(rounds, numbers.Integral) or rounds < 0:
        raise ValueError(f"`rounds` must be an integer of at least 0, got {rounds!r}. Pass such as 1.")
    try:
        total = float(power) ** int(rounds)
    except OverflowError:
        total = math.inf
    if not 0 < total < math.inf:
        raise ValueError(
            f"`power ** rounds` must be a finite number greater than 0, got {power!r} ** {rounds!r}. Pass fewer rounds."
        )
    return total

"""What a caller may pass, and what it is turned into. Messages say what was expected, what came, what to do."""

import math
import numbers
import operator
from typing import Any

from .._frameworks.door import refusal
from .._frameworks.kept_calls import is_plain
from .._frameworks.registry import Ops, select
from .._rules.rule import Array

WIDEST = 2**31 - 1  # entries: what every framework's integers hold, and wider than any axis


def described(value: Any) -> str:
    """Return how a message shows what came: an array by its traits, anything else as it is written."""
    if is_array_like(value):
        return f"a {type(value).__name__} of shape {tuple(value.shape)} and dtype {value.dtype}"
    try:
        return f"{value!r} of type {type(value).__name__}"
    except ValueError:  # an integer with more digits than Python writes
        return f"a value of type {type(value).__name__}"


def is_array_like(value: Any) -> bool:
    """Whether a value has a shape and a dtype, which modules of frameworks have as functions."""
    try:
        return hasattr(value, "dtype") and tuple(value.shape) is not None
    except (AttributeError, TypeError):
        return False


def broadcasts(lengths: tuple[int | None, ...], against: tuple[int | None, ...]) -> bool:
    """Whether an array of these lengths broadcasts against another of that rank. None is a length that is not known yet."""
    return all(n in (1, None, m) or m is None for n, m in zip(lengths, against, strict=True))


def has_kind(ops: Ops, value: Any, kinds: Any) -> bool:
    """Whether a value is an array with a dtype of one of these kinds; dtypes that the framework cannot name have none."""
    try:
        return is_array_like(value) and bool(ops.xp.isdtype(value.dtype, kinds))
    except (AttributeError, TypeError, ValueError):
        return False


def is_boolean(value: Any) -> bool:
    """Whether a value is a Boolean of Python or of NumPy."""
    numpy_own = type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")
    return isinstance(value, bool) or numpy_own


def is_number(value: Any) -> bool:
    """Whether a value is a real number and no Boolean."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def as_float(value: Any) -> float:
    """Return a real number as a float, infinity for one beyond the range of floats."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def operations(x: Array, name: str, /, **others: Any) -> Ops:
    """Return the operations for x; every other array must belong to the same framework."""
    beside = {
        key: other for key, other in others.items() if not isinstance(other, numbers.Real) and hasattr(other, "shape")
    }
    reason = None if is_plain(x) else refusal(x, name)
    if reason is not None:
        raise TypeError(f"`{name}` must be {reason}")
    ops = select([x, *beside.values()])
    if ops is None or not is_array_like(x):
        raise TypeError(
            f"`{name}` must be an array (NumPy, autograd, torch, JAX or any other of the Array API standard), "
            f"got {described(x)}. Pass an array, such as `numpy.asarray({name})`."
        )
    for key, other in beside.items():
        foreign = [array for array in (other, x) if not _belongs(ops, array)]
        if foreign:
            raise TypeError(
                f"`{name}` and `{key}` must be of one framework, here {ops.name}, got {described(foreign[0])} of "
                f"{type(foreign[0]).__module__}. Convert both to one."
            )
        _check_device(ops, x, name, other, key)
    return ops


def _check_device(ops: Ops, x: Array, name: str, other: Array, key: str) -> None:
    """Refuse arrays on different devices; a number may be anywhere."""
    here, there = (ops.place(array).get("device") for array in (x, other))
    if here != there and other.ndim:
        raise ValueError(
            f"`{name}` and `{key}` must be on one device, got {here} and {there}. Move `{key}` to that of `{name}`."
        )


def _belongs(ops: Ops, array: Any) -> bool:
    """Whether an array is one of the framework, or a constant that it takes."""
    constant = ops.takes_numpy and type(array).__module__ == "numpy"
    return constant or select([array]) is ops


def real_floating(ops: Ops, x: Array, name: str) -> Any:
    """Return the dtype in which x is computed: at least float32, the framework's default for integers."""
    xp = ops.xp
    if has_kind(ops, x, "integral"):
        dtype = ops.default_float()
        return xp.float32 if xp.finfo(dtype).bits < 32 else dtype
    if not has_kind(ops, x, "real floating"):
        raise TypeError(
            f"`{name}` must have a real floating-point or integer dtype, got {x.dtype}. "
            "Convert it first, such as with `astype`; of complex values take the real part or the modulus."
        )
    dtype = xp.float32 if xp.finfo(x.dtype).bits < 32 else x.dtype
    return dtype if ops.canonical_dtype is None else ops.canonical_dtype(dtype)


def one_axis(axis: Any, shape: tuple[int, ...], name: str = "axis") -> int:
    """Return a valid, non-negative axis whose length is not 0."""
    ndim = len(shape)
    try:
        if not isinstance(axis, (int, numbers.Integral)) and hasattr(axis, "shape"):  # Dynamo asks no symbol for that
            raise TypeError("An array of one entry is no integer.")
        index = operator.index(axis)
    except TypeError:
        raise TypeError(
            f"`{name}` must be an integer, got {described(axis)}. Pass one axis of shape {shape}{_instead(axis)}."
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


def _instead(axis: Any) -> str:
    """What else to do with what is no axis."""
    if isinstance(axis, (tuple, list)):
        return (
            ", or merge several into one with `reshape`; `spatial_soft_argmax`, `spatial_expectation`, `soft_one_hot` "
            "and `fenchel_young_loss` take several"
        )
    return "; all other options go by keyword" if is_array_like(axis) else ""


def is_any_axis(axis: Any) -> bool:
    """Whether a value is None or an integer, an axis of arrays of some rank."""
    return axis is None or (isinstance(axis, numbers.Integral) and not isinstance(axis, bool))


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
    if 0 in shape:
        raise ValueError(
            f"`{name}=None` takes every entry, and shape {shape} has none: there is no argmax of nothing. Pass at least one."
        )
    return tuple(range(len(shape)))


def positive_number(ops: Ops, value: Any, name: str, dtype: Any, reduced: tuple[int, ...]) -> Any:
    """Return None for 1, a float for a number, or an array of the reduced shape: a temperature."""
    if is_number(value):
        number = as_float(value)
        if not number > 0:
            raise ValueError(
                f"`{name}` must be greater than 0, got {value!r}. Pass a small positive number for a nearly hard argmax."
            )
        if number == math.inf != value:
            raise ValueError(f"`{name}` must be in the range of floats, got {described(value)}. Pass a smaller number.")
        limits = ops.xp.finfo(dtype)
        return None if number == 1 else min(max(number, float(limits.smallest_normal)), float(limits.max))
    _check_is_array(value, name)
    return _positive(ops, _fitted(ops, value, name, dtype, reduced), value, name)


def positive_entries(ops: Ops, value: Any, name: str, dtype: Any, shape: tuple[int, ...]) -> Array:
    """Return an array of one positive, finite number for each of the scores, which have this shape."""
    _check_is_array(value, name)
    array = _positive(ops, _fitted(ops, value, name, dtype, shape, f"the scores' shape {shape}"), value, name)
    if _breaks(ops, array, lambda v: v < math.inf):
        raise ValueError(f"`{name}` must be finite everywhere, got {ops.detach(value)}. Pass a large number instead.")
    return _nan_unless(ops, array, value, lambda v: v < math.inf)


def _check_is_array(value: Any, name: str) -> None:
    if is_boolean(value) or not is_array_like(value):
        raise TypeError(
            f"`{name}` must be a real number or an array, got {described(value)}. Pass a number greater than 0."
        )


def is_readable(ops: Ops, value) -> bool:
    """Whether values may be looked at, and that waits for no device."""
    return ops.is_concrete(value) and not ops.waits(value)


def _breaks(ops: Ops, value, condition) -> bool:
    """Whether a value breaks a condition somewhere; one that is not looked at is believed."""
    if not is_readable(ops, value):
        return False
    with ops.eagerly():
        return bool(ops.xp.any(~condition(ops.detach(value))))


def _positive(ops: Ops, array, value, name):
    """Refuse an array, made of a value, that is not positive everywhere; make NaN of what is not looked at."""
    if _breaks(ops, array, lambda v: v > 0):
        raise ValueError(f"`{name}` must be greater than 0 everywhere, got {ops.detach(value)}. Pass positive values.")
    return _nan_unless(ops, array, value, lambda v: v > 0)


def _nan_unless(ops: Ops, array, value, condition):
    """Make NaN of what breaks a condition in an array whose values are not looked at."""
    return array if is_readable(ops, value) else ops.xp.where(condition(ops.detach(array)), array, math.nan)


def _laid_out(ops: Ops, value, shape):
    """Return an array with axes of length 1 added to its own, where lengths may be None: of several these, in front."""
    if None not in shape:
        return ops.xp.reshape(value, shape)
    if len(shape) == value.ndim:
        return value
    if shape.count(None) == 1:
        return ops.xp.reshape(value, tuple(-1 if n is None else n for n in shape))
    for _ in range(len(shape) - value.ndim):
        value = ops.xp.expand_dims(value, axis=0)
    return value


def _fitted(ops: Ops, value, name, dtype, reduced, against=None):
    """Return an array of one number a row, in the compute dtype and broadcast to the reduced shape, or `against` another."""
    xp = ops.xp
    if not has_kind(ops, value, ("real floating", "integral")):
        raise TypeError(f"`{name}` must be real, got dtype {value.dtype}. Convert it to the dtype of the scores.")
    shape = tuple(value.shape)
    padded = (1,) * (len(reduced) - len(shape)) + shape
    fits = len(shape) <= len(reduced) and broadcasts(padded, reduced)
    if not fits and against is not None:
        raise ValueError(
            f"`{name}` must broadcast against {against}, got shape {shape}. Give it one number a score, or length 1."
        )
    if not fits:
        raise ValueError(
            f"`{name}` must broadcast against the reduced shape {reduced} (reduced axes kept, with length 1), "
            f"got shape {shape}. Add the reduced axis to it, such as with `{name}[..., None]`."
        )
    if value.dtype != dtype:
        value = ops.prepare(value, dtype=dtype, sign=1, flat=False)
    # autograd cannot add axes by broadcasting, nor differentiate it in an empty batch
    value = _laid_out(ops, value, padded)
    if any(isinstance(n, int) and n == 0 for n in reduced):
        return value + xp.zeros(reduced, dtype=dtype, **ops.place(value))
    return value if None in reduced else xp.broadcast_to(value, reduced)


def entmax_order(ops: Ops, value: Any, dtype: Any, reduced: tuple[int, ...]) -> tuple[float | None, Any]:
    """Return alpha as a number and None, or as None and an array of the reduced shape."""
    if is_number(value):
        if not 1 <= as_float(value) < math.inf:
            raise ValueError(
                f"`alpha` must be a finite number of at least 1, got {value!r}. Pass 1 for softmax, 2 for sparsemax."
            )
        return float(value), None
    if is_boolean(value) or not is_array_like(value):
        raise TypeError(
            f"`alpha` must be a real number or an array, got {described(value)}. Pass 1 for softmax, 2 for sparsemax."
        )
    array = _fitted(ops, value, "alpha", dtype, reduced)
    if _breaks(ops, array, _is_order):
        raise ValueError(
            f"`alpha` must be at least 1 everywhere and finite, got {ops.detach(value)}. Clip it, or learn its logarithm above 1."
        )
    return None, _nan_unless(ops, array, value, _is_order)


def _is_order(alpha: Array) -> Array:
    return (alpha >= 1) & (alpha < math.inf)


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
    return tuple(min(int(w), WIDEST) for w in windows)


def boolean_mask(ops: Ops, mask: Any, shape: tuple[int, ...]) -> Array | None:
    """Return the mask after checking that it is boolean and broadcasts against the scores."""
    if mask is None:
        return None
    if not has_kind(ops, mask, "bool"):
        raise TypeError(
            f"`mask` must be a boolean array, True where a score is kept, got {described(mask)}. "
            + ("Pass such as `mask != 0`." if is_array_like(mask) else f"Convert it to a boolean array of {ops.name}.")
        )
    got = tuple(mask.shape)
    padded = (1,) * (len(shape) - len(got)) + got
    if len(got) > len(shape) or not broadcasts(padded, shape):
        raise ValueError(
            f"`mask` must broadcast against the scores' shape {shape}, got shape {got}. Give it one entry a score, or length 1."
        )
    return mask if len(got) == len(shape) else _laid_out(ops, mask, padded)


def position_table(ops: Ops, positions: Any, dtype: Any, shape: tuple[int, ...], axis: int) -> Array:
    """Return the positions in the compute dtype, laid along the axis if 1-D."""
    if not has_kind(ops, positions, ("real floating", "integral")):
        raise TypeError(
            f"`positions` must be a real array, got {described(positions)}. "
            f"Pass one position for each entry of the axis, in an array of {ops.name}."
        )
    got, n = tuple(positions.shape), shape[axis]
    if len(got) == 1 and got[0] == n:
        got = (1,) * axis + (n,) + (1,) * (len(shape) - axis - 1)
    fits = len(got) == len(shape) and got[axis] == n and broadcasts(got, shape)
    if not fits:
        raise ValueError(
            f"`positions` must have shape ({n},), or the scores' rank with length {n} along axis {axis} and lengths "
            f"that broadcast against {shape} elsewhere, got shape {tuple(positions.shape)}. Give one position an entry."
        )
    if positions.dtype != dtype:
        positions = ops.prepare(positions, dtype=dtype, sign=1, flat=False)
    return _laid_out(ops, positions, got)


def choice(value: Any, name: str, allowed: tuple[str, ...]) -> str:
    """Return value, which must be one of a few words."""
    words = " or ".join(repr(word) for word in allowed)
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be {words}, got {described(value)}. Pass one of them.")
    if value not in allowed:
        raise ValueError(f"`{name}` must be {words}, got {value!r}. Pass one of them.")
    return value


def flag(value: Any, name: str) -> bool:
    """Return a Boolean option."""
    if not is_boolean(value):
        raise TypeError(f"`{name}` must be True or False, got {described(value)}. Pass one of them.")
    return bool(value)


def total_power(power: Any, rounds: Any) -> float:
    """Return ``power ** rounds`` of a positive power and a number of rounds."""
    if not is_number(power) or not 0 < as_float(power) < math.inf:
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

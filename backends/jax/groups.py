"""Mesh axes of JAX inside `shard_map`, by which the shards of an array reach each other."""

import inspect
from functools import partial
from typing import Any

import jax
import jax.numpy as namespace
import numpy as np

from ..._kernels.group import Group

_INTEGERS: dict[int, Any] = {4: np.int32, 8: np.int64}
_gathers_alike = "to" in inspect.signature(jax.lax.all_gather).parameters


def _differs_along(x):
    """Along which mesh axes an array is known to differ from shard to shard; None where JAX, or `shard_map`, does not know."""
    aval = jax.typeof(x) if hasattr(jax, "typeof") else None
    return getattr(aval, "vma", getattr(getattr(aval, "mat", None), "varying", None))


def _is_checked(axes):
    """Whether `shard_map` keeps track of what differs along mesh axes."""
    return bool(_differs_along(jax.lax.axis_index(axes)))


def _varying(x, axes):
    """An array that is known to differ along mesh axes, as one of which the shards are summed must."""
    if not _is_checked(axes):
        return x
    missing = tuple(axis for axis in axes if axis not in _differs_along(x))
    if not missing:
        return x
    lax: Any = jax.lax  # of which versions have one or the other
    return lax.pcast(x, missing, to="varying") if hasattr(lax, "pcast") else lax.pvary(x, missing)


def _sum(axes, x):
    return jax.lax.psum(_varying(x, axes), axes)


def _max(axes, x):
    return jax.lax.pmax(_varying(x, axes), axes)


def _bits(x):
    return jax.lax.bitcast_convert_type(x, _INTEGERS[x.dtype.itemsize])


def _gather(axes, size, x):
    """The arrays of all shards, stacked first, which all then have alike."""
    x = _varying(x, axes)
    if not _is_checked(axes):
        return jax.lax.all_gather(x, axes)
    if _gathers_alike:
        return jax.lax.all_gather(x, axes, to="invarying")
    mine = namespace.arange(size) == jax.lax.axis_index(axes)  # of older versions, sums alone are known to be alike
    return jax.lax.psum(namespace.where(mine.reshape(-1, *[1] * x.ndim), x, 0), axes)


def _top(x, k):
    return jax.lax.top_k(x, k)[0]


def members(group, n, axis):
    """Return the group of mesh axes, for the one array axis that goes on along them."""
    axes = group if isinstance(group, tuple) else (group,)
    try:
        if not axes or any(isinstance(axis, int) for axis in axes):  # which JAX takes for axes of the array
            raise TypeError(group)
        size = int(jax.lax.psum(1, axes))
    except (NameError, TypeError, KeyError) as error:
        raise ValueError(
            f"`group` must be the name of a mesh axis, or a tuple of names, inside `jax.shard_map`, got {group!r}. Call the "
            "function in what `jax.shard_map` maps, or leave `group` out: outside, arrays are whole, wherever they lie."
        ) from error
    return {
        axis: Group(
            (axes, size),
            (n,) * size,
            partial(jax.lax.axis_index, axes),
            partial(_sum, axes),
            partial(_max, axes),
            _bits,
            jax.lax.bitcast_convert_type,
            partial(_gather, axes, size),
            _top,
            jax.lax.cond,
            combines=True,
        )
    }

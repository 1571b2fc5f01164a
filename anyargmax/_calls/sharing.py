"""Arrays that are shards: which call one of them makes, and the operations that it is made of."""

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from .._frameworks import kept_calls, shards
from .._frameworks.registry import Ops, is_known, select
from .._rules.rule import Array
from .validate import described


def maker(make: Callable[..., Any]) -> Callable[..., Any]:
    """Have a function that makes calls known by its name. A framework may make one of a shard of x in place of x."""
    parameters = list(inspect.signature(make).parameters.values())
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):  # it makes the call of another
        return kept_calls.maker(make)
    names = tuple(parameter.name for parameter in parameters[1:])

    def across(make, x, arguments, more):
        ops = select([x]) if is_known(x) else None  # of an unknown framework nothing is asked before it is looked at
        return None if ops is None or ops.across is None else ops.across(partial(make, **more), names, x, arguments)

    return kept_calls.maker(make, across)


def among(ops: Ops, group: Any, x: Array, axes: tuple[int, ...], flat: bool = False) -> Ops:
    """Return the operations on x, of which the first of the reduced axes goes on in the other members of a group."""
    if ops.members is None:
        raise TypeError(
            f"`group` must be None for arrays of {ops.name}, got {described(group)}. Groups are those of torch and JAX; "
            "Dask splits its arrays itself."
        )
    axis, ndim = (0, 1) if flat else (axes[0], x.ndim)
    n = x.shape[axis] if ndim == x.ndim else math.prod(x.shape)
    return shards.among(ops, ops.members(group, n, axis), ndim)

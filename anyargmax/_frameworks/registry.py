"""Which framework an array belongs to, found without importing any."""

import sys
from typing import Any

from .._compat import array_namespace, is_array_api_obj
from .binding import Ops, of_namespace
from .kept_calls import forget
from .protocol import check

_registered: list[Ops] = []


def registered() -> dict[str, Ops]:
    """Return the operations of the frameworks that the library was taught, by their names."""
    return {ops.name: ops for ops in _registered}


def _is_torch(x) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, getattr(torch, "Tensor", ()))


def _is_jax(x) -> bool:
    jax = sys.modules.get("jax")
    return jax is not None and hasattr(jax, "core") and isinstance(x, (jax.Array, jax.core.Tracer))


def _is_autograd(x) -> bool:
    tracer = sys.modules.get("autograd.tracer")
    return tracer is not None and isinstance(x, getattr(tracer, "Box", ()))


def select(arrays: list[Any]) -> Ops | None:
    """Return the operations for arrays, None if the first is no array.

    A framework that differentiates comes before NumPy: a NumPy array beside a tracer is a constant.
    """
    for x in arrays:
        if _is_torch(x):
            from .binding import torch

            return torch
        if _is_jax(x):
            from .binding import jax

            return jax
        if _is_autograd(x):
            from .binding import autograd

            return autograd
        for ops in _registered:
            if ops.owns(x):
                return ops
    return of_namespace(array_namespace(arrays[0])) if is_array_api_obj(arrays[0]) else None


def register_backend(adapter: Any, /) -> None:
    """Teach every function of the library a framework that it does not know.

    Parameters
    ----------
    adapter
        A module or object with ``name``, ``namespace`` (an Array API namespace), ``owns(x)``, ``detach(x)``,
        ``is_concrete(x)``, ``place(x)`` and ``default_float()``. A framework that differentiates brings
        ``lift(rule, ops)``, ``vjp(f, *arrays)`` and ``jvp(f, arrays, tangents)``; without them derivatives come from the
        rules, of single calls of this library. `anyargmax._frameworks.protocol.Adapter` says what else there may be.

    Raises
    ------
    TypeError
        If the adapter lacks one of the first seven, has a name that nothing asks for, or a function of other arguments.
    """
    check(adapter)
    forget()
    _registered[:] = [ops for ops in _registered if ops.name != adapter.name] + [Ops(adapter)]

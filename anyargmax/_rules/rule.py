"""What an adapter is given: a map and its derivatives, written against the Array API standard."""

from collections.abc import Callable
from typing import Any, NamedTuple

Array = Any


class Rule(NamedTuple):
    """A forward map with one VJP and one JVP for each of its differentiable leading arguments.

    Every function takes ``ops`` (the operations of one framework, see `_frameworks/binding.py`) first.
    ``forward(ops, *args, **static) -> y``; ``vjps[i](ops, g, y, *args, **static)`` is the cotangent
    of argument i; ``jvps[i](ops, t, y, *args, **static)`` is its contribution to the tangent of y.
    This is autograd's ``(ans, *args)`` convention. The products are themselves differentiable in y
    and in the arguments, so a framework that differentiates them gets exact second derivatives.

    ``composite`` is the same map in operations that any framework differentiates, at any order:
    the second, independent route to every derivative. ``inlined`` says that nothing is gained over it,
    so that adapters run it as it stands. ``composed`` says that ``composite`` calls other rules: a
    framework that keeps intermediate results for the backward pass is served best by that.
    ``is_served`` says that kernels may answer in its place: they are asked with arrays that nothing records.
    """

    name: str
    forward: Callable[..., Any]
    vjps: tuple[Callable[..., Any], ...]
    jvps: tuple[Callable[..., Any], ...]
    composite: Callable[..., Any]
    inlined: bool = False
    composed: bool = False

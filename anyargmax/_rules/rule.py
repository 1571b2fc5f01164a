"""What an adapter is given: a map and its derivatives, written against the Array API standard."""

from collections.abc import Callable
from typing import Any, NamedTuple

Array = Any


class Rule(NamedTuple):
    """A forward map with one VJP and one JVP for each of its differentiable leading arguments.

    Every function takes ``ops`` (the operations of one framework, see `RuleOps` in `ops.py`) first.
    ``forward(ops, *args, **static) -> y``; ``vjps[i](ops, g, y, *args, **static)`` is the cotangent
    of argument i; ``jvps[i](ops, t, y, *args, **static)`` is its contribution to the tangent of y.
    This is autograd's ``(ans, *args)`` convention. The products are themselves differentiable in y
    and in the arguments, so a framework that differentiates them gets exact second derivatives.

    ``composite`` computes the map in operations that every framework differentiates: an independent route to all
    derivatives. ``inlined``: adapters call the map directly. ``composed``: ``composite`` calls other rules, which
    saves memory in eager reverse mode. ``rows``: which arguments with a VJP have one number a row, such as a temperature.
    ``reduces``: whether the answer has one number a row.
    """

    name: str
    forward: Callable[..., Any]
    vjps: tuple[Callable[..., Any], ...]
    jvps: tuple[Callable[..., Any], ...]
    composite: Callable[..., Any]
    inlined: bool = False
    composed: bool = False
    rows: tuple[int, ...] = ()
    reduces: bool = False

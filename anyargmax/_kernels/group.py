"""The members that hold the shards of an axis, as one of them sees the others."""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from .._rules.rule import Array


def _as_it_is(x: Array) -> Array:
    return x


class Group(NamedTuple):
    """The collective operations of the members that hold the shards of an axis.

    Attributes
    ----------
    name
        What groups that do the same have in common, hashable.
    lengths
        How many entries of the axis each member has, in their order.
    member
        ``member()``: which member this is, a number that may be traced.
    sum, max
        ``sum(x)``, and ``max(x)`` of integers: of the arrays of all members, entry by entry.
    bits, numbers
        ``bits(x)``: floating-point numbers of 32 or 64 bits as integers with the same bits; ``numbers(bits, dtype)``: back.
    gather
        ``gather(x)``: the arrays of all members, stacked first.
    top
        ``top(x, k)``: the k largest entries of x along the last axis, in any order, NaN among the largest.
    branch
        ``branch(condition, f, g, *arrays)``: one of two functions of the arrays, by a condition that all members have alike.
    combines
        Whether a compiler combines sums that may travel together. Stacked, tangents and what multiplies them could not be
        told apart.
    entered, left, shared
        For a framework that differentiates what each member computes apart from the others. ``entered(x)`` is what all
        members have alike, for use with shards: its cotangent is the sum of theirs. ``left(y)`` is what all have come to
        alike: its cotangent is split among them. ``shared(g)`` is a member's part of a cotangent that all have alike.
        Identities where the framework knows what members have alike.
    """

    name: Hashable
    lengths: tuple[int, ...]
    member: Callable[[], Any]
    sum: Callable[[Array], Array]
    max: Callable[[Array], Array]
    bits: Callable[[Array], Array]
    numbers: Callable[[Array, Any], Array]
    gather: Callable[[Array], Array]
    top: Callable[[Array, int], Array]
    branch: Callable[..., Array]
    combines: bool = False
    entered: Callable[[Array], Array] = _as_it_is
    left: Callable[[Array], Array] = _as_it_is
    shared: Callable[[Array], Array] = _as_it_is

"""Process groups of torch: collective operations that are differentiated, and calls of tensors that are one shard of many."""

import weakref
from functools import partial
from typing import Any, NamedTuple

import torch

from ..._kernels.group import Group

try:
    import torch.distributed as dist
except ImportError:  # a build without processes has no groups
    dist: Any = None  # type: ignore[no-redef]

_INTEGERS = {torch.float32: torch.int32, torch.float64: torch.int64}


def _reduced(x, groups, op):
    """Reduce the arrays of all members in place: within each of the groups, one after the other."""
    if x.numel():
        for group in groups:
            dist.all_reduce(x, op=op, group=group)
    return x


class _Sum(torch.autograd.Function):
    """The sum over the members. Each has a copy, and the cotangent of x is the sum of the cotangents of all copies."""

    @staticmethod
    def forward(ctx, x, groups):
        ctx.groups = groups
        return _reduced(x.detach().clone(memory_format=torch.contiguous_format), groups, dist.ReduceOp.SUM)

    @staticmethod
    def backward(ctx, g):
        return _Sum.apply(g, ctx.groups), None


class _Gather(torch.autograd.Function):
    """The arrays of all members, stacked first."""

    @staticmethod
    def forward(ctx, x, groups, index):
        ctx.groups, ctx.index = groups, index
        for group in reversed(groups):
            parts = [
                torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size(group))
            ]
            if x.numel():
                dist.all_gather(parts, x.detach().contiguous(), group=group)
            x = torch.stack(parts)
        return x.flatten(0, len(groups) - 1)

    @staticmethod
    def backward(ctx, g):
        return _Sum.apply(g, ctx.groups)[ctx.index], None, None


class _Enter(torch.autograd.Function):
    """What all members have alike, for use beside shards."""

    @staticmethod
    def forward(ctx, x, groups):
        ctx.groups = groups
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):
        return _Total.apply(g, ctx.groups), None


class _Total(torch.autograd.Function):
    """The sum of the members' parts, which all have alike from here on: so they have its cotangent."""

    @staticmethod
    def forward(ctx, x, groups):
        return _reduced(x.detach().clone(memory_format=torch.contiguous_format), groups, dist.ReduceOp.SUM)

    @staticmethod
    def backward(ctx, g):
        return g, None


class _Leave(torch.autograd.Function):
    """What all members have come to, which is one array from here on."""

    @staticmethod
    def forward(ctx, y, groups, size):
        ctx.groups, ctx.size = groups, size
        return y.view_as(y)

    @staticmethod
    def backward(ctx, g):
        return _Share.apply(g, ctx.groups, ctx.size), None, None


class _Share(torch.autograd.Function):
    """An equal share for each member of a cotangent that all have alike."""

    @staticmethod
    def forward(ctx, g, groups, size):
        ctx.groups, ctx.size = groups, size
        return g / size

    @staticmethod
    def backward(ctx, g):
        return _Sum.apply(g, ctx.groups) / ctx.size, None, None


def _largest(known, x):
    """The largest of the members' integers, in a dtype that all backends of process groups take."""
    wide = x.to(torch.int32) if x.dtype in (torch.int8, torch.int16, torch.uint8) else x.clone()
    return _reduced(wide.contiguous(), tuple(group() for group in known), dist.ReduceOp.MAX).to(x.dtype)


def _bits(x):
    return x.detach().contiguous().view(_INTEGERS[x.dtype])


def _numbers(bits, dtype):
    return bits.view(dtype)


def _top(x, k):
    return torch.topk(x, k, dim=-1, sorted=False).values


class Members(NamedTuple):
    """For each axis of a tensor that is one shard of many: the process groups, how long the shards are, and which this one is."""

    axes: tuple[tuple[int, tuple[Any, ...], tuple[int, ...], int], ...]


def _index(index):
    return index


def _applied(function, known, *options):
    """A function of a tensor that torch differentiates, with process groups and its further arguments."""
    return lambda x: function.apply(x, tuple(group() for group in known), *options)


def _branch(condition, f, g, *arrays):
    return (f if bool(condition) else g)(*arrays)


def _part(size, g):
    return g / size


def members(group, n, axis):
    """Return the groups in which a tensor is a shard, which were found before.

    They are referred to weakly: a process group that its owner has destroyed must end, whoever has called in it.
    """
    made = {}
    for along, groups, lengths, index in group.axes:
        known = tuple(map(weakref.ref, groups))
        made[along] = Group(
            (known, index),
            lengths,
            partial(_index, index),
            _applied(_Sum, known),
            partial(_largest, known),
            _bits,
            _numbers,
            _applied(_Gather, known, index),
            _top,
            _branch,
            entered=_applied(_Enter, known),
            left=_applied(_Leave, known, len(lengths)),
            shared=partial(_part, len(lengths)),
        )
    return made

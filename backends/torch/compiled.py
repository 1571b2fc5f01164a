"""What the compiler of torch, and kernels in array operations, do better than with the functions of the namespace."""

import torch

from ..._kernels.selection import is_composing

opaque = torch.compiler.allow_in_graph  # Dynamo guards nothing inside: that takes longer than a small call
gather = torch.gather
softmax = torch.softmax  # the framework's own, for scores that need no care


def fuses():
    """Whether Inductor makes loops of what is traced: it does not of a graph that is exported, nor of torch.func."""
    return is_composing() and not torch.compiler.is_exporting()


def ordered(x, axis):
    """The entries from the largest down, and the index of each."""
    return torch.sort(x, dim=axis, descending=True)


def cumulative_sum(x, *, axis):
    """The namespace's own looks up its namespace in a cache, at which Dynamo warns."""
    return torch.cumsum(x, dim=axis)

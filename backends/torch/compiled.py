"""What the compiler of torch, and kernels in array operations, do better than with the functions of the namespace."""

import torch

opaque = torch.compiler.allow_in_graph  # Dynamo guards nothing inside: that takes longer than a small call
softmax = torch.softmax  # the framework's own, for scores that need no care


def cumulative_sum(x, *, axis):
    """The namespace's own looks up its namespace in a cache, at which Dynamo warns."""
    return torch.cumsum(x, dim=axis)

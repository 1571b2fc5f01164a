"""What the compiler of torch, and kernels in array operations, do better than with the functions of the namespace."""

import torch

softmax = torch.softmax  # the framework's own, for scores that need no care
repeats_ranges = True  # a compiled loop computes a range again for each entry that it is multiplied by


def cumulative_sum(x, *, axis):
    """The namespace's own looks up its namespace in a cache, at which Dynamo warns."""
    return torch.cumsum(x, dim=axis)

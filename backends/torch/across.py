"""Which tensors are one shard of many: those of a call with a group, and what a DTensor holds of its numbers."""

import sys

import torch

from .groups import Members, dist
from .memory import is_transformed
from .shards import across_group


def across(make, names, x, arguments):
    """Return the call of a shard, made of arguments with these names; None of any other tensor."""
    given = dict(zip(names, arguments, strict=False))
    group = given.get("group")
    if isinstance(group, Members):
        return None
    tensors = sys.modules.get("torch.distributed.tensor")
    if tensors is not None and isinstance(x, tensors.DTensor):
        from .dtensor import across_mesh

        _check_eager("a DTensor")
        return across_mesh(make, x, given)
    if group is None:
        return None
    groups = _groups(group)
    _check_eager("a shard of a process group")
    return across_group(make, x, given, groups)


def _check_eager(what):
    if torch.compiler.is_compiling() or is_transformed():
        raise NotImplementedError(
            f"`x` must be a whole tensor in a transform of torch.func and in compiled code, got {what}. Call the function outside "
            "of those: torch's collective operations have no derivatives there."
        )


def _groups(group):
    """Return the process groups of which a shard has its place in each, the outermost first."""
    groups = tuple(group) if isinstance(group, (tuple, list)) else (group,)
    kind = getattr(dist, "ProcessGroup", ())
    outsider = dist.GroupMember.NON_GROUP_MEMBER if kind else None  # what `new_group` gives to all others
    if not groups or not all(isinstance(g, kind) or g is outsider for g in groups):
        raise TypeError(
            f"`group` must be a torch.distributed.ProcessGroup, or a tuple of them, got {group!r}. "
            "Pass such as `mesh.get_group('model')` or `torch.distributed.group.WORLD`."
        )
    outside = [g for g in groups if g is outsider or dist.get_rank(g) < 0]
    if outside:
        raise ValueError(
            f"`group` must be one that this process is a member of, got {outside[0]}. Call it on its members alone."
        )
    return groups

"""Calls of tensors that are one shard of many: by a process group, or as what a DTensor holds of its numbers here."""

import sys
from numbers import Integral
from typing import Any

import torch

from .groups import Members, dist
from .memory import is_transformed

_ROW_TABLES = ("target", "positions")  # what lies beside the scores, entry by entry


def across(make, names, x, arguments):
    """Return the call of a shard, made of arguments with these names; None of any other tensor."""
    given = dict(zip(names, arguments, strict=False))
    group = given.get("group")
    if isinstance(group, Members):
        return None
    tensors = sys.modules.get("torch.distributed.tensor")
    if tensors is not None and isinstance(x, tensors.DTensor):
        from .dtensor import across_mesh

        _check_eager("distributed tensors")
        return across_mesh(make, x, given)
    return None if group is None else _across_group(make, x, given, _groups(group))


def _check_eager(what):
    if torch.compiler.is_compiling() or is_transformed():
        raise NotImplementedError(
            f"{what} must be computed with eagerly, got a transform of torch.func or a compiled function. Call the function "
            "outside of it: torch's collective operations have no derivatives there."
        )


def _groups(group):
    """Return the process groups of which a shard has its place in each, the outermost first."""
    groups = tuple(group) if isinstance(group, (tuple, list)) else (group,)
    kind = getattr(dist, "ProcessGroup", ())
    if not groups or not all(isinstance(g, kind) for g in groups):
        raise TypeError(
            f"`group` must be a torch.distributed.ProcessGroup, or a tuple of them, got {group!r}. "
            "Pass such as `mesh.get_group('model')` or `torch.distributed.group.WORLD`."
        )
    outside = [g for g in groups if dist.get_rank(g) < 0]
    if outside:
        raise ValueError(
            f"`group` must be one that this process is a member of, got {outside[0]}. Call it on its members alone."
        )
    return groups


def reduced_axes(given, ndim):
    """Return the axes that a call reduces, as it will see them; None for what is no axis."""
    axis = given.get("axis", given.get("axes"))
    axes = tuple(range(ndim)) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    if not axes or not all(isinstance(a, Integral) and -ndim <= a < ndim for a in axes):
        return None
    return tuple(int(a) % ndim for a in axes)


def is_flat(given, ndim):
    """Whether a call reduces the flattened tensor."""
    return given.get("axis", 0) is None and "keepdims" in given and ndim != 1


def _across_group(make, x, given, groups):
    """The call of a shard along the first of the axes that are reduced."""
    _check_eager("shards of a process group")
    axes = reduced_axes(given, x.ndim)
    if axes is None or not torch.is_tensor(x):  # which the call itself refuses
        return make(x, *(given | {"group": None}).values())
    flat = is_flat(given, x.ndim)
    axis = 0 if flat else axes[0]
    n = x.numel() if flat else x.shape[axis]
    lengths, index = _lengths(groups, n, 1 if flat else x.numel() // max(n, 1) if n else None, x)
    return of_shard(make, x, given, Members(((axis, groups, lengths, index),)))


def _lengths(groups, n, rows, x):
    """Return how long the shards of all members are, and which this one is. All must have as many rows."""
    counts = torch.tensor([n, -1 if rows is None else rows], device=x.device)
    index = 0
    for group in reversed(groups):
        parts = [torch.empty_like(counts) for _ in range(dist.get_world_size(group))]
        dist.all_gather(parts, counts, group=group)
        counts = torch.stack(parts)
    for group in groups:
        index = index * dist.get_world_size(group) + dist.get_rank(group)
    found = counts.reshape(-1, 2).tolist()
    number = {r for _, r in found if r >= 0}
    if len(number) > 1:
        raise ValueError(
            f"`x` must have as many rows in all members of `group`, got {[r for _, r in found]}. Shard one axis alone."
        )
    return tuple(n for n, _ in found), index


def of_shard(make, x, given, members):
    """Return the call of a shard. One without entries gets one that is masked, so that all members do the same."""
    padded = {axis for axis, _, lengths, index in members.axes if lengths[index] == 0}
    if not padded or any(lengths == (0,) * len(lengths) for _, _, lengths, _ in members.axes):
        call = make(x, *(given | {"group": members if members.axes else None}).values())[0]
        return call, 0, None
    for axis in padded:
        x = _with_one_more(x, axis)
    given = given | {"group": members} | _padded(given, padded, x)
    call = make(x, *given.values())[0]

    def without(_):
        y = call(x)
        if "keepdims" in given or "axes" in given or "ignore_index" in given:
            return y
        for axis in padded:
            y = y.narrow(axis, 0, 0)
        return y

    return without, 0, None


def _with_one_more(x, axis):
    """A tensor with a 0 behind it along an axis."""
    # `cat` leaves an empty tensor out, and with it the way back that all members must take.
    return torch.nn.functional.pad(x, (0, 0) * (x.ndim - 1 - axis) + (0, 1))


def _padded(given, axes, x):
    """What lies beside scores, for those with one that is masked behind them."""
    changed: dict[str, Any] = {}
    if "mask" in given:
        changed["mask"] = torch.zeros((1,) * x.ndim, dtype=torch.bool, device=x.device)
    for name in _ROW_TABLES:
        table = given.get(name)
        if not torch.is_tensor(table) or (name == "target" and not table.dtype.is_floating_point):
            continue
        for axis in axes:
            along = 0 if table.ndim == 1 else axis
            changed[name] = _with_one_more(table, along) if table.shape[along] == 0 else table
    return changed

"""Calls of a DTensor: what each process holds is one shard of a call, in the groups of its mesh that split the reduced axes."""

import torch
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard

from .groups import Members
from .shards import is_flat, of_shard, reduced_axes


def across_mesh(make, x, given):
    """Return the call of a distributed tensor, made of what this process holds of it."""
    if given.get("group") is not None:
        raise ValueError("`group` must be None for a DTensor, whose mesh says where its shards are. Leave it out.")
    axes, flat = reduced_axes(given, x.ndim), is_flat(given, x.ndim)
    if axes is None or any(x.shape[axis] == 0 for axis in axes):
        return make(x.full_tensor(), *given.values())  # which is refused
    x = _placed(x)
    if flat and any(p.is_shard() and p.dim != 0 for p in x.placements):
        raise ValueError(
            f"`axis=None` must go with a DTensor that is sharded along its first axis, got {x.placements}. Redistribute it, or "
            "name the axes, such as to `spatial_soft_argmax`."
        )
    others = {name: value for name, value in given.items() if isinstance(value, torch.Tensor)}
    local = {name: _beside(name, value, x, axes, given) for name, value in others.items()}
    call, *_ = of_shard(make, _local(x), given | local, _members(x, axes[:1] if flat else axes, flat))
    weights = any(name in given for name in ("log", "k", "power"))

    def whole(_):
        y = call(_local(x))
        parts = y if isinstance(y, tuple) else (y,)
        answers = [_distributed(part, x, axes, given.get("keepdims") is True, weights) for part in parts]
        return tuple(answers) if isinstance(y, tuple) else answers[0]

    return whole, 0, None


def _placed(x):
    """A tensor whose parts are added up once, where it is placed as sums that are pending, and split as chunks elsewhere."""
    wanted = [p if type(p) in (Shard, Replicate) else Replicate() for p in x.placements]
    return x if list(x.placements) == wanted else x.redistribute(x.device_mesh, wanted)


def _local(x):
    return x.to_local(grad_placements=x.placements)


def _members(x, axes, flat):
    """The groups of the dimensions of the mesh that split the axes; of one that is flattened, all entries behind each count."""
    mesh, found = x.device_mesh, []
    for axis in axes:
        dims = [k for k, p in enumerate(x.placements) if p.is_shard(axis)]
        if dims:
            groups = tuple(mesh.get_group(k) for k in dims)
            lengths, index = _lengths(
                x.shape[axis], [mesh.size(k) for k in dims], [mesh.get_local_rank(k) for k in dims]
            )
            if flat:
                lengths = tuple(n * (x.numel() // x.shape[axis]) for n in lengths)
            found.append((axis, groups, lengths, index))
    return Members(tuple(found))


def _lengths(n, sizes, ranks):
    """How long the shards of an axis are, which is split into chunks again and again, and which this process holds."""
    lengths, index = (n,), 0
    for size, rank in zip(sizes, ranks, strict=True):
        lengths = tuple(part for whole in lengths for part in _chunks(whole, size))
        index = index * size + rank
    return lengths, index


def _chunks(n, size):
    """The lengths of chunks, which are alike but for the last ones."""
    width = -(-n // size)
    return [max(min(width, n - k * width), 0) for k in range(size)]


def _beside(name, value, x, axes, given):
    """What this process needs of a tensor that goes with the scores."""
    mesh = x.device_mesh
    if not isinstance(value, DTensor):
        value = DTensor.from_local(value, mesh, [Replicate()] * mesh.ndim, run_check=False)
    if name == "target" and not value.dtype.is_floating_point:
        rest = [axis for axis in range(x.ndim) if axis not in axes]
        axis_of = {axis: k for k, axis in enumerate(rest)}
    elif name == "positions" and value.ndim == 1 and value.shape[0] == x.shape[axes[0]]:
        axis_of = {axes[0]: 0}
    else:
        axis_of = {axis: axis - (x.ndim - value.ndim) for axis in range(x.ndim)}
    placements, back = [], []
    for p in x.placements:
        axis = axis_of.get(p.dim, -1) if p.is_shard() else -1
        there = axis >= 0 and value.shape[axis] != 1
        placements.append(Shard(axis) if there else Replicate())
        # Rows that differ from shard to shard add up to the cotangent of what all have alike.
        back.append(Shard(axis) if there else Partial() if p.is_shard() and p.dim not in axes else Replicate())
    if list(value.placements) != placements:
        value = value.redistribute(mesh, placements)
    return value.to_local(grad_placements=back)


def _distributed(y, x, axes, kept, weights):
    """An answer as a distributed tensor: sharded as the scores are, alike where they are split along a reduced axis."""
    axis_of, shape = {}, list(y.shape)
    for axis in range(x.ndim):
        if weights or kept or axis not in axes:
            axis_of[axis] = axis if weights or kept else axis - sum(other < axis for other in axes)
    placements = []
    for p in x.placements:
        there = p.is_shard() and p.dim in axis_of and (weights or p.dim not in axes)
        placements.append(Shard(axis_of[p.dim]) if there else Replicate())
        if there:
            shape[axis_of[p.dim]] = x.shape[p.dim]
    stride = [1] * len(shape)
    for k in range(len(shape) - 2, -1, -1):
        stride[k] = stride[k + 1] * max(shape[k + 1], 1)
    return DTensor.from_local(
        y.contiguous(), x.device_mesh, placements, run_check=False, shape=torch.Size(shape), stride=tuple(stride)
    )

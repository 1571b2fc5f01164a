"""Every call of the catalogue on shards in 1, 2, 4 and 8 processes of torch, which write what they have into a folder."""

from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from processes import run_members
from shards import CALLS, arrays_of, axis_of, cut, lengths_of, part_of

from anyargmax.validation import catalogue
from anyargmax.validation.problems import cotangents, directions, tangents, tuple_of

SIZES = (1, 2, 4, 8)


def tensor(array, dtype):
    made = torch.from_numpy(np.array(array))
    return made.to(dtype) if made.dtype.is_floating_point else made


def differentiated(f, x, gs, t, u):
    """Values, gradient, and the entries of the second derivative along two directions."""
    x = x.requires_grad_()
    values = tuple_of(f(x))
    kept = [(y, g) for y, g in zip(values, gs, strict=True) if y.requires_grad]
    # What is infinite whatever the scores has no part.
    (gradient,) = torch.autograd.grad(
        [y for y, _ in kept], x, [torch.where(torch.isfinite(y), g, 0.0) for y, g in kept], create_graph=True
    )
    second = torch.zeros_like(x)
    if gradient.requires_grad:
        (moved,) = torch.autograd.grad((gradient * t).sum(), x, allow_unused=True)
        second = second if moved is None else moved * u
    return [y.detach().numpy() for y in values], gradient.detach().numpy(), second.detach().numpy()


def of_one_member(call, dtype, lengths, member, group, like):
    """The answers of a shard, with the cotangents of the whole value."""
    name = str(dtype).rpartition(".")[2]
    given = catalogue.inputs(call, name)
    axis, ndim = axis_of(call), len(call.shape)
    gs = cotangents(given.seed, like)
    x, t, u = (
        tensor(cut(a, axis, ndim, lengths, member), dtype)
        for a in (given.arrays[0], tangents(given)[0], directions(given)[0])
    )
    shard = call._replace(arrays=arrays_of(call, lengths, member))
    f = catalogue.bound(shard, lambda array: tensor(array, dtype), group=group)
    return differentiated(f, x, [tensor(part_of(call, g, lengths, member), dtype) for g in gs], t, u)


def run(member, folder):
    groups = {size: dist.new_group(range(size)) for size in SIZES}
    written = {}
    for dtype, sizes in ((torch.float64, SIZES), (torch.float32, (4,))):
        for number, call in CALLS:
            like = tuple_of(
                catalogue.bound(call, lambda array: tensor(array, torch.float64))(
                    tensor(catalogue.scores(call), torch.float64)
                )
            )
            like = [y.numpy() for y in like]
            for size in sizes:
                if member < size:
                    lengths = lengths_of(call.shape[axis_of(call)], size, number)
                    values, gradient, second = of_one_member(call, dtype, lengths, member, groups[size], like)
                    key = f"{str(dtype).rpartition('.')[2]} {size} {number}"
                    written |= {f"{key} value {k}": y for k, y in enumerate(values)}
                    written |= {f"{key} gradient": gradient, f"{key} second": second}
    np.savez(Path(folder) / f"{member}.npz", **written)


if __name__ == "__main__":
    run_members(run, max(SIZES), 30)

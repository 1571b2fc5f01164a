"""What the compiler of torch, and kernels in array operations, do better than with the functions of the namespace."""

import torch

from ..._kernels.kernel import Functions, Ordering
from ..._kernels.selection import is_composing
from . import private


def opaque(f):
    """Have Dynamo guard nothing inside a function, which takes longer than a small call. To load Dynamo takes seconds."""
    torch.compiler.allow_in_graph(f)


def cumulative_sum(x, *, axis):
    """The namespace's own looks up its namespace in a cache, at which Dynamo warns."""
    return torch.cumsum(x, dim=axis)


def concat(arrays, *, axis):
    """The namespace's own has no rule for batches of gradients, as `torch.autograd.grad(..., is_grads_batched=True)` has them."""
    return torch.cat(arrays, dim=axis)


moveaxis = torch.movedim  # for the same reason


def _contract(p, c):
    """A product of matrices, unless those are computed in fewer digits than p has."""
    if private.autocast() or private.precision() != "highest":
        columns = [c] if c.ndim == 1 else c.unbind(1)
        means = [torch.sum(p * column.reshape(-1, *[1] * (p.ndim - 2)), dim=1) for column in columns]
        return means[0] if c.ndim == 1 else torch.stack(means, dim=1)
    return p @ c if p.ndim == 2 else c.mT @ p if c.ndim == 2 else c @ p


functions = Functions(
    softmax=torch.softmax,
    log_softmax=torch.log_softmax,
    softmax_vjp=lambda g, p, axis: private.softmax_backward(g, p, axis, p.dtype),
    contract=_contract,
    muladd=lambda x, y, z: torch.addcmul(z, x, y),
    product=lambda x, y, dtype: torch.mul(x, y, out=torch.empty(x.shape, dtype=dtype, device=x.device)),
)
ordering = Ordering(
    ordered=lambda x, axis: torch.sort(x, dim=axis, descending=True),
    gather=torch.gather,
    count=lambda condition, axis, dtype: torch.sum(condition, dim=axis, keepdim=True, dtype=dtype),
    signs=lambda condition, dtype: torch.where(condition, 1.0, -1.0),  # exact in any dtype, to which it is promoted
    # Inductor makes no loops of a graph that is exported, nor of what torch.func transforms.
    fuses=lambda: is_composing() and not torch.compiler.is_exporting(),
)

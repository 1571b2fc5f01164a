"""Explicit derivatives by torch: of functions that eager mode records, and under its transforms."""

import torch

from .memory import is_transformed

jvp = torch.func.jvp


def vjp(f, *arrays):
    if is_transformed() or torch.compiler.is_compiling():
        return torch.func.vjp(f, *arrays)
    leaves = [x.detach().requires_grad_() if x.dtype.is_floating_point else x for x in arrays]
    with torch.enable_grad():
        value = f(*leaves)

    def pull(g):
        outs, gs = (value, g) if isinstance(value, tuple) else ((value,), (g,))
        if not any(out.requires_grad for out in outs):
            return (None,) * len(leaves)
        wanted = [x for x in leaves if x.requires_grad]
        grads = iter(torch.autograd.grad(outs, wanted, gs, retain_graph=True, materialize_grads=True))
        return tuple(next(grads) if x.requires_grad else None for x in leaves)

    return (tuple(y.detach() for y in value) if isinstance(value, tuple) else value.detach()), pull

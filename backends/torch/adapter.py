"""Adapter for PyTorch: a `Function` in plain eager reverse mode, plain operations everywhere else."""

from functools import partial

import torch
from torch._subclasses.fake_tensor import FakeTensor

from ..._compat import array_namespace
from .compiled import cumulative_sum, repeats_ranges, softmax  # noqa: F401 - the library asks for them here
from .kernels import kernels  # noqa: F401
from .memory import array_classes, is_cheap_to_read, is_transformed, memory, pulled, served, traits  # noqa: F401

name = "torch"
namespace = array_namespace(torch.empty(0))
owns = torch.is_tensor
default_float = torch.get_default_dtype
jvp = torch.func.jvp


def detach(x):
    return x.detach() if torch.is_tensor(x) else x


def is_concrete(x):
    """Whether the values may be looked at: not while tracing, not inside a transform, and not if there are none."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or is_transformed():
        return False
    return x.device.type != "meta" and not isinstance(x, FakeTensor)


def place(x):
    """Keyword arguments that create an array beside x."""
    return {"device": x.device}


def _recorded(rule, ops):
    """A `Function` of a rule: its options, the answer that a kernel may have made with its way back, and its arguments."""

    class Op(torch.autograd.Function):
        @staticmethod
        def forward(ctx, static, made, *args):
            y, ctx.pull = made or (rule.forward(ops, *args, **static), None)
            ctx.static, ctx.others = static, [None if torch.is_tensor(arg) else (arg,) for arg in args]
            ctx.save_for_backward(y, *filter(torch.is_tensor, args))
            return y

        @staticmethod
        def backward(ctx, g):
            needed = ctx.needs_input_grad[2:]
            grads = pulled(ctx.pull, g, needed[: len(rule.vjps)])
            if grads is None:
                y, *saved = ctx.saved_tensors
                rest = iter(saved)
                args = [next(rest) if other is None else other[0] for other in ctx.others]
                products = [product if needs else None for product, needs in zip(rule.vjps, needed, strict=False)]
                grads = [product and product(ops, g, y, *args, **ctx.static) for product in products]
            return None, None, *grads, *[None] * (len(needed) - len(rule.vjps))

    Op.__name__ = Op.__qualname__ = f"{rule.name}_rule"
    return Op.apply


def lift(rule, ops):
    """Register a rule's VJPs for eager reverse mode; everything else takes the rule's composite operations.

    A `Function` with a `jvp` is refused by `torch.compile(fullgraph=True)` and silently wrong for the JVP of a JVP.
    """
    if rule.inlined:
        return partial(rule.composite, ops)
    recorded = _recorded(rule, ops)

    def op(*args, **static):
        if torch.compiler.is_compiling() or is_transformed():
            return rule.composite(ops, *args, **static)
        made = served(rule, ops, args, static)
        if made is None and rule.composed:
            return rule.composite(ops, *args, **static)
        if torch.is_grad_enabled() and any(torch.is_tensor(arg) and arg.requires_grad for arg in args):
            return recorded(static, made, *args)
        return rule.forward(ops, *args, **static) if made is None else made[0]

    return op


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

"""Adapter for PyTorch: a `Function` in plain eager reverse mode, plain operations everywhere else."""

from functools import partial

import torch

from ..._compat import array_namespace
from .compiled import concat, cumulative_sum, functions, moveaxis, opaque, ordering  # noqa: F401 - the library asks here
from .derivatives import jvp, vjp  # noqa: F401
from .groups import members  # noqa: F401
from .kernels import kernels  # noqa: F401
from .memory import (  # noqa: F401
    array_classes,
    is_cheap_to_read,
    is_recorded,
    is_transformed,
    memory,
    pulled,
    served,
    traits,
    waits,
    widened,
    widens,
)
from .private import is_fake
from .random import random  # noqa: F401
from .shards import across  # noqa: F401

name = "torch"
namespace = array_namespace(torch.empty(0))
owns = torch.is_tensor
default_float = torch.get_default_dtype


def detach(x):
    return x.detach() if torch.is_tensor(x) else x


def is_concrete(x):
    """Whether the values may be looked at: not while tracing, not inside a transform, and not if there are none."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or is_transformed():
        return False
    return x.device.type != "meta" and not is_fake(x)


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
            y, *saved = ctx.saved_tensors  # which raises if one was changed in place, also where a kernel needs none
            grads = pulled(ctx.pull, g, needed[: len(rule.vjps)])
            if grads is None:
                rest = iter(saved)
                args = widened([next(rest) if other is None else other[0] for other in ctx.others])
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
        args = widened(args) if made is None else args
        if made is None and rule.composed:
            return rule.composite(ops, *args, **static)
        if torch.is_grad_enabled() and any(torch.is_tensor(arg) and arg.requires_grad for arg in args):
            return recorded(static, made, *args)
        return rule.forward(ops, *args, **static) if made is None else made[0]

    return op

"""Adapter for PyTorch: a `Function` in plain eager reverse mode, plain operations everywhere else."""

from functools import partial

import torch
from torch.autograd import forward_ad

name = "torch"
example = torch.empty(0)  # whose standard namespace the library looks up


def owns(x):
    return isinstance(x, torch.Tensor)


def detach(x):
    return x.detach() if isinstance(x, torch.Tensor) else x


def _transformed():
    """Whether a torch.func transform or forward-mode AD is active: no `Function` serves those right."""
    return torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def is_concrete(x):
    """Whether the values may be looked at: not while tracing, and not inside a transform."""
    return not torch.compiler.is_compiling() and x.device.type != "meta" and not _transformed()


def place(x):
    """Keyword arguments that create an array beside x."""
    return {"device": x.device}


def default_float():
    return torch.get_default_dtype()


def lift(rule, ops):
    """Register a rule's VJPs for eager reverse mode.

    A `Function` with a `jvp` is refused by `torch.compile(fullgraph=True)` and silently wrong for the
    JVP of a JVP, so that everything but plain reverse mode takes the rule's plain operations.
    """
    if rule.native or rule.composed:
        return partial(rule.plain, ops)

    class Op(torch.autograd.Function):
        @staticmethod
        def forward(ctx, static, *args):
            y = rule.forward(ops, *args, **static)
            is_tensor = [isinstance(arg, torch.Tensor) for arg in args]
            ctx.static, ctx.is_tensor = static, is_tensor
            ctx.others = [None if tensor else arg for arg, tensor in zip(args, is_tensor, strict=True)]
            ctx.save_for_backward(y, *(arg for arg, tensor in zip(args, is_tensor, strict=True) if tensor))
            return y

        @staticmethod
        def backward(ctx, g):
            y, *saved = ctx.saved_tensors
            rest = iter(saved)
            args = [next(rest) if tensor else other for tensor, other in zip(ctx.is_tensor, ctx.others, strict=True)]
            needed = ctx.needs_input_grad[1:]
            grads = [
                product(ops, g, y, *args, **ctx.static) if need else None
                for product, need in zip(rule.vjps, needed, strict=False)
            ]
            return None, *grads, *[None] * (len(needed) - len(grads))

    Op.__name__ = Op.__qualname__ = f"{rule.name}_rule"

    def op(*args, **static):
        if torch.compiler.is_compiling() or _transformed():
            return rule.plain(ops, *args, **static)
        if torch.is_grad_enabled() and any(isinstance(arg, torch.Tensor) and arg.requires_grad for arg in args):
            return Op.apply(static, *args)
        return rule.forward(ops, *args, **static)

    return op


def jit(core):
    """Eager: `torch.compile` is the user's to call."""
    return core


def vjp(f, *arrays):
    if _transformed() or torch.compiler.is_compiling():
        value, pullback = torch.func.vjp(f, *arrays)
        return value, pullback
    leaves = [x.detach().requires_grad_() if x.dtype.is_floating_point else x for x in arrays]
    with torch.enable_grad():
        value = f(*leaves)

    def pull(g):
        outs, gs = (value, g) if isinstance(value, tuple) else ((value,), (g,))
        wanted = [x for x in leaves if x.requires_grad]
        if not wanted:
            return (None,) * len(leaves)
        grads = iter(torch.autograd.grad(outs, wanted, gs, retain_graph=True, materialize_grads=True))
        return tuple(next(grads) if x.requires_grad else None for x in leaves)

    return (tuple(y.detach() for y in value) if isinstance(value, tuple) else value.detach()), pull


def jvp(f, arrays, tangents):
    return torch.func.jvp(f, tuple(arrays), tuple(tangents))

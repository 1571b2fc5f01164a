"""Adapter for PyTorch: a `Function` in plain eager reverse mode, plain operations everywhere else."""

from functools import partial

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad

from ..._compat import array_namespace
from ..._kernels import selection
from .memory import array_classes, memory, traits

__all__ = ["array_classes", "memory", "traits"]

name = "torch"
namespace = array_namespace(torch.empty(0))


def owns(x):
    return isinstance(x, torch.Tensor)


def detach(x):
    return x.detach() if isinstance(x, torch.Tensor) else x


def _transformed():
    """Whether a torch.func transform or forward-mode AD is active: no `Function` serves those right."""
    return torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def is_concrete(x):
    """Whether the values may be looked at: not while tracing, not inside a transform, and not if there are none."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or _transformed():
        return False
    return x.device.type != "meta" and not isinstance(x, FakeTensor)


def is_cheap_to_read(x):
    """Whether looking at a value waits for nothing: a plain tensor on the CPU, outside every transform."""
    return type(x) in (torch.Tensor, torch.nn.Parameter) and x.device.type == "cpu" and is_concrete(x)


repeats_ranges = True  # a compiled loop computes a range again for each entry that it is multiplied by
softmax = torch.softmax  # the framework's own, for scores that need no care


def place(x):
    """Keyword arguments that create an array beside x."""
    return {"device": x.device}


def default_float():
    return torch.get_default_dtype()


def cumulative_sum(x, *, axis):
    """The namespace's own looks up its namespace in a cache, at which Dynamo warns."""
    return torch.cumsum(x, dim=axis)


def lift(rule, ops):
    """Register a rule's VJPs for eager reverse mode.

    A `Function` with a `jvp` is refused by `torch.compile(fullgraph=True)` and silently wrong for the
    JVP of a JVP, so that everything but plain reverse mode takes the rule's composite operations.
    """
    if rule.native or (rule.composed and not rule.is_served):
        return partial(rule.composite, ops)

    class Op(torch.autograd.Function):
        @staticmethod
        def forward(ctx, static, served, *args):
            y, ctx.pull = (rule.forward(ops, *args, **static), None) if served is None else served
            is_tensor = [isinstance(arg, torch.Tensor) for arg in args]
            ctx.static, ctx.is_tensor = static, is_tensor
            ctx.others = [None if tensor else arg for arg, tensor in zip(args, is_tensor, strict=True)]
            ctx.save_for_backward(y, *(arg for arg, tensor in zip(args, is_tensor, strict=True) if tensor))
            return y

        @staticmethod
        def backward(ctx, g):
            needed = ctx.needs_input_grad[2:]
            if ctx.pull is not None and not any(needed[1:]) and not torch.is_grad_enabled():
                dx = ctx.pull(g)
                if dx is not None:
                    return None, None, dx, *[None] * (len(needed) - 1)
            y, *saved = ctx.saved_tensors
            rest = iter(saved)
            args = [next(rest) if tensor else other for tensor, other in zip(ctx.is_tensor, ctx.others, strict=True)]
            grads = [
                product(ops, g, y, *args, **ctx.static) if need else None
                for product, need in zip(rule.vjps, needed, strict=False)
            ]
            return None, None, *grads, *[None] * (len(needed) - len(grads))

    Op.__name__ = Op.__qualname__ = f"{rule.name}_rule"

    def op(*args, **static):
        if torch.compiler.is_compiling() or _transformed():
            return rule.composite(ops, *args, **static)
        served = selection.served(rule, ops, tuple(map(detach, args)), static) if rule.is_served else None
        if served is None and rule.composed:
            return rule.composite(ops, *args, **static)
        if torch.is_grad_enabled() and any(isinstance(arg, torch.Tensor) and arg.requires_grad for arg in args):
            return Op.apply(static, served, *args)
        return rule.forward(ops, *args, **static) if served is None else served[0]

    return op


def vjp(f, *arrays):
    if _transformed() or torch.compiler.is_compiling():
        return torch.func.vjp(f, *arrays)
    leaves = [x.detach().requires_grad_() if x.dtype.is_floating_point else x for x in arrays]
    with torch.enable_grad():
        value = f(*leaves)

    def pull(g):
        outs, gs = (value, g) if isinstance(value, tuple) else ((value,), (g,))
        wanted = [x for x in leaves if x.requires_grad]
        if not any(out.requires_grad for out in outs):
            return (None,) * len(leaves)
        grads = iter(torch.autograd.grad(outs, wanted, gs, retain_graph=True, materialize_grads=True))
        return tuple(next(grads) if x.requires_grad else None for x in leaves)

    return (tuple(y.detach() for y in value) if isinstance(value, tuple) else value.detach()), pull


def jvp(f, arrays, tangents):
    return torch.func.jvp(f, tuple(arrays), tuple(tangents))

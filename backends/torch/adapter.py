"""Adapter for PyTorch: a `Function` in plain eager reverse mode, plain operations everywhere else."""

from functools import partial

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad

from ..._compat import array_namespace
from ..._kernels import selection
from .memory import array_classes, memory, traits  # noqa: F401 - the library asks for them here

name = "torch"
namespace = array_namespace(torch.empty(0))
softmax = torch.softmax  # the framework's own, for scores that need no care
repeats_ranges = True  # a compiled loop computes a range again for each entry that it is multiplied by
owns = torch.is_tensor
default_float = torch.get_default_dtype


def detach(x):
    return x.detach() if torch.is_tensor(x) else x


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


def place(x):
    """Keyword arguments that create an array beside x."""
    return {"device": x.device}


def cumulative_sum(x, *, axis):
    """The namespace's own looks up its namespace in a cache, at which Dynamo warns."""
    return torch.cumsum(x, dim=axis)


def _recorded(rule, ops):
    """A `Function` of a rule, for answers that a kernel may have given with their way back."""

    class Op(torch.autograd.Function):
        @staticmethod
        def forward(ctx, static, served, *args):
            y, ctx.pull = (rule.forward(ops, *args, **static), None) if served is None else served
            ctx.static, ctx.others = static, [None if torch.is_tensor(arg) else (arg,) for arg in args]
            ctx.save_for_backward(y, *filter(torch.is_tensor, args))
            return y

        @staticmethod
        def backward(ctx, g):
            needed = ctx.needs_input_grad[2:]
            grads = [None] * len(needed)
            if ctx.pull is not None and not any(needed[1:]) and not torch.is_grad_enabled():
                grads[0] = ctx.pull(g)
            if grads[0] is None:
                y, *saved = ctx.saved_tensors
                rest = iter(saved)
                args = [next(rest) if other is None else other[0] for other in ctx.others]
                for k, product in enumerate(rule.vjps):
                    grads[k] = product(ops, g, y, *args, **ctx.static) if needed[k] else None
            return None, None, *grads

    Op.__name__ = Op.__qualname__ = f"{rule.name}_rule"
    return Op.apply


def lift(rule, ops):
    """Register a rule's VJPs for eager reverse mode.

    A `Function` with a `jvp` is refused by `torch.compile(fullgraph=True)` and silently wrong for the
    JVP of a JVP, so that everything but plain reverse mode takes the rule's composite operations.
    """
    if rule.inlined or (rule.composed and not rule.is_served):
        return partial(rule.composite, ops)
    recorded = _recorded(rule, ops)

    def op(*args, **static):
        if torch.compiler.is_compiling() or _transformed():
            return rule.composite(ops, *args, **static)
        served = selection.served(rule, ops, tuple(map(detach, args)), static) if rule.is_served else None
        if served is None and rule.composed:
            return rule.composite(ops, *args, **static)
        if torch.is_grad_enabled() and any(torch.is_tensor(arg) and arg.requires_grad for arg in args):
            return recorded(static, served, *args)
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

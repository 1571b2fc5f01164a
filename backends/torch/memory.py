"""What kernels for the memory of a CPU need of torch: plain tensors as NumPy arrays, and their answers in its graph."""

from operator import attrgetter

import torch

from ..._kernels import selection
from ..._kernels.kernel import Memory
from ..._kernels.selection import is_composing
from .private import (
    autocast,
    dispatch_keys,
    forward_mode,
    is_tracing,
    modes,
    precision,
    saved_tensors_hooks,
    transform,
)

_needs_grad = attrgetter("requires_grad")
_EXAMPLE = torch.empty(0, device="cpu")
with torch.inference_mode():
    # What an ordinary tensor dispatches on, and one of inference: no device but the CPU, nothing batched or lazy.
    _PLAIN_KEYS = [dispatch_keys(x) for x in (_EXAMPLE, torch.empty(0, device="cpu"))]

_STRIDED = torch.strided  # looked up once: an eager call asks for it

array_classes = (torch.Tensor, torch.nn.Parameter)
_HALVES = (torch.float16, torch.bfloat16)
# Dtypes that kernels read. NumPy lacks one of them, for which integers of its size stand.
_SHARED = (torch.float32, torch.float64, torch.bool, torch.float16, torch.bfloat16, torch.int32, torch.int64)


def is_transformed():
    """Whether a transform, forward-mode AD or a compiler makes operations of a call: no `Function` serves those right."""
    return transform() is not None or forward_mode._current_level >= 0 or is_composing()


def is_recorded(*arrays):
    """Whether something differentiates what is computed now from the arrays, or may."""
    if transform() is not None or forward_mode._current_level >= 0:
        return True
    return torch.is_grad_enabled() and any(torch.is_tensor(x) and x.requires_grad for x in arrays)


def traits(x):
    """What determines how a tensor is computed with; None of one that is not plain.

    That is a strided, dense tensor outside every transform and trace, and where nobody observes operations.
    """
    if x.layout is not _STRIDED or x.is_nested or x.is_neg() or is_transformed() or modes() or is_tracing():
        return None
    return x.dtype, x.shape, x.device


def widens(x):
    """Whether a tensor is of a half type and off the CPU, and nothing but eager mode looks at what is computed of it."""
    return x.dtype in _HALVES and not x.is_cpu and not torch.compiler.is_compiling() and not is_transformed()


def widened(args):
    """Arguments of a rule, with scores of a half type in float32, which torch records."""
    return (args[0].float(), *args[1:]) if args[0].dtype in _HALVES else args


def waits(x):
    """Whether reading a value waits for a device."""
    return x.device.type != "cpu"


def is_cheap_to_read(x):
    """Whether looking at a value waits for nothing: a plain tensor on the CPU, outside every transform."""
    return type(x) in array_classes and x.is_cpu and not torch.compiler.is_compiling() and traits(x) is not None


def _numbers(x):
    """A tensor outside its graph; of a parameter a copy, because torch resizes no storage that NumPy has seen, as FSDP2 does."""
    source = x if x._base is None else x._base
    return x.detach().clone() if isinstance(source, torch.nn.Parameter) and x.is_cpu else x.detach()


def served(rule, ops, args, static):
    """The answer of a kernel to a rule, and its way back; None if no kernel serves."""
    if not selection.is_served(rule, ops):
        return None
    return selection.served(rule, ops, tuple(_numbers(x) if torch.is_tensor(x) else x for x in args), static)


def pulled(pull, g, needed):
    """The cotangents of the arguments by a kernel; None if a graph of them is needed, or if the kernel has none."""
    return None if pull is None or torch.is_grad_enabled() else pull(g, needed)


def _is_plain(x):
    """Whether a tensor is numbers in the memory of the CPU and nothing else."""
    if torch.compiler.is_compiling() or type(x) not in array_classes or x.dtype not in _SHARED or not x.is_cpu:
        return False
    return traits(x) is not None and dispatch_keys(x) in _PLAIN_KEYS


def _open(x):
    """A NumPy array that shares the memory of a plain tensor; None if there is more to it than numbers."""
    return None if (x.requires_grad and torch.is_grad_enabled()) or not _is_plain(x) else _view(x)


def _view(x):
    """The memory of a plain tensor, or of a copy of it."""
    x = _numbers(x)
    return (x.view(torch.int16) if x.dtype is torch.bfloat16 else x).numpy()


def _tensor(array):
    """A NumPy array as a tensor: integers of 16 bits are what stands for bfloat16."""
    x = torch.from_numpy(array)
    return x.view(torch.bfloat16) if x.dtype is torch.int16 else x


def _copied(x, out):
    _tensor(out).copy_(_tensor(x))
    return out


def _exp_in_memory():
    """torch's own exponential for kernels, over NumPy's memory, where it is Intel's and runs on what that is made for."""
    traits = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if not (torch.backends.mkl.is_available() and "Intel" in str(traits.get("cpu_name"))):
        return None

    def exponential(x, out):
        torch.exp(torch.from_numpy(x), out=torch.from_numpy(out))
        return out

    return exponential


def _constant(array):
    """A NumPy array as a tensor that any later call may use."""
    with torch.inference_mode(False):
        return torch.from_numpy(array)


def _total(y):
    """The sum of all entries, as a number."""
    return sum(y.tolist()) if y.ndim == 1 and y.numel() <= 64 else y.detach().sum().item()


class _Attached(torch.autograd.Function):
    """An answer that a kernel has given, and its way back to the scores and to the arrays beside them."""

    @staticmethod
    def forward(ctx, x, call, beside, y, kept, *arrays):
        y = _tensor(y)
        ctx.call, ctx.beside, ctx.state = call, beside, {"kept": kept}
        ctx.save_for_backward(x, *([y] if call.needs_answer else []), *arrays)  # torch sees if one has been changed
        return y

    @staticmethod
    def backward(ctx, g):
        again, needed = torch.is_grad_enabled(), (ctx.needs_input_grad[0], *ctx.needs_input_grad[5:])
        grads = None if again else _pulled(ctx, g)
        if grads is None:
            x, *arrays = ctx.saved_tensors
            inputs = list(zip([x, *arrays[ctx.call.needs_answer :]], needed, strict=True))
            with torch.enable_grad():
                inputs = [(z if again or not wanted else z.detach().requires_grad_(), wanted) for z, wanted in inputs]
                y = ctx.call.by_rules(*[z for z, _ in inputs])
            found = iter(torch.autograd.grad(y, [z for z, wanted in inputs if wanted], g, create_graph=again))
            grads = [next(found) if wanted else None for wanted in needed]
        return grads[0], None, None, None, None, *grads[1:]


def _pulled(ctx, g):
    """The kernel's cotangents of the scores and the arrays; scores that were written into do not matter to what lasts."""
    call, beside = ctx.call, ctx.beside
    saved = () if call.lasts and ctx.state.get("kept") is not None else ctx.saved_tensors
    arrays = [_open(array) for array in (g, *saved[: 1 + call.needs_answer])]
    if any(array is None for array in arrays):
        return None
    g, x, y = (*arrays, None, None)[:3]
    made = call.pulled(g, y, x, ctx.state, beside)
    if made is None:
        return None
    grads = [None if array is None else _tensor(array) for array in made]
    return (grads[0], *grads[1:][: len(beside.arrays)], *[None] * (len(beside.arrays) - 1))


def _attach(x, call, beside, y, kept):
    return _Attached.apply(x, call, beside, y, kept, *beside.arrays)


def _load(x, *arrays):
    """Whether the call is recorded, with how many threads, and whether products are computed in the dtype of their factors."""
    learned = x.requires_grad or (len(arrays) > 0 and any(map(_needs_grad, arrays)))
    return (
        learned and torch.is_grad_enabled(),
        torch.get_num_threads(),
        not autocast() and precision() == "highest",
    )


def _keeps():
    """Whether what is saved for the backward pass stays: not where it is packed away, such as under checkpointing."""
    return saved_tensors_hooks(True) is None


memory = Memory(
    open=_open,
    is_plain=_is_plain,
    view=_view,
    close=lambda array, like: _tensor(array),
    load=_load,
    attach=_attach,
    keeps=_keeps,
    exponential=_exp_in_memory(),
    constant=_constant,
    total=_total,
    learns=lambda x: x.requires_grad and torch.is_grad_enabled(),
    copied=_copied,
)

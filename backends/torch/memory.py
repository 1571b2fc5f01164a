"""What kernels for the memory of a CPU need of torch: plain tensors as NumPy arrays, and their answers in its graph."""

import torch
from torch.autograd import forward_ad

from ..._kernels import selection
from ..._kernels.kernel import Memory
from ..._kernels.selection import is_composing

_EXAMPLE = torch.empty(0, device="cpu")
with torch.inference_mode():
    # What an ordinary tensor dispatches on, and one of inference: no device but the CPU, nothing batched or lazy.
    _PLAIN_KEYS = [torch._C._dispatch_keys(x) for x in (_EXAMPLE, torch.empty(0, device="cpu"))]


# Looked up once: an eager call asks all of them.
_STRIDED = torch.strided
_transform = torch._C._functorch.peek_interpreter_stack
_modes = torch._C._len_torch_dispatch_stack
_is_tracing = torch._C._is_tracing
_autocast = torch._C._is_any_autocast_enabled
_precision = torch._C._get_float32_matmul_precision

array_classes = (torch.Tensor, torch.nn.Parameter)
_HALVES = (torch.float16, torch.bfloat16)
_SHARED = (torch.float32, torch.float64, torch.bool)  # dtypes that kernels read


def is_transformed():
    """Whether a transform, forward-mode AD or a compiler makes operations of a call: no `Function` serves those right."""
    return _transform() is not None or forward_ad._current_level >= 0 or is_composing()


def is_recorded(*arrays):
    """Whether something differentiates what is computed now from the arrays, or may."""
    if _transform() is not None or forward_ad._current_level >= 0:
        return True
    return torch.is_grad_enabled() and any(torch.is_tensor(x) and x.requires_grad for x in arrays)


def traits(x):
    """What determines how a tensor is computed with; None of one that is not plain.

    That is a strided tensor outside every transform and trace, and where nobody observes operations.
    """
    if x.layout is not _STRIDED or x.is_neg() or is_transformed() or _modes() or _is_tracing():
        return None
    return x.dtype, x.shape, x.device


def widens(x):
    """Whether a tensor is of a half type and nothing but eager mode looks at what is computed of it."""
    return x.dtype in _HALVES and not torch.compiler.is_compiling() and not is_transformed()


def widened(args):
    """Arguments of a rule, with scores of a half type in float32, which torch records."""
    return (args[0].float(), *args[1:]) if args[0].dtype in _HALVES else args


def waits(x):
    """Whether reading a value waits for a device."""
    return x.device.type != "cpu"


def is_cheap_to_read(x):
    """Whether looking at a value waits for nothing: a plain tensor on the CPU, outside every transform."""
    return type(x) in array_classes and x.is_cpu and not torch.compiler.is_compiling() and traits(x) is not None


def served(rule, ops, args, static):
    """The answer of a kernel to a rule, and its way back; None if no kernel serves."""
    if not selection.is_served(rule, ops):
        return None
    return selection.served(rule, ops, tuple(x.detach() if torch.is_tensor(x) else x for x in args), static)


def pulled(pull, g, needed):
    """The cotangents of the arguments by a kernel; None if a graph of them is needed, or if the kernel has none."""
    return None if pull is None or torch.is_grad_enabled() else pull(g, needed)


def _is_plain(x):
    """Whether a tensor is numbers in the memory of the CPU and nothing else."""
    if torch.compiler.is_compiling() or type(x) not in array_classes or x.dtype not in _SHARED or not x.is_cpu:
        return False
    return traits(x) is not None and torch._C._dispatch_keys(x) in _PLAIN_KEYS


def _open(x):
    """A NumPy array that shares the memory of a plain tensor; None if there is more to it than numbers."""
    if (x.requires_grad and torch.is_grad_enabled()) or not _is_plain(x):
        return None
    return x.detach().numpy()


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
    """An answer that a kernel has given, and its way back."""

    @staticmethod
    def forward(ctx, x, call, y, kept, *beside):
        y = torch.from_numpy(y)
        ctx.call, ctx.state = call, {"kept": kept}
        ctx.save_for_backward(x, *([y] if call.needs_answer else []), *beside)  # torch sees if one has been changed
        return y

    @staticmethod
    def backward(ctx, g):
        again = torch.is_grad_enabled()
        dx = None if again else _pulled(ctx, g)
        if dx is not None:
            return torch.from_numpy(dx), None, None, None, *[None] * len(ctx.call.beside)
        x = ctx.saved_tensors[0]
        with torch.enable_grad():
            x = x if again else x.detach().requires_grad_()
            y = ctx.call.by_rules(x)
        (dx,) = torch.autograd.grad(y, x, g, create_graph=again)
        return dx, None, None, None, *[None] * len(ctx.call.beside)


def _pulled(ctx, g):
    """The kernel's cotangent of the scores, in memory; scores that were written into do not matter to what lasts."""
    call, kept = ctx.call, ctx.call.take(ctx.state)
    saved = () if call.lasts and kept is not None else ctx.saved_tensors
    arrays = [_open(array) for array in (g, *saved[: 1 + call.needs_answer])]
    if any(array is None for array in arrays):
        return None
    g, x, y = (*arrays, None, None)[:3]
    return call.backward(g, y, x, kept)


def _attach(x, call, y, kept):
    return _Attached.apply(x, call, y, kept, *call.beside)


def _load(x):
    """Whether the call is recorded, with how many threads, and whether products are computed in the dtype of their factors."""
    return (
        x.requires_grad and torch.is_grad_enabled(),
        torch.get_num_threads(),
        not _autocast() and _precision() == "highest",
    )


def _keeps():
    """Whether what is saved for the backward pass stays: not where it is packed away, such as under checkpointing."""
    return torch._C._autograd._top_saved_tensors_default_hooks(True) is None


memory = Memory(
    open=_open,
    is_plain=_is_plain,
    view=lambda x: x.detach().numpy(),
    close=lambda array, like: torch.from_numpy(array),
    load=_load,
    attach=_attach,
    keeps=_keeps,
    exponential=_exp_in_memory(),
    constant=_constant,
    total=_total,
)

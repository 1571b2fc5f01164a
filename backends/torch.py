"""Adapter for PyTorch: a `Function` in plain eager reverse mode, plain operations everywhere else."""

from functools import partial
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad

from .._calls.validate import is_any_axis
from .._compat import array_namespace
from .._kernels.engines import is_native_quicker
from ..operators import soft_argmax

name = "torch"
example = torch.empty(0)
namespace = array_namespace(example)
with torch.inference_mode():
    # What an ordinary tensor dispatches on, and one of inference: no device but the CPU, nothing batched or lazy.
    _PLAIN_KEYS = [torch._C._dispatch_keys(x) for x in (example, torch.empty(0))]


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


# Looked up once: an eager call asks all of them.
_STRIDED = torch.strided
_transform = torch._C._functorch.peek_interpreter_stack
_modes = torch._C._len_torch_dispatch_stack
_is_tracing = torch._C._is_tracing
_autocast = torch._C._is_any_autocast_enabled
_precision = torch._C._get_float32_matmul_precision

plain_arrays = (torch.Tensor, torch.nn.Parameter)
_SHARED = (torch.float32, torch.float64, torch.bool)  # dtypes that engines read


def traits(x):
    """What determines how a tensor is computed with; None of one that is not plain.

    That is a strided tensor outside every transform and trace, and where nobody observes operations.
    """
    if (
        x.layout is not _STRIDED
        or x.is_neg()
        or _transform() is not None
        or forward_ad._current_level >= 0
        or _modes()
        or _is_tracing()
    ):
        return None
    return x.dtype, x.shape, x.device


def memory(x):
    """A NumPy array that shares the memory of a plain CPU tensor; None if there is more to it than numbers."""
    if torch.compiler.is_compiling() or type(x) not in plain_arrays or x.dtype not in _SHARED or not x.is_cpu:
        return None
    if (x.requires_grad and torch.is_grad_enabled()) or traits(x) is None:
        return None
    return x.detach().numpy() if torch._C._dispatch_keys(x) in _PLAIN_KEYS else None


def from_memory(array, like):
    """A tensor that shares the memory of a NumPy array."""
    return torch.from_numpy(array)


def _exp_in_memory():
    """torch's own exponential for engines, over NumPy's memory, where it is Intel's and runs on what that is made for."""
    traits = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if not (torch.backends.mkl.is_available() and "Intel" in str(traits.get("cpu_name"))):
        return None

    def exponential(x, out):
        torch.exp(torch.from_numpy(x), out=torch.from_numpy(out))
        return out

    return exponential


exp_in_memory = _exp_in_memory()


def constant(array):
    """A NumPy array as a tensor that any later call may use."""
    with torch.inference_mode(False):
        return torch.from_numpy(array)


def total(y):
    """The sum of all entries, as a number."""
    return sum(y.tolist()) if y.ndim == 1 and y.numel() <= 64 else y.detach().sum().item()


class _Fused(torch.autograd.Function):
    """An answer that an engine has given, and its way back."""

    @staticmethod
    def forward(ctx, x, call, y, kept):
        y = torch.from_numpy(y)
        ctx.call, ctx.state = call, {"kept": kept}
        ctx.save_for_backward(x, *([y] if call.needs_answer else []))
        return y

    @staticmethod
    def backward(ctx, g):
        x, *answer = ctx.saved_tensors
        arrays = [None] if torch.is_grad_enabled() else [memory(array) for array in (g, x, *answer)]
        if all(array is not None for array in arrays):
            g_memory, x_memory, *y_memory = arrays
            kept = ctx.state.pop("kept", None)  # once: the gradient may take over its memory
            dx = ctx.call.backward(g_memory, y_memory[0] if y_memory else None, x_memory, kept)
            if dx is not None:
                return torch.from_numpy(dx), None, None, None
        if torch.is_grad_enabled():
            return *torch.autograd.grad(ctx.call.core(x), x, g, create_graph=True), None, None, None
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = ctx.call.core(x)
        return *torch.autograd.grad(y, x, g), None, None, None


def fused(call, x):
    """An engine's call on a plain tensor: natively where that is quicker, by the rules where neither can do it."""
    differentiated = x.requires_grad and torch.is_grad_enabled()
    size = x.numel()
    native = size <= call.alone or is_native_quicker(call, size, x.itemsize, differentiated, torch.get_num_threads())
    if native and call.native is not None and _is_exact():
        y = call.native(x)
        if y is not None:
            return y
    made = call.forward(x.detach().numpy(), differentiated and not _hooks())
    if made is None:
        return call.core(x)
    return _Fused.apply(x, call, *made) if differentiated else torch.from_numpy(made[0])


def _is_exact():
    """Whether matrix products are computed in the dtype of their factors."""
    return not _autocast() and _precision() == "highest"


def _hooks():
    """Whether what is saved for the backward pass is packed away, such as under checkpointing: then keep nothing."""
    return torch._C._autograd._top_saved_tensors_default_hooks(True) is not None


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
    JVP of a JVP, so that everything but plain reverse mode takes the rule's plain operations.
    """
    if rule.native or (rule.composed and rule.engine is None):
        return partial(rule.plain, ops)

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
            return rule.plain(ops, *args, **static)
        served = rule.engine and rule.engine(ops, *map(detach, args), **static)
        if served is None and rule.composed:
            return rule.plain(ops, *args, **static)
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


class SoftArgmax(torch.nn.Module):
    """Position of the largest score along an axis, differentiably: `soft_argmax` as a module.

    Parameters
    ----------
    axis
        The axis that is reduced; None takes the flattened tensor.
    keepdims, window, zero_background, readout, hard
        As in `soft_argmax`.
    temperature, alpha
        A number, or a tensor that broadcasts against the reduced shape (reduced axes kept, with length 1): a
        `torch.nn.Parameter` is trained with the module, any other tensor is a buffer.
    positions
        As in `soft_argmax`, or a list: a buffer (a `torch.nn.Parameter` is trained). ``half()``,
        ``bfloat16()`` and the like leave a buffer in its dtype, because bfloat16 cannot hold index 257.

    Raises
    ------
    TypeError, ValueError
        As `soft_argmax`, for an option that it would refuse.

    Notes
    -----
    Nothing keeps a trained temperature above 0 (`soft_argmax` raises below it): train its logarithm with
    ``torch.nn.utils.parametrize`` where steps may be large.

    Examples
    --------
    >>> SoftArgmax(temperature=0.1)(torch.tensor([[0.0, 1.0, 5.0], [0.0, 3.0, 3.0]]))
    tensor([2.0000, 1.5000])
    """

    positions: torch.Tensor | None
    temperature: Any
    alpha: Any

    def __init__(
        self,
        axis: int | None = -1,
        *,
        keepdims: bool = False,
        temperature: Any = 1.0,
        alpha: Any = 1.0,
        positions: Any = None,
        window: Any = None,
        zero_background: bool = False,
        readout: str = "mean",
        hard: bool = False,
    ):
        super().__init__()
        self.axis = axis
        self.keepdims = keepdims
        self.window = window
        self.zero_background = zero_background
        self.readout = readout
        self.hard = hard
        if positions is not None and not isinstance(positions, torch.Tensor):
            positions = torch.tensor(positions)  # a copy: loading a state must not write into the caller's array
        self._hold("temperature", temperature)
        self._hold("alpha", alpha)
        self._hold("positions", positions)
        self._check_options()

    def _hold(self, option, value):
        if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
            self.register_buffer(option, value)
        else:
            setattr(self, option, value)

    def _options(self):
        return {
            "keepdims": self.keepdims,
            "temperature": self.temperature,
            "alpha": self.alpha,
            "positions": self.positions,
            "window": self.window,
            "zero_background": self.zero_background,
            "readout": self.readout,
            "hard": self.hard,
        }

    def _check_options(self):
        """Have `soft_argmax` refuse bad options now; tensors one by one, as they may be on different devices."""
        options = self._options()
        tensors = {option: value for option, value in options.items() if isinstance(value, torch.Tensor)}
        numbers = {option: value for option, value in options.items() if option not in tensors}
        axis = -1 if is_any_axis(self.axis) else self.axis
        soft_argmax(torch.zeros(1), axis=axis, **numbers)
        for option, held in tensors.items():
            value = held.detach().reshape(-1) if option == "positions" else held.detach()[..., None]
            shape = value.shape if option == "positions" else (*held.shape, 1)
            soft_argmax(torch.zeros(shape, device=value.device), axis=axis, **numbers | {option: value})

    def _apply(self, fn, recurse=True):
        before = self.positions
        super()._apply(fn, recurse)
        after = self.positions
        if before is not None and after is not None and after.dtype != before.dtype:
            self.positions = before.to(after.device)
        return self

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return the positions of scores of any shape; the mask is that of `soft_argmax`."""
        return soft_argmax(x, axis=self.axis, mask=mask, **self._options())

    def extra_repr(self) -> str:
        usual = {"temperature": 1.0, "alpha": 1.0, "readout": "mean"}
        shown = [f"axis={self.axis}"]
        for option, value in self._options().items():
            if isinstance(value, torch.Tensor):
                shown.append(f"{option}={type(value).__name__}{tuple(value.shape)}")
            elif value != usual.get(option) and value is not False:
                shown.append(f"{option}={value!r}")
        return ", ".join(shown)

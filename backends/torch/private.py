"""What torch keeps to itself and the adapter asks for: each name is looked up once, here.

In place of a name that a version of torch lacks stands an answer that is always right and costs speed: that a tensor may
be more than numbers, that a transform may be active. The rules in plain operations then do the call.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch.autograd import forward_ad


def _found(path: str, otherwise: Any) -> Any:
    """Return what torch has under a name with dots, else what stands for it."""
    found: Any = torch
    for name in path.split("."):
        found = getattr(found, name, None)
    return otherwise if found is None else found


def _softmax_backward(g, p, axis, dtype):
    """The cotangent of scores from that of their softmax."""
    return (p * (g - torch.sum(g * p, dim=axis, keepdim=True))).to(dtype)


try:
    from torch._subclasses.fake_tensor import FakeTensor
except ImportError:

    def is_fake(x):
        """Whether a tensor may have no values: where the class of those is unknown, one that is more than a tensor."""
        return type(x) not in (torch.Tensor, torch.nn.Parameter)

else:

    def is_fake(x):
        """Whether a tensor has no values."""
        return isinstance(x, FakeTensor)


softmax_backward = _found("_softmax_backward_data", _softmax_backward)

# The innermost transform of torch.func, None outside of all; the level of forward mode, below 0 outside of it.
transform = _found("_C._functorch.peek_interpreter_stack", lambda: "unknown")
forward_mode: Any = forward_ad if hasattr(forward_ad, "_current_level") else SimpleNamespace(_current_level=0)
# How many modes observe operations, and whether one of them records a graph.
modes = _found("_C._len_torch_dispatch_stack", lambda: 1)
is_tracing = _found("_C._is_tracing", torch.jit.is_tracing)
# What a tensor dispatches on, of which `memory.py` knows those of plain ones.
dispatch_keys = _found("_C._dispatch_keys", lambda x: object())
# What makes products of matrices those of fewer digits.
autocast = _found("_C._is_any_autocast_enabled", lambda: True)
precision = _found("_C._get_float32_matmul_precision", torch.get_float32_matmul_precision)
# What packs away tensors that are saved for a backward pass; None where they stay.
saved_tensors_hooks = _found("_C._autograd._top_saved_tensors_default_hooks", lambda ignored: "unknown")

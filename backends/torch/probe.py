"""What the checks of `anyargmax.validation` need of PyTorch beside the adapter: its dtypes, devices and derivatives."""

import torch

DTYPES = ("float16", "bfloat16", "float32", "float64")


def to_numpy(x):
    """Return the values as a NumPy array, in float64 if NumPy lacks the dtype."""
    return (x.double() if x.dtype == torch.bfloat16 else x).numpy(force=True)


def find_device(name):
    """Return the device of a name.

    Raises
    ------
    LookupError
        If there is no such device here.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise LookupError(f"has no device {name!r}") from error
    return torch.device(name)


def second(f, arrays, g, t):
    """Return the gradient of ``<t, J^T g>`` by double backward, through what eager mode recorded."""
    moving = [x.detach().clone().requires_grad_() if x.dtype.is_floating_point else x for x in arrays]
    wanted = [x for x in moving if x.requires_grad]
    value = f(*moving)
    value, g = (value, g) if isinstance(value, tuple) else ((value,), (g,))
    live = [(y, h) for y, h in zip(value, g, strict=True) if y.requires_grad]
    options = {"create_graph": True, "materialize_grads": True}
    gradients = torch.autograd.grad([y for y, _ in live], wanted, [h for _, h in live], **options) if live else ()
    along = sum((torch.sum(a * b) for a, b in zip(gradients, t, strict=False)), torch.zeros(()))
    if not along.requires_grad:
        return tuple(torch.zeros_like(x) for x in wanted)
    return torch.autograd.grad(along, wanted, materialize_grads=True)


_both = {"dtypes": DTYPES, "to_numpy": to_numpy, "find_device": find_device}
# By the names that the checks know them by; the second is torch under its function transforms.
VIEWS = {
    "torch": {**_both, "second": second},
    "torch-func": {**_both, "vjp": torch.func.vjp, "jvp": torch.func.jvp},
}

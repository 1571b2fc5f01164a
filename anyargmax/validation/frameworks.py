"""The frameworks as the validation sees them: arrays in and out, and derivatives by their own means."""

import contextlib
import importlib
import re
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from .._compat import array_namespace, to_device
from .._frameworks import tape
from .._frameworks.binding import of_namespace
from .._frameworks.names import MODULES
from .._frameworks.registry import registered
from .tolerance import COMPUTED_IN, dtype_name

DTYPES = tuple(COMPUTED_IN)
NATIVE = {"numpy": ("float16", "float32", "float64"), "autograd": ("float16", "float32", "float64")}
STANDARD = ("float32", "float64")


class Backend(NamedTuple):
    """One framework: what it takes to run a function in it and to look at the outcome in NumPy.

    ``asarray(values, dtype=None, device=None)`` makes an array of it, ``to_numpy(array)`` a NumPy array (float64 of
    bfloat16); ``vjp`` and ``jvp`` are as in the library; ``second(f, arrays, g, t)`` is the gradient of
    ``<t, J^T g>``, None where the framework has no second order; ``find_device(name)`` is its device of a
    name, or raises LookupError; ``scope(dtype)`` is a context in which it has the dtype; ``compile`` compiles a
    function where that saves time.
    """

    name: str
    xp: Any
    asarray: Callable[..., Any]
    to_numpy: Callable[[Any], np.ndarray]
    vjp: Callable[..., Any]
    jvp: Callable[..., Any]
    second: Callable[..., Any] | None
    dtypes: tuple[str, ...]
    default_float: str
    find_device: Callable[[str], Any]
    scope: Callable[[str], Any]
    compile: Callable[[Callable], Callable]
    version: str


def _floats(arrays):
    return [k for k, x in enumerate(arrays) if "float" in str(x.dtype)]


def _nested(vjp):
    """The gradient of ``<t, J^T g>`` as a VJP of the pullback."""

    def second(f, arrays, g, t):
        wanted = _floats(arrays)

        def gradient(*moving):
            full = list(arrays)
            for k, x in zip(wanted, moving, strict=True):
                full[k] = x
            found = vjp(lambda *some: f(*_placed(full, wanted, some)), *moving)[1](g)
            return tuple(found)

        return vjp(gradient, *(arrays[k] for k in wanted))[1](tuple(t))

    return second


def _placed(full, wanted, some):
    full = list(full)
    for k, x in zip(wanted, some, strict=True):
        full[k] = x
    return full


def _torch_second(torch, f, arrays, g, t):
    """Double backward, through what torch recorded in eager mode."""
    wanted = _floats(arrays)
    moving = [arrays[k].detach().clone().requires_grad_() for k in wanted]
    value = f(*_placed(arrays, wanted, moving))
    value, g = (value, g) if isinstance(value, tuple) else ((value,), (g,))
    live = [(y, h) for y, h in zip(value, g, strict=True) if y.requires_grad]
    options = {"create_graph": True, "materialize_grads": True}
    gradients = torch.autograd.grad([y for y, _ in live], moving, [h for _, h in live], **options) if live else ()
    along = sum((torch.sum(a * b) for a, b in zip(gradients, t, strict=False)), torch.zeros(()))
    if not along.requires_grad:
        return tuple(torch.zeros_like(x) for x in moving)
    return torch.autograd.grad(along, moving, materialize_grads=True)


def _array_maker(xp):
    def asarray(values, dtype=None, device=None):
        options = {} if dtype is None else {"dtype": getattr(xp, dtype)}
        if device is not None:
            options["device"] = device
        return xp.asarray(np.array(values), **options)

    return asarray


def _to_numpy(ops):
    def to_numpy(x):
        x = ops.detach(x)
        if dtype_name(x) == "bfloat16":
            x = ops.xp.astype(x, ops.xp.float32)
            return np.asarray(to_device(x, "cpu") if ops.name == "torch" else x, dtype=np.float64)
        return np.asarray(to_device(x, "cpu") if ops.name in ("torch", "cupy") else x)

    return to_numpy


def _only_cpu(name):
    if name != "cpu":
        raise LookupError(f"has no device {name!r}")


def _torch_device(torch, name):
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise LookupError(f"has no device {name!r}") from error
    return torch.device(name)


def _jax_device(jax, name):
    kind, _, number = name.partition(":")
    try:
        return jax.devices(kind)[int(number or 0)]
    except (RuntimeError, IndexError, ValueError) as error:
        raise LookupError(f"has no device {name!r}") from error


def _x64(jax, dtype):
    """JAX has float64 where 64 bits are enabled: in this scope alone."""
    if dtype != "float64" or jax.config.jax_enable_x64:
        return contextlib.nullcontext()
    return (jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")).enable_x64(True)


def _any_scope(dtype):
    return contextlib.nullcontext()


def _as_it_is(f):
    return f


def _backend(name, ops, **fields):
    """What most frameworks have in common; fields say what is different."""
    common = {
        "xp": ops.xp,
        "asarray": _array_maker(ops.xp),
        "to_numpy": _to_numpy(ops),
        "vjp": ops.vjp,
        "jvp": ops.jvp,
        "second": _nested(ops.vjp),
        "dtypes": NATIVE.get(name, STANDARD),
        "default_float": re.findall(r"float\d+", str(ops.default_float()))[0],
        "find_device": _only_cpu,
        "scope": _any_scope,
        "compile": _as_it_is,
        "version": version(MODULES[name]) if name in MODULES else "",
    }
    return Backend(name, **(common | fields))


def _in_chunks(dask_array):
    """Dask's arrays in two chunks along the last axis, so that a reduction crosses chunks."""

    def asarray(values, dtype=None, device=None):
        values = np.array(values, dtype=dtype)
        last = tuple(max(1, (n + 1) // 2) for n in values.shape[-1:])
        return dask_array.from_array(values, chunks=values.shape[:-1] + last)

    return asarray


def _plain_backend(name, module):
    """A framework without differentiation: functions of this library have derivatives by their rules."""
    fields: dict[str, Any] = {"vjp": tape.vjp, "jvp": tape.jvp, "second": None}
    if name == "dask":
        module = importlib.import_module("dask.array")
        fields["asarray"] = _in_chunks(module)
    return _backend(name, of_namespace(array_namespace(module.asarray([0.0]))), **fields)


def _torch_backend(name, torch):
    from .._frameworks.binding import torch as ops

    fields: dict[str, Any] = {"dtypes": DTYPES, "find_device": partial(_torch_device, torch)}
    if name == "torch":
        return _backend(name, ops, second=partial(_torch_second, torch), **fields)
    func = importlib.import_module("torch.func")
    return _backend(name, ops, vjp=func.vjp, jvp=func.jvp, second=_nested(func.vjp), **fields)


def load(name: str) -> Backend:
    """Return a framework by its name, after importing it; one that was registered as it is.

    Raises
    ------
    ValueError
        If there is no such name.
    ImportError
        If it cannot be imported.
    """
    taught = registered()
    if name in taught:
        return _registered_backend(taught[name])
    if name not in MODULES:
        known = ", ".join((*MODULES, *taught))
        raise ValueError(f"`backends` must be some of {known}, got {name!r}. Choose among these.")
    return _installed(name)


def _registered_backend(ops) -> Backend:
    """A framework that the library was taught: without differentiation of its own, derivatives are those of the rules."""
    fields: dict[str, Any] = {"second": None} if ops.vjp is tape.vjp else {}
    if ops.to_numpy is not None:
        fields["to_numpy"] = ops.to_numpy
    return _backend(ops.name, ops, version="registered", **fields)


@cache
def _installed(name: str) -> Backend:
    module = importlib.import_module(MODULES[name])
    if name in ("torch", "torch-func"):
        return _torch_backend(name, module)
    if name == "jax":
        return _jax_backend(module)
    if name == "autograd":
        from .._frameworks.binding import autograd as ops

        return _backend(name, ops)
    return _plain_backend(name, module)


def _jax_backend(jax):
    from .._frameworks.binding import jax as ops

    fields = {"find_device": partial(_jax_device, jax), "scope": partial(_x64, jax), "compile": jax.jit}
    return _backend("jax", ops, dtypes=DTYPES, **fields)

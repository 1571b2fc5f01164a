"""Load what the benchmark needs of each framework: its namespace, its softmax, and how it is run forward and back."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from . import devices

Function = Callable[..., Any]


class Toolkit(NamedTuple):
    """A framework on a device, as far as the benchmark needs to know it."""

    name: str
    xp: Any
    softmaxes: dict[str, Callable[[Any, int], Any]]
    forward: Callable[[Function, Any], Callable[[], Any]]
    both: Callable[..., Callable[[], Any]]  # of a function, its scores, a cotangent, and what else has a gradient
    asarray: Callable[..., Any] = np.asarray
    to_numpy: Callable[[Any], np.ndarray] = np.asarray
    compiled: Callable[[Function], Function] | None = None
    device: devices.Device = devices.Device()


def _shifted_softmax(xp):
    def softmax(x, axis):
        e = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
        return e / xp.sum(e, axis=axis, keepdims=True)

    return softmax


def _numpy(missing):
    from .._frameworks.tape import vjp

    softmaxes = {"naive": _shifted_softmax(np)}
    if scipy := optional("scipy.special", missing):
        softmaxes["scipy"] = lambda x, axis: scipy.softmax(x, axis=axis)
    return Toolkit("numpy", np, softmaxes, partial, lambda f, x, g: lambda: vjp(f, x)[1](g)[0])


def _autograd(missing):
    xp, autograd = importlib.import_module("autograd.numpy"), importlib.import_module("autograd")
    softmaxes = {"naive": _shifted_softmax(xp)}
    return Toolkit("autograd", xp, softmaxes, partial, lambda f, x, g: lambda: autograd.make_vjp(f)(x)[0](g))


def of_torch(device: devices.Device) -> Toolkit:
    """Return torch on one of its devices."""
    torch = importlib.import_module("torch")

    def both(f, x, g, *learned):
        x = x.clone().requires_grad_()
        return lambda: torch.autograd.grad(f(x), (x, *learned), g)[0]

    def asarray(values, dtype=None):
        x = device.put(torch.asarray(values))
        return x if dtype is None else x.to(getattr(torch, dtype))

    def to_numpy(x):
        return (x.float() if x.dtype == torch.bfloat16 else x).numpy(force=True)

    def compiled(f):
        torch.compiler.reset()
        return torch.compile(f, dynamic=False)

    return Toolkit("torch", torch, {"softmax": torch.softmax}, partial, both, asarray, to_numpy, compiled, device)


def of_jax(device: devices.Device, compiled: bool = True) -> Toolkit:
    """Return JAX on one of its devices, compiled by the user or called as it is."""
    jax, xp = importlib.import_module("jax"), importlib.import_module("jax.numpy")
    jit = jax.jit if compiled else lambda f: f

    def waiting(f, *arrays):
        return lambda: jax.block_until_ready(f(*arrays))

    def both(f, x, g):
        return waiting(jit(lambda x, g: jax.vjp(f, x)[1](g)[0]), x, g)

    def asarray(values, dtype=None):
        return device.put(xp.asarray(values, dtype=dtype))

    softmaxes = {"softmax": jax.nn.softmax}
    return Toolkit("jax", xp, softmaxes, lambda f, x: waiting(jit(f), x), both, asarray, device=device)


def load(name: str, missing: dict[str, str], device: str = devices.CPU, eager: bool = False) -> Toolkit:
    """Return a framework by its name; JAX, where `eager`, as it is called without `jit`."""
    if name == "torch":
        return of_torch(devices.of_torch(importlib.import_module(name), device))
    if name == "jax":
        return of_jax(devices.of_jax(importlib.import_module(name), device), not eager)
    return {"numpy": _numpy, "autograd": _autograd}[name](missing)


def optional(name: str, missing: dict[str, str]) -> Any:
    """Return a module; None if it is not there, and a line that says so in `missing`."""
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except Exception as error:  # a package that is there may fail in many ways, and the others are still timed
        gone = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == package
        missing[package] = "is not installed" if gone else f"cannot be imported ({type(error).__name__}: {error})"
        return None

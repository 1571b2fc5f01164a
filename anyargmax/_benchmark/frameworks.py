"""Load what the benchmark needs of each framework: its namespace, its softmax, and how it is run forward and back."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

Function = Callable[..., Any]


class Toolkit(NamedTuple):
    """A framework, as far as the benchmark needs to know it."""

    name: str
    xp: Any
    softmaxes: dict[str, Callable[[Any, int], Any]]
    forward: Callable[[Function, Any], Callable[[], Any]]
    both: Callable[[Function, Any, Any], Callable[[], Any]]
    asarray: Callable[[Any], Any] = np.asarray


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


def _torch(missing):
    torch = importlib.import_module("torch")

    def both(f, x, g):
        x = x.clone().requires_grad_()
        return lambda: torch.autograd.grad(f(x), x, g)[0]

    return Toolkit("torch", torch, {"softmax": torch.softmax}, partial, both, torch.asarray)


def _jax(missing, compiled=True):
    jax, xp = importlib.import_module("jax"), importlib.import_module("jax.numpy")
    jit = jax.jit if compiled else lambda f: f

    def waiting(f, *arrays):
        return lambda: jax.block_until_ready(f(*arrays))

    def both(f, x, g):
        return waiting(jit(lambda x, g: jax.vjp(f, x)[1](g)[0]), x, g)

    return Toolkit("jax", xp, {"softmax": jax.nn.softmax}, lambda f, x: waiting(jit(f), x), both, xp.asarray)


def eager_jax(missing):
    """JAX as it is called without `jit`."""
    return _jax(missing, compiled=False)


LOADERS = {"numpy": _numpy, "autograd": _autograd, "torch": _torch, "jax": _jax}


def optional(name: str, missing: dict[str, str]) -> Any:
    """Return a module; None if it is not there, and a line that says so in `missing`."""
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except Exception as error:  # a package that is there may fail in many ways, and the others are still timed
        gone = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == package
        missing[package] = "is not installed" if gone else f"cannot be imported ({type(error).__name__}: {error})"
        return None

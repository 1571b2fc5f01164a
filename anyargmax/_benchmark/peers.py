"""What the library is compared with: the same answers in the words of the framework and of other packages."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .workloads import COMPILED, OURS_COMPILED, Workload

Function = Callable[..., Any]


class Peer(NamedTuple):
    """A function of the scores; `reverse` if its coordinates come in the other order."""

    function: Function
    reverse: bool = False
    apart: bool = False  # shown, but not one of those whose best counts


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


def _along_the_last(xp, softmax, n, asarray):
    index = asarray(np.arange(n, dtype=np.float32))
    return {
        "{} @ index": lambda x: softmax(x, -1) @ index,
        "{} sum": lambda x: (softmax(x, -1) * index).sum(-1),
        "{} einsum": lambda x: xp.einsum("...i,i->...", softmax(x, -1), index),
    }


def _along(xp, softmax, shape, axis, asarray):
    index = asarray(np.arange(shape[axis], dtype=np.float32))
    column = index.reshape((-1,) + (1,) * (len(shape) - axis - 1))
    letters = "abcdefgh"[: len(shape)]
    spec = f"{letters},{letters[axis]}->{letters.replace(letters[axis], '')}"
    return {
        "{} sum": lambda x: (softmax(x, axis) * column).sum(axis),
        "{} einsum": lambda x: xp.einsum(spec, softmax(x, axis), index),
        "{}, moved": lambda x: xp.moveaxis(softmax(x, axis), axis, -1) @ index,
        "moved, {}": lambda x: softmax(xp.moveaxis(x, axis, -1), -1) @ index,
    }


def _coordinates(xp, softmax, shape, asarray):
    rows, columns = (asarray(np.arange(n, dtype=np.float32)) for n in shape[-2:])
    grid = asarray(np.indices(shape[-2:]).reshape(2, -1).T.astype(np.float32))

    def flat(x):
        return softmax(x.reshape((*shape[:-2], -1)), -1)

    def by_axis(x):
        p = flat(x).reshape(shape)
        return xp.stack([p.sum(-1) @ rows, p.sum(-2) @ columns], -1)

    def sums(x):
        p = flat(x).reshape(shape)
        return xp.stack([(p * rows[:, None]).sum((-2, -1)), (p * columns).sum((-2, -1))], -1)

    return {"{} @ grid": lambda x: flat(x) @ grid, "{} by axis": by_axis, "{} sums": sums}


def _of_the_framework(toolkit: Toolkit, workload: Workload) -> dict[str, Peer]:
    found: dict[str, Peer] = {}
    for prefix, softmax in toolkit.softmaxes.items():
        arguments = toolkit.xp, softmax, workload.shape
        if workload.kind == "coordinates":
            forms = _coordinates(*arguments, toolkit.asarray)
        elif workload.axis == -1:
            forms = _along_the_last(*arguments[:2], workload.shape[-1], toolkit.asarray)
        else:
            forms = _along(*arguments, workload.axis, toolkit.asarray)
        found |= {name.format(prefix): Peer(form) for name, form in forms.items()}
    return found


def _heatmap_packages(missing):
    found = {}
    if dsntnn := optional("dsntnn", missing):
        found["dsntnn"] = Peer(lambda x: dsntnn.dsnt(dsntnn.flat_softmax(x), normalized_coordinates=False), True)
    if kornia := optional("kornia.geometry.subpix", missing):
        found["kornia"] = Peer(lambda x: kornia.spatial_soft_argmax2d(x, normalized_coordinates=False), True)
    return found


def _expected(weights, index, x):
    return weights(x) @ index


def _sparse_packages(toolkit, workload, missing):
    entmax = optional("entmax", missing)
    if not entmax:
        return {}
    named = {2.0: "sparsemax", 1.5: "entmax15"}.get(workload.alpha)
    if named:
        top = getattr(entmax, named)
        maps = {f"{named} k={k}": partial(top, dim=-1, k=k) for k in (16, 64, 100)}
    else:
        maps = {"entmax bisect": partial(entmax.entmax_bisect, alpha=workload.alpha, dim=-1)}
    if workload.kind == "weights":
        return {name: Peer(f) for name, f in maps.items()}
    index = toolkit.asarray(np.arange(workload.shape[-1], dtype=np.float32))
    return {name: Peer(partial(_expected, f, index)) for name, f in maps.items()}


def peers(toolkit: Toolkit, workload: Workload, missing: dict[str, str], compiled: bool) -> dict[str, Peer]:
    """Return the best that there is for a workload, and note in `missing` which packages are not there."""
    if workload.alpha != 1:
        return _sparse_packages(toolkit, workload, missing)
    found = _of_the_framework(toolkit, workload)
    if toolkit.name == "torch":
        naive = next(peer.function for name, peer in found.items() if name.endswith(("sum", "sums")))
        if workload.kind == "coordinates":
            found |= _heatmap_packages(missing)
        if compiled:
            toolkit.xp.compiler.reset()
            found[COMPILED] = Peer(toolkit.xp.compile(naive, dynamic=False), apart=True)
            found[OURS_COMPILED] = Peer(toolkit.xp.compile(ours(workload), dynamic=False), apart=True)
    return found


def ours(workload: Workload) -> Function:
    """Return the library's own function for a workload."""
    from ..operators import soft_argmax, spatial_soft_argmax
    from ..weights import soft_one_hot

    if workload.kind == "coordinates":
        return spatial_soft_argmax
    function: Function = soft_one_hot if workload.kind == "weights" else soft_argmax
    return partial(function, axis=workload.axis, alpha=workload.alpha)

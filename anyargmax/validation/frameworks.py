"""The frameworks as the validation sees them: arrays in and out, and derivatives by their own means."""

import contextlib
import importlib
import re
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from .._compat import array_namespace, to_device
from .._frameworks import binding, tape
from .._frameworks.binding import of_namespace
from .._frameworks.names import MODULES, PROBES
from .._frameworks.registry import registered
from .tolerance import dtype_name

STANDARD = ("float32", "float64")


class Backend(NamedTuple):
    """One framework: what it takes to run a function in it and to look at the outcome in NumPy.

    Parameters
    ----------
    name : str
        The name of the framework.
    xp : module
        Its Array API namespace.
    asarray : callable
        ``asarray(values, dtype=None, device=None)``: an array of the framework. The dtype is a name, such as
        ``"float32"``.
    to_numpy : callable
        ``to_numpy(array)``: a NumPy array (float64 of bfloat16).
    vjp : callable
        ``vjp(f, *arrays)``, as `anyargmax.vjp`.
    jvp : callable
        ``jvp(f, arrays, tangents)``, as `anyargmax.jvp`.
    second : callable or None
        ``second(f, arrays, g, t)``: the gradient of ``<t, J^T g>``. None where the framework has no second order.
    dtypes : tuple of str
        The floating-point dtypes that it has.
    default_float : str
        The dtype of what is computed from integers.
    find_device : callable
        ``find_device(name)``: its device of a name; raises LookupError if there is none.
    scope : callable
        ``scope(dtype)``: a context in which it has the dtype.
    compile : callable
        ``compile(f)``: the function, compiled where that saves time.
    version : str
        The version of the framework.
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
        if dtype_name(x) == "bfloat16":  # NumPy has no such dtype
            return np.asarray(ops.xp.astype(x, ops.xp.float32), dtype=np.float64)
        return np.asarray(x)

    return to_numpy


def _only_cpu(name):
    if name != "cpu":
        raise LookupError(f"has no device {name!r}")


def _version(module):
    """The version of a framework, whose distribution may have another name than its module."""
    try:
        return version(module)
    except PackageNotFoundError:
        return importlib.import_module(module).__version__


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
        "second": _nested(fields.get("vjp", ops.vjp)),
        "dtypes": STANDARD,
        "default_float": re.findall(r"float\d+", str(ops.default_float()))[0],
        "find_device": _only_cpu,
        "scope": _any_scope,
        "compile": _as_it_is,
        "version": _version(MODULES[name]) if name in MODULES else "",
    }
    return Backend(name, **(common | fields))


def _in_chunks(values, dtype=None, device=None):
    """Dask's array in two chunks along the last axis, so that a reduction crosses chunks."""
    values = np.array(values, dtype=dtype)
    last = tuple(max(1, (n + 1) // 2) for n in values.shape[-1:])
    return importlib.import_module("dask.array").from_array(values, chunks=values.shape[:-1] + last)


# What is different in the frameworks without differentiation, whose derivatives are those of the rules.
_UNDIFFERENTIATED: dict[str, dict[str, Any]] = {
    "numpy": {"dtypes": ("float16", *STANDARD)},
    "dask": {"asarray": _in_chunks},
    "cupy": {"to_numpy": lambda x: to_device(x, "cpu")},
}


def load(name: str) -> Backend:
    """Return a framework by its name, after importing it; one that was registered as it is.

    Parameters
    ----------
    name : str
        ``"numpy"``, ``"autograd"``, ``"torch"``, ``"torch-func"`` (torch under its function transforms), ``"jax"``,
        ``"tensorflow"``, ``"array_api_strict"``, ``"dask"``, ``"cupy"``, or the name of a registered one.

    Returns
    -------
    Backend
        What it takes to run a function in the framework and to look at the outcome in NumPy.

    Raises
    ------
    ValueError
        If there is no such name.
    ImportError
        If the framework cannot be imported.

    Examples
    --------
    >>> from anyargmax import soft_argmax
    >>> from anyargmax.validation import load
    >>> backend = load("autograd")
    >>> print(backend.to_numpy(soft_argmax(backend.asarray([0.0, 1.0, 3.0], "float32"))).round(4))
    1.8018
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


# What is imported before a framework where it is installed: Triton's LLVM, which torch loads later, aborts the process if
# TensorFlow's is there already. The reverse does not.
_BEFORE = {"tensorflow": "triton"}


@cache
def _installed(name: str) -> Backend:
    if name in _BEFORE and find_spec(_BEFORE[name]):
        importlib.import_module(_BEFORE[name])
    module = importlib.import_module(MODULES[name])
    framework = name.partition("-")[0]
    if framework in PROBES:
        probe = importlib.import_module(f"{__package__.rpartition('.')[0]}.backends.{framework}.probe")
        return _backend(name, getattr(binding, framework), **probe.VIEWS[name])
    fields = {"vjp": tape.vjp, "jvp": tape.jvp, "second": None, **_UNDIFFERENTIATED.get(name, {})}
    example = fields["asarray"]([0.0]) if "asarray" in fields else module.asarray([0.0])
    return _backend(name, of_namespace(array_namespace(example)), **fields)

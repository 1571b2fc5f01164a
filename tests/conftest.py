"""The frameworks under test, the tolerances, and nothing that is checked."""

import importlib
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import anyargmax
from anyargmax import _plain

# Every tolerance of the suite, in multiples of the eps of the dtype that was computed in, on results
# scaled to 1 (positions by the largest position, gradients by the cotangent and the temperature too).
# Measured largest errors are about a third of these.
TOLERANCE = {"value": 16, "derivative": 64}
EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
COMPUTED_IN = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}
DTYPES = ("float16", "bfloat16", "float32", "float64")


def dtype_name(array) -> str:
    """``float32`` for ``torch.float32`` and its like."""
    return str(array.dtype).rpartition(".")[2]


class Backend(NamedTuple):
    """One framework, as far as the tests need to know it."""

    name: str
    xp: Any
    asarray: Callable[..., Any]
    to_numpy: Callable[[Any], np.ndarray]
    vjp: Callable[..., Any]
    jvp: Callable[..., Any]
    dtypes: tuple[str, ...]
    argmax: Callable[..., Any]
    default_float: str = "float64"


def _module_array(xp):
    def array(values, dtype=None):
        return xp.asarray(values, dtype=None if dtype is None else getattr(xp, dtype))

    return array


def _numpy_backend(name, vjp, jvp, xp=np):
    return Backend(name, xp, _module_array(np), np.asarray, vjp, jvp, ("float16", "float32", "float64"), np.argmax)


def _numpy():
    return _numpy_backend("numpy", _plain.vjp, _plain.jvp)


def _autograd():
    importlib.import_module("autograd")
    return _numpy_backend("autograd", anyargmax.vjp, anyargmax.jvp)


def _torch_array(torch):
    return lambda values, dtype=None: torch.asarray(np.array(values)).to(
        None if dtype is None else getattr(torch, dtype)
    )


def _torch(name="torch", vjp=anyargmax.vjp, jvp=anyargmax.jvp):
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)

    def to_numpy(x):
        x = x.detach()
        return (x.double() if x.dtype == torch.bfloat16 else x).numpy()

    return Backend(name, torch, _torch_array(torch), to_numpy, vjp, jvp, DTYPES, torch.argmax, "float32")


def _torch_func():
    func = importlib.import_module("torch.func")
    return _torch("torch-func", func.vjp, func.jvp)


def _jax():
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    numpy = importlib.import_module("jax.numpy")

    def to_numpy(x):
        return np.asarray(x, dtype=np.float64 if x.dtype == numpy.bfloat16 else None)

    return Backend("jax", numpy, _module_array(numpy), to_numpy, anyargmax.vjp, anyargmax.jvp, DTYPES, numpy.argmax)


def _strict():
    xp = importlib.import_module("array_api_strict")
    xp.set_array_api_strict_flags(boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=())

    def array(values, dtype=None):
        return xp.asarray(np.asarray(values), dtype=None if dtype is None else getattr(xp, dtype))

    return Backend(
        "array_api_strict", xp, array, np.asarray, anyargmax.vjp, anyargmax.jvp, ("float32", "float64"), xp.argmax
    )


def _dask():
    da = importlib.import_module("dask.array")

    def array(values, dtype=None):
        values = np.asarray(values, dtype=dtype)
        last = tuple(max(1, (n + 1) // 2) for n in values.shape[-1:])
        return da.from_array(values, chunks=values.shape[:-1] + last)

    return Backend("dask", da, array, np.asarray, anyargmax.vjp, anyargmax.jvp, ("float32", "float64"), da.argmax)


LOADERS = {
    "numpy": _numpy,
    "autograd": _autograd,
    "torch": _torch,
    "torch-func": _torch_func,
    "jax": _jax,
    "array_api_strict": _strict,
    "dask": _dask,
}
MANDATORY = tuple(filter(None, os.environ.get("ANYARGMAX_BACKENDS", "").split(",")))
KNOWN = (*LOADERS, "keras")


def load(name: str) -> Backend | str:
    """Return the backend, or why it is missing. One that ANYARGMAX_BACKENDS names may not be missing."""
    try:
        return LOADERS[name]()
    except ModuleNotFoundError as error:
        if name in MANDATORY or error.name is None:
            raise
        return f"{name} is not installed: {error}"


unknown = [name for name in MANDATORY if name not in KNOWN]
if unknown:
    raise ValueError(f"ANYARGMAX_BACKENDS must name some of {', '.join(KNOWN)}, got {', '.join(unknown)}.")
LOADED = {name: load(name) for name in LOADERS}
PRESENT = {name: backend for name, backend in LOADED.items() if isinstance(backend, Backend)}


def backend_parameters(names=tuple(LOADERS)):
    """One pytest parameter for each framework; a missing one is a skip that says why."""
    return [
        pytest.param(LOADED[name], id=name)
        if name in PRESENT
        else pytest.param(None, id=name, marks=pytest.mark.skip(reason=str(LOADED[name])))
        for name in names
    ]


def backend_dtype_parameters():
    """One pytest parameter for each framework and dtype that it has: read in `backend_dtype`."""
    return [
        pytest.param((LOADED[name], dtype), id=f"{name}-{dtype}")
        if name in PRESENT
        else pytest.param(None, id=f"{name}-{dtype}", marks=pytest.mark.skip(reason=str(LOADED[name])))
        for name in LOADERS
        for dtype in (PRESENT[name].dtypes if name in PRESENT else ("float64",))
    ]


@pytest.fixture(params=backend_parameters())
def backend(request) -> Backend:
    return request.param


@pytest.fixture(params=backend_dtype_parameters())
def backend_dtype(request) -> tuple[Backend, str]:
    return request.param


@pytest.fixture
def rng(request) -> np.random.Generator:
    """Random numbers that depend on nothing but the test's name without its parameters."""
    return np.random.default_rng(sum(request.function.__name__.encode()))


def pytest_terminal_summary(terminalreporter):
    """Print what the random search recorded: how many steps a threshold took at most."""
    for report in terminalreporter.stats.get("passed", ()):
        for name, text in report.user_properties:
            if name == "steps":
                terminalreporter.write_line(text)

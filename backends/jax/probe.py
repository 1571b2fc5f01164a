"""What the checks of `anyargmax.validation` need of JAX beside the adapter: its dtypes, devices and the scope of 64 bits."""

import contextlib
import importlib
from typing import Any

import jax

DTYPES = ("float16", "bfloat16", "float32", "float64")


config: Any = jax.config  # whose flags its types do not name


def find_device(name):
    """Return the device of a name, such as ``cpu`` or ``cuda:1``.

    Raises
    ------
    LookupError
        If there is no such device here.
    """
    kind, _, number = name.partition(":")
    try:
        return jax.devices(kind)[int(number or 0)]
    except (RuntimeError, IndexError, ValueError) as error:
        raise LookupError(f"has no device {name!r}") from error


def scope(dtype):
    """Return a context in which JAX has the dtype: float64 where 64 bits are enabled."""
    if dtype != "float64" or config.jax_enable_x64:
        return contextlib.nullcontext()
    return (jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")).enable_x64(True)


VIEWS = {"jax": {"dtypes": DTYPES, "find_device": find_device, "scope": scope, "compile": jax.jit}}

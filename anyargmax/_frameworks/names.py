"""The frameworks by name: which arrays are theirs, and which functions can be checked on. Nothing here imports one."""

import importlib
import pkgutil
from importlib.util import find_spec
from typing import NamedTuple


class Probe(NamedTuple):
    """How the arrays of a framework are told, once somebody has imported it: by classes in one of its modules."""

    module: str
    classes: tuple[str, ...]


# The frameworks that differentiate, by the names of their folders in `backends`.
PROBES = {
    "torch": Probe("torch", ("Tensor",)),
    "jax": Probe("jax", ("Array", "core.Tracer")),
    "tensorflow": Probe("tensorflow", ("Tensor", "Variable")),
    "autograd": Probe("autograd.tracer", ("Box",)),
}

# What is imported for each. torch-func is torch under its function transforms, which take another route.
MODULES = {
    "numpy": "numpy",
    "autograd": "autograd",
    "torch": "torch",
    "torch-func": "torch",
    "jax": "jax",
    "tensorflow": "tensorflow",
    "array_api_strict": "array_api_strict",
    "dask": "dask",
    "cupy": "cupy",
}


def adapted() -> tuple[str, ...]:
    """Return the names of the frameworks whose adapters this copy of the library has, and of those that need none."""
    backends = importlib.import_module(f"{__package__.rpartition('.')[0]}.backends")
    adapters = {module.name for module in pkgutil.iter_modules(backends.__path__)}
    return tuple(
        name for name in MODULES if (framework := name.partition("-")[0]) not in PROBES or framework in adapters
    )


def installed() -> tuple[str, ...]:
    """Return the names of the frameworks that can be used here: with their adapters, and importable."""
    return tuple(name for name in adapted() if find_spec(MODULES[name]))

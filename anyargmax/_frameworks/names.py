"""The frameworks by name: which arrays are theirs, and which functions can be checked on. Nothing here imports one."""

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


def installed() -> tuple[str, ...]:
    """Return the names of the frameworks that can be imported here."""
    return tuple(name for name, module in MODULES.items() if find_spec(module))

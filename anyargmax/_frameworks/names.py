"""The frameworks that functions can be checked on, by name. Nothing here imports one."""

from importlib.util import find_spec

# What is imported for each. torch-func is torch under its function transforms, which take another route.
MODULES = {
    "numpy": "numpy",
    "autograd": "autograd",
    "torch": "torch",
    "torch-func": "torch",
    "jax": "jax",
    "array_api_strict": "array_api_strict",
    "dask": "dask",
    "cupy": "cupy",
}


def installed() -> tuple[str, ...]:
    """Return the names of the frameworks that can be imported here."""
    return tuple(name for name, module in MODULES.items() if find_spec(module))

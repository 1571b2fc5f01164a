"""anyargmax: one differentiable argmax for every array framework."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from . import sampling
from ._frameworks.registry import register_backend
from .derivatives import jvp, vjp
from .expectations import expectation, spatial_expectation
from .losses import fenchel_young_loss
from .operators import soft_argmax, soft_argmax_moments, soft_argmin, spatial_soft_argmax
from .sampling import straight_through
from .weights import sharpen, soft_one_hot, soft_top_k

if TYPE_CHECKING:
    from . import backends as backends
    from . import validation as validation

__version__ = "0.1.0"

__all__ = [
    "expectation",
    "fenchel_young_loss",
    "jvp",
    "register_backend",
    "sampling",
    "sharpen",
    "soft_argmax",
    "soft_argmax_moments",
    "soft_argmin",
    "soft_one_hot",
    "soft_top_k",
    "spatial_expectation",
    "spatial_soft_argmax",
    "straight_through",
    "vjp",
]
_ON_FIRST_USE = ("backends", "validation")  # what `import *` leaves alone, for it would import NumPy


def __dir__() -> list[str]:
    there = [name for name in _ON_FIRST_USE if find_spec(f"{__name__}.{name}")]
    return sorted([*__all__, *there, *(name for name in globals() if name.startswith("__"))])


if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name):
        if name not in _ON_FIRST_USE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = f"{__name__}.{name}"
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            option = " with `--with-validation`" if name == "validation" else ""
            raise ModuleNotFoundError(
                f"`{module}` must be there, but this copy of the library has none. Vendor it again{option}.",
                name=module,
            ) from None

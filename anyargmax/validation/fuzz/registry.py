"""The properties that random calls are held to, by their names."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..catalogue import FUNCTIONS
from ..invariants import READERS
from .case import Case
from .scores import INTEGERS, KINDS

NAMES = tuple(FUNCTIONS)
OF_SCORES = tuple(name for name in NAMES if name not in (*READERS, "sharpen"))
POSITIONS = ("soft_argmax", "soft_argmin", "soft_argmax_moments", "spatial_soft_argmax")
FLOATS = ("float64", "float32", "float16", "bfloat16")
WHOLE = tuple(INTEGERS)
# How often each framework is drawn: JAX compiles every new call for a tenth of a second, Dask and the strict
# namespace run a hundred small operations in Python, so that one of them costs as much as all the others.
OFTEN = {
    "numpy": 8,
    "autograd": 6,
    "torch": 8,
    "torch-func": 3,
    "jax": 1,
    "tensorflow": 2,
    "array_api_strict": 1,
    "dask": 1,
    "cupy": 8,
}


class Property(NamedTuple):
    """What must hold of a drawn call, and which calls it is said of."""

    name: str
    holds: Callable[[Case], None]  # raises an AssertionError
    share: float = 1.0  # of the calls, in parts of what a cheap property gets
    functions: tuple[str, ...] = NAMES
    frameworks: tuple[str, ...] = tuple(OFTEN)
    dtypes: tuple[str, ...] = FLOATS
    kinds: tuple[str, ...] = KINDS
    longest: int = 0
    entries: int = 512
    together: int = 1
    arrays: bool = False  # whether options that may be arrays are
    least: int = 12  # calls that are drawn together: fewer are hardly varied
    fixed: Mapping[str, Any] = MappingProxyType({})


PROPERTIES: dict[str, Property] = {}


def prop(name: str, **wanted: Any) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Register a property under a name."""

    def register(holds: Callable[[Case], None]) -> Callable[[Case], None]:
        PROPERTIES[name] = Property(name, holds, **wanted)
        return holds

    return register

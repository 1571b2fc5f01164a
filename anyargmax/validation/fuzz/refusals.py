"""Bad values of every option: each must get the library's own error, which names the parameter."""

import inspect
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from ..catalogue import FUNCTIONS, bound
from ..frameworks import Backend
from .case import Case
from .drawing import is_scores, parameters
from .kinds import ARRAYS
from .registry import prop
from .running import first, put_options, scope

LIBRARY = Path(__file__).resolve().parents[2]


def bad_values(case: Case) -> list[tuple[str, str]]:
    """Every parameter of the function with each value, written as Python, that must be refused in its place."""
    found = inspect.signature(FUNCTIONS[case.call.function]).parameters.values()
    pairs = [(p.name, text) for p in found if is_scores(p) for text in ARRAYS[p.annotation]]
    kinds = parameters(FUNCTIONS[case.call.function])
    return pairs + [(name, text) for name, (kind, _) in kinds.items() for text in kind.bad]


def chosen(case: Case) -> tuple[str, str]:
    """The parameter and the bad value that a case is about."""
    pairs = bad_values(case)
    return pairs[case.pick % len(pairs)]


@prop(
    "every bad value is refused by name",
    share=1.5,
    frameworks=("numpy",) * 6 + ("torch",) * 5 + ("jax", "array_api_strict"),
    dtypes=("float64", "float32"),
    kinds=("grid",),
    entries=64,
)
def refused(case: Case) -> None:
    backend = first(case)
    name, text = chosen(case)
    place = {"np": np, "like": backend.asarray}
    with scope(case, backend):
        value = eval(text, place)
        try:
            y = called(case, backend, name, value)
        except Exception as error:
            _assert_ours(error, name, next(iter(inspect.signature(FUNCTIONS[case.call.function]).parameters)), text)
            return
    raise AssertionError(f"`{name}={text}`: expected TypeError or ValueError, got the answer {str(y)[:200]}")


def called(case: Case, backend: Backend, name: str, value: Any) -> Any:
    """Call with one argument replaced."""
    options = case.call.options | put_options(case, backend)
    if name in parameters(FUNCTIONS[case.call.function]):
        x = backend.asarray(case.x, case.dtype)
        return bound(case.call._replace(options=options | {name: value}, arrays={}), None)(x)
    return bound(case.call._replace(options=options, arrays={}), None)(value)


def _assert_ours(error: Exception, name: str, scores: str, text: str) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    file = Path(frames[-1].filename).resolve()
    shown = f"{type(error).__name__}: {str(error)[:300]}"
    inside = file.is_relative_to(LIBRARY) and not file.is_relative_to(LIBRARY / "validation")
    inside = inside or file.is_relative_to(LIBRARY.parent / "backends")
    assert isinstance(error, (TypeError, ValueError)), f"`{name}={text}`: expected TypeError or ValueError, got {shown}"
    assert inside, f"`{name}={text}`: expected an error of the library, got one from {file.name}: {shown}"
    mixed = "be of one framework" in str(error) and f"`{scores}`" in str(error)
    assert mixed or f"`{name}`" in str(error), f"`{name}={text}`: expected a message with `{name}`, got {shown}"

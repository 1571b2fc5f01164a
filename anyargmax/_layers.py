"""What the layers of all frameworks share: the options of `soft_argmax`, taken from its signature."""

import inspect
from collections.abc import Mapping
from typing import Any

from .operators import soft_argmax

_PARAMETERS = inspect.signature(soft_argmax).parameters
# Each option of a layer and its default: all that `soft_argmax` takes but what comes with a call.
OPTIONS = {name: p.default for name, p in _PARAMETERS.items() if name not in ("x", "axis", "mask")}


def options_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every option with its value, the default where none is given.

    Raises
    ------
    TypeError
        If there is no such option.
    """
    unknown = [name for name in given if name not in OPTIONS]
    if unknown:
        raise TypeError(
            f"`SoftArgmax` must be given options out of {', '.join(OPTIONS)}, got {', '.join(map(repr, unknown))}. "
            "Correct or remove them."
        )
    return {**OPTIONS, **given}


def signature(*more: inspect.Parameter) -> inspect.Signature:
    """Return the signature of a layer: the axis, by default the last, then the options by name, and more."""
    axis = _PARAMETERS["axis"].replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD, default=-1)
    return inspect.Signature([axis, *(_PARAMETERS[name] for name in OPTIONS), *more])

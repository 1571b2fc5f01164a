"""Calls drawn from the signatures of functions: a new option is drawn as soon as it is annotated."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from ..._calls import annotations as named
from ..catalogue import Call
from .case import Case, Scene
from .kinds import ARRAYS, AXES, Kind, kind_of
from .scores import KINDS, THRESHOLDS, scores
from .values import Draw, bytes_of, number

FLOATS = ("float64", "float32", "float16", "bfloat16")


class Wanted(NamedTuple):
    """What a property wants of the calls that it is checked on."""

    frameworks: tuple[str, ...]
    dtypes: Mapping[str, tuple[str, ...]]  # those of each framework
    together: int = 1  # how many frameworks each call runs in; 0 is all
    kinds: tuple[str, ...] = KINDS
    longest: int = 0  # row, beyond the short ones
    entries: int = 512  # of the scores, but for long rows
    fixed: Mapping[str, Any] = MappingProxyType({})  # options that every call has
    arrays: bool = False  # whether options that may be arrays are


def parameters(f: Callable[..., Any]) -> dict[str, tuple[Kind, Any]]:
    """Return how each argument of a function but the scores is drawn, and its default; `empty` where it has none."""
    found = inspect.signature(f).parameters.values()
    return {p.name: (kind_of(p.annotation, p.name), p.default) for p in found if not is_scores(p)}


def is_scores(parameter: inspect.Parameter) -> bool:
    """Whether a parameter is what the function is of."""
    return parameter.annotation in ARRAYS


def axes_parameter(f: Callable[..., Any]) -> inspect.Parameter | None:
    """The parameter that says what is reduced."""
    return next((p for p in inspect.signature(f).parameters.values() if p.annotation in AXES), None)


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    axes = tuple(range(ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple(k % ndim for k in axes)


def _reduction(draw: Draw, parameter: inspect.Parameter | None) -> tuple[int, dict[str, Any], tuple[int, ...]]:
    """Draw a number of axes, and which of them are reduced."""
    least = 0 if parameter is not None and parameter.annotation in (named.AxisOrAll, named.AxesOrAll) else 1
    ndim = draw(st.sampled_from((1, 2, 2, 3, 3, 4, *(0,) * (not least))))
    if parameter is None:
        return ndim, {}, (ndim - 1,)
    default = parameter.default
    fits = default is None or all(-ndim <= k < ndim for k in (default if isinstance(default, tuple) else (default,)))
    if fits and draw(st.integers(0, 3)) == 0:
        return ndim, {}, _axes(default, ndim)
    axis = AXES[parameter.annotation].draw(draw, Scene((1,) * ndim, (), ""))
    return ndim, {} if axis is None and default is None else {parameter.name: axis}, _axes(axis, ndim)


def _shape(draw: Draw, ndim: int, axes: tuple[int, ...], wanted: Wanted) -> tuple[int, ...]:
    """Draw lengths: short ones, now and then one round a threshold, or a batch of none."""
    way = draw(st.integers(0, 15))
    lengths = (2, 3, 1) if len(axes) > 1 or ndim > 3 else (3, 2, 4, 5, 1, 6, 7, 8, 9)
    sizes = bytes_of(draw, ndim)
    shape = [lengths[sizes[k] % len(lengths)] if k in axes else int(sizes[k] % 3) + 1 for k in range(ndim)]
    others = [k for k in range(ndim) if k not in axes]
    if way == 15 and others:
        shape[others[0]] = 0
    long = [n for n in THRESHOLDS if n <= wanted.longest]
    if way in (13, 14) and long and axes:
        shape[axes[-1]] = draw(st.sampled_from(long)) + draw(st.sampled_from((0, -1, 1, 7)))
    while np.prod(shape, dtype=int) > wanted.entries and max(shape) < 10:
        shape[int(np.argmax(shape))] -= 1
    return tuple(shape)


def settled(options: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Leave out one of two options that are refused together, which `refusals` looks at."""
    if options.get("zero_background"):
        options.pop("alpha", None)
        arrays.pop("alpha", None)
    if options.get("readout") in ("moments", "covariance"):
        options.pop("hard", None)
    if options.get("hard"):
        options.pop("log", None)
    if "target" in arrays and arrays["target"].dtype.kind == "f":
        options.pop("ignore_index", None)


def _options(draw: Draw, f: Callable[..., Any], scene: Scene, wanted: Wanted):
    """Draw each option or leave it at its default."""
    options: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    kinds = {name: pair for name, pair in parameters(f).items() if pair[0] not in AXES.values()}
    given = bytes_of(draw, len(kinds)) % 5 > (1 if wanted.arrays else 2)
    for k, (name, (kind, default)) in enumerate(kinds.items()):
        if name in wanted.fixed:
            value = wanted.fixed[name]
        elif default is inspect.Parameter.empty or given[k]:
            value = kind.draw(draw, scene)
        else:
            continue
        if isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            options[name] = value
    settled(options, arrays)
    return options, arrays


def _places(draw: Draw, wanted: Wanted) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(wanted.frameworks))
    if not wanted.together or wanted.together >= len(names):
        return names
    chosen: list[str] = []
    while len(chosen) < wanted.together:
        chosen.append(draw(st.sampled_from([n for n in wanted.frameworks if n not in chosen])))
    return tuple(chosen)


def _is_of(f: Callable[..., Any], kind: Any) -> bool:
    """Whether what a function is of is annotated so."""
    return any(p.annotation == kind for p in inspect.signature(f).parameters.values())


def _weights(draw: Draw, wanted: Wanted, shape: tuple[int, ...], dtype: str) -> tuple[np.ndarray, str]:
    """Draw weights of any sign and sum, with a NaN now and then, but none that is infinite, or large enough to overflow."""
    kind = draw(st.sampled_from([kind for kind in wanted.kinds if kind in ("grid", "spread")] or ["grid"]))
    x, recipe = scores(draw, kind, shape, dtype, None)
    if not recipe and x.size and x.dtype.kind == "f" and draw(st.integers(0, 7)) == 7:
        x = x.copy()
        x.reshape(-1)[number(draw, x.size)] = np.nan
    return x, recipe


def _least(f: Callable[..., Any], options: Mapping[str, Any]) -> float | None:
    """0 where scores may not be negative; None where they may."""
    return 0.0 if _is_of(f, named.Shares) or options.get("zero_background") else None


@st.composite
def cases(draw: Draw, functions: Mapping[str, Callable[..., Any]], wanted: Wanted) -> Case:
    """Draw a call of one of the functions."""
    name = draw(st.sampled_from(sorted(functions)))
    f = functions[name]
    places = _places(draw, wanted)
    dtypes = [d for d in wanted.dtypes[places[0]] if all(d in wanted.dtypes[place] for place in places)]
    dtype = draw(st.sampled_from(dtypes))
    ndim, options, axes = _reduction(draw, axes_parameter(f))
    scene = Scene(_shape(draw, ndim, axes, wanted), axes, dtype, wanted.arrays)
    rest, arrays = _options(draw, f, scene, wanted)
    if _is_of(f, named.Weights):
        x, recipe = _weights(draw, wanted, scene.shape, dtype)
    else:
        x, recipe = scores(draw, draw(st.sampled_from(wanted.kinds)), scene.shape, dtype, _least(f, rest))
    seed, pick = number(draw, 256), number(draw, 2**16)
    return Case(
        Call(f"a call of {name}", name, scene.shape, options | rest, arrays), x, dtype, seed, pick, places, recipe
    )


def functions_drawn(functions: Sequence[Callable[..., Any]]) -> None:
    """Raise a TypeError for the first option of some functions that nothing says how to draw."""
    for f in functions:
        parameters(f)

"""Draw values of each kind of argument: arrays of NumPy, or plain numbers and words."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from .case import Scene

Draw = Callable[[Any], Any]


def one_of(*values: Any) -> Callable[[Draw, Scene], Any]:
    """Draw one of a few values, the first being the simplest."""
    strategy = st.sampled_from(values)
    return lambda draw, scene: draw(strategy)


def bytes_of(draw: Draw, size: int) -> np.ndarray:
    """Draw so many numbers from 0 to 255 at once, which is far quicker than one by one, and shrinks to zeros."""
    return np.frombuffer(draw(st.binary(min_size=size, max_size=size)), dtype=np.uint8).astype(int)


def number(draw: Draw, limit: int) -> int:
    """Draw a number below a limit of at most 2^16, out of bytes: hypothesis prefers integers that stand in modules, and
    which of those are loaded would decide what a seed means.
    """
    high, low = bytes_of(draw, 2)
    return int(256 * high + low) % limit


def _narrowed(draw: Draw, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Draw a shape that broadcasts against another: some axes of length 1, leading ones left out."""
    cut = draw(st.integers(0, 15))
    narrowed = tuple(1 if n and cut >> k & 1 and cut & 8 else n for k, n in enumerate(shape))
    first = 1 if cut == 15 and narrowed[:1] == (1,) else 0
    return narrowed[first:]


def of_reduced(values: tuple[float, ...]) -> Callable[[Draw, Scene], Any]:
    """Draw a number, or now and then an array of the reduced shape."""
    strategy = st.sampled_from(values)

    def drawn(draw: Draw, scene: Scene) -> Any:
        if not scene.arrays and draw(st.integers(0, 3)) != 3:
            return draw(strategy)
        shape = _narrowed(draw, scene.reduced)
        numbers = np.asarray([float(value) for value in values[:8]])
        return numbers[bytes_of(draw, int(np.prod(shape, dtype=int))) % len(numbers)].reshape(shape)

    return drawn


def mask(draw: Draw, scene: Scene) -> np.ndarray:
    shape = _narrowed(draw, scene.shape)
    size = int(np.prod(shape, dtype=int))
    if size > 64:
        return np.random.default_rng(number(draw, 1000)).random(shape) < 0.7
    dropped = draw(st.sampled_from((3, 2, 1)))  # of 3 entries; with 3 of them whole rows go
    return (bytes_of(draw, size) % 3 < dropped - (dropped == 3)).reshape(shape)


def positions(draw: Draw, scene: Scene) -> np.ndarray:
    n = scene.length
    laid = len(scene.axes) == 1 and draw(st.booleans())
    shape: tuple[int, ...] = (n,)
    if laid:
        shape = tuple(m if k in scene.axes else draw(st.sampled_from((1, m))) for k, m in enumerate(scene.shape))
    size = int(np.prod(shape, dtype=int))
    if size > 64:
        return np.random.default_rng(number(draw, 1000)).integers(-8, 9, shape) / 2
    return ((bytes_of(draw, size) % 33).astype(float) / 2 - 8).reshape(shape)


def target(draw: Draw, scene: Scene) -> np.ndarray:
    """Sixteenths that sum to 1 along the axes, or indices, counted in their order."""
    n, axes = scene.length, scene.axes
    others = tuple(k for k in range(len(scene.shape)) if k not in axes)
    rest = tuple(scene.shape[k] for k in others)
    rows = int(np.prod(rest, dtype=int))
    if draw(st.booleans()):
        return (bytes_of(draw, rows) % n).astype(np.int64).reshape(rest)
    counts = np.zeros((rows, n))
    places = bytes_of(draw, min(16 * rows, 64))
    for k in range(16 * rows if rows else 0):
        counts[k // 16, places[k % len(places)] % n] += 1 / 16
    laid = counts.reshape((*rest, *(scene.shape[k] for k in axes)))
    return np.transpose(laid, np.argsort(others + axes))


def window(draw: Draw, scene: Scene) -> Any:
    return draw(st.sampled_from((1, 0, 2, 3, 100)))


def windows(draw: Draw, scene: Scene) -> Any:
    if draw(st.booleans()):
        return tuple(draw(st.integers(0, 3)) for _ in scene.axes)
    return window(draw, scene)


def axis(draw: Draw, scene: Scene) -> Any:
    """Scenes of axes alone: an axis of so many, none of which is reduced yet."""
    ndim = len(scene.shape)
    return draw(st.sampled_from((-1, *range(ndim), *range(-ndim, -1))))


def several(draw: Draw, scene: Scene) -> tuple[int, ...]:
    ndim = len(scene.shape)
    order = draw(st.permutations(range(ndim)))
    signs = draw(st.integers(0, 15))
    chosen = order[: draw(st.integers(1, min(ndim, 3)))]
    return tuple(axis - ndim if signs >> k & 1 else axis for k, axis in enumerate(chosen))


def axis_or_all(draw: Draw, scene: Scene) -> Any:
    return None if not scene.shape or draw(st.integers(0, 5)) == 5 else axis(draw, scene)


def some_axes(draw: Draw, scene: Scene) -> Any:
    return several(draw, scene) if draw(st.integers(0, 3)) == 3 else axis(draw, scene)


def axes_or_all(draw: Draw, scene: Scene) -> Any:
    way = draw(st.integers(0, 3)) if scene.shape else 3
    return None if way == 3 else several(draw, scene) if way == 2 else axis(draw, scene)

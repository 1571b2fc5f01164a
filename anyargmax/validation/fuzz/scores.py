"""Random scores of several kinds, in every dtype: bytes that are drawn at once, or Python that makes long rows."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..._kernels.blocks.kernel import BLOCKS
from ..._kernels.native import NATIVE
from ..._kernels.support.sparse import SUPPORT
from ..._kernels.traced.contraction import CONTRACTION
from ..tolerance import COMPUTED_IN, round_to
from .values import Draw, bytes_of, number

KINDS = ("grid", "spread", "special", "constant")
GRID = np.asarray([0, *(sign * k / 2 for k in range(1, 9) for sign in (1, -1))])  # halves, with many ties
SPECIAL = np.asarray([*GRID[:9], 0.3, -0.7, np.nan, np.inf, -np.inf, 1e30, -1e30])
SCALES = (1.0, 0.01, 10.0, 100.0, 1000.0)
INTEGERS = {"int64": (-(2**53), 2**53), "int32": (-(2**31), 2**31 - 1), "int8": (-128, 127), "uint8": (0, 255)}
# Lengths at which another way is taken; from 2^16 on a call takes longer than all the others together.
THRESHOLDS = (
    BLOCKS.limits.few,
    BLOCKS.limits.columns,
    SUPPORT.limits.columns,
    CONTRACTION.limits.tiny,
    SUPPORT.limits.always,
    SUPPORT.limits.columns * SUPPORT.limits.depth,
    NATIVE.limits.alone,
    SUPPORT.limits.narrow,
)
SHORT = 64  # entries: up to so many are drawn one by one, and can be made simpler


def _grid(draw: Draw, size: int) -> np.ndarray:
    return GRID[bytes_of(draw, size) % len(GRID)]


def _spread(draw: Draw, size: int) -> np.ndarray:
    """Uniform numbers of 16 bits, 0 being the simplest, at a scale."""
    scale = draw(st.sampled_from(SCALES))
    pairs = bytes_of(draw, 2 * size).astype(np.int32)
    whole = 256 * pairs[:size] + pairs[size:]
    return scale * np.where(whole % 2 == 1, -(whole + 1) // 2, whole // 2) / 2**13


def _special(draw: Draw, size: int) -> np.ndarray:
    return SPECIAL[bytes_of(draw, size) % len(SPECIAL)]


def _constant(draw: Draw, size: int) -> np.ndarray:
    return np.full(size, draw(st.sampled_from((0.0, 1.5, -100.0, 1e30, -np.inf))))


DRAWN = {"grid": _grid, "spread": _spread, "special": _special, "constant": _constant}
RECIPES = {
    "grid": "np.random.default_rng({seed}).integers(-8, 9, {shape}) / 2",
    "spread": "{scale} * np.random.default_rng({seed}).normal(size={shape})",
    "special": "np.random.default_rng({seed}).choice([0, 1.5, -2, np.nan, np.inf, -np.inf, 1e30], {shape})",
    "constant": "np.full({shape}, {scale})",
}


def fitted(values: Any, dtype: str, least: float | None = None) -> np.ndarray:
    """Numbers of a dtype near some others: float64, or integers. ``least`` turns all to at least that."""
    x = np.asarray(values, dtype=np.float64)
    if least is not None:
        x = np.abs(x) + least
    if dtype in COMPUTED_IN:
        with np.errstate(over="ignore"):
            rounded = round_to(x, dtype)
        largest = 3e38 if dtype == "bfloat16" else float(np.finfo(dtype).max)
        return np.where(np.isinf(rounded) & np.isfinite(x), np.sign(x) * round_to(largest, dtype), rounded)
    low, high = INTEGERS.get(dtype, (0, 2**32 - 1))
    with np.errstate(over="ignore"):
        whole = np.clip(np.nan_to_num(np.round(2 * x)), low, high)
    return (np.abs(whole) if low == 0 else whole).astype(dtype)


def recipe(draw: Draw, kind: str, shape: tuple[int, ...]) -> str:
    """Python that makes a large array of a kind of scores."""
    seed, scale = number(draw, 1000), draw(st.sampled_from(SCALES))
    return RECIPES[kind].format(seed=seed, shape=shape, scale=scale)


def made(text: str) -> np.ndarray:
    """What a recipe makes."""
    return np.asarray(eval(text, {"np": np}))


def scores(draw: Draw, kind: str, shape: tuple[int, ...], dtype: str, least: float | None) -> tuple[np.ndarray, str]:
    """Draw scores of a kind and a dtype, and what they are made by if they are many."""
    size = int(np.prod(shape, dtype=int))
    if size > SHORT:
        text = recipe(draw, kind, shape)
        return fitted(made(text), dtype, least), text
    return fitted(DRAWN[kind](draw, size).reshape(shape), dtype, least), ""

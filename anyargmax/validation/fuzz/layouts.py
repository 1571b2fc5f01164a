"""Arrays of the same numbers that lie in memory in other ways."""

from typing import Any

import numpy as np

from ..frameworks import Backend

COMMON = ("transposed", "strided", "expanded", "a part of a larger array")
WAYS = {
    "numpy": ("reversed", "in Fortran's order", "read-only", "byte-swapped", *COMMON, "broadcast"),
    "torch": (*COMMON, "broadcast"),
}


def _strided(backend: Backend, values: np.ndarray, dtype: str | None) -> Any:
    """Every second entry of each axis."""
    wide = np.zeros(tuple(2 * n for n in values.shape), dtype=values.dtype)
    every = (slice(None, None, 2),) * values.ndim
    wide[every] = values
    return backend.asarray(wide, dtype)[every]


def _part(backend: Backend, values: np.ndarray, dtype: str | None) -> Any:
    """The middle of an array with NaN (or other numbers) round it."""
    around = np.nan if values.dtype.kind == "f" else 1
    wide = np.pad(values, 1, constant_values=around) if values.ndim else values
    return backend.asarray(wide, dtype)[(slice(1, -1),) * values.ndim] if values.ndim else backend.asarray(wide, dtype)


def _transposed(backend: Backend, values: np.ndarray, dtype: str | None) -> Any:
    return backend.xp.permute_dims(backend.asarray(values.T.copy(), dtype), tuple(range(values.ndim))[::-1])


def _expanded(backend: Backend, values: np.ndarray, dtype: str | None) -> Any:
    """With a stride of 0 along the first axis, where all are equal there; as it is elsewhere."""
    if (
        values.ndim
        and values.shape[0]
        and np.array_equal(values, np.broadcast_to(values[:1], values.shape), equal_nan=values.dtype.kind == "f")
    ):
        return backend.xp.broadcast_to(backend.asarray(values[:1], dtype), values.shape)
    return backend.asarray(values, dtype)


def _of_numpy(way: str, array: np.ndarray) -> np.ndarray:
    if way == "reversed":
        every = (slice(None, None, -1),) * array.ndim
        return array[every].copy()[every]
    if way == "in Fortran's order":
        return np.asarray(array, order="F")
    if way == "byte-swapped":
        return array.astype(array.dtype.newbyteorder())
    array.flags.writeable = False
    return array


def laid(backend: Backend, values: np.ndarray, dtype: str | None, way: str) -> Any:
    """Return an array of a framework that lies in memory in a way of ``WAYS``."""
    made = {"transposed": _transposed, "strided": _strided, "a part of a larger array": _part}
    if way in ("expanded", "broadcast"):
        return _expanded(backend, values, dtype)
    if way in made:
        return made[way](backend, values, dtype)
    return _of_numpy(way, backend.asarray(values, dtype))

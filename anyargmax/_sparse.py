"""The rules of sparse weights on compact memory: each returns what its rule would, or None to leave it to the rule."""

import math
from typing import Any

from . import _compacted, _engines
from ._relaxations import Relaxation
from ._rule import Array

LOWEST_ALPHA = 1.05  # below, hardly any score is out of reach of the largest


def _is_sparse(alpha, mask, axes, r: Relaxation) -> bool:
    """Whether the weights are sparse by a plain number, without a mask and along neighbouring axes."""
    if r.kind != "entmax" or r.alpha is None or not LOWEST_ALPHA <= r.alpha <= 2 or alpha is not None:
        return False
    return mask is None and bool(axes) and max(axes) - min(axes) + 1 == len(axes) and _engines.enabled()


def serves(ops, x, temperature, alpha, mask, *constants, axes, relaxation) -> bool:
    """Whether the rule has such weights, and plain memory holds everything it needs."""
    arrays = (x, temperature, *constants)
    return _is_sparse(alpha, mask, axes, relaxation) and all(_memory(ops, array) is not None for array in arrays)


def alone(ops, x, temperature, alpha, mask, positions, *, axes, relaxation) -> bool:
    """Whether `expectation` and its cotangent, which record nothing themselves, need no other rule."""
    if not _is_sparse(alpha, mask, axes, relaxation):
        return False
    arrays = [ops.detach(array) if hasattr(array, "shape") else array for array in (x, temperature, *positions)]
    return serves(ops, *arrays[:2], alpha, mask, *arrays[2:], axes=axes, relaxation=relaxation)


def _memory(ops, x: Array) -> Any:
    """The memory of an array as a NumPy array of a dtype to compute in; a number as it is; else None."""
    if not hasattr(x, "shape"):
        return 1.0 if x is None else x
    view = ops.memory(x)
    usable = view is not None and view.dtype.str[1:] in ("f4", "f8") and view.dtype.isnative and view.size
    return view if usable else None


def _support(ops, x, temperature, axes, relaxation):
    return _compacted.support(_memory(ops, x), _memory(ops, temperature), axes, relaxation.alpha)


def weights(ops, x, temperature, alpha, mask, *, axes, relaxation) -> Array | None:
    """Return the weights of the rule."""
    if not serves(ops, x, temperature, alpha, mask, axes=axes, relaxation=relaxation):
        return None
    held = _support(ops, x, temperature, axes, relaxation)
    return None if held is None else _dense(ops, held, held.weights, x)


def _dense(ops, held, values, x):
    return ops.from_memory(_compacted.dense(held, values, _memory(ops, x)), x)


def product(ops, v, p, x, temperature, alpha, *, axes, relaxation) -> Array | None:
    """Return ``J v / T`` at weights p: whatever mask they had, they are 0 there."""
    if not serves(ops, x, temperature, alpha, None, axes=axes, relaxation=relaxation):
        return None
    views = [_memory(ops, array) for array in (v, p)]
    if any(view is None or view.shape != tuple(x.shape) for view in views):
        return None
    held = _compacted.support_of(views[1], axes)
    if held is None or not all(map(math.isfinite, _extremes(_compacted.at(held, _memory(ops, x))))):
        return None
    moved = _compacted.product(held, _compacted.at(held, views[0]), _memory(ops, temperature), relaxation.alpha)
    return _dense(ops, held, moved, x)


def _extremes(values):
    return float(values.min()), float(values.max())


def expectation(ops, x, temperature, alpha, mask, positions, *, axes, relaxation) -> Array | None:
    """Return the expected positions without laying the weights out."""
    if not serves(ops, x, temperature, alpha, mask, *positions, axes=axes, relaxation=relaxation):
        return None
    held = _support(ops, x, temperature, axes, relaxation)
    if held is None:
        return None
    shape = tuple(n for axis, n in enumerate(x.shape) if axis not in axes)
    means = _compacted.means(held, _places(ops, held, x, positions, axes), shape)
    return ops.from_memory(means.astype(_memory(ops, x).dtype), x)


def expectation_vjp(ops, g, x, temperature, alpha, mask, positions, *, axes, relaxation) -> Array | None:
    """Return the cotangent of the scores, which is 0 off the support."""
    if not serves(ops, x, temperature, alpha, mask, *positions, g, axes=axes, relaxation=relaxation):
        return None
    held = _support(ops, x, temperature, axes, relaxation)
    if held is None:
        return None
    v = _compacted.spread(held, _memory(ops, g), _places(ops, held, x, positions, axes))
    return _dense(ops, held, _compacted.product(held, v, _memory(ops, temperature), relaxation.alpha), x)


def _places(ops, held, x, positions, axes):
    """The positions of the entries on the support, for each axis: each table varies along its own axis alone."""
    shape, last = tuple(x.shape), max(axes)
    return [
        _memory(ops, c).reshape(-1)[held.entry // math.prod(shape[axis + 1 : last + 1]) % shape[axis]]
        for axis, c in zip(axes, positions, strict=True)
    ]

"""The public functions after validation: what each composes of the rules. Pure functions of arrays."""

import math
from typing import Any, NamedTuple

from ._positions import along, table
from ._rule import Array
from ._scores import kept_and_peak, largest


class Options(NamedTuple):
    """The static options of a call, hashable so that a framework can compile once for each set."""

    axes: tuple[int, ...]
    dtype: Any
    kept: tuple[int, ...] = ()
    sign: int = 1
    flat: bool = False
    readout: str = "mean"
    hard: bool = False
    coordinates: str = "index"
    power: float = 1.0


def _scores(ops, x: Array, o: Options) -> Array:
    if x.dtype == o.dtype and o.sign == 1 and not o.flat:
        return x
    return ops.prepare(x, dtype=o.dtype, sign=o.sign, flat=o.flat)


def _argmax(ops, x: Array, mask: Array | None, o: Options) -> Array:
    """True at the first of the largest kept scores along the axes, compared in the dtype they came in."""
    xp = ops.xp
    x = ops.detach(x)
    if o.flat:
        x = xp.reshape(x, (-1,))
    if xp.isdtype(x.dtype, "integral"):
        x = x if o.sign == 1 else xp.bitwise_invert(x)  # decreasing, and unlike negation never out of range
        keep = xp.ones_like(x, dtype=xp.bool) if mask is None else xp.broadcast_to(mask, x.shape)
        lowest = xp.asarray(xp.iinfo(x.dtype).min, dtype=x.dtype, **ops.place(x))
        top = largest(ops, xp.where(keep, x, lowest), o.axes)
    else:
        x = x if o.sign == 1 else -x
        keep, top, _ = kept_and_peak(ops, x, mask, o.axes)
    sizes = [x.shape[axis] for axis in o.axes]
    rank = 0
    for axis, stride in zip(o.axes, [math.prod(sizes[k + 1 :]) for k in range(len(sizes))], strict=True):
        rank = rank + along(ops, xp.arange(x.shape[axis], **ops.place(x)) * stride, x.ndim, axis)
    first = -largest(ops, xp.where(keep & (x == top), -rank, -math.prod(sizes)), o.axes)
    return rank == first


def _at(ops, chosen: Array, positions: tuple[Array, ...], axes: tuple[int, ...]) -> Array:
    """The positions at the chosen entries, exactly: nothing is multiplied."""
    xp = ops.xp
    return xp.stack([xp.sum(xp.where(chosen, ops.detach(c), 0.0), axis=axes) for c in positions], axis=-1)


def weights(ops, x, temperature, mask, *, options: Options):
    """Scores to weights, in the dtype of x where that is floating."""
    o = options
    p = ops.weights(_scores(ops, x, o), temperature, mask, axes=o.axes)
    if o.hard:
        p = ops.straight_through(p, ops.xp.astype(_argmax(ops, x, mask, o), p.dtype))
    return _restored(ops, p, x)


def _answers(ops, x, temperature, mask, positions, o: Options) -> Array:
    """Scores to answers, one for each of the axes (or of the given positions), stacked last."""
    z = _scores(ops, x, o)
    if positions is None:
        given, places = False, tuple(table(ops, z, axis, o.coordinates) for axis in o.axes)
    else:
        given, places = True, (positions,)
    if o.readout == "mean" and not given:
        y = ops.expectation(z, temperature, mask, places, axes=o.axes)
    else:
        readout = {"mean": ops.mean, "median": ops.median, "moments": ops.moments}[o.readout]
        y = readout(ops.weights(z, temperature, mask, axes=o.axes), places, axes=o.axes)
    if o.hard:
        y = ops.straight_through(y, _at(ops, _argmax(ops, x, mask, o), places, o.axes))
    return y


def position(ops, x, temperature, mask, positions, *, options: Options):
    """Scores to one position a row, or to its mean and variance."""
    o = options
    y = _answers(ops, x, temperature, mask, positions, o)
    count = 2 if o.readout == "moments" else 1
    return ops.finish(y, axes=o.kept, count=count)


def coordinates(ops, x, temperature, mask, *, options: Options):
    """Scores to one coordinate for each of the axes, stacked last."""
    return _answers(ops, x, temperature, mask, None, options)


def sharpened(ops, p, *, options: Options):
    """``p^power`` normalised: the weights of the scores ``log p`` at temperature 1 / power."""
    o = options
    q = _scores(ops, p, o)
    # A power of 1 has a derivative at p = 0 that goes through no logarithm.
    q = ops.normalise(q, axes=o.axes) if o.power == 1 else ops.weights(ops.log(q), 1 / o.power, None, axes=o.axes)
    return _restored(ops, q, p)


def _restored(ops, p: Array, x: Array) -> Array:
    """Weights in the dtype of the input, where that is floating."""
    if x.dtype == p.dtype or not ops.xp.isdtype(x.dtype, "real floating"):
        return p
    return ops.prepare(p, dtype=x.dtype, sign=1, flat=False)

"""The arguments that several public functions share, validated together."""

import math
from functools import partial
from typing import Any

from . import _core, _engines, _validate
from ._core import Controls, Options
from ._relaxed import Relaxation, entmax


def reduced_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape with the axes reduced and kept with length 1."""
    return tuple(1 if axis in axes else n for axis, n in enumerate(shape))


def entmax_controls(ops, shape, axes, dtype, temperature, alpha, mask) -> tuple[Controls, Relaxation]:
    """Validate what goes with the scores: the arrays, and the relaxation that alpha names."""
    reduced = reduced_shape(shape, axes)
    number, order = _validate.entmax_order(ops, alpha, dtype, reduced)
    mask = _validate.boolean_mask(ops, mask, shape)
    temperature = _validate.positive_number(ops, temperature, "temperature", dtype, reduced)
    return Controls(temperature, order, mask), entmax(number)


def background(zero_background: Any, alpha: Any) -> bool:
    """Validate an option that goes with softmax only."""
    wanted = _validate.flag(zero_background, "zero_background")
    if wanted and (not _validate.is_number(alpha) or alpha != 1):
        raise ValueError(f"`zero_background` must go with alpha 1, got alpha {alpha!r}. Leave one of them out.")
    return wanted


def position(
    x,
    key,
    *,
    axis,
    keepdims,
    temperature,
    alpha,
    mask,
    positions,
    window,
    zero_background,
    readout,
    readouts=("mean", "median"),
    hard=False,
    sign=1,
):
    """Validate and run what reduces one axis, or the flattened array, to one position, and keep it under its key."""
    ops = _validate.operations(x, "x", temperature=temperature, alpha=alpha, mask=mask, positions=positions)
    shape, dtype = tuple(x.shape), _validate.real_floating(ops, x, "x")
    axes = _validate.all_axes(shape) if axis is None else (_validate.one_axis(axis, shape),)
    controls, relaxation = entmax_controls(ops, shape, axes, dtype, temperature, alpha, mask)
    flat = axis is None and len(shape) != 1
    if flat:
        controls, positions, shape = _flattened(ops, controls, positions, shape)
    options = Options(
        axes=(0,) if flat else axes,
        dtype=dtype,
        kept=axes if _validate.flag(keepdims, "keepdims") else (),
        sign=sign,
        flat=flat,
        readout=_validate.choice(readout, "readout", readouts),
        hard=_validate.flag(hard, "hard"),
        relaxation=relaxation,
        window=_validate.reach(window, 1),
        zero_background=background(zero_background, alpha),
    )
    if positions is not None:
        positions = _validate.position_table(ops, positions, dtype, shape, options.axes[0])
    if positions is not None or readout == "median":
        return _engines.run(ops, key, _core.position, x, (controls, positions), options)
    reduced = tuple(n for a, n in enumerate(x.shape) if a not in axes)
    if readout == "moments":
        make = partial(_engines.expectation, answer=(*reduced, 2))
        split = partial(ops.finish, axes=options.kept, count=2)
        return _engines.run_split(ops, key, _core.position, split, x, (controls, None), options, make)
    make = partial(_engines.expectation, answer=reduced_shape(tuple(x.shape), axes) if keepdims else reduced)
    return _engines.run(ops, key, _core.position, x, (controls, None), options, make)


def _flattened(ops, controls, positions, shape):
    """What goes with the scores, flattened as they will be."""
    xp = ops.xp
    temperature, alpha, mask = controls
    if mask is not None:
        mask = xp.reshape(xp.broadcast_to(mask, shape), (-1,))
    if hasattr(temperature, "shape"):
        temperature = xp.reshape(temperature, (1,))
    if alpha is not None:
        alpha = xp.reshape(alpha, (1,))
    if hasattr(positions, "shape") and tuple(positions.shape) == shape:
        positions = xp.reshape(positions, (-1,))
    return Controls(temperature, alpha, mask), positions, (math.prod(shape),)

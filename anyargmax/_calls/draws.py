"""The arguments of the functions that choose at random, validated together, and the calls that are made of them."""

from functools import partial
from typing import Any, get_args

from .._frameworks.kept_calls import maker
from .._frameworks.registry import Ops
from .._rules.positions import known_length
from .._rules.relaxations import WINNERS
from .._rules.rule import Array
from . import drawn, validate
from .annotations import Estimator
from .arguments import reduced_shape
from .composition import Controls, Options
from .making import made, made_among


def noise_of(ops: Ops, value: Any, dtype: Any, shape: tuple[int, ...], axis: int, leading: int = 0) -> Array:
    """Return noise in the compute dtype, with at least the scores' axes: it may be longer by leading ones, those of draws.

    At least so many leading ones are asked for.
    """
    if not validate.has_kind(ops, value, "real floating"):
        raise TypeError(
            f"`noise` must be a real floating-point array, got {validate.described(value)}. "
            f"Make it with `gumbel_noise` of {ops.name}, or pass another array of the shape of the scores."
        )
    got = tuple(value.shape)
    own, lead = got[len(got) - len(shape) :] if len(got) > len(shape) else got, len(got) - len(shape)
    padded = (1,) * max(-lead, 0) + own
    fits = all(
        None in (n, m) or n == m or (1 in (n, m) and k != axis)
        for k, (n, m) in enumerate(zip(padded, shape, strict=True))
    )
    if not fits or max(lead, 0) < leading:
        draws = "a leading axis of draws, and then " if leading else ""
        raise ValueError(
            f"`noise` must have {draws}a shape that broadcasts against that of the scores, {shape}, with length {shape[axis]} "
            f"along axis {axis}, after any number of leading axes for draws, got shape {got}. Make it with `gumbel_noise`."
        )
    if leading and got[0] == 0:
        raise ValueError(
            f"`noise` must have at least 1 draw to take a mean over, got shape {got}. Make it with `draws=(16,)`."
        )
    if value.dtype != dtype:
        value = ops.prepare(value, dtype=dtype, sign=1, flat=False)
    for _ in range(-lead):
        value = ops.xp.expand_dims(value, axis=0)
    return value


def result_shape(noise: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of scores beside noise that has at least their axes."""
    lead = len(noise) - len(shape)
    pairs = zip(noise[lead:], shape, strict=True)
    return (*noise[:lead], *(m if n == 1 else n for n, m in pairs))


def one_axis(axis: Any, shape: tuple[int, ...], noise: Any) -> int:
    """Return an axis of the scores, which are told from those of the draws."""
    if not shape:
        raise ValueError("`x` must have an axis to choose along, got shape (). Pass several scores.")
    try:
        return validate.one_axis(axis, shape)
    except ValueError as error:
        if not validate.is_array_like(noise) or len(noise.shape) <= len(shape):
            raise
        raise ValueError(f"{error} It counts among the axes of the scores, without those of the draws.") from None


@maker
def one_hot_drawn(x, noise, axis, temperature, mask, estimator):
    """Validate what chooses an entry at random, and make the call."""
    ops = validate.operations(x, "x", noise=noise, temperature=temperature, mask=mask)
    shape, dtype = tuple(x.shape), validate.real_floating(ops, x, "x")
    axis = one_axis(axis, shape, noise)
    estimator = validate.choice(estimator, "estimator", get_args(Estimator))
    leading = int(estimator == "gumbel-rao")
    fit = partial(noise_of, ops, dtype=dtype, shape=shape, axis=axis, leading=leading)
    full = result_shape(tuple(fit(noise).shape), shape)[leading:]
    options = Options(axes=(axis + len(full) - len(shape),), dtype=dtype, estimator=estimator)
    controls = _controls(ops, shape, full, options.axes, dtype, temperature, mask)
    return made_among(ops, drawn.one_hot, x, controls, noise, fit, options)


def _controls(ops: Ops, shape, full, axes, dtype, temperature, mask) -> Controls:
    """Validate a mask of the scores, and a temperature that may also be one a draw."""
    mask = validate.boolean_mask(ops, mask, shape)
    temperature = validate.positive_number(ops, temperature, "temperature", dtype, reduced_shape(full, axes))
    return Controls(temperature, None, mask)


@maker
def winners_drawn(x, k, noise, axis, temperature, mask):
    """Validate what chooses k entries at random, and make the call."""
    ops = validate.operations(x, "x", noise=noise, temperature=temperature, mask=mask)
    shape, dtype = tuple(x.shape), validate.real_floating(ops, x, "x")
    axis = one_axis(axis, shape, noise)
    k = validate.count_of_winners(k, known_length(x, axis))
    fit = partial(noise_of, ops, dtype=dtype, shape=shape, axis=axis)
    options = Options(axes=(axis,), dtype=dtype, relaxation=WINNERS["subset"]._replace(k=k))
    controls = _controls(ops, shape, shape, (axis,), dtype, temperature, mask)
    return made_among(ops, drawn.winners, x, controls, noise, fit, options)


@maker
def noise_given_choice(x, chosen, noise, axis, mask):
    """Validate what conditions noise on a choice, and make the call."""
    ops = validate.operations(x, "x", chosen=chosen, noise=noise, mask=mask)
    shape, dtype = tuple(x.shape), validate.real_floating(ops, x, "x")
    axis = one_axis(axis, shape, noise)
    fit = partial(noise_of, ops, dtype=dtype, shape=shape, axis=axis)
    full = result_shape(tuple(fit(noise).shape), shape)
    options = Options(axes=(axis + len(full) - len(shape),), dtype=dtype)
    controls = Controls(mask=validate.boolean_mask(ops, mask, shape))
    chosen = _choice(ops, chosen, full, options.axes[0])
    return made(ops, drawn.given_choice, x, (controls, chosen, fit(noise)), options)


def _choice(ops: Ops, value, full, axis):
    """Return a choice as Boolean one-hot weights or as integer indices with the axis kept, that broadcast against the result."""
    kinds = ("bool", "integral", "real floating")
    if not validate.has_kind(ops, value, kinds):
        raise TypeError(
            f"`chosen` must be a one-hot array or an array of integer indices, got {validate.described(value)}. "
            "Pass what `sample_one_hot` returned, or the index of each row's entry."
        )
    indices = bool(ops.xp.isdtype(value.dtype, "integral"))
    rest = tuple(n for k, n in enumerate(full) if k != axis)
    wanted, got = rest if indices else full, tuple(value.shape)
    padded = (1,) * (len(wanted) - len(got)) + got
    long = len(got) > len(wanted)
    if long or not validate.broadcasts(padded, wanted) or (not indices and padded[axis] not in (None, full[axis])):
        what = (
            "indices, of the shape of the result without the axis,"
            if indices
            else "one-hot, of the shape of the result,"
        )
        raise ValueError(
            f"`chosen` must be {what} {wanted}, got shape {got}. "
            + ("Convert one-hot integers to Booleans." if indices and got == full else "Give one choice a row.")
        )
    for _ in range(len(wanted) - len(got)):
        value = ops.xp.expand_dims(value, axis=0)
    if indices:
        return ops.xp.expand_dims(value, axis=axis)
    value = ops.detach(value)
    return (value == value) & (value != 0)


@maker
def replaced(surrogate, value):
    """Validate a value and the array whose gradient it is given, and make the call."""
    ops = validate.operations(surrogate, "surrogate", value=value)
    if not validate.has_kind(ops, surrogate, "real floating"):
        raise TypeError(
            f"`surrogate` must be a real floating-point array, got {validate.described(surrogate)}. It lends its gradient."
        )
    fit = partial(_value, ops, surrogate)
    options = Options(axes=(), dtype=surrogate.dtype)
    return made_among(ops, drawn.replaced, surrogate, Controls(), value, fit, options)


def _value(ops: Ops, surrogate, value):
    if not validate.has_kind(ops, value, ("bool", "integral", "real floating")):
        raise TypeError(
            f"`value` must be a real or Boolean array, got {validate.described(value)}. Pass an array of {ops.name}."
        )
    wanted, got = tuple(surrogate.shape), tuple(value.shape)
    if len(got) != len(wanted) or not all(None in (n, m) or n == m for n, m in zip(got, wanted, strict=True)):
        raise ValueError(
            f"`value` must have the shape of `surrogate`, {wanted}, got shape {got}. Reshape one, or broadcast it."
        )
    if value.dtype == surrogate.dtype:
        return value
    if ops.xp.isdtype(value.dtype, "real floating"):
        raise TypeError(
            f"`value` must have the dtype of `surrogate`, {surrogate.dtype}, or be of integers or Booleans, got {value.dtype}. "
            "Convert one of them."
        )
    return ops.xp.astype(value, surrogate.dtype)

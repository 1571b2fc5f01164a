"""The arguments of each public function, validated together, and the call that is made of them."""

import math
import numbers
from functools import partial
from typing import Any, get_args

from .._frameworks.registry import Ops
from .._rules.hard import ranks
from .._rules.positions import entries
from .._rules.relaxations import ENTMAX, GIVEN, LOGARITHM, SOFTMAX, WINNERS, Relaxation
from . import composition, validate
from .annotations import Answer, Coordinates, Readout, Readouts
from .composition import Controls, Options
from .making import Given, made, made_among, made_in_two
from .sharing import among, maker
from .targets import ignored_index, target_of

_ONE = get_args(Readout)  # the readouts that give one answer


def reduced_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape with the axes reduced and kept with length 1."""
    return tuple(1 if axis in axes else n for axis, n in enumerate(shape))


def entmax_controls(
    ops: Ops, shape, axes, dtype, temperature, alpha, mask, flat=False
) -> tuple[Controls, Given, Relaxation]:
    """Validate what goes with the scores: the arrays, what they were given as, and the relaxation that alpha names."""
    number, order = validate.entmax_order(ops, alpha, dtype, reduced_shape(shape, axes))
    given = Given(partial(_fitted, ops, shape, axes, dtype, order, flat), temperature, mask)
    relaxation = SOFTMAX if number == 1 else ENTMAX._replace(alpha=number)
    return given.fitted(temperature, mask), given, relaxation


def _fitted(ops: Ops, shape, axes, dtype, order, flat, temperature, mask) -> Controls:
    """Validate a temperature and a mask; if `flat` they go with scores that are flattened."""
    mask = validate.boolean_mask(ops, mask, shape)
    temperature = validate.positive_number(ops, temperature, "temperature", dtype, reduced_shape(shape, axes))
    controls = Controls(_entered(ops, temperature), _entered(ops, order), mask)
    return _flattened(ops, controls, shape) if flat else controls


def _entered(ops: Ops, value: Any) -> Any:
    """What shards of scores go with alike."""
    return value if ops.groups is None else ops.entered(value)


def background(zero_background: Any, alpha: Any) -> bool:
    """Validate an option that goes with softmax only."""
    wanted = validate.flag(zero_background, "zero_background")
    if wanted and (not validate.is_number(alpha) or alpha != 1):
        raise ValueError(f"`zero_background` must go with alpha 1, got alpha {alpha!r}. Leave one of them out.")
    return wanted


@maker
def position(
    x,
    axis,
    keepdims,
    temperature,
    alpha,
    mask,
    positions,
    window,
    zero_background,
    readout,
    hard,
    group,
    *,
    readouts=_ONE,
    sign=1,
):
    """Validate what reduces one axis, or the flattened array, to one position, and make the call."""
    ops = validate.operations(x, "x", temperature=temperature, alpha=alpha, mask=mask, positions=positions)
    shape, dtype = tuple(x.shape), validate.real_floating(ops, x, "x")
    axes = validate.all_axes(shape) if axis is None else (validate.one_axis(axis, shape),)
    flat = axis is None and len(shape) != 1
    if flat and window is None and _keeps_its_axes(ops, x, positions, readout):
        flat, positions = False, _counted(ops, x, axes, dtype, positions)
    if group is not None:
        ops = among(ops, group, x, axes, flat)
    controls, given, relaxation = entmax_controls(ops, shape, axes, dtype, temperature, alpha, mask, flat)
    options = Options(
        axes=(0,) if flat else axes,
        dtype=dtype,
        kept=axes if validate.flag(keepdims, "keepdims") else (),
        sign=sign,
        flat=flat,
        readout=validate.choice(readout, "readout", readouts),
        hard=validate.flag(hard, "hard"),
        relaxation=relaxation,
        window=validate.reach(window, 1),
        zero_background=background(zero_background, alpha),
    )
    if positions is not None:
        fit = partial(_table, ops, dtype, shape, flat, options.axes[0])
        return made_among(ops, composition.position, x, controls, positions, fit, options)
    return _position_made(ops, x, axes, controls, given, options)


def _keeps_its_axes(ops: Ops, x, positions, readout) -> bool:
    """Whether an array that lies in chunks is reduced along all axes in place of flattened: a median goes along one."""
    one_each = tuple(x.shape), (_size(tuple(x.shape)),)
    given = validate.is_array_like(positions)
    return (
        ops.spreads(x)
        and (positions is None or (given and tuple(positions.shape) in one_each))
        and isinstance(readout, str)
        and readout != "median"
    )


def _counted(ops: Ops, x, axes, dtype, positions):
    """Return positions of all entries, of the shape of an array that is not flattened although all of it is reduced."""
    if positions is None:
        return ops.xp.astype(ranks(ops, x, axes), dtype)
    return positions if positions.ndim == x.ndim else ops.xp.reshape(positions, tuple(x.shape))


def _position_made(ops: Ops, x, axes, controls, given, options):
    reduced = tuple(n for a, n in enumerate(x.shape) if a not in axes)
    if options.readout == "moments":
        split = partial(ops.finish, axes=options.kept, count=2)
        return made(ops, composition.position, x, (controls, None), options, given, (*reduced, 2), split)
    result_shape = reduced_shape(tuple(x.shape), axes) if options.kept else reduced
    return made(ops, composition.position, x, (controls, None), options, given, result_shape)


@maker
def smallest(x, *arguments):
    """Validate what reduces one axis, or the flattened array, to the position of the smallest score, and make the call."""
    return position(x, *arguments, sign=-1)


@maker
def moments(x, *arguments):
    """Validate what reduces one axis, or the flattened array, to a mean and a variance, and make the call."""
    return position(x, *arguments, readouts=("moments",))


@maker
def map_coordinates(x, axes, coordinates, temperature, alpha, mask, window, zero_background, readout, hard, group):
    """Validate what reduces a map to one coordinate for each of its axes, and make the call."""
    ops = validate.operations(x, "x", temperature=temperature, alpha=alpha, mask=mask)
    shape, dtype = tuple(x.shape), validate.real_floating(ops, x, "x")
    axes = validate.several_axes(axes, shape)
    if group is not None:
        ops = among(ops, group, x, axes)
    controls, given, relaxation = entmax_controls(ops, shape, axes, dtype, temperature, alpha, mask)
    options = Options(
        axes=axes,
        dtype=dtype,
        readout=validate.choice(readout, "readout", get_args(Readouts)),
        hard=validate.flag(hard, "hard"),
        coordinates=validate.choice(coordinates, "coordinates", get_args(Coordinates)),
        relaxation=relaxation,
        window=validate.reach(window, len(axes)),
        zero_background=background(zero_background, alpha),
    )
    rest = tuple(n for axis, n in enumerate(shape) if axis not in axes)
    if options.readout in ("moments", "covariance"):
        if options.hard:
            raise ValueError(
                f"`hard` must be False with readout {readout!r}, got True. A single entry has no variance."
            )
        if options.readout == "covariance":
            return made_in_two(ops, composition.coordinate_moments, x, controls, options, given)
        result_shape = (*rest, 2 * len(axes))
        return made(ops, composition.coordinate_moments, x, (controls,), options, given, result_shape, ops.halves)
    return made(ops, composition.coordinates, x, (controls,), options, given, (*rest, len(axes)))


@maker
def weighted(p, axis, positions, keepdims, readout, mask, group):
    """Validate what reads a position out of weights along one axis, or in the flattened array, and make the call."""
    ops = validate.operations(p, "p", mask=mask, positions=positions)
    shape, dtype = tuple(p.shape), validate.real_floating(ops, p, "p")
    axes = validate.all_axes(shape) if axis is None else (validate.one_axis(axis, shape),)
    flat = axis is None and len(shape) != 1
    if flat and _keeps_its_axes(ops, p, positions, readout):
        flat, positions = False, _counted(ops, p, axes, dtype, positions)
    if group is not None:
        ops = among(ops, group, p, axes, flat)
    given = Given(partial(_kept_weights, ops, shape, flat), 1.0, mask)
    controls = given.fitted(1.0, mask)
    options = Options(
        axes=(0,) if flat else axes,
        dtype=dtype,
        kept=axes if validate.flag(keepdims, "keepdims") else (),
        flat=flat,
        readout=validate.choice(readout, "readout", get_args(Answer)),
        relaxation=GIVEN,
    )
    if positions is not None:
        fit = partial(_table, ops, dtype, shape, flat, options.axes[0])
        return made_among(ops, composition.given_position, p, controls, positions, fit, options)
    if options.readout == "moments":
        return made(ops, composition.given_position, p, (controls, None), options)
    full = tuple(p.shape)
    result_shape = reduced_shape(full, axes) if options.kept else tuple(n for k, n in enumerate(full) if k not in axes)
    return made(ops, composition.given_position, p, (controls, None), options, given, result_shape)


def _kept_weights(ops: Ops, shape, flat, temperature, mask) -> Controls:
    """Validate a mask of weights, which have no temperature; if `flat` it goes with weights that are flattened."""
    controls = Controls(mask=validate.boolean_mask(ops, mask, shape))
    return _flattened(ops, controls, shape) if flat else controls


@maker
def map_weighted(p, axes, coordinates, readout, mask, group):
    """Validate what reads one coordinate for each of the axes out of weights, and make the call."""
    ops = validate.operations(p, "p", mask=mask)
    shape, dtype = tuple(p.shape), validate.real_floating(ops, p, "p")
    axes = validate.several_axes(axes, shape)
    if group is not None:
        ops = among(ops, group, p, axes)
    options = Options(
        axes=axes,
        dtype=dtype,
        readout=validate.choice(readout, "readout", get_args(Readouts)),
        coordinates=validate.choice(coordinates, "coordinates", get_args(Coordinates)),
        relaxation=GIVEN,
    )
    given = Given(partial(_kept_weights, ops, shape, False), 1.0, mask)
    controls = given.fitted(1.0, mask)
    if options.readout in ("moments", "covariance"):
        return made(ops, composition.given_coordinates, p, (controls,), options)
    result_shape = (*(n for k, n in enumerate(shape) if k not in options.axes), len(options.axes))
    return made(ops, composition.given_coordinates, p, (controls,), options, given, result_shape)


@maker
def one_hot(x, axis, temperature, alpha, mask, hard, log, group):
    """Validate what gives the weights of an argmax, and make the call."""
    ops = validate.operations(x, "x", temperature=temperature, alpha=alpha, mask=mask)
    shape, dtype = tuple(x.shape), validate.real_floating(ops, x, "x")
    if isinstance(axis, tuple):
        axes = validate.several_axes(axis, shape, "axis")
    else:
        axes = validate.all_axes(shape) if axis is None else (validate.one_axis(axis, shape),)
    if group is not None:
        ops = among(ops, group, x, axes)
    controls, given, relaxation = entmax_controls(ops, shape, axes, dtype, temperature, alpha, mask)
    hard, log = validate.flag(hard, "hard"), validate.flag(log, "log")
    if hard and log:
        raise ValueError(
            "`hard` must be False with log=True, got True. Take the logarithm of what you do with the winner."
        )
    if log and relaxation.alpha == 1:
        relaxation = LOGARITHM
    options = Options(axes=axes, dtype=dtype, hard=hard, relaxation=relaxation, log=log)
    return made(ops, composition.weights, x, (controls,), options, given)


@maker
def winners(x, k, axis, temperature, kind, mask, hard, group):
    """Validate what gives the weights of k winners, and make the call."""
    ops = validate.operations(x, "x", temperature=temperature, mask=mask)
    shape, dtype = tuple(x.shape), validate.real_floating(ops, x, "x")
    axes = (validate.one_axis(axis, shape),)
    if group is not None:
        ops = among(ops, group, x, axes)
    k = validate.count_of_winners(k, entries(ops, x, axes))
    mask = validate.boolean_mask(ops, mask, shape)
    temperature = validate.positive_number(ops, temperature, "temperature", dtype, reduced_shape(shape, axes))
    relaxation = WINNERS[validate.choice(kind, "kind", tuple(WINNERS))]._replace(k=k)
    if relaxation.product is not None and ops.groups:
        raise ValueError(
            f"`kind` must be 'capped' or 'sigmoid' for shards, got {kind!r}, which takes whole rows. Pass one of the others."
        )
    options = Options(axes=axes, dtype=dtype, hard=validate.flag(hard, "hard"), relaxation=relaxation)
    return made(ops, composition.weights, x, (Controls(_entered(ops, temperature), None, mask),), options)


@maker
def sharpened(p, axis, power, rounds, group):
    """Validate what raises weights to a power, and make the call."""
    ops = validate.operations(p, "p")
    shape, dtype = tuple(p.shape), validate.real_floating(ops, p, "p")
    axes = (validate.one_axis(axis, shape),)
    if group is not None:
        ops = among(ops, group, p, axes)
    options = Options(axes=axes, dtype=dtype, power=validate.total_power(power, rounds))
    return made(ops, composition.sharpened, p, (Controls(),), options)


@maker
def loss(x, target, axis, alpha, temperature, mask, ignore_index, group):
    """Validate what gives the loss of scores and a target, and make the call."""
    ops = validate.operations(x, "x", target=target, temperature=temperature, mask=mask)
    shape, dtype = tuple(x.shape), validate.real_floating(ops, x, "x")
    axes = validate.several_axes(axis, shape, "axis") if isinstance(axis, tuple) else (validate.one_axis(axis, shape),)
    if group is not None:
        ops = among(ops, group, x, axes)
    if not isinstance(alpha, numbers.Real):
        raise TypeError(f"`alpha` must be a number here, got {alpha!r}. Pass such as 1.5.")
    controls, _, relaxation = entmax_controls(ops, shape, axes, dtype, temperature, alpha, mask)
    target, ignored = target_of(ops, target, x, controls.mask, axes, ignored_index(ignore_index))
    options = Options(axes=axes, dtype=dtype, relaxation=relaxation, ignored=ignored)
    return made(ops, composition.loss, x, (controls, target), options)


def _table(ops: Ops, dtype, shape, flat, axis, positions):
    """Validate positions of the entries along an axis of an array, which is flattened if `flat`."""
    if flat and validate.is_array_like(positions) and tuple(positions.shape) == shape:
        positions = ops.xp.reshape(positions, (-1,))
    return validate.position_table(ops, positions, dtype, (_size(shape),) if flat else shape, axis)


def _size(shape):
    """The number of entries, None if that is not known yet."""
    return None if None in shape else math.prod(shape)


def _flattened(ops: Ops, controls, shape) -> Controls:
    """What goes with the scores, flattened as they will be."""
    xp = ops.xp
    temperature, alpha, mask = controls
    if mask is not None:
        mask = xp.reshape(mask if tuple(mask.shape) == shape else xp.broadcast_to(mask, shape), (-1,))
    if hasattr(temperature, "shape"):
        temperature = xp.reshape(temperature, (1,))
    if alpha is not None:
        alpha = xp.reshape(alpha, (1,))
    return Controls(temperature, alpha, mask)

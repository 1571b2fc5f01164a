"""The public functions after validation: what each composes of the rules. Pure functions of arrays."""

from functools import partial
from typing import Any, NamedTuple

from .._frameworks.registry import Ops
from .._rules.hard import at, comparable, first_largest, k_largest, near, ranks
from .._rules.losses import are_weights, have_scores
from .._rules.positions import entries, table
from .._rules.readouts.stacked import expand, squeezed
from .._rules.relaxations import SOFTMAX, Relaxation
from .._rules.rule import Array


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
    relaxation: Relaxation = SOFTMAX
    window: tuple[int, ...] | None = None
    zero_background: bool = False
    log: bool = False
    ignored: int | None = None  # the index of rows that do not count
    estimator: str = ""  # of the gradient of a choice at random
    nodes: int = 0  # of an integral
    dense: bool = False  # whether to ask no kernel for the weights, because one has declined the whole call


class Controls(NamedTuple):
    """The arrays that go with the scores: any of them may be None."""

    temperature: Array | None = None
    alpha: Array | None = None
    mask: Array | None = None


def scores(ops: Ops, x: Array, o: Options) -> Array:
    """Scores as they are computed with."""
    if x.dtype == o.dtype and o.sign == 1 and not o.flat:
        return x
    return ops.prepare(x, dtype=o.dtype, sign=o.sign, flat=o.flat)


def _readable(ops: Ops, x: Array, o: Options) -> Array:
    """Scores for weights or positions: in their own dtype where the framework's rules widen half types as they read them."""
    return x if o.sign == 1 and not o.flat and not o.zero_background and ops.widens(x) else scores(ops, x, o)


def _chosen(ops: Ops, x: Array, mask: Array | None, o: Options) -> Array:
    """The hard answer as a Boolean one-hot (or k-hot) array, compared in the dtype the scores came in."""
    if o.flat:
        x = ops.xp.reshape(x, (-1,))
    x, keep = comparable(ops, x, mask, o.sign, o.axes, o.relaxation.k)
    if o.relaxation.k is not None:
        return k_largest(ops, x, keep, o.relaxation.k, o.axes)
    return first_largest(ops, x, keep, o.axes)


def _windowed(ops: Ops, x: Array, c: Controls, o: Options) -> Controls:
    """Mask what is not near the argmax: which entries that are has no gradient."""
    if o.window is None:
        return c
    inside = near(ops, _chosen(ops, x, c.mask, o), o.window, o.axes)
    if not ops.xp.isdtype(x.dtype, "integral"):
        value = ops.xp.reshape(ops.detach(x), (-1,)) if o.flat else ops.detach(x)
        inside = inside | (value != value)  # NaN makes its row NaN wherever it is
    return c._replace(mask=inside if c.mask is None else inside & c.mask)


def _soft(ops: Ops, z: Array, c: Controls, o: Options) -> Array:
    if o.zero_background:
        return ops.compensated(z, c.temperature, c.mask, axes=o.axes)
    weigh = ops.dense_weights if o.dense else ops.weights
    return weigh(z, c.temperature, c.alpha, c.mask, axes=o.axes, relaxation=o.relaxation)


def weights(ops: Ops, x, controls: Controls, *, options: Options):
    """Scores to weights or their logarithms, in the dtype of x where that is floating."""
    o = options
    if o.log:
        z, c = scores(ops, x, o), controls
        return restored(ops, ops.log_weights(z, *c, axes=o.axes, relaxation=o.relaxation), x)
    p = _soft(ops, _readable(ops, x, o), controls, o)
    if o.hard:
        p = ops.straight_through(p, hard_weights(ops, x, controls, options=o))
    return restored(ops, p, x)


def hard_weights(ops: Ops, x, controls: Controls, *, options: Options):
    """Scores to the weights of the winners alone, in the dtype of the computation."""
    return ops.xp.astype(_chosen(ops, x, controls.mask, options), options.dtype)


def answers(ops: Ops, x, controls: Controls, positions, *, options: Options) -> Array:
    """Scores to answers, one for each of the axes (or of the given positions), stacked last."""
    o = options
    z = _readable(ops, x, o)
    c = _windowed(ops, x, controls, o)
    places = _places(ops, z, positions, o)
    # Of shards, weights are kept for the way back: a threshold that is found again takes a collective operation a step again.
    solves = bool(ops.groups) and o.relaxation.alpha != 1
    if o.readout == "mean" and positions is None and not (o.zero_background or o.dense or solves):
        y = ops.expectation(z, *c, places, axes=o.axes, relaxation=o.relaxation)
    else:
        y = getattr(ops, o.readout)(_soft(ops, z, c, o), places, axes=o.axes)
    if o.hard:
        y = ops.straight_through(y, at(ops, _chosen(ops, x, controls.mask, o), places, o.axes))
    return y


def _places(ops: Ops, z, positions, o: Options):
    """What the entries of each of the axes stand for."""
    return tuple(table(ops, z, axis, o.coordinates, o.dtype) for axis in o.axes) if positions is None else (positions,)


def hard_answers(ops: Ops, x, controls: Controls, positions, *, options: Options) -> Array:
    """Scores to the answers of the winners, one for each of the axes, stacked last."""
    o = options
    return at(ops, _chosen(ops, x, controls.mask, o), _places(ops, scores(ops, x, o), positions, o), o.axes)


def position(ops: Ops, x, controls: Controls, positions, *, options: Options):
    """Scores to one position a row, or to its mean and variance."""
    y = answers(ops, x, controls, positions, options=options)
    return ops.finish(y, axes=options.kept, count=2 if options.readout == "moments" else 1)


def hard_position(ops: Ops, x, controls: Controls, positions, *, options: Options):
    """Scores to the position of the winner of a row."""
    return ops.finish(hard_answers(ops, x, controls, positions, options=options), axes=options.kept, count=1)


def coordinates(ops: Ops, x, controls: Controls, *, options: Options):
    """Scores to one coordinate for each of the axes, stacked last."""
    return answers(ops, x, controls, None, options=options)


def hard_coordinates(ops: Ops, x, controls: Controls, *, options: Options):
    """Scores to the coordinates of the winner, stacked last."""
    return hard_answers(ops, x, controls, None, options=options)


def coordinate_moments(ops: Ops, x, controls: Controls, *, options: Options):
    """Scores to the mean coordinates and their variances or covariances, each stacked last."""
    return _split(ops, answers(ops, x, controls, None, options=options), options)


def _split(ops: Ops, y, o: Options):
    """Stacked answers as the two arrays that some readouts have."""
    return ops.halves(y) if o.readout == "moments" else ops.with_matrix(y) if o.readout == "covariance" else y


def given_answers(ops: Ops, p, controls: Controls, positions, *, options: Options) -> Array:
    """Weights, as they are, to answers, one for each of the axes (or of the given positions), stacked last."""
    xp, o, keep = ops.xp, options, controls.mask
    q = scores(ops, p, o)
    places = _places(ops, q, positions, o)
    q = q if keep is None else ops.kept(q, keep)
    if o.readout == "mean":
        return (
            ops.expected(q, None, places, axes=o.axes)
            if positions is None
            else ops.expected(q, positions, (), axes=o.axes)
        )
    value = ops.detach(q)
    there = xp.any(value != 0, axis=o.axes, keepdims=True) & ~xp.any(value != value, axis=o.axes, keepdims=True)
    y = getattr(ops, o.readout)(ops.kept(q, there), places, axes=o.axes, given=True)
    return ops.blank(y, xp.expand_dims(squeezed(there, o.axes), axis=-1))


def given_position(ops: Ops, p, controls: Controls, positions, *, options: Options):
    """Weights, as they are, to one position a row, or to its mean and variance."""
    y = given_answers(ops, p, controls, positions, options=options)
    return ops.finish(y, axes=options.kept, count=2 if options.readout == "moments" else 1)


def given_coordinates(ops: Ops, p, controls: Controls, *, options: Options):
    """Weights, as they are, to one coordinate for each of the axes, stacked last, or to those and their second moments."""
    return _split(ops, given_answers(ops, p, controls, None, options=options), options)


def sharpened(ops: Ops, p, controls: Controls, *, options: Options):
    """``p^power`` normalised: the weights of the scores ``log p`` at temperature 1 / power."""
    o = options
    q = scores(ops, p, o)
    # A power of 1 has a derivative at p = 0 that goes through no logarithm.
    q = ops.normalise(q, axes=o.axes) if o.power == 1 else _soft(ops, ops.log(q), Controls(1 / o.power), o)
    return restored(ops, q, p)


def loss(ops: Ops, x, controls: Controls, target, *, options: Options, seen=True):
    """Scores and target weights, or target indices, to the Fenchel-Young loss of each row.

    Where a target has not been seen, because it was not there when the call was made, a wrong one makes its row NaN.
    """
    o, mask = options, controls.mask
    z = scores(ops, x, o)
    if ops.xp.isdtype(target.dtype, "integral"):
        y, valid, counted = _one_hot_target(ops, x, target, o)
        if counted is not None:  # a row without any kept score has loss 0 and gradient 0
            mask = counted if mask is None else counted & mask
    else:
        y = target if target.dtype == o.dtype else ops.prepare(target, dtype=o.dtype, sign=1, flat=False)
        valid = None
    value = ops.fenchel_young(z, y, controls.temperature, mask, axes=o.axes, relaxation=o.relaxation)
    looked_at = (
        array is None or (ops.is_concrete(array) and not ops.waits(array)) for array in (target, x, controls.mask)
    )
    if seen and all(looked_at):
        return value
    valid = are_weights(ops, ops.detach(target), o.axes) if valid is None else valid
    return ops.blank(value, valid | ~have_scores(ops, z, mask, o.axes))


def unseen_loss(ops: Ops, x, controls: Controls, target, *, options: Options):
    """The loss of each row, with a target that has not been seen."""
    return loss(ops, x, controls, target, options=options, seen=False)


def _one_hot_target(ops: Ops, x, target, o: Options):
    """Return Boolean target weights of indices, which of them exist, and which rows count; None if all do."""
    xp, count, rank = ops.xp, entries(ops, x, o.axes), ranks(ops, x, o.axes)
    inside = (target >= 0) & (target < count)
    place = expand(ops, xp.astype(xp.where(inside, target, 0), rank.dtype), o.axes)
    return (
        rank == place,
        inside,
        None if o.ignored is None else expand(ops, target != o.ignored, o.axes),
    )


def probability(ops: Ops, x, controls: Controls, *, options: Options):
    """Scores to the probability that each is the largest once Normal noise, whose scale is the temperature, is added."""
    o, (scale, _, mask) = options, controls
    return restored(ops, ops.argmax_probability(scores(ops, x, o), scale, mask, axes=o.axes, count=o.nodes), x)


def shape_of(core, shape: tuple[int, ...], o: Options) -> tuple[int, ...] | None:
    """Return the shape of what a function reduces scores of a shape to, its answers stacked; None if it gives weights."""
    if core is weights:
        return None
    axes = tuple(range(len(shape))) if o.flat else o.axes
    rest = tuple(n for axis, n in enumerate(shape) if axis not in axes)
    several = 2 if o.readout == "moments" else 1
    if core in (coordinates, coordinate_moments, given_coordinates):
        return (*rest, several * len(axes))
    if several > 1:
        return (*rest, several)
    return tuple(1 if axis in axes else n for axis, n in enumerate(shape)) if o.kept else rest


def split_of(ops: Ops, core, o: Options):
    """Return what takes the stacked means and variances of a function apart."""
    return ops.halves if core is coordinate_moments else partial(ops.finish, axes=o.kept, count=2)


def restored(ops: Ops, p: Array, x: Array) -> Array:
    """Weights in the dtype of the input, where that is floating."""
    if x.dtype == p.dtype or not ops.xp.isdtype(x.dtype, "real floating"):
        return p
    return ops.prepare(p, dtype=x.dtype, sign=1, flat=False)


# What the straight-through value of a function is made of where its soft value is at hand.
HARD = {weights: hard_weights, position: hard_position, coordinates: hard_coordinates}
# What is run in place of a function on a chunk of arrays whose values were not looked at when the call was made.
UNSEEN = {loss: unseen_loss}

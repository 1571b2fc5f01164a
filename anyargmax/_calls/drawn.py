"""The functions that choose at random, after validation: what each composes of the rules. Pure functions of arrays."""

from .._frameworks.registry import Ops
from .._rules.estimators import ESTIMATORS
from .._rules.hard import ranks
from .._rules.subset_draws import draw_subset
from .composition import Controls, Options, restored, scores


def _beside(ops: Ops, x, g):
    """Two arrays in the shape that they have together; the second has at least as many axes."""
    if tuple(x.shape) == tuple(g.shape):
        return x, g
    x = ops.spread(x, ops.detach(g))
    return x, g if tuple(x.shape) == tuple(g.shape) else ops.spread(g, ops.detach(x))


def one_hot(ops: Ops, x, controls: Controls, noise, *, options: Options):
    """Scores and noise to the weights of the choice. The axes are those of the result."""
    o = options
    z, g = _beside(ops, scores(ops, x, o), noise)
    reduced = int(o.estimator == "gumbel-rao")  # whose first axis is that of draws
    axes = tuple(axis + reduced for axis in o.axes)
    estimate = ops.quietly(ESTIMATORS[o.estimator])
    return restored(ops, estimate(ops, z, g, controls.temperature, controls.mask, axes), x)


def winners(ops: Ops, x, controls: Controls, noise, *, options: Options):
    """Scores and noise to the weights of k entries chosen at random. The axes are those of the scores."""
    o, c = options, controls
    z = scores(ops, x, o)
    p = ops.weights(z, c.temperature, None, c.mask, axes=o.axes, relaxation=o.relaxation)
    p, g = _beside(ops, p, noise)
    chosen = ops.quietly(draw_subset)(ops, z, g, c.temperature, c.mask, axes=o.axes, relaxation=o.relaxation)
    axes = tuple(axis + g.ndim - z.ndim for axis in o.axes)
    broken = ops.xp.any(g != g, axis=axes, keepdims=True)
    drawn = ops.xp.where(broken, float("nan"), ops.xp.astype(chosen, g.dtype))
    return restored(ops, ops.straight_through(p, drawn), x)


def given_choice(ops: Ops, x, controls: Controls, chosen, noise, *, options: Options):
    """Scores, a choice and noise to the noise given the choice, in the dtype of the computation."""
    o = options
    z, g = _beside(ops, scores(ops, x, o), noise)
    if chosen.dtype != ops.xp.bool:  # indices
        rank, inside = ranks(ops, z, o.axes), (chosen >= 0) & (chosen < z.shape[o.axes[0]])
        chosen = inside & (rank == ops.xp.astype(ops.xp.where(inside, chosen, 0), rank.dtype))
    return ops.conditional(z, g, chosen, controls.mask, axes=o.axes)


def replaced(ops: Ops, surrogate, controls: Controls, value, *, options: Options):
    """The value, with the gradient of the surrogate."""
    return ops.replaced(surrogate, ops.detach(value))

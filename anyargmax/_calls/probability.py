"""The arguments of the probability that each score is the largest under noise, validated together, and the call made of them."""

from functools import partial
from typing import Any, get_args

from .._frameworks.kept_calls import maker
from .._frameworks.registry import Ops
from .._rules.probability import nodes_for
from . import composition, validate
from .annotations import Distribution
from .arguments import reduced_shape
from .composition import Controls, Options
from .making import Given, made

RATIO = 1e4  # of scales in a row, where they cannot be looked at
MOST = 2**13  # nodes


@maker
def chances(x, axis, scale, distribution, mask):
    """Validate what gives the probability that each score is the largest under noise, and make the call."""
    ops = validate.operations(x, "x", scale=scale, mask=mask)
    shape, dtype = tuple(x.shape), validate.real_floating(ops, x, "x")
    axes = (validate.one_axis(axis, shape),)
    options = Options(axes=axes, dtype=dtype)
    if validate.choice(distribution, "distribution", get_args(Distribution)) == "gumbel":
        given = Given(partial(_of_softmax, ops, shape, axes, dtype), scale, mask)
        return made(ops, composition.weights, x, (given.fitted(scale, mask),), options, given)
    mask = validate.boolean_mask(ops, mask, shape)
    scale, nodes = _scale_and_nodes(ops, scale, dtype, shape, axes[0])
    return made(ops, composition.probability, x, (Controls(scale, None, mask),), options._replace(nodes=nodes))


def _of_softmax(ops: Ops, shape, axes, dtype, scale, mask) -> Controls:
    """Validate a scale of Gumbel noise, which is a temperature, and a mask."""
    temperature = validate.positive_number(ops, scale, "scale", dtype, reduced_shape(shape, axes))
    return Controls(temperature, None, validate.boolean_mask(ops, mask, shape))


def _scale_and_nodes(ops: Ops, value: Any, dtype, shape, axis) -> tuple[Any, int]:
    """Validate a scale and return how many nodes its integrals take: a power of 2 where that depends on an array."""
    if validate.is_number(value):
        number = validate.positive_number(ops, value, "scale", dtype, ())
        most = float(ops.xp.finfo(dtype).max) / 64  # of which multiples are finite
        return None if number is None else min(number, most), nodes_for(ops, dtype, shape[axis], 1.0)
    scale = validate.positive_entries(ops, value, "scale", dtype, shape)
    one_a_row = value.ndim < len(shape) - axis or value.shape[axis - len(shape)] == 1
    ratio = 1.0 if one_a_row else _largest_ratio(ops, scale, axis)
    nodes = nodes_for(ops, dtype, shape[axis], ratio)
    return scale, nodes if one_a_row else min(1 << (nodes - 1).bit_length(), MOST)


def _largest_ratio(ops: Ops, scale, axis) -> float:
    """How many times each other the scales of a row are at most, if they may be looked at."""
    if not validate.is_readable(ops, scale) or 0 in scale.shape:
        return RATIO
    with ops.eagerly():
        scale = ops.detach(scale)
        high, low = (reduce(scale, axis=axis) for reduce in (ops.xp.max, ops.xp.min))
        ratio = float(ops.xp.max(high / low))
    return min(ratio, 1e300)

"""Calls of the catalogue, cut into shards along the first axis that they reduce."""

import inspect

import numpy as np

from anyargmax.validation import catalogue

# A random subset takes whole rows, and draws are made of perturbed scores.
CALLS = [
    (number, call)
    for number, call in enumerate(catalogue.CALLS)
    if call.options.get("kind") != "subset"
    and "group" in inspect.signature((catalogue.FUNCTIONS | catalogue.DRAWS)[call.function]).parameters
]
GIVES_WEIGHTS = ("soft_one_hot", "soft_top_k", "sharpen")


def axis_of(call):
    """The axis along which shards are cut."""
    parameters = inspect.signature(catalogue.FUNCTIONS[call.function]).parameters
    name = "axes" if "axes" in parameters else "axis"
    axes = call.options.get(name, parameters[name].default)
    first = 0 if axes is None else axes[0] if isinstance(axes, tuple) else axes
    return first % len(call.shape)


def lengths_of(n, members, seed):
    """How long shards of n entries are: unequal, and some of them empty."""
    cuts = np.sort(np.random.default_rng([n, members, seed]).integers(0, n + 1, size=members - 1))
    return tuple(int(m) for m in np.diff([0, *cuts, n]))


def cut(array, axis, ndim, lengths, member):
    """One shard of an array that broadcasts against one with so many axes; what does not reach along the axis is whole."""
    own = axis - (ndim - array.ndim)
    if own < 0 or array.shape[own] != sum(lengths):
        return array
    start = sum(lengths[:member])
    return array[(slice(None),) * own + (slice(start, start + lengths[member]),)]


def arrays_of(call, lengths, member):
    """The option arrays that go with one shard of the scores."""
    axis, ndim, made = axis_of(call), len(call.shape), {}
    for name, array in call.arrays.items():
        rows = name in ("temperature", "alpha") or (name == "target" and array.dtype.kind == "i")
        if rows:
            made[name] = array
        elif name == "positions" and array.ndim == 1:
            made[name] = cut(array, 0, 1, lengths, member)
        else:
            made[name] = cut(array, axis, ndim, lengths, member)
    return made


def part_of(call, value, lengths, member):
    """What one member has of a value, or of what is like it: a shard of weights, all of an answer."""
    return cut(value, axis_of(call), len(call.shape), lengths, member) if call.function in GIVES_WEIGHTS else value

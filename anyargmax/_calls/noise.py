"""Noise for scores: the arguments validated together, and the call that is made of them."""

import numbers
from functools import partial
from typing import Any, NamedTuple

from .._frameworks.kept_calls import maker
from .._frameworks.registry import Ops
from .._rules.noise import BOUND, noise_of, words
from . import validate


class Noise(NamedTuple):
    """What determines noise beside the key and the shape of the scores; hashable."""

    distribution: str
    draws: tuple[int, ...]
    dtype: Any


@maker
def noise(x, key, draws, distribution):
    """Validate what gives noise of the shape of the scores, and make the call, which is not kept."""
    ops = validate.operations(x, "x")
    options = Noise(distribution, _lengths(draws), validate.real_floating(ops, x, "x"))
    _check_key(ops, key, x)
    return partial(_run, ops, key, options), 0, None


def _run(ops: Ops, key, options, x):
    return ops.random.move(ops.run(_drawn, x, key, options=options), x)


def _drawn(ops: Ops, x, key, *, options: Noise):
    count = words(ops, options.distribution, options.dtype)
    integers = ops.random.integers(key, BOUND, (count, *options.draws), x)
    return noise_of(ops, options.distribution, integers, options.dtype)


def _lengths(draws: Any) -> tuple[int, ...]:
    """Return the axes of draws, which come before those of the scores."""
    lengths = tuple(draws) if isinstance(draws, (tuple, list)) else (draws,)
    if not all(isinstance(n, numbers.Integral) and not isinstance(n, bool) for n in lengths):
        raise TypeError(
            f"`draws` must be an integer or a tuple of integers, got {validate.described(draws)}. "
            "Pass such as `(32,)`, or `()` for one draw without an axis of its own."
        )
    if any(n < 0 for n in lengths):
        raise ValueError(f"`draws` must be at least 0, got {draws!r}. Pass how many draws to make, such as `(32,)`.")
    return tuple(map(int, lengths))


def _check_key(ops: Ops, key: Any, x: Any) -> None:
    random = ops.random
    if random is None:
        raise TypeError(
            f"`x` must be of a framework whose adapter has `random`, got {validate.described(x)} of {ops.name}. Make the "
            "noise by its own functions: every function here takes any array of that shape, with axes of draws before it."
        )
    if not random.owns(key):
        raise TypeError(
            f"`key` must be {random.kind} for an array of {ops.name}, got {validate.described(key)}. "
            f"Pass such as `{random.example}`; key and array must be of one framework."
        )

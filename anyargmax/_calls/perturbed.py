"""The mean of a function of perturbed scores: what it may be given, and what is composed of its answers."""

from typing import Any, get_args

from .._frameworks.registry import Ops, select
from .._rules.perturbations import mean_of_others
from .._rules.rule import Array
from . import validate
from .annotations import Baseline, Distribution


def mean_answer(f: Any, x: Any, noise: Any, scale: Any, distribution: Any, baseline: Any) -> Array:
    """Validate the arguments of `perturbed`, call the function for each draw, and return the mean of its answers."""
    if not callable(f):
        raise TypeError(
            f"`f` must be a function of one array, got {validate.described(f)}. Pass such as `soft_one_hot`."
        )
    ops = validate.operations(x, "x", noise=noise, scale=scale)
    shape, dtype = tuple(x.shape), validate.real_floating(ops, x, "x")
    distribution = validate.choice(distribution, "distribution", get_args(Distribution))
    if baseline is not None:
        baseline = validate.choice(baseline, "baseline", get_args(Baseline))
    noise = _draws(ops, noise, dtype, shape, baseline)
    positive = validate.positive_number if validate.is_number(scale) else validate.positive_entries
    scale = positive(ops, scale, "scale", dtype, shape)
    x = x if x.dtype == dtype else ops.prepare(x, dtype=dtype, sign=1, flat=False)
    return _mean(ops, f, x, noise, scale, distribution, baseline)


def _draws(ops: Ops, noise, dtype, shape, baseline):
    """Return the noise in the compute dtype, which has the shape of the scores after its first axis."""
    if not validate.has_kind(ops, noise, "real floating"):
        raise TypeError(
            f"`noise` must be a real floating-point array, got {validate.described(noise)}. Make it with `gumbel_noise` or "
            f"`normal_noise`, of {ops.name}."
        )
    got = tuple(noise.shape)
    if len(got) != len(shape) + 1 or not all(None in (n, m) or n == m for n, m in zip(got[1:], shape, strict=True)):
        raise ValueError(
            f"`noise` must have a first axis of draws and then the shape of the scores, {shape}, got shape {got}. Make it with "
            "`draws=(100,)`."
        )
    least = 2 if baseline == "mean" else 1
    if got[0] is None or got[0] < least:
        raise ValueError(
            f"`noise` must have at least {least} draws with baseline {baseline!r}, got {got[0]}. "
            "Make more of them, or pass another baseline."
        )
    return noise if noise.dtype == dtype else ops.prepare(noise, dtype=dtype, sign=1, flat=False)


def _mean(ops: Ops, f, x, noise, scale, distribution, baseline):
    still, fixed = ops.detach(x), scale if scale is None or isinstance(scale, float) else ops.detach(scale)
    spread = ops.detach(noise) if fixed is None else fixed * ops.detach(noise)
    answers = [_answer(ops, f, still + spread[m, ...], x.dtype) for m in range(noise.shape[0])]
    shapes = {tuple(y.shape) for y in answers}
    if len(shapes) > 1:
        raise ValueError(f"`f` must return arrays of one shape, got {sorted(shapes)}. Pad them.")
    ops = select([*answers, x]) or ops  # of what the function depends on beside x, something may be differentiated
    y = ops.xp.stack(answers, axis=0)
    less = ops.xp.zeros_like(y)
    if baseline == "center":
        less = less + _answer(ops, f, still + ops.xp.zeros_like(still), x.dtype)  # f may write into what it is given
    elif baseline == "mean":
        less = ops.quietly(mean_of_others)(ops, y)
    return ops.quietly(ops.perturbed)(x, scale, y, ops.detach(noise), less, distribution=distribution)


def _answer(ops: Ops, f, x, dtype):
    """What the function answers, in floating-point numbers."""
    y = f(x)
    if not validate.has_kind(ops, y, ("bool", "integral", "real floating")):
        raise TypeError(
            f"`f` must return an array of {ops.name}, got {validate.described(y)}. Convert what it returns."
        )
    return y if ops.xp.isdtype(y.dtype, "real floating") else ops.xp.astype(y, dtype)

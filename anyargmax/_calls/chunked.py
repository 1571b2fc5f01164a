"""A validated call on an array in chunks: what its answers are like, and what a chunk is given of the arrays beside it."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from .._frameworks.chunks import Answer
from .._frameworks.registry import Ops
from . import composition, drawn
from .composition import Controls, Options

_OF_THE_SHAPE_OF_THE_SCORES = (composition.weights, composition.sharpened, composition.probability, drawn.replaced)
_DRAWN = (drawn.one_hot, drawn.winners, drawn.given_choice)
_POSITIONS = (composition.position, composition.given_position)


class Parts(NamedTuple):
    """The arrays beside the scores, None in place of each that is an array; which were there is what a chunk must know."""

    temperature: float | None
    present: tuple[bool, ...]  # of temperature, alpha, mask and the others


def chunked(ops: Ops, remake: Callable[..., Any], core, x, arrays, options: Options):
    """Return a call as a function of x that is one task a chunk, and the arrays in the chunks of the scores.

    The call is None if chunks do not hold what it needs. ``remake(ops, core, x, arrays, options)`` runs it on a chunk.
    `arrays` are the controls and others.
    """
    (temperature, alpha, mask), *others = arrays
    lead = others[-1].ndim - x.ndim if core in _DRAWN else 0
    averaged = int(core is drawn.one_hot and options.estimator == "gumbel-rao")  # an axis of draws
    axes = tuple(range(x.ndim)) if options.flat else _of_scores(core, options.axes, lead - averaged)
    number = isinstance(temperature, float)
    core = composition.UNSEEN.get(core, core)
    beside = [
        None if array is None else (array, _axes_of(core, x, array, axes, options))
        for array in (None if number else temperature, alpha, mask, *others)
    ]
    if core in _DRAWN and not _is_no_longer(others[-1].shape[lead:], x.shape):
        return None, arrays
    beside = [None if pair is None else (ops.in_chunks_of(x, *pair), pair[1]) for pair in beside]
    parts = Parts(temperature if number else None, tuple(pair is not None for pair in beside))
    answers = _answers(ops, core, x, axes, tuple(others[-1].shape[averaged:lead]) if lead else (), options)
    gathered = options.relaxation.product is not None  # weights that depend on all scores of their row
    pairs = [pair for pair in beside if pair is not None]
    call = ops.by_chunks(partial(_run, remake, core, options, parts), x, pairs, axes, answers, gathered)
    return call, _controls(parts, [None if pair is None else pair[0] for pair in beside])


def _controls(parts: Parts, arrays) -> tuple[Any, ...]:
    """Arrays as a call takes them, the controls first."""
    temperature, *rest = arrays
    return Controls(parts.temperature if temperature is None else temperature, *rest[:2]), *rest[2:]


def _is_no_longer(noise, scores) -> bool:
    """Whether noise has the lengths of the scores, or 1: what it would make longer has no chunks yet."""
    return all(n in (1, m) for n, m in zip(noise, scores, strict=True))


def _of_scores(core, axes, lead):
    """The reduced axes as axes of the scores, where an answer has those of draws before them."""
    return tuple(axis - lead for axis in axes) if core in (drawn.one_hot, drawn.given_choice) else axes


def _axes_of(core, x, array, axes, o: Options):
    """Which axes of the scores those of an array beside them are, None for one that is none of them."""
    if o.flat:
        return (None,) * array.ndim
    if core is composition.unseen_loss and array.ndim < x.ndim:  # indices
        return tuple(axis for axis in range(x.ndim) if axis not in axes)
    lead = array.ndim - x.ndim
    return (*(None,) * lead, *range(x.ndim))


def _answers(ops: Ops, core, x, axes, draws, o: Options) -> tuple[Answer, ...]:
    every = tuple(range(x.ndim))
    rest = tuple(axis for axis in every if axis not in axes)
    floating = x.dtype if ops.xp.isdtype(x.dtype, "real floating") else o.dtype
    if core in _OF_THE_SHAPE_OF_THE_SCORES:
        return (Answer(every, floating),)
    if core in _DRAWN:
        return (Answer(every, o.dtype if core is drawn.given_choice else floating, leading=draws),)
    if core is composition.unseen_loss:
        return (Answer(rest, o.dtype),)
    if core in _POSITIONS:
        one = Answer(every if o.kept else rest, o.dtype, axes if o.kept else ())
        return (one, one) if o.readout == "moments" else (one,)
    one = Answer(rest, o.dtype, trailing=(len(axes),))
    second = {"moments": one, "covariance": one._replace(trailing=(len(axes), len(axes)))}.get(o.readout)
    return (one,) if second is None else (one, second)


def _run(remake, core, options: Options, parts: Parts, ops: Ops, x, *given):
    """The call of a chunk, of the arrays that are there."""
    left = iter(given)
    return remake(ops, core, x, _controls(parts, [next(left) if there else None for there in parts.present]), options)

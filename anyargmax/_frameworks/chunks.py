"""Calls on arrays of Dask whose rows are whole in their chunks: one task a chunk, which runs the library on that chunk.

What a task holds is made of functions by their names and of plain values, so that it travels to another process.
"""

from collections.abc import Callable
from functools import partial
from itertools import count
from math import isfinite
from typing import Any, NamedTuple

from .._compat import array_namespace
from .._rules.rule import Array, Rule


class Answer(NamedTuple):
    """What an answer of a call is like: which of its axes have the chunks of the scores, and its dtype.

    Attributes
    ----------
    rows
        The axes of the scores that it has, in order.
    dtype
        Its dtype.
    ones
        Those of its axes that have length 1.
    leading, trailing
        Lengths of axes before and behind them, which are in one chunk.
    """

    rows: tuple[int, ...]
    dtype: Any
    ones: tuple[int, ...] = ()
    leading: tuple[int, ...] = ()
    trailing: tuple[int, ...] = ()


class _Call(NamedTuple):
    """A call of a chunk: what is run on which namespace's operations, and whether it has several answers."""

    run: Callable[..., Any]  # ``run(ops, x, *beside)``
    ops_of: Callable[[Any], Any]
    vjp: Callable[..., Any]
    jvp: Callable[..., Any]
    several: bool


def by_chunks_of(xp, ops_of, vjp, jvp, note):
    """Return ``by_chunks(run, x, beside, axes, answers, gathered)`` of Dask: a call as a function of x.

    ``run(ops, x, *beside)`` is the call on whole rows, of which several answers are a tuple; it is one task a chunk.
    `beside` are pairs of an array, laid in the chunks of the scores, and the axes of these that its own are, None for one that
    is none of them. Rows that lie in several chunks are gathered, or there is no call: None.
    """

    def by_chunks(run, x, beside, axes, answers: tuple[Answer, ...], gathered=False):
        if beside and not all(map(_is_known, (x, *(array for array, _ in beside)))):
            return None
        split = any(x.numblocks[axis] > 1 for axis in axes)
        if split and not gathered:
            return None
        x = x.rechunk(dict.fromkeys(axes, -1)) if split else x
        call, names = _Call(run, ops_of, vjp, jvp, len(answers) > 1), count(x.ndim)
        args = [(x, tuple(range(x.ndim)))]
        args += [(in_chunks_of(x, array, own), _named(own, names)) for array, own in beside]
        laid = tuple(_names_of(answer, names) for answer in answers)
        return partial(_called, xp, call, tuple(part for pair in args for part in pair), laid, answers, note)

    return by_chunks


def _is_known(x) -> bool:
    """Whether it is an array in chunks of known sizes."""
    return hasattr(x, "chunks") and all(isfinite(n) for sizes in x.chunks for n in sizes)


def in_chunks_of(x, array, own):
    """Return an array whose axes have the chunks of the scores' axes that they are, or one chunk.

    One in chunks of unknown sizes is returned as it is.
    """
    if not (_is_known(x) and _is_known(array)):
        return array
    sizes = {
        k: x.chunks[axis] if axis is not None and array.shape[k] == x.shape[axis] else -1
        for k, axis in enumerate(own)
        if array.numblocks[k] > 1 or (axis is not None and array.shape[k] == x.shape[axis])
    }
    return array.rechunk(sizes) if sizes else array


def _named(own, names):
    return tuple(next(names) if axis is None else axis for axis in own)


def _names_of(answer: Answer, names):
    return (*(next(names) for _ in answer.leading), *answer.rows, *(next(names) for _ in answer.trailing))


def _called(xp, call: _Call, args, laid, answers, note, x):
    """The answers, lazy, and noted on the tape as a rule that is used once.

    The arguments of the tasks are arrays and what their axes are called, those of the answers are called as is laid down.
    """
    y = _answers(xp, partial(_value, call), args, laid, answers)
    rule = Rule(
        "chunks",
        forward=call.run,
        vjps=(partial(_pulled, xp, call, args, laid),),
        jvps=(partial(_pushed, xp, call, args, laid, answers),),
        composite=call.run,
    )
    note(rule, x, y)
    return y


def _answers(xp, block, args, laid, answers):
    """What a function of blocks answers: an array, or a tuple of them that are taken from the tuple of each block."""
    if len(answers) == 1:
        return _laid_out(xp, block, args, laid[0], answers[0])
    rows = answers[0]._replace(leading=(), trailing=())
    together = _laid_out(xp, block, args, rows.rows, rows)
    return tuple(
        _laid_out(xp, partial(_one_of, k), (together, rows.rows), laid[k], answer) for k, answer in enumerate(answers)
    )


def _laid_out(xp, block, args, names, answer: Answer):
    lead, last = len(answer.leading), len(names) - len(answer.trailing)
    added = {**dict(zip(names, answer.leading, strict=False)), **dict(zip(names[last:], answer.trailing, strict=True))}
    return xp.blockwise(
        block,
        names,
        *args,
        new_axes={name: n for name, n in added.items() if name not in _all(args[1::2])},
        adjust_chunks={name: (1,) for name in names[lead:last] if name in answer.ones},
        align_arrays=False,
        meta=args[0]._meta,
        dtype=answer.dtype,
        token="anyargmax",
    )


def _all(groups):
    return {name for group in groups for name in group}


def _pulled(xp, call: _Call, args, laid, ops, g, y, x):
    """The gradient of the scores, which each task computes from its chunk anew."""
    given = zip(g, y, laid, strict=True) if call.several else [(g, y, laid[0])]
    cotangents = [part for one, answer, names in given for part in (_like(xp, one, answer), names)]
    answer = Answer(tuple(range(x.ndim)), x.dtype)
    block = partial(_gradient, call, len(laid))
    dx = _laid_out(xp, block, (*args[:2], *cotangents, *args[2:]), answer.rows, answer)
    return dx if dx.chunks == x.chunks else dx.rechunk(x.chunks)


def _pushed(xp, call: _Call, args, laid, answers, ops, t, y, x):
    block = partial(_tangent, call)
    return _answers(xp, block, (*args[:2], _like(xp, t, args[0]), args[1], *args[2:]), laid, answers)


def _like(xp, v, y):
    """A cotangent or tangent in the chunks of the value."""
    v = v if hasattr(v, "chunks") else xp.asarray(v)
    if v.shape != y.shape:
        v = xp.broadcast_to(v, y.shape)
    return v if v.chunks == y.chunks else v.rechunk(y.chunks)


# What a task runs. A block that is reduced comes in a list, which has one entry, because rows are whole.


def block_of(x):
    while isinstance(x, list):
        (x,) = x
    return x


def _opened(call: _Call, blocks):
    """The operations of a chunk, which may be NumPy's or those of an accelerator, and the blocks."""
    blocks = tuple(map(block_of, blocks))
    return call.ops_of(array_namespace(blocks[0])), blocks


def _value(call: _Call, *blocks):
    ops, (x, *beside) = _opened(call, blocks)
    return call.run(ops, x, *beside)


def _gradient(call: _Call, answers: int, *blocks):
    ops, (x, *rest) = _opened(call, blocks)
    g, beside = rest[:answers], rest[answers:]
    _, pullback = call.vjp(lambda x: call.run(ops, x, *beside), x)
    return pullback(tuple(g) if call.several else g[0])[0]


def _tangent(call: _Call, *blocks):
    ops, (x, t, *beside) = _opened(call, blocks)
    return call.jvp(lambda x: call.run(ops, x, *beside), (x,), (t,))[1]


def _one_of(k: int, block) -> Array:
    return block_of(block)[k]

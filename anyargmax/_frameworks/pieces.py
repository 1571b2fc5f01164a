"""Rows of Dask's arrays that lie in several chunks: no task has more of a row than a chunk, but for what needs all of it.

A step of a search is one task a chunk, a tree of sums of one number a row, and one task for these.
"""

from functools import partial
from typing import Any, NamedTuple

from .._compat import array_namespace
from .chunks import block_of, in_chunks_of

TOKEN = "anyargmax"  # what the names of tasks begin with


class _Search(NamedTuple):
    """What the tasks of a search are told beside their blocks."""

    ops_of: Any
    advance: Any
    relaxation: Any
    axes: tuple[int, ...]
    order: float | None  # None for an array of them
    masked: bool
    terms: int  # how many there are


def by_pieces_of(xp, ops_of) -> dict[str, Any]:
    """Return what an adapter of Dask has for rows in pieces, by the names of `protocol.py`."""
    return {
        "by_rows": partial(_by_rows, xp, ops_of),
        "search": partial(_search, xp, ops_of),
        "kth_largest": partial(_kth_largest, xp),
        "row_zeros": partial(_row_zeros, xp),
        "indices": partial(_indices, xp),
        "in_chunks_of": in_chunks_of,
        "spreads": lambda x: any(n > 1 for n in x.numblocks[1:]),
    }


def _row_zeros(xp, x, axes):
    lengths = [(1,) if axis in axes else sizes for axis, sizes in enumerate(x.chunks)]
    if any(n != n for sizes in lengths for n in sizes):  # which are not known
        return xp.zeros_like(xp.sum(x, axis=axes, keepdims=True))
    return xp.zeros(tuple(map(sum, lengths)), dtype=x.dtype, chunks=tuple(lengths))


def _indices(xp, x, axis, **kind):
    return xp.arange(x.shape[axis], chunks=(x.chunks[axis],), **kind)


def _by_rows(xp, ops_of, f, x, *others, axes, kept=False):
    if not kept and any(x.numblocks[axis] > 1 for axis in axes):
        return f(ops_of(xp), x, *others)
    x = x.rechunk(dict.fromkeys(axes, -1))
    present = tuple(a is not None for a in others)
    arrays = [x, *(_beside(x, a) for a in others if a is not None)]
    names = tuple(range(x.ndim))
    block = partial(_whole, f, ops_of, present)
    return _blockwise(xp, block, names, [(a, names) for a in arrays], {} if kept else _ones(x, axes))


def _search(xp, ops_of, advance, state, z, keep, order, r, axes):
    names = tuple(range(z.ndim))
    terms, states = (z.ndim, *names), (z.ndim + 1, *names)
    orders = [(_beside(z, order), names)] if hasattr(order, "chunks") else []
    scores = [(z, names), *([] if keep is None else [(_beside(z, keep), names)]), *orders]
    task = _Search(ops_of, advance, r, axes, None if orders else order, keep is not None, 0)
    task = task._replace(terms=_number_of_terms(task, z))
    now = xp.stack([_beside(z, xp.astype(part, z.dtype)) for part in state], axis=0).rechunk({0: -1})
    for _ in range(r.steps):
        sums = _blockwise(
            xp, partial(_summed, task), terms, [*scores, (now, states)], _ones(z, axes), {z.ndim: task.terms}
        )
        sums = xp.sum(sums, axis=tuple(axis + 1 for axis in axes), keepdims=True, dtype=z.dtype)
        now = _blockwise(xp, partial(_advanced, task), states, [(now, states), (sums, terms), *orders])
    return now[0, ...]


def _kth_largest(xp, x, k):
    """The k largest of each chunk, and of several of those, until they are those of the row."""
    return xp.topk(x, k, axis=-1)[..., k - 1 : k]


def _blockwise(xp, block, names, pairs, chunks=None, added=None):
    """One task a chunk, of arrays whose axes have names."""
    first = pairs[0][0]
    return xp.blockwise(
        block,
        names,
        *(part for pair in pairs for part in pair),
        new_axes=added or {},
        adjust_chunks=chunks or {},
        align_arrays=False,
        meta=first._meta,
        dtype=first.dtype,
        token=TOKEN,
    )


def _ones(x, axes):
    """Chunks of axes that each block reduces to length 1."""
    return {axis: (1,) * x.numblocks[axis] for axis in axes}


def _beside(x, a):
    return in_chunks_of(x, a, range(x.ndim))


def _number_of_terms(task: _Search, z) -> int:
    one = z._meta.reshape(-1)[:0].reshape((0,) + (1,) * (z.ndim - 1))
    ops = task.ops_of(array_namespace(one))
    order = one + 1 if task.order is None else task.order
    return len(task.relaxation.terms(ops, task.relaxation, one, one, one == one, order))


# What tasks run.


def _whole(f, ops_of, present, x, *others):
    rest, ops = iter(others), ops_of(array_namespace(x))
    return ops.quietly(f)(ops, x, *(next(rest) if there else None for there in present))


def _summed(task: _Search, z, *rest):
    """The sums of a chunk's terms, stacked in front; zeros once no row moves any more."""
    *others, state = rest
    ops, state = task.ops_of(array_namespace(z)), block_of(state)
    if not bool(ops.xp.any(state[-1, ...] != 0)):
        return ops.xp.zeros((task.terms, *state.shape[1:]), dtype=z.dtype, **ops.place(z))
    keep = others[0] if task.masked else None
    order = others[-1] if task.order is None else task.order
    return ops.quietly(_sums)(ops, task, state, z, keep, order)


def _sums(ops, task: _Search, state, z, keep, order):
    xp, r = ops.xp, task.relaxation
    terms = r.terms(ops, r, state[0, ...], z, keep, order)
    return xp.stack([xp.sum(term, axis=task.axes, keepdims=True) for term in terms], axis=0)


def _advanced(task: _Search, state, sums, *orders):
    state, sums = block_of(state), block_of(sums)
    ops = task.ops_of(array_namespace(state))
    moving = state[-1, ...] != 0
    if not bool(ops.xp.any(moving)):
        return state
    parts = (*(state[k, ...] for k in range(state.shape[0] - 1)), moving)
    order = orders[0] if orders else task.order
    new = ops.quietly(task.advance)(ops, parts, tuple(sums[k, ...] for k in range(sums.shape[0])), order)
    return ops.xp.stack([ops.xp.astype(part, state.dtype) for part in new], axis=0)

"""How memory is cut into blocks that stay in cache, and what is known of a call. NumPy only."""

from typing import Any, NamedTuple

import numpy as np


class Plan(NamedTuple):
    """A reduction of n entries of C-contiguous arrays, seen as (outer, n, inner)."""

    outer: int
    n: int
    inner: int
    sign: int  # -1 if the smallest score is looked for
    tables: Any  # (k + 1, n): the positions, and a last row of ones
    span: float  # largest position
    shape: tuple[int, ...]  # of the answer
    moments: bool  # whether each position is followed, after all of them, by its variance
    fill: Any  # fills memory with exp(x / divisor), from x and the scale
    safe: tuple[float, float]  # sums of these for which no shift by the largest score is needed
    limits: Any  # those of the kernel
    copied: Any  # copies numbers into memory of another dtype; None if the scores have the dtype of the tables
    itemsize: int  # of a number in the dtype of the computation
    tiny: float  # the smallest normal one
    little: int  # scores up to which all are done at once
    by_row: bool = False  # whether each row has a divisor of its own
    divisor: Any = None  # a number, negative for the smallest score; or (outer, inner) of them; None is 1
    scale: Any = None  # what it is to `fill`: a number, or (outer, 1, inner) of them

    @property
    def readings(self) -> int:
        """How many numbers a row is reduced to."""
        return (len(self.tables) - 1) * (1 + self.moments)

    def at(self, i, j):
        """The plan for the rows of a block."""
        return self._replace(divisor=self.divisor[i, j], scale=self.scale[i, :, j]) if self.by_row else self

    def read(self, scores, out=None):
        """Scores in the dtype of the computation: themselves if they have it, else in out or memory of their own."""
        if self.copied is None:
            return scores
        return self.copied(scores, like(self, scores) if out is None else out)


def blocks(p: Plan, spare=False):
    """Slices of outer and inner that fit into a block; inner is cut only where all of it does not.

    To be `spare`, a block is not much beside the scores, but at least half of a usual one.
    """
    block, columns = p.limits.block, p.limits.columns
    share = p.outer * p.n * p.inner * p.itemsize // p.limits.share
    room = max(1, min(block, max(share, block // 2) if spare else block) // p.itemsize)
    width = min(p.inner, max(columns, room // p.n))
    rows = max(1, room // (p.n * width)) if width == p.inner else 1
    for i in range(0, p.outer, rows):
        for j in range(0, p.inner, width):
            yield slice(i, i + rows), slice(j, j + width)


def part(mask, i, j):
    """The block of a mask."""
    return None if mask is None else mask[i, :, j]


def folded(p: Plan, x):
    """A view of shape (outer, n, inner)."""
    return x.reshape(p.outer, p.n, p.inner)


def like(p: Plan, block, scratch=None):
    """Memory for a block in the dtype of the computation, in scratch if that is large enough."""
    if scratch is None or scratch.shape[1:] != block.shape[1:] or len(scratch) < len(block):
        return np.empty(block.shape, dtype=p.tables.dtype)
    return scratch[: len(block)]


def is_foldable(p: Plan, x) -> bool:
    """Whether the memory can be seen as (outer, n, inner), or is so little that a copy does not matter."""
    return (
        x.flags.c_contiguous or x.nbytes <= p.limits.block or np.may_share_memory(x, x.reshape(p.outer, p.n, p.inner))
    )

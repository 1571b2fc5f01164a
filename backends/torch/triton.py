"""Kernels in Triton, for tensors of a CUDA device: a row of scores is read once, and its gradient written once.

The numbers are those of the rules. What differs is how often memory is passed: the sums of softmax are made while the scores
stream by, and a row that fits on the chip stays in registers while its threshold is solved.
"""

import math
import struct
from contextlib import nullcontext
from functools import cache, lru_cache, partial
from subprocess import CalledProcessError
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from ..._rules.relaxations import CAPPED, ENTMAX, SOFTMAX
from .memory import array_classes, traits


class Size(NamedTuple):
    """Scores seen as (outer, n, inner), of which n is reduced."""

    outer: Any
    n: Any
    inner: Any


class Mask(NamedTuple):
    """A mask and its strides. Outer and reduced axes may have two groups: the last, of so many entries, and those before."""

    kept: Any
    outer: Any
    far: Any
    near: Any
    inner: Any
    step: Any
    n: Any = None  # None: the reduced axes are one group
    leap: Any = None


class Given(NamedTuple):
    """What all kernels are given. A float of Python comes as the bits of float64: Triton would round it to float32."""

    x: Any
    mask: Mask | None
    temperature: Any
    step: Any  # from one row's temperature to the next
    a: Any  # the order of entmax, less 1
    k: Any
    size: Size


class How(NamedTuple):
    """What a kernel is compiled for."""

    dtype: Any  # of the computation
    smallest: float  # normal number
    lowest: float  # logarithm of that
    digit: float  # from 1 to the next number
    form: str  # what makes weights of scores: "softmax", "clipped", or a power, which may be a line, a square or a cube
    heat: str  # what the temperature is: "none", "number" or "array"
    rows: bool  # whether a row lies in one piece
    answers: int = 0  # how many positions are expected
    again: bool = False  # whether a row is read again, a tile after the other, and else stays in registers
    R: int = 1  # of a tile: rows first
    N: int = 1  # and entries second


# Parts of kernels. What there is one of for each row is 1-D.


@triton.jit
def _quotient(x, y):
    return x / y if y.dtype == tl.float64 else tl.div_rn(x, y)


@triton.jit
def _ratio(x, y):
    """``x / y``, rounded as a division, which would branch, and keep whole tiles in registers meanwhile."""
    inverse = _quotient(1.0, y)
    q = x * inverse
    better = tl.fma(tl.fma(-q, y, x), inverse, q)
    return tl.where(better == better, better, q)


@triton.jit
def _number(bits, HOW: tl.constexpr):
    return bits.to(tl.float64, bitcast=True).to(HOW.dtype)


@triton.jit
def _rows(block, size, HOW: tl.constexpr):
    """Numbers of rows, offsets of their first scores, their outer and inner index, and whether they are there."""
    lane = tl.arange(0, HOW.R)
    if HOW.rows:
        r = block.to(tl.int64) * HOW.R + lane
        base, o, i, there = r * size.n, r, r * 0, r < size.outer
    else:
        blocks = tl.cdiv(size.inner, HOW.R)
        first = (block // blocks).to(tl.int64)
        i = (block % blocks) * HOW.R + lane
        r, base, there = first * size.inner + i, first * size.n * size.inner + i, i < size.inner
        o = i * 0 + first
    return r, base, o, i, there


@triton.jit
def _tile(given, row, j, HOW: tl.constexpr):
    """A tile of scores, -inf where none is kept, their offsets, and whether they are inside."""
    _, base, o, i, there = row
    size, mask = given.size, given.mask
    inside = there[:, None] & (j < size.n)[None, :]
    at = base[:, None] + j.to(tl.int64)[None, :] * size.inner
    x = tl.load(given.x + at, mask=inside, other=-float("inf")).to(HOW.dtype)
    if mask is not None:
        line = (o // mask.outer) * mask.far + (o % mask.outer) * mask.near + i * mask.inner
        if mask.n is None:
            column = j.to(tl.int64) * mask.step
        else:
            column = (j // mask.n).to(tl.int64) * mask.leap + (j % mask.n).to(tl.int64) * mask.step
        kept = tl.load(mask.kept + line[:, None] + column[None, :], mask=inside, other=0)
        x = tl.where(kept != 0, x, -float("inf"))
    return x, at, inside


@triton.jit
def _temperatures(given, row, HOW: tl.constexpr):
    r, _, _, _, there = row
    t = r.to(HOW.dtype) * 0 + 1
    if HOW.heat == "number":
        t = t * _number(given.temperature, HOW)
    if HOW.heat == "array":
        t = tl.load(given.temperature + r * given.step, mask=there, other=1.0).to(HOW.dtype)
    return t


@triton.jit
def _shifted(x, top, t, HOW: tl.constexpr):
    """``(x - top) / t``: 0 at the top even where that is infinite, -inf where nothing is kept.

    The difference of halves does not overflow.
    """
    low = tl.where(top == -float("inf"), 0.0, top)
    if HOW.heat == "none":
        z = x - low
    else:
        half = 0.5 * x - 0.5 * low
        z = tl.where(half == -float("inf"), -float("inf"), 2.0 * _ratio(half, t))
    z = tl.where(x == low, 0.0, z)
    if HOW.heat == "array":
        z = tl.where((t > 0) | (z == -float("inf")), z, float("nan"))
    return z


@triton.jit
def _scaled(x, top, t, HOW: tl.constexpr):
    """Scores less their reference over the temperature, as the rules scale them."""
    z = _shifted(x, top[:, None], t[:, None], HOW)
    if HOW.form == "clipped":  # the reference is the k-th largest score: some lie above it, and there may be fewer
        z = tl.where((top[:, None] == -float("inf")) & (z > -float("inf")), 0.0, z)
        z = tl.where(z > -HOW.lowest, -HOW.lowest, tl.where(z < HOW.lowest, -float("inf"), z))
    return z


@triton.jit
def _largest(x):
    """The largest score of each row, whatever NaN there is."""
    return tl.max(tl.where(x != x, -float("inf"), x), 1)


@triton.jit
def _turned(bits):
    """Integers in the order of the floats that have these bits, and back."""
    return tl.where(bits < 0, ~bits ^ (tl.full([], -1, bits.dtype) << (bits.dtype.primitive_bitwidth - 1)), bits)


@triton.jit
def _log1p(w):
    """By the quotient of two numbers of which one has lost the same digits as the other."""
    u = 1 + w
    moved = u != 1
    return tl.where(moved, tl.log(u) * (w / tl.where(moved, u - 1, 1.0)), w)


@triton.jit
def _expm1_ratio(w):
    """``expm1(w) / w``."""
    small = tl.abs(w) < 0.1
    near, far = tl.where(small, w, 0.0), tl.where(small, 1.0, w)
    series = near * 0 + 1
    for n in tl.static_range(10):
        series = 1 + near / (11 - n) * series
    return tl.where(small, series, (tl.exp(far) - 1) / far)


@triton.jit
def _phi(u, a, HOW: tl.constexpr):
    """``[1 + a u]_+^(1 / a)`` and its derivative."""
    rise = tl.maximum(a * u, -1.0, propagate_nan=tl.PropagateNan.ALL)
    base = 1 + rise
    if HOW.form == "line":
        p, s = base, (base > 0).to(HOW.dtype)
    elif HOW.form == "square":
        p, s = base * base, base
    elif HOW.form == "cube":
        p, s = base * base * base, base * base
    else:
        p = tl.exp(_log1p(rise) / a)
        s = tl.where(base > 0, p / base, base)
    return p, s


@triton.jit
def _clipped(z, root, HOW: tl.constexpr):
    """The weights that are neither 0 nor 1, which are 1, and which are neither."""
    edge: tl.constexpr = 8 * HOW.digit
    u = z - root[:, None]
    whole = u >= 1 - edge
    part = (u > edge) & ~whole
    return tl.where(part | (u != u), u, 0.0), whole.to(tl.int32), part.to(tl.int32)


@triton.jit
def _raw(z, root, a, HOW: tl.constexpr):
    """Weights before they are settled."""
    if HOW.form == "softmax":
        p = tl.exp(z)
    elif HOW.form == "clipped":
        rest, whole, _ = _clipped(z, root, HOW)
        p = rest + whole.to(HOW.dtype)
    else:
        p, _ = _phi(z - root[:, None], a, HOW)
    return p


@triton.jit
def _weights(z, root, total, a, HOW: tl.constexpr):
    """The weights of scores, NaN in the row of a NaN; those below the smallest normal number are 0."""
    p, total = _raw(z, root, a, HOW), total[:, None]
    if HOW.form == "clipped":  # a total of 0 says that all that are kept win
        p = tl.where(total == 0, (z > -float("inf")).to(HOW.dtype), p + 0 * total)
    else:
        p = p * _quotient(1.0, total) if HOW.form == "softmax" else p / total
        p = tl.where((p < HOW.smallest) | (total == 0), 0.0, p)
    return p


@triton.jit
def _slopes(p, a, HOW: tl.constexpr):
    """``phi'`` from the weights."""
    if HOW.form == "softmax":
        s = p
    else:
        moves = p > 0
        if HOW.form == "clipped":
            moves = moves & (p < 1)
        s = p * 0 + 1
        if HOW.form == "square":
            s = tl.sqrt(tl.where(moves, p, 1.0))
        elif HOW.form != "line" and HOW.form != "clipped":  # noqa: PLR1714
            s = tl.exp((1 - a) * tl.log(tl.where(moves, p, 1.0)))
        s = tl.where(moves, s, p * 0)
    return s


@triton.jit
def _over(j, by):
    """``j // by`` by a product: a division would take longer than to read a score."""
    return ((j.to(tl.int64) * by[1]) >> by[2]).to(tl.int32)


@triton.jit
def _along(j, tables, sizes, n, HOW: tl.constexpr):
    """What entries of the row stand for along each of its axes."""
    if len(sizes) == 3:
        q = _over(j, sizes[2])
        first = _over(q, sizes[1])
        index = [first, q - first * sizes[1][0], j - q * sizes[2][0]]
    elif len(sizes) == 2:
        q = _over(j, sizes[1])
        index = [q, j - q * sizes[1][0]]
    else:
        index = [j]
    return [
        tl.load(tables[k] + index[k], mask=j < n, other=0.0).to(HOW.dtype)[None, :] for k in (0, 1, 2)[: HOW.answers]
    ]


# Kernels. A program has a tile of rows, or of one piece of each.


@triton.jit
def _answer(row, means, centers, total, top, root, columns, y, kept, HOW: tl.constexpr):
    """Write what is kept of each row, and its answers: NaN where nothing has weight."""
    r, there = row[0], row[4]
    kept += r * (3 + HOW.answers)
    tl.store(kept, top, mask=there)
    tl.store(kept + 1, root, mask=there)
    tl.store(kept + 2, total, mask=there)
    for k in tl.static_range(len(means)):
        tl.store(kept + 3 + k, centers[k], mask=there)
        tl.store(y + r * HOW.answers + columns[k], tl.where(total > 0, means[k], float("nan")), mask=there)


# A threshold is solved by sums over its row, which stays in registers, or is read again: from a cache if that can hold it.


@triton.jit
def _fold(f: tl.constexpr, state, held, given, row, top, t, COUNT: tl.constexpr, HOW: tl.constexpr):
    """The sums over each row of the terms ``f(z, j, state)``."""
    terms = f(held, tl.arange(0, HOW.N), state, HOW)
    if HOW.again:
        for start in range(HOW.N, given.size.n, HOW.N):
            more = f(_read(given, row, start, top, t, HOW), start + tl.arange(0, HOW.N), state, HOW)
            terms = [terms[k] + more[k] for k in (0, 1, 2, 3)[:COUNT]]
    return [tl.sum(terms[k], 1) for k in (0, 1, 2, 3)[:COUNT]]


@triton.jit
def _read(given, row, start, top, t, HOW: tl.constexpr):
    x, _, _ = _tile(given, row, start + tl.arange(0, HOW.N), HOW)
    return _scaled(x, top, t, HOW)


@triton.jit
def _highest(x, given, row, HOW: tl.constexpr):
    """The largest score of each row."""
    top = _largest(x)
    if HOW.again:
        for start in range(HOW.N, given.size.n, HOW.N):
            rest, _, _ = _tile(given, row, start + tl.arange(0, HOW.N), HOW)
            top = tl.maximum(top, _largest(rest))
    return top


@triton.jit
def _keys(x, HOW: tl.constexpr):
    """Integers in the order of the scores."""
    return _turned(x.to(tl.int64 if HOW.dtype == tl.float64 else tl.int32, bitcast=True))


@triton.jit
def _at_least(least, keys, given, row, HOW: tl.constexpr):
    """How many scores of each row have keys of at least so much."""
    above = (keys >= least[:, None]).to(tl.int32)
    if HOW.again:
        for start in range(HOW.N, given.size.n, HOW.N):
            x, _, _ = _tile(given, row, start + tl.arange(0, HOW.N), HOW)
            above += (_keys(x, HOW) >= least[:, None]).to(tl.int32)
    return tl.sum(above, 1)


@triton.jit
def _kth_highest(x, given, row, HOW: tl.constexpr):
    """The k-th largest score of each row, bit by bit."""
    keys = _keys(x, HOW)
    one = (row[0] * 0 + 1).to(keys.dtype)
    below: tl.constexpr = keys.dtype.primitive_bitwidth - 1
    found = ((_at_least(one * 0, keys, given, row, HOW) >= given.k).to(keys.dtype) - 1) << below
    for step in range(below):
        tried = found | (one << (below - 1 - step))
        found = tl.where(_at_least(tried, keys, given, row, HOW) >= given.k, tried, found)
    return _turned(found).to(HOW.dtype, bitcast=True)


@triton.jit
def _power_terms(z, j, state, HOW: tl.constexpr):
    root, a = state
    return _phi(z - root[:, None], a, HOW)


@triton.jit
def _power_root(z, given, row, top, t, a, HOW: tl.constexpr):
    """Newton's steps on the norm, which rise from a threshold of 0 until they have ended."""
    root = tl.zeros_like(top)
    left = tl.full([], 96, tl.int32)  # as many steps as the rules take at most
    while left > 0:
        total, slope = _fold(_power_terms, (root, a), z, given, row, top, t, 2, HOW)
        slope, total = tl.where(slope == 0, 1.0, slope), tl.where(total == 0, 1.0, total)
        log = tl.log(total)
        new = root + _quotient(total * log * _expm1_ratio(-a * log), slope)
        rises = new > root
        root = tl.where(rises, new, root)
        left = tl.where(tl.max(rises.to(tl.int32), 0) > 0, left - 1, 0)
    return root


@triton.jit
def _clipped_terms(z, j, state, HOW: tl.constexpr):
    return _clipped(z, state[0], HOW)


@triton.jit
def _clipped_root(z, given, row, top, t, HOW: tl.constexpr):
    """Newton's steps on ``sum clip(z - root, 0, 1) = k`` within a bracket, and bisections where one is not half as long."""
    high = tl.zeros_like(top)
    low, root, last = high - 1, high - 1, high + float("inf")
    left = tl.full([], 96, tl.int32)
    while left > 0:
        rest, whole, part = _fold(_clipped_terms, (root,), z, given, row, top, t, 3, HOW)
        over = rest + (whole - given.k).to(HOW.dtype)
        move = _quotient(over, tl.maximum(part.to(HOW.dtype), 1.0e-19))
        low, high = tl.where(over >= 0, root, low), tl.where(over < 0, root, high)
        new, least = root + move, HOW.digit * (1 + tl.abs(root))
        settled = tl.abs(move) <= least
        good = settled | ((new > low) & (new < high) & (tl.abs(move) <= last / 2))
        new = tl.where(good, new, (low + high) / 2)
        moved = ~settled & (high - low > least) & (over == over)
        last, root = tl.abs(new - root), new
        left = tl.where(tl.max(moved.to(tl.int32), 0) > 0, left - 1, 0)
    return root


@triton.jit
def _kept_terms(z, j, state, HOW: tl.constexpr):
    return ((z > -float("inf")).to(tl.int32),)


@triton.jit
def _mass_terms(z, j, state, HOW: tl.constexpr):
    """Weights before they are settled, and those times what their entries stand for."""
    root, a, tables, sizes, n = state
    p, places = _raw(z, root, a, HOW), _along(j, tables, sizes, n, HOW)
    return [p if k == 0 else p * places[k - 1] for k in (0, 1, 2, 3)[: HOW.answers + 1]]


@triton.jit
def _slope_terms(z, j, state, HOW: tl.constexpr):
    """Slopes, and those times what their entries stand for."""
    root, total, a, tables, sizes, n = state
    s, places = _slopes(_weights(z, root, total, a, HOW), a, HOW), _along(j, tables, sizes, n, HOW)
    return [s if k == 0 else s * places[k - 1] for k in (0, 1, 2, 3)[: HOW.answers + 1]]


@triton.jit
def _solve(given, tables, sizes, columns, y, weights, kept, HOW: tl.constexpr):
    """The weights of rows, or the expected positions; what is kept of each row."""
    row, j = _rows(tl.program_id(0), given.size, HOW), tl.arange(0, HOW.N)
    x, at, inside = _tile(given, row, j, HOW)
    t, a = _temperatures(given, row, HOW), _number(given.a, HOW)
    top = _kth_highest(x, given, row, HOW) if HOW.form == "clipped" else _highest(x, given, row, HOW)
    z = _scaled(x, top, t, HOW)
    root = tl.zeros_like(top)
    if HOW.form == "clipped":
        root = _clipped_root(z, given, row, top, t, HOW)
    elif HOW.form != "softmax":
        root = _power_root(z, given, row, top, t, a, HOW)
    state = (root, a, tables, sizes, given.size.n)
    sums = _fold(_mass_terms, state, z, given, row, top, t, HOW.answers + 1, HOW)
    total = sums[0]
    means = [_quotient(sums[k + 1], total) for k in (0, 1, 2)[: HOW.answers]]
    centers = means
    if HOW.form == "clipped":
        count = _fold(_kept_terms, (), z, given, row, top, t, 1, HOW)[0]
        total = tl.where((count <= given.k) & (total == total), 0.0, total)
    if weights is not None:
        _lay(z, at, inside, given, row, top, t, root, total, a, weights, HOW)
    elif HOW.form != "softmax":
        settled = (root, total, a, tables, sizes, given.size.n)
        sums = _fold(_slope_terms, settled, z, given, row, top, t, HOW.answers + 1, HOW)
        centers = [_quotient(sums[k + 1], sums[0]) for k in (0, 1, 2)[: HOW.answers]]
    _answer(row, means, centers, total, top, root, columns, y, kept, HOW)


@triton.jit
def _lay(z, at, inside, given, row, top, t, root, total, a, weights, HOW: tl.constexpr):
    """Write the weights of rows."""
    tl.store(weights + at, _weights(z, root, total, a, HOW), mask=inside)
    if HOW.again:
        for start in range(HOW.N, given.size.n, HOW.N):
            x, at, inside = _tile(given, row, start + tl.arange(0, HOW.N), HOW)
            tl.store(weights + at, _weights(_scaled(x, top, t, HOW), root, total, a, HOW), mask=inside)


@triton.jit
def _stream(given, tables, sizes, columns, y, kept, parts, pieces, length, HOW: tl.constexpr):
    """Softmax of pieces of rows, a tile after the other: the largest score, the sum of exponentials, and those of positions."""
    program = tl.program_id(0)
    row, piece = _rows(program // pieces, given.size, HOW), program % pieces
    t = _temperatures(given, row, HOW)
    total, top = tl.zeros_like(t), tl.zeros_like(t) - float("inf")
    sums = [total for k in (0, 1, 2)[: HOW.answers]]
    for start in range(0, length, HOW.N):
        j = piece * length + start + tl.arange(0, HOW.N)
        x, _, _ = _tile(given, row, j, HOW)
        new = tl.maximum(top, _largest(x))
        e, shrunk = tl.exp(_shifted(x, new[:, None], t[:, None], HOW)), tl.exp(_shifted(top, new, t, HOW))
        places = _along(j, tables, sizes, given.size.n, HOW)
        sums = [sums[k] * shrunk + tl.sum(e * places[k], 1) for k in (0, 1, 2)[: HOW.answers]]
        total, top = total * shrunk + tl.sum(e, 1), new
    if parts is None:
        means = [_quotient(sums[k], total) for k in (0, 1, 2)[: HOW.answers]]
        _answer(row, means, means, total, top, tl.zeros_like(top), columns, y, kept, HOW)
    else:
        parts += (row[0] * pieces + piece) * (2 + HOW.answers)
        tl.store(parts, top, mask=row[4])
        tl.store(parts + 1, total, mask=row[4])
        for k in tl.static_range(len(sums)):
            tl.store(parts + 2 + k, sums[k], mask=row[4])


@triton.jit
def _combine(given, columns, y, kept, parts, pieces, HOW: tl.constexpr):
    """The sums of rows from those of their pieces."""
    row, q = _rows(tl.program_id(0), given.size, HOW), tl.arange(0, HOW.N)
    inside = row[4][:, None] & (q < pieces)[None, :]
    at = (row[0] * pieces)[:, None] + q[None, :]
    parts += at * (2 + HOW.answers)
    tops = tl.load(parts, mask=inside, other=-float("inf"))
    top, t = tl.max(tops, 1), _temperatures(given, row, HOW)
    e = tl.exp(_shifted(tops, top[:, None], t[:, None], HOW))
    total = tl.sum(tl.load(parts + 1, mask=inside, other=0.0) * e, 1)
    means = [
        _quotient(tl.sum(tl.load(parts + 2 + k, mask=inside, other=0.0) * e, 1), total)
        for k in (0, 1, 2)[: HOW.answers]
    ]
    _answer(row, means, means, total, top, tl.zeros_like(top), columns, y, kept, HOW)


@triton.jit
def _again(given, row, j, kept, HOW: tl.constexpr):
    """A tile of scores with their weights, by what is kept of their rows, and whether nothing moves in a row."""
    x, at, inside = _tile(given, row, j, HOW)
    kept += row[0] * (3 + HOW.answers)
    top, root = tl.load(kept, mask=row[4], other=0.0), tl.load(kept + 1, mask=row[4], other=0.0)
    total = tl.load(kept + 2, mask=row[4], other=1.0)
    z = _scaled(x, top, _temperatures(given, row, HOW), HOW)
    a = _number(given.a, HOW)
    p = _weights(z, root, total, a, HOW)
    s = _slopes(p, a, HOW)
    flat = (top == float("inf")) & (total == total)
    return p, s, z, (x == -float("inf")) | (s == 0) | flat[:, None], at, inside


@triton.jit
def _write(given, weights, kept, pieces, HOW: tl.constexpr):
    """The weights of rows that were streamed."""
    program = tl.program_id(0)
    row, j = _rows(program // pieces, given.size, HOW), program % pieces * HOW.N + tl.arange(0, HOW.N)
    p, _, _, _, at, inside = _again(given, row, j, kept, HOW)
    tl.store(weights + at, p, mask=inside)


@triton.jit
def _pulled_sums(given, row, first, length, g, kept, HOW: tl.constexpr):
    """The sums of slopes over a piece of rows: times the cotangent of the weights, and alone."""
    pulled = (row[0] * 0).to(HOW.dtype)
    slope = pulled
    for start in range(0, length, HOW.N):
        j = first + start + tl.arange(0, HOW.N)
        _, s, _, still, at, inside = _again(given, row, j, kept, HOW)
        v = tl.load(g + at, mask=inside, other=0.0).to(HOW.dtype)
        pulled += tl.sum(s * tl.where(still, 0.0, v), 1)
        slope += tl.sum(s, 1)
    return pulled, slope


@triton.jit
def _center(pulled, slope, HOW: tl.constexpr):
    """``<s, v> / sum(s)``; the slopes of softmax sum to 1, or to 0."""
    return pulled if HOW.form == "softmax" else _quotient(pulled, tl.where(slope == 0, 1.0, slope))


@triton.jit
def _dot(given, g, kept, parts, pieces, length, HOW: tl.constexpr):
    """The sums of pieces of rows that are pulled back by more than one program."""
    program = tl.program_id(0)
    row, piece = _rows(program // pieces, given.size, HOW), program % pieces
    pulled, slope = _pulled_sums(given, row, piece * length, length, g, kept, HOW)
    parts += (row[0] * pieces + piece) * 2
    tl.store(parts, pulled, mask=row[4])
    tl.store(parts + 1, slope, mask=row[4])


@triton.jit
def _put(given, row, s, z, v, still, at, inside, dx, HOW: tl.constexpr):
    """Write the cotangent ``s v / T`` of a tile of scores; return that of the temperatures."""
    d = s * v
    if HOW.heat != "none":
        d = _ratio(d, _temperatures(given, row, HOW)[:, None])
    d = tl.where(still, 0.0, d)
    tl.store(dx + at, d, mask=inside)
    return -tl.sum(tl.where(d == 0, 0.0, d * z), 1)


@triton.jit
def _pull_rows(given, g, kept, dx, dt, HOW: tl.constexpr):
    """The cotangents of the scores and temperatures of rows from those of the weights: ``s (v - <s, v> / sum(s)) / T``."""
    row, j = _rows(tl.program_id(0), given.size, HOW), tl.arange(0, HOW.N)
    _, s, z, still, at, inside = _again(given, row, j, kept, HOW)
    v = tl.where(still, 0.0, tl.load(g + at, mask=inside, other=0.0).to(HOW.dtype))
    pulled, slope = tl.sum(s * v, 1), tl.sum(s, 1)
    if HOW.again:
        more, steeper = _pulled_sums(given, row, HOW.N, given.size.n - HOW.N, g, kept, HOW)
        pulled, slope = pulled + more, slope + steeper
    center = _center(pulled, slope, HOW)
    heat = _put(given, row, s, z, v - center[:, None], still, at, inside, dx, HOW)
    if HOW.again:
        for start in range(HOW.N, given.size.n, HOW.N):
            _, s, z, still, at, inside = _again(given, row, start + j, kept, HOW)
            v = tl.load(g + at, mask=inside, other=0.0).to(HOW.dtype) - center[:, None]
            heat += _put(given, row, s, z, v, still, at, inside, dx, HOW)
    if HOW.heat == "array":
        tl.store(dt + row[0], heat, mask=row[4])


@triton.jit
def _pull_pieces(
    given, tables, sizes, columns, g, kept, parts, count, dx, dt, pieces, HOW: tl.constexpr, P: tl.constexpr
):
    """Write the gradient of the scores, a piece of a row to each program. What is taken from each cotangent is known."""
    program = tl.program_id(0)
    row, piece = _rows(program // pieces, given.size, HOW), program % pieces
    r, there, j = row[0], row[4], piece * HOW.N + tl.arange(0, HOW.N)
    _, s, z, still, at, inside = _again(given, row, j, kept, HOW)
    if parts is None:
        places = _along(j, tables, sizes, given.size.n, HOW)
        v = tl.zeros_like(s)
        for k in tl.static_range(len(tables)):
            center = tl.load(kept + r * (3 + HOW.answers) + 3 + k, mask=there, other=0.0)
            share = tl.load(g + r * HOW.answers + columns[k], mask=there, other=0.0).to(HOW.dtype)
            v += share[:, None] * (places[k] - center[:, None])
    else:
        q = tl.arange(0, P)
        parts += ((r * count)[:, None] + q[None, :]) * 2
        read = there[:, None] & (q < count)[None, :]
        pulled, slope = tl.load(parts, mask=read, other=0.0), tl.load(parts + 1, mask=read, other=0.0)
        center = _center(tl.sum(pulled, 1), tl.sum(slope, 1), HOW)
        v = tl.load(g + at, mask=inside, other=0.0).to(HOW.dtype) - center[:, None]
    heat = _put(given, row, s, z, v, still, at, inside, dx, HOW)
    if HOW.heat == "array":
        tl.store(dt + r * pieces + piece, heat, mask=there)


# Launches.

POWERS = {2.0: "line", 1.5: "square", 4 / 3: "cube"}
SINGLE = (tl.float32, 2.0**-126, math.log(2.0**-126), 2.0**-23)
DOUBLE = (tl.float64, 2.0**-1022, math.log(2.0**-1022), 2.0**-52)
IN = {torch.float16: SINGLE, torch.bfloat16: SINGLE, torch.float32: SINGLE, torch.float64: DOUBLE}
REGISTERS = 2**16  # of a processor
LONGEST = 2**30  # of a row, whose entries are counted by int32


class Launch(NamedTuple):
    """How a kernel is compiled, and launched by how many programs: for tiles of rows, times the pieces that rows are read in."""

    how: How
    options: dict[str, Any]
    blocks: int
    pieces: int = 1
    length: int = 0


def _options(how: How) -> dict[str, Any]:
    """What the compiler is told.

    No product is fused with a sum, so that the numbers are those of the rules. All registers may be used: left to itself,
    the assembler spills a few so that one more program fits beside.
    """
    size = how.R * how.N
    warps = max(1, min(size // 128, 32) if how.again else min(size // 512, max(size // 1024, 8), 16))
    return {"num_warps": warps, "maxnreg": min(REGISTERS // (32 * warps), 255), "enable_fp_fusion": False}


class Plan(NamedTuple):
    """What is launched for a call: everything that does not depend on values. None: that is not launched."""

    size: Size
    dtype: torch.dtype  # of the computation
    columns: tuple[int, ...]  # of the answers, in the order that their axes lie in memory
    sizes: tuple[tuple[int, int, int], ...]  # of those axes, each with a factor and a shift that divide by it
    solve: Launch | None
    stream: Launch | None
    combine: Launch | None
    write: Launch | None
    dot: Launch | None
    pull: Launch

    @property
    def rows(self) -> int:
        return self.size.outer * self.size.inner


class Shape(NamedTuple):
    """The scores of a call for so many positions, and the limits of tiles."""

    size: Size
    how: How
    answers: int
    limits: Any

    @property
    def n(self) -> int:
        """The length of a row, filled up to a power of 2."""
        return triton.next_power_of_2(self.size.n)

    @property
    def lines(self) -> int:
        """How many rows a tile has at least, so that it is read in whole lines of memory."""
        return 1 if self.how.rows else min(triton.next_power_of_2(self.size.inner), self.limits.wide)

    def fits(self, most: int) -> bool:
        """Whether whole rows are so many scores at most, of which registers hold half as many in float64."""
        return self.n * self.lines <= (most // 2 if self.how.dtype == tl.float64 else most)

    def tiled(self, most: int | None = None, pieces: int = 0, again: bool = False) -> Launch:
        """Tiles of so many scores at most, or of whole rows. Pieces of 0: one for each tile, else so many at most."""
        size, rows = self.size, self.how.rows
        N = self.n if most is None else min(self.n, max(most // self.lines, 1))
        across = size.outer if rows else size.inner
        R = min(triton.next_power_of_2(across), max(self.limits.tile // N, self.lines))
        blocks = triton.cdiv(across, R) * (1 if rows else size.outer)
        length = N
        if pieces:
            wanted = min(triton.cdiv(self.limits.fill, blocks), pieces)
            length = triton.cdiv(triton.cdiv(size.n, wanted), N) * N
        how = self.how._replace(answers=self.answers, again=again, R=R, N=N)
        return Launch(how, _options(how), blocks, 1 if again else triton.cdiv(size.n, length), length)

    def whole(self, share: int) -> Launch:
        """Whole rows, in registers if they take no more than a share of the chip.

        Others are read again, by a program so large that no other row is in the processor's cache.
        """
        return self.tiled() if self.fits(self.limits.chip // share) else self.tiled(self.limits.piece, again=True)


def _divisor(n: int) -> tuple[int, int, int]:
    """A size, and the factor and the shift by which whole numbers below 2^31 are divided by it."""
    shift = 31 + (n - 1).bit_length()
    return n, -(-(1 << shift) // n), shift


def _form(r) -> str | None:
    if r == SOFTMAX:
        return "softmax"
    if r.name == CAPPED.name:
        return "clipped"
    return POWERS.get(r.alpha, "power") if r.name == ENTMAX.name and r.alpha and 1 < r.alpha <= 2 else None


@lru_cache(maxsize=1024)
def _plan(shape, axes, dtype, relaxation, heat, answers, limits) -> Plan | None:
    """What is launched for scores of a shape and so many positions; None where the kernels do not know how."""
    form, first, last = _form(relaxation), min(axes, default=0), max(axes, default=-1)
    if form is None or not axes or any(shape[axis] != 1 for axis in range(first, last) if axis not in axes):
        return None
    size = Size(*map(math.prod, (shape[:first], shape[first : last + 1], shape[last + 1 :])))
    longest = LONGEST if form == "softmax" else limits.longest
    if min(size) == 0 or max(size) > LONGEST or size.n > longest or answers > (0 if form == "clipped" else 3):
        return None
    scores = Shape(size, How(*IN[dtype], form, heat, size.inner == 1), answers, limits)
    order = sorted(range(answers), key=axes.__getitem__)
    sizes = tuple(_divisor(shape[axes[k]]) for k in order)
    computed = torch.float64 if dtype == torch.float64 else torch.float32
    return Plan(size, computed, tuple(order), sizes, *_forward(scores), *_backward(scores))


def _forward(scores: Shape) -> tuple[Any, ...]:
    """Whole rows, for which logarithms take registers, as positions do.

    Softmax of long rows is streamed instead, in pieces where they are few and very long.
    """
    limits, how, answers, n = scores.limits, scores.how, scores.answers, scores.size.n
    if how.form != "softmax" or (scores.fits(limits.piece) if answers else n < limits.long):
        return scores.whole(4 if how.form == "power" else 2 if answers else 1), None, None, None
    combine, stream = None, scores.tiled(limits.piece, pieces=limits.pieces if n >= limits.long else 1)
    if stream.pieces > 1:
        how = stream.how._replace(N=triton.next_power_of_2(stream.pieces))
        combine = Launch(how, _options(how), stream.blocks)
    return None, stream, combine, None if answers else scores.tiled(limits.tile)


def _backward(scores: Shape) -> tuple[Any, ...]:
    """Pieces of rows if nothing is to be summed over them first, or if they are few and long; else whole rows."""
    limits, pull = scores.limits, scores.tiled(scores.limits.tile)
    if scores.answers:
        return None, pull
    if scores.fits(limits.chip // 2) or pull.blocks >= limits.fill:
        return None, scores.whole(2)
    return scores.tiled(limits.tile, pieces=limits.pieces), pull


class Unusable(Exception):
    """Kernels cannot be compiled or launched here."""


def _launch(kernel, launch: Launch, given: Given, *args, **options) -> None:
    device = given.x.device
    away = device.type == "cuda" and device.index != torch.cuda.current_device()
    try:
        with torch.cuda.device(device) if away else nullcontext():
            kernel[(launch.blocks * launch.pieces,)](given, *args, HOW=launch.how, **launch.options, **options)
    except torch.OutOfMemoryError:
        raise
    except (triton.TritonError, RuntimeError, OSError, CalledProcessError) as error:
        raise Unusable(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}") from error


@cache
def _plain_keys(kind: str) -> list[Any]:
    """What an ordinary tensor on such a device dispatches on, and one of inference."""
    keys = [torch._C._dispatch_keys(torch.empty(0, device=kind))]
    with torch.inference_mode():
        return [*keys, torch._C._dispatch_keys(torch.empty(0, device=kind))]


def _is_plain(x: torch.Tensor) -> bool:
    """Whether a tensor is numbers in memory and nothing else."""
    plain = type(x) in array_classes and traits(x) is not None
    return plain and torch._C._dispatch_keys(x) in _plain_keys(x.device.type)


def _bits(number: float) -> int:
    return struct.unpack("q", struct.pack("d", number))[0]


def _groups(sizes, strides) -> list[tuple[int, int]]:
    """Neighbouring axes that are one, as pairs of a size and a stride."""
    found: list[tuple[int, int]] = []
    for n, step in zip(sizes, strides, strict=True):
        if found and found[-1][1] == n * step:
            found[-1] = found[-1][0] * n, step
        elif n != 1:
            found.append((n, step))
    return found or [(1, 0)]


def _masked(mask: torch.Tensor, shape, axes) -> Mask:
    """A mask as it lies in memory; a copy where its axes are in too many groups."""
    spread, first, last = mask.expand(shape), min(axes), max(axes)
    cuts = slice(0, first), slice(first, last + 1), slice(last + 1, None)
    outer, reduced, inner = (_groups(spread.shape[cut], spread.stride()[cut]) for cut in cuts)
    if len(outer) > 2 or len(reduced) > 2 or len(inner) > 1:
        return _masked(spread.contiguous(), shape, axes)
    far = outer[0][1] if len(outer) > 1 else 0
    split = (reduced[1][0], reduced[0][1]) if len(reduced) > 1 else ()
    return Mask(spread.view(torch.uint8), outer[-1][0], far, outer[-1][1], inner[0][1], reduced[-1][1], *split)


class Problem(NamedTuple):
    """A call: what kernels are given, what is launched, and the tensors that must not change before the backward pass."""

    given: Given
    plan: Plan
    tables: tuple[torch.Tensor, ...]
    saved: tuple[torch.Tensor, ...]

    @property
    def places(self) -> tuple[Any, ...]:
        return self.tables, self.plan.sizes, self.plan.columns


def _problem(x, temperature, alpha, mask, positions, axes, relaxation, limits) -> Problem | None:
    """A call for the kernels; None if it is not such as they know."""
    if alpha is not None or x.dtype not in IN or not _is_plain(x):
        return None
    heat = "none" if temperature is None else "number" if isinstance(temperature, float) else "array"
    plan = _plan(tuple(x.shape), axes, x.dtype, relaxation, heat, len(positions), limits)
    saved = tuple(array for array in (x, temperature, mask) if isinstance(array, torch.Tensor))
    if plan is None or any(array.device != x.device for array in saved[1:]):
        return None
    if any(c.numel() != x.shape[axis] for c, axis in zip(positions, axes, strict=False)):
        return None
    held, step = 0, 0
    if heat == "array":
        step = int(any(temperature.stride()))
        held = temperature.contiguous() if step else temperature
    elif heat == "number":
        held = _bits(temperature)
    a = _bits(1.0 if relaxation.alpha in (None, 1) else relaxation.alpha - 1)
    kept = None if mask is None else _masked(mask, x.shape, axes)
    given = Given(x.contiguous(), kept, held, step, a, relaxation.k or 0, plan.size)
    return Problem(given, plan, tuple(positions[k].reshape(-1).contiguous() for k in plan.columns), saved)


def _run(problem: Problem, y, weights) -> torch.Tensor:
    """Have answers or weights written, and return what is kept of each row."""
    given, plan, places, parts = problem.given, problem.plan, problem.places, None
    kept = torch.empty((plan.rows, 3 + len(plan.columns)), dtype=plan.dtype, device=given.x.device)
    if plan.solve is not None:
        _launch(_solve, plan.solve, given, *places, y, weights, kept)
    if plan.stream is not None:
        pieces = plan.stream.pieces
        if plan.combine is not None:
            parts = kept.new_empty((plan.rows, pieces, 2 + len(plan.columns)))
        _launch(_stream, plan.stream, given, *places, y, kept, parts, pieces, plan.stream.length)
        if plan.combine is not None:
            _launch(_combine, plan.combine, given, plan.columns, y, kept, parts, pieces)
    if plan.write is not None:
        _launch(_write, plan.write, given, weights, kept, plan.write.pieces)
    return kept


def _pulled(problem: Problem, kept, versions, g, needed):
    """The cotangents of the scores and of the temperature.

    None if the cotangent is not plain, or a tensor has been written into since: the rule says what is wrong.
    """
    if not _is_plain(g) or versions != tuple(array._version for array in problem.saved):
        return None
    given, plan, g = problem.given, problem.plan, g.contiguous()
    dx, dot, pull = torch.empty_like(given.x), plan.dot, plan.pull
    dt = kept.new_empty((plan.rows, pull.pieces)) if pull.how.heat == "array" else None
    if dot is None and not problem.tables:
        _launch(_pull_rows, pull, given, g, kept, dx, dt)
    else:
        parts, count = None, 1
        if dot is not None:
            parts, count = kept.new_empty((plan.rows, dot.pieces, 2)), dot.pieces
            _launch(_dot, dot, given, g, kept, parts, count, dot.length)
        args = (*problem.places, g, kept, parts, count, dx, dt, pull.pieces)
        _launch(_pull_pieces, pull, given, *args, P=triton.next_power_of_2(count))
    if dt is None or not needed[1]:
        return dx, None, None
    temperature = problem.saved[1]
    return dx, dt.sum(dim=1).to(temperature.dtype).reshape(temperature.shape), None


def _way_back(problem: Problem, kept):
    """The pullback; None where nothing may be kept, as under checkpointing."""
    if torch._C._autograd._top_saved_tensors_default_hooks(True) is not None:
        return None
    if any(array.is_inference() for array in problem.saved):
        return None
    return partial(_pulled, problem, kept, tuple(array._version for array in problem.saved))


def weights(x, temperature, alpha, mask, *, axes, relaxation, limits):
    """Return the weights and their pullback; None if the scores are not such as the kernels know."""
    problem = _problem(x, temperature, alpha, mask, (), axes, relaxation, limits)
    if problem is None:
        return None
    p = torch.empty_like(problem.given.x, dtype=problem.plan.dtype)  # readouts of weights lose no digits
    return p, _way_back(problem, _run(problem, None, p))


def expectation(x, temperature, alpha, mask, positions, *, axes, relaxation, limits):
    """Return the expected positions, stacked last, and their pullback, or None."""
    problem = _problem(x, temperature, alpha, mask, positions, axes, relaxation, limits)
    if problem is None or len(positions) != len(axes):
        return None
    others = tuple(n for axis, n in enumerate(x.shape) if axis not in axes)
    y = torch.empty((*others, len(axes)), dtype=problem.plan.dtype, device=x.device)
    return y, _way_back(problem, _run(problem, y, None))

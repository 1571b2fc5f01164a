"""Softmax itself over plain CPU memory, in blocks that stay in cache. NumPy only.

Weights are exactly 0 where the rule says so, and it says so of scores far below the largest: blocks in which
there are any are left to it.
"""

import math

import numpy as np

from .dense import Plan, blocks, exponentials, folded, is_foldable


def forward(p: Plan, mask, x, keep=False):
    """Return the weights and nothing kept; None if the rule must do it. There is never a mask."""
    if not is_foldable(p, x):
        return None
    shape = x.shape
    y = _block_by_block(p, folded(p, x, None)[0])
    return None if y is None else (y.reshape(shape), None)


def _reach(dtype) -> float:
    """How far below the largest a score has a normal weight, with a margin."""
    return -0.9 * math.log(float(np.finfo(dtype).smallest_normal))


@np.errstate(all="ignore")
def _block_by_block(p: Plan, x):
    y = np.empty(x.shape, dtype=x.dtype)
    reach = _reach(x.dtype) * abs(p.divisor or 1)
    for i, j in blocks(p, x.itemsize):
        block, e = x[i, :, j], y[i, :, j]
        spread = float(np.maximum.reduce(block, axis=None)) - float(np.minimum.reduce(block, axis=None))
        if not (spread <= reach and math.isfinite(spread)):
            return None
        s = exponentials(p, block, None, e)
        e /= s[:, None]
    return y


def backward(p: Plan, mask, g, y, x, kept=None):
    """Return ``p (g - <p, g>) / T``; None if the rule must do it."""
    if not (is_foldable(p, g) and is_foldable(p, y)):
        return None
    shape = x.shape
    return _pulled_block_by_block(p, folded(p, g, None)[0], folded(p, y, None)[0]).reshape(shape)


@np.errstate(all="ignore")
def _pulled_block_by_block(p: Plan, g, y):
    dx = np.empty(y.shape, dtype=y.dtype)
    for i, j in blocks(p, y.itemsize):
        part, weights = dx[i, :, j], y[i, :, j]
        np.multiply(weights, g[i, :, j], out=part)
        pulled = np.add.reduce(part, axis=1, keepdims=True)
        np.subtract(g[i, :, j], pulled, out=part)
        part *= weights
        if p.divisor is not None:
            part /= p.divisor
    return dx

"""What walks along an axis, in blocks: each stays on its device, and a few numbers of each are gathered.

Among several devices any axis may be sharded. XLA gathers the whole of one that is sorted or summed up cumulatively, and of
a `top_k` all other axes too. Where it is in as many equal blocks as there are devices, a sharding cuts it between blocks.
"""

import math
from functools import partial

import jax
import jax.numpy as namespace


def _is_whole():
    """Whether no axis is sharded by a compiler: there is one device, or this is a program for each of several."""
    mesh = getattr(jax.sharding, "get_abstract_mesh", lambda: None)()
    return jax.device_count() == 1 or getattr(mesh, "are_all_axes_manual", False)


def _spec(x):
    """Return how each axis is sharded, as far as that is explicit."""
    sharding = getattr(jax.typeof(x), "sharding", None) if hasattr(jax, "typeof") else None
    return [*getattr(sharding, "spec", ())]


def _resharded(a, spec, x):
    """Return an array with its axes sharded so on the mesh of x."""
    mesh, spec = jax.typeof(x).sharding.mesh, jax.sharding.PartitionSpec(*spec)
    return jax.sharding.reshard(a, jax.sharding.NamedSharding(mesh, spec))


def _gathered(x, axis):
    """Have an axis whole on each device, which operations along it must ask for on a mesh with explicit axes."""
    spec = _spec(x)
    if any(spec):
        spec[axis] = None
        return _resharded(x, spec, x)
    return x


def _beside(x, a):
    """Have an array lie as the scores x do, along axes of the same length."""
    spec = _spec(x)
    if not any(spec) or a.ndim != x.ndim:
        return a
    own = _spec(a)
    found = [s or (t if t not in own and m == n else None) for s, t, m, n in zip(own, spec, a.shape, x.shape, strict=True)]
    return a if found == own else _resharded(a, found, x)


def laid(core):
    """Return a function of scores and other arrays, which are brought to where the scores are on a mesh with explicit axes.

    What is computed of scores and a table that is whole everywhere would be whole everywhere too, and its gradient gathered.
    """
    return lambda x, *others, **options: core(x, *jax.tree.map(partial(_beside, x), others), **options)


def kth_largest(x, k):
    """The least of the k largest, by a partial sort. XLA would make a whole one of a slice, which takes 50 times as long."""
    if _is_whole():
        return namespace.min(jax.lax.top_k(x, k)[0], axis=-1, keepdims=True)
    *rows, n = x.shape
    count = math.gcd(n, jax.device_count())
    blocks = namespace.sort(namespace.reshape(x, (*rows, count, n // count)), axis=-1)[..., -k:]
    best = namespace.reshape(_gathered(blocks, -2), (*rows, -1))
    return namespace.sort(best, axis=-1)[..., -k : best.shape[-1] - k + 1]


def cumulative_sum(x, *, axis):
    """Cumulative sums in blocks, and what comes before each block."""
    if _is_whole():
        return namespace.cumulative_sum(x, axis=axis)
    before, n, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    count = math.gcd(n, jax.device_count())
    blocks = namespace.reshape(x, (*before, count, n // count, *after))
    totals = _gathered(namespace.sum(blocks, axis=axis + 1, keepdims=True), axis)
    low = namespace.cumulative_sum(totals, axis=axis) - totals
    return namespace.reshape(namespace.cumulative_sum(blocks, axis=axis + 1) + low, x.shape)

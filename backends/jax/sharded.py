"""What walks along an axis, in blocks: each stays on its device, and a few numbers of each are gathered.

On several devices any axis may be sharded. XLA gathers the whole of one that is sorted or summed up cumulatively, and of a
`top_k` all other axes too. Where it is in as many equal blocks as there are devices, a sharding cuts it between blocks.
"""

import math
from functools import partial

import jax
import jax.numpy as namespace

FEW = 16  # so many of the largest are found sooner one after the other than by sorting


def _sharding(x):
    """Return on which mesh an array is, and how its axes are sharded as far as that is explicit; None in older versions."""
    return getattr(jax.typeof(x), "sharding", None) if hasattr(jax, "typeof") else None


def _spec(x):
    return [*getattr(_sharding(x), "spec", ())]


def _mesh(x):
    """Return the mesh of an array or that of the context, None if there is neither."""
    context = getattr(jax.sharding, "get_abstract_mesh", lambda: None)()
    meshes = (getattr(_sharding(x), "mesh", None), context)
    return next((mesh for mesh in meshes if not getattr(mesh, "empty", True)), None)


def _devices(x):
    """Among how many devices the compiler may have sharded an array. On manual axes of a mesh it is one for each device."""
    mesh = _mesh(x)
    if mesh is None:  # `in_shardings` of `jax.jit` do not show
        return jax.device_count()
    manual = getattr(mesh, "manual_axes", ())
    return math.prod(n for name, n in mesh.shape.items() if name not in manual)


def _resharded(a, spec, x):
    """Return an array with its axes sharded so on the mesh of x."""
    spec = jax.sharding.PartitionSpec(*spec)
    return jax.sharding.reshard(a, jax.sharding.NamedSharding(_sharding(x).mesh, spec))


def gathered(x, axis):
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
    found = [
        s or (t if t not in own and m == n else None) for s, t, m, n in zip(own, spec, a.shape, x.shape, strict=True)
    ]
    return a if found == own else _resharded(a, found, x)


def laid(core):
    """Return a function of scores and other arrays, which are brought to where the scores are on a mesh with explicit axes.

    What is computed of scores and a table that is whole everywhere would be whole everywhere too, and its gradient gathered.
    """
    return lambda x, *others, **options: core(x, *jax.tree.map(partial(_beside, x), others), **options)


def zero(x):
    """The number 0 to count from in a loop over x: `vmap` along an axis that is explicitly sharded asks for one on its mesh."""
    return 0 if getattr(getattr(_sharding(x), "mesh", None), "empty", True) else namespace.sum(x[:0], dtype="int32")


def _count(x, axis):
    """How many blocks an axis is taken in: a sharding cuts it between two of them. `jax.export` has lengths without a number."""
    n = x.shape[axis]
    return math.gcd(n, _devices(x)) if isinstance(n, int) else 1


def blocks(x, axis):
    """How many blocks of an axis are best computed apart, which takes two to four times as long on one device: 1 without a mesh."""
    return 1 if _mesh(x) is None else _count(x, axis)


def _in_blocks(x, axis):
    """Make one axis of an array two, those of blocks and of entries in a block."""
    count = _count(x, axis)
    return namespace.reshape(x, (*x.shape[:axis], count, x.shape[axis] // count, *x.shape[axis + 1 :]))


def kth_largest(x, k):
    """The least of the k largest, by a partial sort. XLA would make a whole one of a slice, which takes 50 times as long."""
    if _devices(x) == 1:
        return namespace.min(jax.lax.top_k(x, k)[0], axis=-1, keepdims=True)
    if k <= FEW:
        return _by_maxima(x, k)
    best = gathered(namespace.sort(_in_blocks(x, x.ndim - 1), axis=-1)[..., -k:], -2)
    best = namespace.sort(namespace.reshape(best, (*x.shape[:-1], -1)), axis=-1)
    return best[..., best.shape[-1] - k :][..., :1]


def _by_maxima(x, k):
    """The largest, and the largest below it as long as fewer than k have been found: sums and maxima stay in all shards."""
    lowest = namespace.iinfo(x.dtype).min if namespace.isdtype(x.dtype, "integral") else -math.inf

    def lower(_, top):
        found = namespace.sum(x >= top, axis=-1, keepdims=True, dtype="int32")
        return namespace.where(found < k, namespace.max(x, axis=-1, keepdims=True, initial=lowest, where=x < top), top)

    return jax.lax.fori_loop(1, k, lower, namespace.max(x, axis=-1, keepdims=True))


def _behind(x, axis):
    """Sum up what lies before each entry along an axis that is whole."""
    sums = namespace.cumulative_sum(jax.lax.slice_in_dim(x, 0, x.shape[axis] - 1, axis=axis), axis=axis)
    first = jax.lax.slice_in_dim(x, 0, 1, axis=axis)
    return namespace.concat([namespace.zeros_like(first), sums], axis=axis)


def _summed(cumulate, x, axis):
    """Sum up along an axis, within blocks and over the blocks before each."""
    parts = _in_blocks(x, axis)
    sums = cumulate(parts, axis=axis + 1)
    if parts.shape[axis] > 1:
        sums = sums + _behind(gathered(namespace.sum(parts, axis=axis + 1, keepdims=True), axis), axis)
    return namespace.reshape(sums, x.shape)


def cumulative_sum(x, *, axis):
    """Return the sum of what lies up to each entry."""
    return _summed(namespace.cumulative_sum, x, axis)


def before(x, axis):
    """Return the sum of what lies before each entry."""
    return _summed(_behind, x, axis)


def _ahead(c, axis):
    """Return the first entry, and for each the next one: the last itself for the last."""
    parts, cut = _in_blocks(c, axis), jax.lax.slice_in_dim
    count, n = parts.shape[axis : axis + 2]
    first, last = (gathered(cut(parts, i, i + 1, axis=axis + 1), axis) for i in (0, n - 1))
    following = namespace.concat([cut(first, 1, count, axis=axis), cut(last, count - 1, count, axis=axis)], axis=axis)
    rest = cut(parts, 1, n, axis=axis + 1)
    ahead = namespace.concat([rest, _beside(rest, following)], axis=axis + 1)
    return namespace.squeeze(cut(first, 0, 1, axis=axis), axis=axis), namespace.reshape(ahead, c.shape)


def running(x, axis, *others):
    """Return sums up to each entry, the whole sum, and of others what `_ahead` does."""
    made = cumulative_sum(x, axis=axis), namespace.sum(x, axis=axis, keepdims=True)
    return (*made, *(part for c in others for part in _ahead(c, axis)))


def span(x, axis):
    """Return where an axis begins, 0, and its length. What is counted from an array of zeros lies as they do."""
    n, spec = x.shape[axis], _spec(x)
    return (_resharded(namespace.zeros(n, "int32"), spec[axis : axis + 1], x) if any(spec) else 0), n

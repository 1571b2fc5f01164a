"""What travels between eight devices for each function of the library, and how far its numbers are from NumPy's.

`test_sharded_jax.py` has this run once, by itself, because the number of devices is a property of a process. It prints one
record in JSON for each call. A collective in the body of a loop counts once, though it runs once a step.
"""

import json
import math
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

import numpy as np

import anyargmax
from anyargmax import (
    expectation,
    fenchel_young_loss,
    sharpen,
    soft_argmax,
    soft_argmax_moments,
    soft_one_hot,
    soft_top_k,
    spatial_expectation,
    spatial_soft_argmax,
)

DEVICES = 8
WINNERS, MANY = 4, 20  # which are found in two ways
LONG, SHORT = 1024, 128  # entries of a row; the latter for programs that grow with it
# Shapes (None is the length of a row), the reduced axis, the mesh, and the axis of the mesh that each axis is sharded by.
LAYOUTS = {
    "the reduced axis": ((16, None), 1, (8,), (None, "a")),
    "rows and the reduced axis": ((16, None), 1, (2, 4), ("a", "b")),
    "all but the reduced axis": ((4, None, 8), 1, (2, 4), ("a", None, "b")),
}
KINDS = ("automatic", "explicit")
SHARDS = (1, 2, 4, 8)
ITEMSIZE = {
    "pred": 1,
    "s8": 1,
    "u8": 1,
    "bf16": 2,
    "f16": 2,
    "s32": 4,
    "u32": 4,
    "f32": 4,
    "s64": 8,
    "u64": 8,
    "f64": 8,
}
COLLECTIVE = re.compile(
    r"= (.*?) ((?:ragged-)?all-to-all|all-reduce|all-gather|reduce-scatter|collective-\w+)(?:-start)?\("
)


def _top_k(k=WINNERS, **options):
    return lambda x, axis: soft_top_k(x, k, axis=axis, **options)


def _loss(**options):
    return lambda x, target, axis: fenchel_young_loss(x, target, axis=axis, **options)


CALLS = {
    "soft_argmax": soft_argmax,
    "soft_argmax, alpha 1.5": partial(soft_argmax, alpha=1.5),
    "soft_argmax, alpha 3": partial(soft_argmax, alpha=3.0),
    "soft_argmax, median": partial(soft_argmax, readout="median"),
    "soft_argmax, window": partial(soft_argmax, window=2),
    "soft_argmax, hard": partial(soft_argmax, hard=True),
    "soft_argmax, background": partial(soft_argmax, zero_background=True),
    "soft_argmax_moments": soft_argmax_moments,
    "soft_one_hot": soft_one_hot,
    "soft_one_hot, alpha 1.5": partial(soft_one_hot, alpha=1.5),
    "soft_one_hot, alpha 2": partial(soft_one_hot, alpha=2.0),
    "soft_one_hot, log": partial(soft_one_hot, log=True),
    "soft_one_hot, hard": partial(soft_one_hot, hard=True),
    "soft_top_k": _top_k(),
    "soft_top_k, many": _top_k(MANY),
    "soft_top_k, sigmoid": _top_k(kind="sigmoid"),
    "soft_top_k, subset": _top_k(kind="subset"),
    "soft_top_k, hard": _top_k(hard=True),
    "sharpen": sharpen,
    "expectation": expectation,
    "expectation, moments": partial(expectation, readout="moments"),
    "expectation, median": partial(expectation, readout="median"),
    "fenchel_young_loss": _loss(),
    "fenchel_young_loss, alpha 1.5": _loss(alpha=1.5),
    "fenchel_young_loss of indices": _loss(),
    "fenchel_young_loss of indices, alpha 1.5": _loss(alpha=1.5),
    "spatial_soft_argmax": lambda x, axis: spatial_soft_argmax(x, axes=(axis,)),
    "spatial_expectation": lambda x, axis: spatial_expectation(x, axes=(axis,)),
}
WALKING = tuple(name for name in CALLS if "median" in name or "top_k" in name)
# Where nothing but the reduced axis is sharded, what walks along it is all that may differ from where rows are sharded too.
CASES = [
    (name, kind, layout)
    for name in CALLS
    for kind in KINDS
    for layout in LAYOUTS
    if layout != "the reduced axis" or (kind == "automatic" and name in WALKING)
]


def collectives(program):
    """Return which collectives stand in the text of a compiled program, and how many bytes each leaves on a device."""
    found = []
    for made, kind in COLLECTIVE.findall(program):
        arrays = re.findall(r"(\w+)\[([\d,]*)\]", made)
        found.append((kind, sum(ITEMSIZE[t] * math.prod(int(n) for n in shape.split(",") if n) for t, shape in arrays)))
    return found


def flat(y):
    """A tuple, such as of mean and variance, as one array with an axis in front."""
    if not isinstance(y, tuple):
        return y
    return (np if isinstance(y[0], np.ndarray) else jax.numpy).stack(y)


def scores_of(name, shape, axis, rng):
    """Scores, or weights for what takes weights as they are."""
    x = rng.normal(size=shape)
    if "background" in name:
        return np.abs(x)
    if not name.startswith(("expectation", "spatial_expectation", "sharpen")):
        return x
    return np.abs(x) / np.sum(np.abs(x), axis=axis, keepdims=True)


def beside(name, shape, axis, rng):
    """What goes with the scores of a call: the target of a loss."""
    if not name.startswith("fenchel"):
        return ()
    if "indices" in name:
        return (rng.integers(0, shape[axis], np.delete(shape, axis)),)
    return (scores_of("sharpen", shape, axis, rng),)


def both(f, x, g, *others):
    """The value of a call and the pullback of a cotangent."""
    y, pullback = jax.vjp(lambda x: flat(f(x, *others)), x)
    return y, pullback(g)[0]


def expected(f, x, g, *others):
    """The same of NumPy, in float64."""
    y, pullback = anyargmax.vjp(lambda x: f(x, *others), x)
    return flat(y), pullback(tuple(g) if isinstance(y, tuple) else g)[0]


def far(actual, exact, eps, least=1.0):
    """How many eps of the largest entry lie between two arrays, at most."""
    scale = max(least, float(np.max(np.abs(exact))))
    error = float(np.max(np.abs(np.asarray(actual, dtype="float64") - exact)))
    return error / (eps * scale) if math.isfinite(error) else 1e99


class Place:
    """A mesh, and how arrays of one layout lie on it."""

    def __init__(self, layout, kind, length):
        shape, self.axis, sizes, self.spec = layout
        self.shape = tuple(n or length for n in shape)
        which = {"automatic": AxisType.Auto, "explicit": AxisType.Explicit}[kind]
        self.mesh = jax.make_mesh(sizes, ("a", "b")[: len(sizes)], axis_types=(which,) * len(sizes))
        self.scope = partial(jax.set_mesh, self.mesh) if kind == "explicit" else nullcontext
        kept = [(n, s) for d, (n, s) in enumerate(zip(self.shape, self.spec, strict=True)) if d != self.axis]
        self.rows = math.prod(n // (self.mesh.shape[s] if s else 1) for n, s in kept)
        self.reduced = tuple(s for _, s in kept)

    def put(self, array):
        """Where it lies: as the scores do, or as a result with an axis of answers in front of it or behind it."""
        if array.shape == self.shape:
            spec = self.spec
        else:
            rows = tuple(np.delete(self.shape, self.axis))
            spec = (None,) * (array.ndim > len(rows) and array.shape[1:] == rows) + self.reduced
        return jax.device_put(array, NamedSharding(self.mesh, PartitionSpec(*spec)))


def given(name, shape, axis, dtype):
    """The function, scores, a cotangent and others of a call."""
    rng = np.random.default_rng(sum(name.encode()))
    f = partial(CALLS[name], axis=axis)
    x = scores_of(name, shape, axis, rng).astype(dtype)
    others = [a.astype(dtype) if a.dtype.kind == "f" else a for a in beside(name, shape, axis, rng)]
    g = rng.normal(size=np.shape(flat(f(x, *others)))).astype(dtype)
    return f, (x, g, *others)


def exact(f, arrays):
    return expected(f, *(a.astype("float64") if a.dtype.kind == "f" else a for a in arrays))


def measured(name, kind, layout):
    """What travels for a call and its gradient in float32, and how many eps they are from NumPy's."""
    place = Place(LAYOUTS[layout], kind, SHORT if "subset" in name else LONG)
    f, arrays = given(name, place.shape, place.axis, "float32")
    record = {"case": (name, kind, layout)}
    try:
        with place.scope():
            put = [place.put(a) for a in arrays]
            compiled = jax.jit(partial(both, f)).lower(*put).compile()
            moved = [(what, size) for what, size in collectives(compiled.as_text())]
            found = compiled(*put)
    except Exception as error:  # which the test shows
        return record | {"error": f"{type(error).__name__}: {error}"}
    # The gradient is made of distances from a mean that is rounded, and in a window all of them are short.
    least = float(LONG) if "window" in name else 1.0
    errors = [far(a, b, 2.0**-23, least) for a, b in zip(found, exact(f, arrays), strict=True)]
    largest = max((size for _, size in moved), default=0) / place.rows
    return record | {"largest": largest, "total": sum(size for _, size in moved), "moved": moved, "errors": errors}


def in_float64(count):
    """How many eps what walks along an axis in so many shards is from NumPy's, all calls in one program."""
    mesh = jax.make_mesh((count,), ("a",), devices=jax.devices()[:count], axis_types=(AxisType.Auto,))
    calls = {name: given(name, (2, 16 if "subset" in name else 48), 1, "float64") for name in WALKING}

    def put(array):
        spec = (None,) * (array.ndim - 1) + (("a",) if array.shape[-1] > 2 else (None,))
        return jax.device_put(array, NamedSharding(mesh, PartitionSpec(*spec)))

    run = jax.jit(lambda arrays: {name: both(calls[name][0], *arrays[name]) for name in calls})
    found = run({name: [put(a) for a in arrays] for name, (_, arrays) in calls.items()})
    return [
        {
            "case": (name, count),
            "errors": [far(a, b, 2.0**-52) for a, b in zip(found[name], exact(*calls[name]), strict=True)],
        }
        for name in calls
    ]


def main():
    with ThreadPoolExecutor(2) as pool:
        for record in pool.map(lambda case: measured(*case), sorted(CASES, key=lambda case: "subset" not in case[0])):
            print(json.dumps(record))
        jax.config.update("jax_enable_x64", True)
        for records in pool.map(in_float64, SHARDS):
            print("\n".join(map(json.dumps, records)))


if __name__ == "__main__":
    # Collectives are the same without what LLVM does, which takes half of the time.
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES} --xla_backend_optimization_level=0"
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    from jax.sharding import AxisType, NamedSharding, PartitionSpec

    main()

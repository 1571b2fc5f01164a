"""Calls of the catalogue on shards of one entry each, inside `jax.shard_map`, and what travels; written into a folder."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import numpy as np
from jax.sharding import PartitionSpec
from sharded_on_jax import collectives
from shards import CALLS, GIVES_WEIGHTS, axis_of

import anyargmax as am
from anyargmax.validation import catalogue
from anyargmax.validation.problems import cotangents, directions, tangents, tuple_of

jax.config.update("jax_enable_x64", True)
IDS = (
    "position along the first axis",
    "position at a temperature a row",
    "position in the flattened array",
    "median among given bins",
    "mean and variance",
    "weights over two axes",
    "coordinates in a map",
    "1.5-entmax weights under a mask",
    "entmax weights of an order a row",
    "capped weights of three winners under a mask",
    "sigmoid weights of two winners",
    "position within a window",
    "position on a zero background",
    "cross-entropy of weights under a mask at a temperature a row",
    "1.5-entmax loss of indices",
    "logarithms of 1.5-entmax weights",
    "covariance of coordinates",
    "median of given weights",
    "sharpened weights",
)
CHOSEN = [(number, call) for number, call in CALLS if call.id in IDS]
TRAFFIC = {
    "expectation under softmax": lambda x, target: am.soft_argmax(x, -1, group="shards"),
    "weights of softmax": lambda x, target: am.soft_one_hot(x, group="shards"),
    "loss at alpha 1": lambda x, target: am.fenchel_young_loss(x, target, group="shards"),
    "weights of entmax, many rows": lambda x, target: am.soft_one_hot(x, alpha=1.5, group="shards"),
    "weights of entmax, few rows": lambda x, target: am.soft_one_hot(x, alpha=1.5, group="shards"),
    "capped weights of 4 winners": lambda x, target: am.soft_top_k(x, 4, group="shards"),
    "median of given weights": lambda x, target: am.expectation(x, -1, readout="median", group="shards"),
}
ROWS, MANY = 64, 600


def mesh_of(size):
    kinds = {"axis_types": (jax.sharding.AxisType.Auto,)} if hasattr(jax.sharding, "AxisType") else {}
    return jax.make_mesh((size,), ("shards",), devices=jax.devices()[:size], **kinds)


def spec_of(call, array, name=""):
    """How an array is cut that goes with the scores, as `shards.cut` does it."""
    axis, n = axis_of(call), call.shape[axis_of(call)]
    rows = name in ("temperature", "alpha") or (name == "target" and array.dtype.kind == "i")
    own = 0 if name == "positions" and array.ndim == 1 else axis - (len(call.shape) - array.ndim)
    if rows or own < 0 or array.shape[own] != n:
        return PartitionSpec()
    return PartitionSpec(*[None] * own, "shards")


def answers(call):
    """Values, gradient and the entries of the second derivative, by one compiled program."""
    given = catalogue.inputs(call, "float64")
    x, t, u = map(jax.numpy.asarray, (given.arrays[0], tangents(given)[0], directions(given)[0]))
    names = list(call.arrays)
    like = tuple_of(catalogue.bound(call, jax.numpy.asarray)(x))
    gs = [jax.numpy.asarray(g) for g in cotangents(given.seed, [np.asarray(y) for y in like])]
    sharded = spec_of(call, x)
    specs = (sharded, *(spec_of(call, call.arrays[name], name) for name in names))
    out = tuple(sharded if call.function in GIVES_WEIGHTS else PartitionSpec() for _ in like)

    def of_shard(x, *arrays):
        shard = call._replace(arrays=dict(zip(names, arrays, strict=True)))
        return tuple_of(catalogue.bound(shard, lambda array: array, group="shards")(x))

    f = jax.shard_map(of_shard, mesh=mesh_of(call.shape[axis_of(call)]), in_specs=specs, out_specs=out)

    @jax.jit
    def all_of(x, *arrays):
        def gradient(x):
            y, pullback = jax.vjp(lambda x: f(x, *arrays), x)
            cotangent = [jax.numpy.where(jax.numpy.isfinite(v), g, 0.0) for v, g in zip(y, gs, strict=True)]
            return pullback(tuple(cotangent))[0], y

        dx, y = gradient(x)
        return y, dx, jax.jvp(lambda x: gradient(x)[0], (x,), (t,))[1] * u

    values, dx, second = all_of(x, *map(jax.numpy.asarray, call.arrays.values()))
    return {f"value {k}": np.asarray(v) for k, v in enumerate(values)} | {"gradient": dx, "second": second}


def traffic(name):
    """The collective operations of a call, and of it with its gradient, with how many bytes a row each leaves on a device."""
    rows = MANY if "many" in name else ROWS
    x = np.zeros((rows, 192), "float32")
    target = np.arange(rows) % 192
    whole = PartitionSpec(None, "shards")
    out = whole if "weights of" in name and "given" not in name else PartitionSpec()
    f = jax.shard_map(TRAFFIC[name], mesh=mesh_of(4), in_specs=(whole, PartitionSpec()), out_specs=out)

    def found(g):
        text = jax.jit(g).lower(x, target).compile().as_text()
        return [(kind, size / rows) for kind, size in collectives(text)]

    with_gradient = jax.grad(lambda x, target: jax.numpy.sum(jax.numpy.sin(f(x, target))))
    return {"forward": found(f), "gradient": found(with_gradient)}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(answers, [call for _, call in CHOSEN]))
        sent = dict(zip(TRAFFIC, pool.map(traffic, TRAFFIC), strict=True))
    named = {f"{n} {k}": v for (n, _), made in zip(CHOSEN, found, strict=True) for k, v in made.items()}
    np.savez(folder / "answers.npz", **named)
    (folder / "traffic.json").write_text(json.dumps(sent, indent=1), "utf-8")

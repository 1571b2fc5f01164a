"""Training on eight devices of JAX, a mesh of 2 x 4 of data and model, beside the same training on one.

A program, because the number of devices is a property of a process. It compares in eps, and writes a record of each thing
that it compared into a folder.
"""

import json
import os
import sys
from functools import partial
from pathlib import Path

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from anyargmax import fenchel_young_loss
from anyargmax.validation.tolerance import within

STEPS, RATE = 3, 0.1
ROWS, FEATURES, HIDDEN, WORDS = 8, 6, 10, 32
# How each weight is split, and the data: the vocabulary among the devices of a model, rows among models.
SPLIT = {"inner": P(), "outer": P(None, "model"), "temperature": P()}
DATA = (P("data"), P("data"))


def loss(weights, x, target, alpha, group=None):
    """The mean loss of rows; with a group, the table of words is one shard of it."""
    logits = jnp.tanh(x @ weights["inner"]) @ weights["outer"]
    options = {"alpha": alpha, "temperature": weights["temperature"], "group": group}
    return jnp.mean(fenchel_young_loss(logits, target, **options))


def mean_of_all(weights, x, target, alpha):
    """The loss of what one device holds, as a mean over all data."""
    return jax.lax.pmean(loss(weights, x, target, alpha, "model"), "data")


def outside(mesh, alpha):
    """The loss and its gradient, taken of what `shard_map` makes."""
    f = jax.shard_map(partial(mean_of_all, alpha=alpha), mesh=mesh, in_specs=(SPLIT, *DATA), out_specs=P())
    return jax.value_and_grad(f)


def inside(mesh, alpha):
    """The loss and its gradient, taken by each device."""
    f = jax.value_and_grad(partial(mean_of_all, alpha=alpha))
    return jax.shard_map(f, mesh=mesh, in_specs=(SPLIT, *DATA), out_specs=(P(), SPLIT))


def automatic(mesh, alpha):
    """The loss of whole arrays, wherever they lie, and its gradient."""
    return jax.value_and_grad(partial(loss, alpha=alpha))


WAYS = {"shard_map, grad outside": outside, "shard_map, grad inside": inside, "jit of sharded arrays": automatic}


def steps_of(f, weights, x, target):
    """What each step finds, by name: the loss, the gradients, and the weights after it."""

    @jax.jit
    def step(weights, x, target):
        value, gradients = f(weights, x, target)
        return value, gradients, {name: w - RATE * gradients[name] for name, w in weights.items()}

    found = []
    for _ in range(STEPS):
        value, gradients, weights = step(weights, x, target)
        found.append({"loss": value} | {f"gradient of {name}": g for name, g in gradients.items()} | weights)
    return found


def drawn(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def main(folder):
    jax.config.update("jax_enable_x64", True)
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    weights = {
        "inner": drawn(0, FEATURES, HIDDEN),
        "outer": drawn(1, HIDDEN, WORDS),
        "temperature": jnp.full((1,), 0.8),
    }
    x, target = drawn(2, ROWS, FEATURES), jnp.arange(ROWS) * 5 % WORDS
    placed = {name: jax.device_put(w, NamedSharding(mesh, SPLIT[name])) for name, w in weights.items()}
    data = [jax.device_put(array, NamedSharding(mesh, spec)) for array, spec in zip((x, target), DATA, strict=True)]
    records = []
    for alpha in (1.0, 1.5):
        alone = steps_of(jax.value_and_grad(partial(loss, alpha=alpha)), weights, x, target)
        for name, way in WAYS.items():
            found = steps_of(way(mesh, alpha), placed, *data)
            case = f"{name}, alpha {alpha}"
            for k, (made, expected) in enumerate(zip(found, alone, strict=True)):
                for what, wanted in expected.items():
                    far = within(made[what], wanted, "float64", "value" if what == "loss" else "derivative")
                    record = {"case": case, "what": f"{what} in step {k}", "error": far.error, "allowed": far.allowed}
                    records.append(record)
            split = [str(made["outer"].sharding.spec) for made in found]
            records.append(
                {"case": case, "what": "the table stays where it is", "same": split == [str(SPLIT["outer"])] * STEPS}
            )
        moved = float(abs(alone[-1]["temperature"][0] - 0.8))
        records.append({"case": f"the temperature, alpha {alpha}", "moved": moved})
    Path(folder, "0.json").write_text(json.dumps(records), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

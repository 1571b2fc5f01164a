"""What must pass: arrays of JAX in, arrays of JAX out."""

from typing import assert_type

import jax
import jax.numpy as jnp

from anyargmax import jvp, soft_argmax, soft_argmax_moments, soft_top_k, spatial_expectation, vjp


def loss(x: jax.Array) -> jax.Array:
    return jnp.sum(soft_argmax(x, -1, temperature=jnp.full((2, 1), 0.5)) ** 2)


def run() -> None:
    x = jnp.asarray([[0.0, 1.0, 5.0, 2.0], [3.0, 0.0, 0.5, 1.0]])
    assert_type(soft_argmax(x, -1), jax.Array)
    assert_type(soft_top_k(x, 2), jax.Array)
    assert_type(soft_argmax_moments(x), tuple[jax.Array, jax.Array])
    assert_type(spatial_expectation(x, readout="covariance"), tuple[jax.Array, jax.Array])
    assert_type(vjp(soft_argmax, x, axis=-1)[0], jax.Array)
    assert_type(jvp(loss, (x,), (x,)), tuple[jax.Array, jax.Array])
    jax.grad(loss)(x)

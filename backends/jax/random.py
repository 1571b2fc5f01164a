"""How JAX draws integers: by a key, typed or raw."""

import jax
import numpy as np

from ..._kernels.random import Random


def _is_key(key):
    """Whether this is one key. A raw one has 2 or 4 words, as its implementation says."""
    if not isinstance(key, (jax.Array, jax.core.Tracer, np.ndarray)):
        return False
    if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key.ndim == 0
    return key.dtype == np.uint32 and key.shape in ((2,), (4,))


def _integers(key, bound, lead, x):
    bits = jax.random.bits(key, (*lead, *x.shape), np.uint32)
    return (bits >> np.uint32(33 - bound.bit_length())).astype(np.int32)  # the upper ones


def _move(noise, x):
    """Noise where x was put: it is computed where the key is. What was put nowhere goes wherever it is needed."""
    if any(isinstance(y, jax.core.Tracer) for y in (noise, x)) or not getattr(x, "committed", True):
        return noise
    home = x.devices()
    return noise if len(home) > 1 or noise.devices() == home else jax.device_put(noise, next(iter(home)))


random = Random("one key of jax.random (several go by `jax.vmap`)", "jax.random.key(0)", _is_key, _integers, _move)

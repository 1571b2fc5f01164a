"""The two rules that carry the library: scores to weights, and scores to expected positions."""

from ._readouts import mean, mean_tangent, spread
from ._relaxations import jacobian_product, softmax
from ._rule import Rule
from ._scores import kept_and_peak, scaled

# Arguments of both rules: x scores, temperature (None is 1) of the reduced shape with the reduced
# axes kept, mask (None keeps all); `expectation` also takes the positions, a tuple of constant
# arrays that broadcast against x. Static: axes, a tuple of non-negative integers.


def _weights(ops, x, temperature, mask, *, axes):
    z, keep = scaled(ops, x, temperature, mask, axes)
    return softmax(ops, z, keep, axes)


def _product_x(ops, v, p, x, temperature, mask, *, axes):
    """``J v / T``: what a tangent of the scores does to p and, J being symmetric, a cotangent to x."""
    _, _, peak = kept_and_peak(ops, x, mask, axes)
    product = jacobian_product(ops, v, p, axes, peak | (ops.detach(p) == 0))
    return product if temperature is None else product / temperature


def _vjp_temperature(ops, g, p, x, temperature, mask, *, axes):
    """``dp/dT = -J z / T``, so the cotangent is ``-<J g / T, z>``."""
    z, _ = scaled(ops, x, temperature, mask, axes)
    return -ops.xp.sum(_product_x(ops, g, p, x, temperature, mask, axes=axes) * z, axis=axes, keepdims=True)


def _jvp_temperature(ops, t, p, x, temperature, mask, *, axes):
    z, _ = scaled(ops, x, temperature, mask, axes)
    return -_product_x(ops, z * t, p, x, temperature, mask, axes=axes)


WEIGHTS = Rule(
    name="weights",
    forward=_weights,
    vjps=(_product_x, _vjp_temperature),
    jvps=(_product_x, _jvp_temperature),
    plain=_weights,
)


def _expectation(ops, x, temperature, mask, positions, *, axes):
    return mean(ops, _weights(ops, x, temperature, mask, axes=axes), positions, axes=axes)


def _expectation_plain(ops, x, temperature, mask, positions, *, axes):
    return mean(ops, ops.weights(x, temperature, mask, axes=axes), positions, axes=axes)


def _expectation_vjp(product):
    def vjp(ops, g, y, x, temperature, mask, positions, *, axes):
        p = ops.weights(x, temperature, mask, axes=axes)
        return product(ops, spread(ops, g, positions, axes=axes), p, x, temperature, mask, axes=axes)

    return vjp


def _expectation_jvp(product):
    def jvp(ops, t, y, x, temperature, mask, positions, *, axes):
        p = ops.weights(x, temperature, mask, axes=axes)
        return mean_tangent(ops, product(ops, t, p, x, temperature, mask, axes=axes), y, p, positions, axes=axes)

    return jvp


EXPECTATION = Rule(
    name="expectation",
    forward=_expectation,
    vjps=tuple(_expectation_vjp(product) for product in WEIGHTS.vjps),
    jvps=tuple(_expectation_jvp(product) for product in WEIGHTS.jvps),
    plain=_expectation_plain,
    composed=True,
)

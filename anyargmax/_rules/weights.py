"""The two rules that carry the library: scores to weights, and scores to expected positions."""

from .jacobian import jacobian_product
from .ops import RuleOps
from .readouts.mean import mean, mean_tangent, mean_transposed
from .relaxations.entmax import alpha_derivative
from .rule import Rule
from .scores import divided, is_tame, kept_and_reference, scaled, square_root
from .threshold import differentiable, root_of, solved

# Arguments of both rules: x scores; temperature (None is 1) and alpha (None is that of the relaxation)
# of the reduced shape with the reduced axes kept; mask (None keeps all); `expectation` also takes the
# positions, a tuple of constant arrays that broadcast against x. Static: axes, a tuple of non-negative
# integers, and the relaxation.


def _weights(ops: RuleOps, x, temperature, alpha, mask, *, axes, relaxation):
    z, keep = scaled(ops, x, temperature, mask, axes, relaxation.k, relaxation.tail)
    return solved(ops, z, keep, alpha, relaxation, axes)


def _weights_composite(ops: RuleOps, x, temperature, alpha, mask, *, axes, relaxation):
    z, keep = scaled(ops, x, temperature, mask, axes, relaxation.k, relaxation.tail)
    return differentiable(ops, z, keep, alpha, relaxation, axes)


def _still(ops: RuleOps, x, temperature, mask, axes, relaxation):
    """Where a score moves nothing: where it is not kept, and in rows that are spread over +inf scores. None: nowhere."""
    if relaxation.alpha == 1 and is_tame(ops, x, temperature, mask):
        return None
    keep, _, peak = kept_and_reference(ops, x, mask, axes, relaxation.k)
    return peak | ~keep


def _dead(ops: RuleOps, p, still):
    """Where a direction is not looked at: where a score moves nothing, or a weight is 0. None: nowhere."""
    return None if still is None else still | (ops.detach(p) == 0)


def product(ops: RuleOps, v, p, x, temperature, alpha, mask, *, axes, relaxation, divisor):
    """Return ``J v / divisor``, for the weights p of scores x."""
    still = _still(ops, x, temperature, mask, axes, relaxation)
    dead = _dead(ops, p, still)
    if relaxation.product is None:
        moved = divided(jacobian_product(ops, v, p, alpha, relaxation, axes, dead), divisor)
    else:
        still = dead = dead | (ops.detach(p) == 1)  # as where a slope is ``p (1 - p)``
        z, keep = scaled(ops, x, temperature, mask, axes, relaxation.k, relaxation.tail)
        root = root_of(ops, ops.detach(z), keep, None, relaxation, axes)
        v = ops.xp.where(dead, 0.0, v)
        moved = divided(relaxation.product(ops, relaxation, v, root, z, keep, axes), divisor)
    return moved if still is None else ops.xp.where(still, 0.0, moved)


def _vjp_x(ops: RuleOps, g, p, x, temperature, alpha, mask, **static):
    """``J g / T``: J is symmetric."""
    return ops.product(g, p, x, temperature, alpha, mask, divisor=temperature, **static)


def _jvp_x(ops: RuleOps, t, p, x, temperature, alpha, mask, **static):
    """``J t / T``, half of the division before J and half behind it."""
    half = square_root(ops, temperature)
    return ops.product(divided(t, half), p, x, temperature, alpha, mask, divisor=half, **static)


def _vjp_temperature(ops: RuleOps, g, p, x, temperature, alpha, mask, *, axes, relaxation):
    """``dp/dT = -J z / T``, so the cotangent is ``-<J g / T, z>``."""
    z, _ = scaled(ops, x, temperature, mask, axes, relaxation.k, relaxation.tail)
    moved = _vjp_x(ops, g, p, x, temperature, alpha, mask, axes=axes, relaxation=relaxation)
    return -ops.xp.sum(moved * z, axis=axes, keepdims=True)


def _jvp_temperature(ops: RuleOps, t, p, x, temperature, alpha, mask, *, axes, relaxation):
    z, _ = scaled(ops, x, temperature, mask, axes, relaxation.k, relaxation.tail)
    return -_vjp_x(ops, z * t, p, x, temperature, alpha, mask, axes=axes, relaxation=relaxation)


def _slope_alpha(ops: RuleOps, p, x, temperature, alpha, mask, axes, relaxation):
    slope = alpha_derivative(ops, p, alpha, axes)
    still = _still(ops, x, temperature, mask, axes, relaxation)
    return slope if still is None else ops.xp.where(_dead(ops, p, still), 0.0, slope)


def _vjp_alpha(ops: RuleOps, g, p, x, temperature, alpha, mask, *, axes, relaxation):
    slope = _slope_alpha(ops, p, x, temperature, alpha, mask, axes, relaxation)
    g = ops.xp.where(ops.detach(p) == 0, 0.0, g)
    return ops.xp.sum(g * slope, axis=axes, keepdims=True)


def _jvp_alpha(ops: RuleOps, t, p, x, temperature, alpha, mask, *, axes, relaxation):
    return t * _slope_alpha(ops, p, x, temperature, alpha, mask, axes, relaxation)


WEIGHTS = Rule(
    name="weights",
    forward=_weights,
    vjps=(_vjp_x, _vjp_temperature, _vjp_alpha),
    jvps=(_jvp_x, _jvp_temperature, _jvp_alpha),
    composite=_weights_composite,
    rows=(1, 2),
)


def _expectation(ops: RuleOps, x, temperature, alpha, mask, positions, *, axes, relaxation):
    p = _weights(ops, x, temperature, alpha, mask, axes=axes, relaxation=relaxation)
    return mean(ops, p, positions, axes=axes)


def _expectation_composite(ops: RuleOps, x, temperature, alpha, mask, positions, *, axes, relaxation):
    p = ops.dense_weights(x, temperature, alpha, mask, axes=axes, relaxation=relaxation)
    return ops.mean(p, positions, axes=axes)


def _expectation_vjp(of_weights, weigh="weights"):
    def vjp(ops: RuleOps, g, y, x, temperature, alpha, mask, positions, *, axes, relaxation):
        p = getattr(ops, weigh)(x, temperature, alpha, mask, axes=axes, relaxation=relaxation)
        v = mean_transposed(ops, g, positions, axes=axes)
        return of_weights(ops, v, p, x, temperature, alpha, mask, axes=axes, relaxation=relaxation)

    return vjp


def _expectation_jvp(of_weights):
    def jvp(ops: RuleOps, t, y, x, temperature, alpha, mask, positions, *, axes, relaxation):
        p = ops.weights(x, temperature, alpha, mask, axes=axes, relaxation=relaxation)
        dp = of_weights(ops, t, p, x, temperature, alpha, mask, axes=axes, relaxation=relaxation)
        return mean_tangent(ops, dp, y, p, positions, axes=axes)

    return jvp


EXPECTATION = Rule(
    name="expectation",
    forward=_expectation,
    # Whatever serves weights pulls this cotangent itself, and has declined.
    vjps=(_expectation_vjp(WEIGHTS.vjps[0], "dense_weights"), *map(_expectation_vjp, WEIGHTS.vjps[1:])),
    jvps=tuple(map(_expectation_jvp, WEIGHTS.jvps)),
    composite=_expectation_composite,
    composed=True,
    rows=(1, 2),
    reduces=True,
)

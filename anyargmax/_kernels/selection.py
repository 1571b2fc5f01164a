"""The one place where a rule is given its ways. No rule and no adapter chooses among them."""

from typing import Any

from .._rules import weights as rules
from .._rules.rule import Rule
from .support import sparse
from .traced import contraction, softmax


def forward(rule: Rule, ops, args: tuple[Any, ...], static: dict[str, Any]) -> Any:
    """Run a rule: by the kernel for plain memory if that serves these arrays, which is asked once, or by its forward map."""
    served = rule.engine and rule.engine(ops, *args, **static)
    return rule.forward(ops, *args, **static) if served is None else served[0]


def product(ops, v, p, x, temperature, alpha, mask, *, axes, relaxation, divisor):
    """Return ``J v / divisor`` at weights p: on their support where that is small, or everywhere."""
    moved = sparse.product(ops, v, p, x, divisor, alpha, axes=axes, relaxation=relaxation)
    if moved is not None:
        return moved
    return rules.product(ops, v, p, x, temperature, alpha, mask, axes=axes, relaxation=relaxation, divisor=divisor)


def _traced_weights(ops, x, temperature, alpha, mask, *, axes, relaxation):
    if softmax.fits(ops, x, temperature, relaxation):
        return softmax.weights(ops, x, temperature, mask, axes)
    return rules.WEIGHTS.composite(ops, x, temperature, alpha, mask, axes=axes, relaxation=relaxation)


def _traced_expectation(ops, x, temperature, alpha, mask, positions, *, axes, relaxation):
    if softmax.fits(ops, x, temperature, relaxation):
        return softmax.expectation(ops, x, temperature, mask, positions, axes)
    return rules.EXPECTATION.composite(ops, x, temperature, alpha, mask, positions, axes=axes, relaxation=relaxation)


def _expectation(ops, x, temperature, alpha, mask, positions, *, axes, relaxation):
    if contraction.fits(ops, axes, relaxation):
        return contraction.expectation(ops, x, temperature, mask, positions, axes)
    return rules.EXPECTATION.forward(ops, x, temperature, alpha, mask, positions, axes=axes, relaxation=relaxation)


def _expectation_vjp_x(ops, g, y, x, *args, **static):
    served = sparse.expectation(ops, x, *args, **static)
    dx = None if served is None else served[1](g)
    return rules.EXPECTATION.vjps[0](ops, g, y, x, *args, **static) if dx is None else dx


def _expectation_jvp_x(ops, t, y, x, temperature, alpha, mask, positions, *, axes, relaxation):
    if contraction.fits(ops, axes, relaxation):
        return contraction.tangent(ops, t, x, temperature, mask, positions, axes)
    general = rules.EXPECTATION.jvps[0]
    return general(ops, t, y, x, temperature, alpha, mask, positions, axes=axes, relaxation=relaxation)


DENSE_WEIGHTS = rules.WEIGHTS._replace(name="dense_weights", composite=_traced_weights)
WEIGHTS = DENSE_WEIGHTS._replace(name="weights", engine=sparse.weights)
EXPECTATION = rules.EXPECTATION._replace(
    forward=_expectation,
    vjps=(_expectation_vjp_x, *rules.EXPECTATION.vjps[1:]),
    jvps=(_expectation_jvp_x, *rules.EXPECTATION.jvps[1:]),
    composite=_traced_expectation,
    engine=sparse.expectation,
)

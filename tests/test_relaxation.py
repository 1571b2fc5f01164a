"""A relaxation that the library does not have, added as a record: the oracle and the catalogue check it on every framework."""

import math

import numpy as np
import pytest
from conftest import NAMES, backend_parameters

from anyargmax import soft_top_k
from anyargmax._rules import relaxations
from anyargmax._rules.ops import RuleOps
from anyargmax._rules.relaxations import Relaxation
from anyargmax.validation import catalogue, invariants
from anyargmax.validation.checking import assert_call_agrees
from anyargmax.validation.oracle import decimals, rows
from anyargmax.validation.oracle import functions as oracle
from anyargmax.validation.tolerance import assert_close

# ------------------------------------------------------------------- the relaxation, as a file in `relaxations` has it


def _value(ops: RuleOps, u, keep, order):
    """``phi(u) = (1 + u / sqrt(1 + u^2)) / 2``: where ``exp`` has 1e-40 left, it has 3e-5."""
    xp = ops.xp
    r = xp.sqrt(1 + u * u)
    q = 0.5 / (r * (r + xp.sqrt(u * u)))
    return xp.where(keep, xp.where(ops.detach(u) < 0, q, 1 - q), 0.0), xp.where(keep, 0.5 / r**3, 0.0)


def _slope(ops: RuleOps, p, order):
    q = p * (1 - p)
    inside = ops.detach(q) > 0
    return ops.xp.where(inside, 4 * ops.xp.where(inside, q, 1.0) ** 1.5, 0.0)


def _bracket(ops: RuleOps, z, keep, axes, k):
    share = k / math.prod([z.shape[axis] for axis in axes])
    u = (2 * share - 1) / math.sqrt(max(1 - (2 * share - 1) ** 2, 1e-12))
    return ops.xp.min(z, axis=axes, keepdims=True) - u - 1, ops.xp.max(z, axis=axes, keepdims=True) - u + 1


def _tail(ops: RuleOps, dtype):
    return -0.5 / float(ops.xp.finfo(dtype).smallest_normal) ** 0.5


ALGEBRAIC = Relaxation("algebraic", _value, _slope, _bracket, steps=64, tail=_tail)

# ----------------------------------------------------------------------------------------- and what is known of it


def _exact(u):
    r = (1 + u * u).sqrt()
    return (1 + u / r) / 2, 1 / (2 * r**3)


def _bounds(p, z):
    exact = z - (2 * p - 1) / np.sqrt(np.maximum(1 - (2 * p - 1) ** 2, 1e-300))
    exact = np.where((p > 1e-3) & (p < 1 - 1e-3), exact, np.nan)
    return exact, exact


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(relaxations.WINNERS, ALGEBRAIC.name, ALGEBRAIC)
    winners = rows.Winners(lambda u: 0.5 * (1 + u / math.hypot(1, u)), _exact, 1e4, 1e4)
    monkeypatch.setitem(rows.WINNERS, ALGEBRAIC.name, winners)
    monkeypatch.setitem(invariants.BOUNDS, ALGEBRAIC.name, _bounds)


CALLS = [
    call._replace(id=call.id.replace("capped", "algebraic"), options={**call.options, "kind": "algebraic"})
    for call in catalogue.CALLS
    if call.function == "soft_top_k" and "kind" not in call.options
]


@pytest.mark.parametrize("backend", backend_parameters(tuple(name for name in NAMES if name != "dask")))
@pytest.mark.parametrize("call", [pytest.param(call, id=call.id.replace(" ", "_")) for call in CALLS])
def test_a_new_relaxation_has_the_oracles_answers(backend, call, monkeypatch):
    monkeypatch.setitem(catalogue.BY_ID, call.id, call)
    assert_call_agrees(call, [backend], "float64")


@pytest.mark.parametrize("backend", backend_parameters(("numpy", "torch", "torch-func", "jax")))
def test_a_heavy_tail_is_not_cut_off_where_that_of_exp_ends(backend):
    x = np.asarray([[1000.0, -1000.0, 0.0, 0.5], [0.0, -700.0, -720.0, -760.0]])
    expected = decimals.rounded(oracle.soft_top_k(decimals.exact(x), k=1, kind="algebraic"))
    assert expected.min() > 1e-8
    p = backend.to_numpy(soft_top_k(backend.asarray(x), 1, kind="algebraic"))
    assert_close(p, expected, "float64", "value")


def test_an_unknown_kind_is_refused_and_the_message_names_those_there_are():
    with pytest.raises(
        ValueError, match="`kind` must be 'capped' or 'sigmoid' or 'subset' or 'algebraic', got 'logistic'"
    ):
        soft_top_k(np.zeros(3), 1, kind="logistic")

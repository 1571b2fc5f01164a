"""A framework that the library does not know, taught to it by an adapter."""

from types import SimpleNamespace

import numpy as np
import pytest

from anyargmax import register_backend, soft_argmax, soft_top_k, vjp
from anyargmax._frameworks import registry
from anyargmax._frameworks.tape import plain_adapter


class Mine(np.ndarray):
    """An array class of its own, so that nothing but the adapter can know it."""


@pytest.fixture
def lifted(monkeypatch):
    """The names of the rules that the adapter was asked to lift, and then called."""
    monkeypatch.setattr(registry, "_registered", [])
    called = []
    plain = plain_adapter(np)

    def lift(rule, ops):
        op = plain.lift(rule, ops)

        def noted(*args, **static):
            called.append(rule.name)
            return op(*args, **static)

        return noted

    adapter = SimpleNamespace(**vars(plain) | {"name": "mine", "owns": lambda x: isinstance(x, Mine), "lift": lift})
    register_backend(adapter)
    return called


def test_a_registered_adapter_serves_its_own_arrays(lifted):
    x = np.asarray([[0.0, 3.0, 1.0]]).view(Mine)
    position = soft_argmax(x, axis=-1, alpha=1.5)
    assert lifted == ["expectation", "finish"]
    np.testing.assert_array_equal(position, soft_argmax(np.asarray(x), axis=-1, alpha=1.5))


def test_a_registered_adapter_gives_derivatives(lifted):
    x = np.asarray([0.0, 3.0, 1.0, 2.75])
    _, pullback = vjp(lambda x: soft_top_k(x, 2), x.view(Mine))
    _, expected = vjp(lambda x: soft_top_k(x, 2), x)
    g = np.asarray([1.0, 2.0, 3.0, 5.0])
    np.testing.assert_allclose(pullback(g)[0], expected(g)[0], rtol=0, atol=1e-15)


def test_a_second_registration_replaces_the_first(lifted):
    first = registry._registered[0]
    register_backend(first.adapter)
    assert [ops.name for ops in registry._registered] == ["mine"]
    assert registry._registered[0] is not first

"""A framework that the library does not know, taught to it by an adapter."""

import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from anyargmax import register_backend, soft_argmax, soft_top_k, validation, vjp
from anyargmax._calls import composition
from anyargmax._compat import array_namespace
from anyargmax._frameworks import binding, protocol, registry, tape
from anyargmax._frameworks.registry import unregister
from anyargmax._kernels import selection
from anyargmax.validation import catalogue, load, places
from anyargmax.validation.catalogue import KINDS
from anyargmax.validation.checking import assert_call_agrees


class Mine(np.ndarray):
    """An array class of its own, so that nothing but the adapter can know it."""


@pytest.fixture
def lifted():
    """The names of the rules that the adapter was asked to lift, and then called."""
    called = []
    plain = tape.adapter_of(np)

    def lift(rule, ops):
        op = tape.lift(rule, ops)

        def noted(*args, **static):
            called.append(rule.name)
            return op(*args, **static)

        return noted

    adapter = SimpleNamespace(**vars(plain) | {"name": "mine", "owns": lambda x: isinstance(x, Mine), "lift": lift})
    register_backend(adapter)
    yield called
    registry.unregister("mine")


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
    first = registry.registered()["mine"]
    register_backend(first.adapter)
    assert [*registry.registered()] == ["mine"]
    assert registry.registered()["mine"] is not first


class Namespace:
    """The Array API over arrays of that class."""

    def __getattr__(self, name):
        return getattr(array_namespace(np.zeros(1)), name)

    def asarray(self, values, **options):
        return np.asarray(values, **options).view(Mine)


def seven_names():
    """The whole adapter of a framework without differentiation."""
    return SimpleNamespace(
        name="mine",
        namespace=Namespace(),
        owns=lambda x: isinstance(x, Mine),
        detach=lambda x: x,
        is_concrete=lambda x: True,
        place=lambda x: {},
        default_float=lambda: np.float64,
    )


@pytest.fixture
def mine():
    register_backend(seven_names())
    yield validation.load("mine")
    registry.unregister("mine")


@pytest.mark.parametrize("call", [pytest.param(call, id=call.id.replace(" ", "_")) for call in catalogue.KINDS])
def test_a_framework_of_seven_names_passes_the_matrix(mine, call):
    """Values, gradients and tangents come from the rules."""
    assert isinstance(mine.asarray([1.0], "float64"), Mine)
    assert_call_agrees(call, [mine], "float64")


def test_a_registered_framework_is_checked_with_all_others(mine):
    assert "mine" in places.names_of(None)
    report = validation.check(backends=["numpy", "mine"], dtypes="float64", only="position along the last axis")
    assert report.ok
    assert "mine" in str(report)


def test_what_a_new_adapter_must_have_is_seven_names():
    adapter = seven_names()
    protocol.check(adapter)
    for name in vars(adapter):
        less = SimpleNamespace(**{word: value for word, value in vars(adapter).items() if word != name})
        with pytest.raises(TypeError, match=f"`adapter` must have name, .* lacks {name}. Add them"):
            register_backend(less)


@pytest.mark.parametrize(
    ("added", "text"),
    [
        ({"cumulativesum": np.cumsum}, "got cumulativesum too. Correct or remove them"),
        ({"owns": lambda: True}, "of so many arguments: `owns` of 1. Change them"),
        ({"lift": lambda rule: rule, "place": {}}, "of so many arguments: `place` of 1, `lift` of 2. Change them"),
    ],
    ids=["an unknown name", "a missing argument", "two wrong functions"],
)
def test_an_adapter_is_held_to_what_is_documented(lifted, added, text):
    adapter = SimpleNamespace(**vars(registry.registered()["mine"].adapter) | added)
    with pytest.raises(TypeError, match=text):
        register_backend(adapter)


def test_a_framework_without_kernels_is_asked_for_no_length(lifted):
    """A lazy array has shapes of which a product cannot be made."""

    class Lazy(Mine):
        @property
        def shape(self):
            raise AssertionError("no kernel serves this framework")

    adapter = SimpleNamespace(**vars(registry.registered()["mine"].adapter) | {"memory": None})
    ops, options = binding.Ops(adapter), composition.Options((0,), np.dtype("float64"))
    x = np.zeros(3).view(Lazy)
    assert selection.planned(ops, x, composition.Controls(), (None, None), options, lambda: None, ()) is None


@pytest.mark.skipif(find_spec("mlx") is None, reason="mlx is not installed")
@pytest.mark.parametrize("call", [pytest.param(call, id=call.id) for call in KINDS])
def test_the_adapter_of_the_page_has_the_oracles_answers(call):
    page = Path(__file__).resolve().parent.parent / "docs" / "frameworks.md"
    (code,) = re.findall(r"```py\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, page.name, "exec"), {})
    try:
        assert_call_agrees(call, [load("mlx")], "float32")
    finally:
        unregister("mlx")

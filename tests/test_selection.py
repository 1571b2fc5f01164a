"""Which kernel does a call: those that are allowed, in order of cost, each with its limits, and the rules where none does."""

from functools import partial

import numpy as np
import pytest
from conftest import PRESENT, backend_parameters

from anyargmax import soft_argmax, soft_one_hot
from anyargmax._compat import array_namespace
from anyargmax._frameworks import binding
from anyargmax._kernels import selection
from anyargmax._kernels.kernel import Kernel, Step
from anyargmax.validation import catalogue
from anyargmax.validation.checking import assert_call_agrees
from anyargmax.validation.tolerance import assert_close

# Where each kernel serves, and a call that it does.
PLACES = {
    "native": (("torch",), "position along the last axis"),
    "blocks": (("numpy", "autograd", "torch"), "position along the last axis"),
    "support": (("numpy", "autograd", "torch"), "sparsemax position"),
    "means": (("numpy", "autograd", "torch"), "position of given weights"),
    "few": (("torch",), "position along the last axis"),
    "losses": (("torch",), "cross-entropy of indices"),
    "contraction": (("jax",), "position along the last axis"),
    "reductions": (("jax",), "position along the last axis"),
    "steps": (("jax",), "sparsemax weights"),
    "softmax": (("torch-func",), "position along the last axis"),
    "roots": (("torch-func",), "sparsemax position"),
    "products": (("jax",), "position of given weights"),
}
places = pytest.mark.parametrize(
    ("kernel", "name", "call"),
    [
        pytest.param(kernel, name, catalogue.BY_ID[call], id=f"{kernel.replace(' ', '_')}-{name}")
        for kernel, (names, call) in PLACES.items()
        for name in names
        if name in PRESENT
    ],
)


def test_every_kernel_has_a_place_in_these_tests():
    among = {"shards", "candidates"}  # of arrays that are shards: `test_shards.py` and `test_traffic.py` have these
    assert set(PLACES) == {kernel.name for kernel in selection.BUILT_IN} - among


@places
def test_a_kernel_alone_serves_where_it_is_to(kernel, name, call):
    with selection.only(kernel) as taken:
        assert_call_agrees(call, [PRESENT[name]], "float64")
    assert set(taken) == {kernel}


@places
def test_the_rules_alone_ask_no_kernel(kernel, name, call):
    with selection.only() as taken:
        assert_call_agrees(call, [PRESENT[name]], "float64")
    assert taken == []


@pytest.mark.parametrize("backend", backend_parameters(("torch",)))
def test_the_kernel_that_costs_the_least_is_asked_first_and_the_next_where_it_declines(backend):
    few, many = (backend.asarray(np.zeros(shape), "float32") for shape in ((4, 10), (2000, 600)))
    awkward = backend.asarray(np.asarray([[np.inf, 0.0], [1.0, 2.0]]))
    with selection.only("native", "blocks") as taken:
        for x in (few, many, awkward):
            soft_argmax(x, axis=-1)
    assert taken == ["native", "blocks"]  # the last is done by the rules


@pytest.mark.parametrize("backend", backend_parameters(("numpy", "autograd", "torch")))
def test_limits_are_those_that_are_given(backend, monkeypatch):
    """A share of 0 leaves nothing to sparse weights but what is few in any case."""
    x = backend.asarray(np.random.default_rng(0).normal(size=(4, 3000)))
    f = partial(soft_one_hot, alpha=2)
    with selection.only("support") as taken:
        y = f(x)
        with selection.only("support", limits={"support": {"share": 0.0, "always": 1}}) as limited:
            z = f(x)
        f(x)
    assert (taken, limited) == (["support"] * 2, [])
    assert_close(backend.to_numpy(y), backend.to_numpy(z), "float64", "value")


def test_a_call_that_was_kept_is_forgotten_where_other_kernels_serve():
    x = np.zeros((3, 4))
    for names in (("blocks",), (), ("blocks",)):
        with selection.only(*names) as taken:
            soft_argmax(x, axis=-1)
            soft_argmax(x, axis=-1)
        assert taken == [*names] * 2


def test_a_name_that_no_kernel_has_is_an_error():
    with (
        pytest.raises(ValueError, match=r"`names` must be out of native, .*, got bolcks\. Correct the name\."),
        selection.only("bolcks"),
    ):
        pass


def test_an_option_that_a_kernel_does_not_have_is_an_error():
    with pytest.raises(ValueError, match="unexpected field names"), selection.only(limits={"blocks": {"blok": 1}}):
        pass


def test_what_was_allowed_before_is_allowed_after_an_error():
    before = dict(vars(selection._Setting))
    with pytest.raises(ZeroDivisionError), selection.only("blocks"):
        raise ZeroDivisionError
    assert dict(vars(selection._Setting)) == before


@pytest.mark.parametrize(
    ("part", "call"),
    [("plans", soft_one_hot), ("serves", partial(soft_argmax, axis=-1, readout="median"))],
    ids=["a whole call", "a rule"],
)
def test_a_kernel_takes_a_file_and_an_entry_in_its_adapters_list(part, call, monkeypatch):
    """A kernel of a framework's own is asked before those of the library, for a whole call and for a rule."""
    ops, asked = binding.of_namespace(array_namespace(np.zeros(1))), []
    step = Step("mine", lambda x, load, beside: asked.append(x.shape), lambda load: 0.0)
    parts = {
        "plans": {"entmax": lambda ops, call, limits: step},
        "serves": {"weights": lambda ops, x, *args, limits, **static: asked.append(x.shape)},
    }
    monkeypatch.setattr(ops, "kernels", (Kernel("mine", **{part: parts[part]}),))
    monkeypatch.setattr(ops, "ways", selection.ways(ops))
    with selection.only("mine", "support") as taken:
        call(np.asarray([[0.0, 1.0, 5.0]]), alpha=2)
    assert (asked, taken) == ([(1, 3)], ["support"])

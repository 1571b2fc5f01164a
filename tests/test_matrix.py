"""Framework x call x dtype: value, VJP, JVP, second derivatives against the oracle, invariants and finite differences."""

import inspect
from typing import Literal, get_args, get_origin

import pytest
from conftest import MISSING, NAMES, PRESENT

from anyargmax import validation
from anyargmax._kernels import selection
from anyargmax.validation.catalogue import CALLS, FUNCTIONS, KINDS
from anyargmax.validation.checking import assert_call_agrees

ALL = {call.id: call for call in CALLS}
FIRST = {call.function: call for call in reversed(KINDS)}


def first_of(*options):
    """One call of each function, and one of each value of the options that take another way through it."""
    others = {tuple(map(call.options.get, options)): call for call in reversed(KINDS)}
    return {call.id: call for call in (*FIRST.values(), *others.values())}


# JAX compiles each call and dtype: in one dtype all of them, in the other one for each way. Dask makes a graph of NumPy's
# calls, with the thresholds in chunks of their own: in one dtype one for each relaxation.
COMPILED = {
    ("jax", "float32"): first_of("alpha", "kind", "readout", "window", "zero_background"),
    ("dask", "float64"): first_of("alpha", "kind"),
    ("dask", "float32"): {},
}
# JAX compiles each: the second derivatives of one call of each function, beside its own check of every relaxation in test_family.
TWICE = {
    name: {call.id for call in (FIRST.values() if name == "jax" else KINDS) if call.shape[0] < 4 or name == "jax"}
    for name, backend in PRESENT.items()
    if backend.second
}


def order_of(name, dtype, call):
    """How often a case is differentiated: twice compares all that once does, so that no case needs both."""
    return 2 if dtype == "float64" and call.id in TWICE.get(name, ()) else 1


CASES = [
    pytest.param(
        *(name, dtype, call, order_of(name, dtype, call)),
        id=f"{name}-{dtype}-{call.id.replace(' ', '_')}{'_to_second_order' * (order_of(name, dtype, call) == 2)}",
        marks=pytest.mark.skipif(name in MISSING, reason=MISSING.get(name, "")),
    )
    for name in NAMES
    for dtype in ("float32", "float64")
    for call in COMPILED.get((name, dtype), ALL).values()
]


@pytest.mark.parametrize(("name", "dtype", "call", "order"), CASES)
def test_call_has_the_oracles_answers(name, dtype, call, order):
    assert_call_agrees(call, [PRESENT[name]], dtype, order=order)


def test_second_derivatives_are_compared_in_every_framework_that_has_them():
    assert {case.values[0] for case in CASES if case.values[3] == 2} == {n for n, b in PRESENT.items() if b.second}


# One way in and out is that of all kinds: of JAX, which compiles each, there is one call of each function, in one of both.
HALVES = [
    pytest.param(name, dtype, call, id=f"{name}-{dtype}-{call.id.replace(' ', '_')}")
    for name, backend in PRESENT.items()
    if "float16" in backend.dtypes
    for dtype in ("float16", "bfloat16")
    for call in ([*FIRST.values()][dtype == "float16" :: 2] if name == "jax" else KINDS)
]


@pytest.mark.parametrize(("name", "dtype", "call"), HALVES)
def test_half_precision_has_the_oracles_answers(name, dtype, call):
    """It is computed in float32: what remains to check is the way in and out, once a kind of call."""
    backend = PRESENT[name]
    if dtype in backend.dtypes:
        assert_call_agrees(call, [backend], dtype)
    else:  # NumPy has no bfloat16
        with pytest.raises(AttributeError, match=dtype):
            backend.asarray([1.0], dtype)


# Each kernel alone, and the rules without any, where a call may have another way: of rules that no kernel is for it has none.
# JAX compiles each: one of each function.
ONE_WAY = ("argmax_probability", "conditional_gumbel", "perturbed")
ALONE = [
    pytest.param(name, kernel, call, id=f"{name}-{kernel or 'no_kernel'}-{call.id}".replace(" ", "_"))
    for name, kernels in {
        "numpy": ("", "blocks", "support"),
        "autograd": ("", "blocks", "support"),
        "torch": ("", "native", "blocks", "support", "few"),
        "torch-func": ("", "softmax", "roots"),
        "jax": ("",),
    }.items()
    if name in PRESENT
    for kernel in kernels
    for call in (FIRST.values() if name == "jax" else KINDS)
    if call.function not in ONE_WAY
]


@pytest.mark.parametrize(("name", "kernel", "call"), ALONE)
def test_one_kernel_alone_has_the_oracles_answers(name, kernel, call):
    with selection.only(*filter(None, [kernel])):
        assert_call_agrees(call, [PRESENT[name]], "float64")


def test_every_public_function_and_option_is_in_the_matrix():
    for name, function in FUNCTIONS.items():
        options = set(inspect.signature(function).parameters) - {"x", "p"}
        called = {option for call in CALLS if call.function == name for option in (*call.options, *call.arrays)}
        also_in = {"soft_argmin": "soft_argmax", "soft_argmax_moments": "soft_argmax", "soft_top_k": "soft_one_hot"}
        elsewhere = {
            option
            for call in CALLS
            if call.function == also_in.get(name, "soft_argmax")
            for option in (*call.options, *call.arrays)
        }
        # The value of hard=True is argmax, not the oracle's; test_shards.py gives a group to every call of the catalogue.
        assert options - called - elsewhere <= {"hard", "group"}, name
    assert callable(validation.check)


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_every_word_of_an_option_is_in_the_matrix(name):
    """A readout, a kind or coordinates that no call has would be compared with nothing."""
    for option, parameter in inspect.signature(FUNCTIONS[name]).parameters.items():
        words = set(get_args(parameter.annotation)) if get_origin(parameter.annotation) is Literal else set()
        called = {call.options.get(option, parameter.default) for call in CALLS if call.function == name}
        alike = {call.options.get(option, parameter.default) for call in CALLS if call.function == "soft_argmax"}
        assert words <= (called | alike if name == "soft_argmin" else called), option

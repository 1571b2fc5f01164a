"""Every error by its text: what was expected, what came, what to do."""

import re
from functools import partial

import numpy as np
import pytest
from conftest import NAMES, PRESENT, backend_parameters

import anyargmax
from anyargmax import (
    expectation,
    fenchel_young_loss,
    sharpen,
    soft_argmax,
    soft_argmax_moments,
    soft_argmin,
    soft_one_hot,
    soft_top_k,
    spatial_soft_argmax,
)

X = np.zeros((3, 4))
REDUCING = [soft_argmax, soft_argmin, soft_argmax_moments, soft_one_hot, spatial_soft_argmax]
every_function = pytest.mark.parametrize(
    "f", [pytest.param(f, id=f.__name__) for f in [*REDUCING, sharpen, expectation]]
)
reducing = pytest.mark.parametrize("f", [pytest.param(f, id=f.__name__) for f in REDUCING])


def refused(error, text, f, *args, **options):
    with pytest.raises(error, match=re.escape(text)):
        f(*args, **options)


@every_function
@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ([1.0, 2.0], "got [1.0, 2.0] of type list."),
        (3.0, "got 3.0 of type float"),
        (None, "got None of type NoneType"),
        ("abc", "got 'abc' of type str"),
        (np.ma.masked_array([1.0, 2.0], [True, False]), "must be a plain array, got a MaskedArray. Pass `numpy.asarray("),
    ],
    ids=["list", "float", "None", "str", "masked_array"],
)  # fmt: skip
def test_what_is_no_array_is_refused(f, bad, text):
    refused(TypeError, text, f, bad)


@pytest.mark.parametrize("backend", backend_parameters(("torch", "array_api_strict", "dask")))
@pytest.mark.parametrize("option", ["mask", "temperature", "positions"])
def test_arrays_of_two_frameworks_are_refused(backend, option):
    other = X > 0 if option == "mask" else np.ones((3, 1)) if option == "temperature" else np.arange(4.0)
    text = f"`x` and `{option}` must be of one framework, here"
    refused(TypeError, text, soft_argmax, backend.asarray(X), axis=-1, **{option: other})
    refused(TypeError, text, soft_argmax, X, axis=-1, **{option: backend.asarray(other)})


@pytest.mark.parametrize("backend", backend_parameters(("torch",)))
def test_a_sparse_tensor_is_refused(backend):
    refused(
        TypeError,
        "`x` must be a dense array, got a sparse one. Pass `x.to_dense()`.",
        soft_argmax,
        backend.asarray(X).to_sparse(),
    )


@every_function
@pytest.mark.parametrize("dtype", ["bool", "complex128"])
def test_bool_and_complex_are_refused_everywhere(anyargmax_backend, f, dtype):
    x = anyargmax_backend.asarray(X) > 0 if dtype == "bool" else anyargmax_backend.asarray(X.astype("complex128"))
    name = "p" if f in (sharpen, expectation) else "x"
    refused(TypeError, f"`{name}` must have a real floating-point or integer dtype, got", f, x)


@pytest.mark.parametrize(
    "f", [soft_argmax, soft_argmin, soft_argmax_moments, soft_one_hot, sharpen], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("axis", [2, -3, True])
def test_a_wrong_axis_is_named_with_the_shape(anyargmax_backend, f, axis):
    refused(
        ValueError,
        f"`axis` must be in [-2, 1] for shape (3, 4), got {axis}. Pass one that the array has.",
        f,
        anyargmax_backend.asarray(X),
        axis=axis,
    )


@pytest.mark.parametrize("f", [soft_argmax, soft_argmin, soft_argmax_moments, expectation], ids=lambda f: f.__name__)
@pytest.mark.parametrize("axis", [(0, 1), [0, 1]], ids=["tuple", "list"])
def test_several_axes_where_one_is_reduced_are_told_where_they_go(f, axis):
    refused(
        TypeError,
        f"`axis` must be an integer, got {axis} of type {type(axis).__name__}. Pass one axis of shape (3, 4), or merge several "
        "into one with `reshape`; `spatial_soft_argmax`, `spatial_expectation`, `soft_one_hot` and `fenchel_young_loss` take "
        "several.",
        f,
        X,
        axis,
    )


def test_an_array_in_the_place_of_the_axis_is_told_its_keyword():
    refused(TypeError, "Pass one axis of shape (3, 4); all other options go by keyword.", expectation, X, np.ones(4))


@pytest.mark.parametrize("backend", backend_parameters(("numpy", "torch", "jax")))
def test_lists_for_arrays_are_told_what_to_become(backend):
    x = backend.asarray(X)
    refused(
        TypeError,
        f"got [True, False, True, True] of type list. Convert it to a boolean array of {backend.name}.",
        soft_argmax,
        x,
        -1,
        mask=[True, False, True, True],
    )
    message = f"of type list. Pass one position for each entry of the axis, in an array of {backend.name}."
    refused(TypeError, message, expectation, x, -1, positions=[0.0, 1.0, 2.0, 3.0])


def test_indices_of_classes_in_floats_are_told_to_be_integers():
    message = "Convert indices of classes, here of dtype float64, to integers."
    refused(ValueError, message, fenchel_young_loss, X, np.zeros(3))


@pytest.mark.parametrize("name", ["mask", "temperature", "alpha"])
@pytest.mark.parametrize("backend", backend_parameters(("torch",)))
def test_arrays_on_two_devices_are_refused_by_name(backend, name):
    import torch

    value = torch.ones((3, 1) if name != "mask" else (4,), dtype=torch.bool if name == "mask" else None, device="meta")
    x = backend.asarray(X, "float32")
    message = f"`x` and `{name}` must be on one device, got cpu and meta. Move `{name}` to that of `x`."
    refused(ValueError, message, soft_argmax, x, -1, **{name: value})
    shape = soft_argmax(x.to("meta"), -1, **{name: value}).shape  # which is all that there is on that device
    assert shape == (3,)


@pytest.mark.parametrize("axis", [1.0, "last"])
def test_an_axis_that_is_no_integer_is_refused(axis):
    refused(
        TypeError,
        f"`axis` must be an integer, got {axis!r} of type {type(axis).__name__}. Pass one axis of shape (3, 4).",
        soft_argmax,
        X,
        axis=axis,
    )


@pytest.mark.parametrize(
    ("axes", "error", "text"),
    [
        ((0, 0), ValueError, "`axes` must be distinct for shape (3, 4), got (0, 0). Name every axis once."),
        ((0, -2), ValueError, "`axes` must be distinct for shape (3, 4), got (0, -2)."),
        ((0, 2), ValueError, "`axes` must be in [-2, 1] for shape (3, 4), got 2."),
        ((), TypeError, "`axes` must be a tuple of one or more integers, got () of type tuple."),
        (1, TypeError, "`axes` must be a tuple of one or more integers, got 1 of type int. Pass such as `(-2, -1)`."),
    ],
)
def test_wrong_axes_of_a_map_are_refused(axes, error, text):
    refused(error, text, spatial_soft_argmax, X, axes=axes)


def test_an_empty_axis_is_refused(anyargmax_backend):
    x = anyargmax_backend.asarray(np.zeros((2, 0)))
    refused(
        ValueError,
        "`axis` must be an axis with at least one entry, got axis -1 of shape (2, 0): there is no argmax of nothing.",
        soft_argmax,
        x,
        axis=-1,
    )
    refused(ValueError, "`axis=None` takes every entry, and shape (2, 0) has none", soft_argmax, x)


@reducing
@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), np.float32(0)])
def test_a_temperature_that_is_not_positive_is_refused(f, temperature):
    refused(ValueError, f"`temperature` must be greater than 0, got {temperature!r}.", f, X, temperature=temperature)


@reducing
@pytest.mark.parametrize("temperature", ["warm", None, [1.0], True, 1j])
def test_a_temperature_that_is_no_number_is_refused(f, temperature):
    refused(
        TypeError,
        f"`temperature` must be a real number or an array, got {temperature!r}",
        f,
        X,
        temperature=temperature,
    )


@pytest.mark.parametrize("backend", backend_parameters(tuple(name for name in NAMES if name != "dask")))
def test_a_temperature_array_that_is_not_positive_is_refused(backend):
    temperature = backend.asarray([[1.0], [0.0], [2.0]])
    text = "`temperature` must be greater than 0 everywhere, got"
    refused(ValueError, text, soft_argmax, backend.asarray(X), axis=-1, temperature=temperature)


@pytest.mark.parametrize("backend", backend_parameters(("dask",)))
def test_a_lazy_temperature_that_is_not_positive_gives_nan_where_it_is_used(backend):
    """Its values cannot be looked at before they are computed."""
    x = backend.asarray(np.asarray([[0.0, 1.0], [0.0, 1.0]]))
    y = soft_argmax(x, axis=-1, temperature=backend.asarray([[1.0], [0.0]]))
    np.testing.assert_array_equal(np.isnan(backend.to_numpy(y)), [False, True])


@pytest.mark.parametrize("shape", [(3,), (4,), (3, 4), (1, 3, 1)])
def test_a_temperature_of_the_wrong_shape_is_refused(anyargmax_backend, shape):
    text = f"`temperature` must broadcast against the reduced shape (3, 1) (reduced axes kept, with length 1), got shape {shape}."
    refused(
        ValueError,
        text,
        soft_argmax,
        anyargmax_backend.asarray(X),
        axis=-1,
        temperature=anyargmax_backend.asarray(np.ones(shape)),
    )


@reducing
def test_a_mask_that_is_not_boolean_is_refused(anyargmax_backend, f):
    refused(
        TypeError,
        "`mask` must be a boolean array, True where a score is kept, got",
        f,
        anyargmax_backend.asarray(X),
        mask=anyargmax_backend.asarray(np.ones((3, 4))),
    )


@reducing
@pytest.mark.parametrize("mask", [[True, False, True, True], True])
def test_a_mask_that_is_no_array_is_refused(f, mask):
    refused(TypeError, f"`mask` must be a boolean array, True where a score is kept, got {mask!r}", f, X, mask=mask)


@reducing
def test_a_mask_of_the_wrong_shape_is_refused(f):
    refused(
        ValueError,
        "`mask` must broadcast against the scores' shape (3, 4), got shape (3,).",
        f,
        X,
        mask=np.ones(3, dtype=bool),
    )


@pytest.mark.parametrize("shape", [(3,), (4, 1), (2, 4), (1, 1, 4)])
def test_positions_of_the_wrong_shape_are_refused(shape):
    refused(
        ValueError,
        "`positions` must have shape (4,), or the scores' rank with length 4 along axis 1",
        soft_argmax,
        X,
        axis=-1,
        positions=np.ones(shape),
    )


@pytest.mark.parametrize("positions", [[0, 1, 2, 3], np.ones(4, dtype=bool), "abcd"])
def test_positions_that_are_no_real_array_are_refused(positions):
    refused(TypeError, "`positions` must be a real array, got", soft_argmax, X, axis=-1, positions=positions)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"readout": "mode"}, "`readout` must be 'mean' or 'median', got 'mode'. Pass one of them."),
        ({"readout": "moments"}, "`readout` must be 'mean' or 'median', got 'moments'."),
        (
            {"alpha": 0.5},
            "`alpha` must be a finite number of at least 1, got 0.5. Pass 1 for softmax, 2 for sparsemax.",
        ),
        ({"alpha": float("nan")}, "`alpha` must be a finite number of at least 1, got nan."),
        ({"alpha": np.asarray([0.5])}, "`alpha` must be at least 1 everywhere and finite, got [0.5]."),
        ({"alpha": np.asarray([0.5, 2.0])}, "`alpha` must broadcast against the reduced shape (1, 1)"),
        ({"window": -1}, "`window` must be an integer of at least 0, got -1."),
        ({"window": 1.5}, "`window` must be an integer of at least 0, got 1.5."),
        ({"window": (1, 2)}, "`window` must be an integer of at least 0, got (1, 2)."),
        ({"zero_background": True, "alpha": 2}, "`zero_background` must go with alpha 1, got alpha 2."),
    ],
)
def test_options_that_do_not_exist_are_refused(options, text):
    refused(ValueError, text, soft_argmax, X, **options)


@pytest.mark.parametrize("alpha", ["soft", None, [1.5], True])
def test_an_alpha_that_is_no_number_is_refused(alpha):
    refused(TypeError, f"`alpha` must be a real number or an array, got {alpha!r}", soft_argmax, X, alpha=alpha)


@pytest.mark.parametrize("k", [0, 5, -1, 1.5, True, None, "two"])
def test_a_k_that_counts_no_entries_is_refused(anyargmax_backend, k):
    text = f"`k` must be an integer from 1 to 4, the length of the axis, got {k!r}. Pass how many to choose."
    refused(ValueError, text, soft_top_k, anyargmax_backend.asarray(X), k)


def test_a_window_needs_one_number_for_each_axis():
    text = "`window` must be an integer of at least 0, or 2 of them, got (1, 2, 3)."
    refused(ValueError, text, spatial_soft_argmax, X, window=(1, 2, 3))


def test_the_variance_of_a_hard_choice_is_refused():
    refused(
        ValueError, "`hard` must be False with readout 'moments'", spatial_soft_argmax, X, readout="moments", hard=True
    )


@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        (np.full((3, 4), 0.3), ValueError, "`target` must be weights >= 0 that sum to 1 along the axis, got"),
        (np.asarray([[2.0, -1.0, 0.0, 0.0]] * 3), ValueError, "`target` must be weights >= 0 that sum to 1"),
        (np.full((3, 4), np.nan), ValueError, "`target` must be weights >= 0 that sum to 1"),
        (np.asarray([0, 1, 4]), ValueError, "`target` must hold indices from 0 to 3, got [0 1 4]."),
        (np.asarray([0, -1, 2]), ValueError, "`target` must hold indices from 0 to 3, got [ 0 -1  2]."),
        (np.ones((4, 3)) / 4, ValueError, "`target` must be weights, of the scores' shape, (3, 4), got shape (4, 3)."),
        (
            np.zeros((3, 1), dtype=int),
            ValueError,
            "`target` must be indices, of the scores' shape without the axis, (3,)",
        ),
        ([0, 1, 2], TypeError, "`target` must be an array of weights or of integer indices, got [0, 1, 2]"),
        (np.ones((3, 4), dtype=bool), TypeError, "`target` must be an array of weights or of integer indices"),
    ],
)
def test_a_target_that_is_no_distribution_is_refused(target, error, text):
    refused(error, text, fenchel_young_loss, X, target)


def test_an_alpha_array_has_no_loss():
    text = "`alpha` must be a number here, got array([1.5]). Pass such as 1.5."
    refused(TypeError, text, fenchel_young_loss, X, np.zeros(3, dtype=int), alpha=np.asarray([1.5]))


@pytest.mark.parametrize("option", ["hard", "keepdims", "zero_background"])
def test_flags_must_be_booleans(option):
    refused(TypeError, f"`{option}` must be True or False, got 1 of type int.", soft_argmax, X, **{option: 1})


def test_coordinates_must_be_known():
    refused(
        ValueError,
        "`coordinates` must be 'index' or 'corner' or 'center', got 'pixel'.",
        spatial_soft_argmax,
        X,
        coordinates="pixel",
    )


@pytest.mark.parametrize("power", [0, -2.0, float("inf"), float("nan"), "10", True])
def test_a_power_that_is_not_positive_is_refused(power):
    refused(ValueError, f"`power` must be a finite number greater than 0, got {power!r}.", sharpen, X, power=power)


@pytest.mark.parametrize("rounds", [-1, 1.5, None, True])
def test_rounds_must_be_a_count(rounds):
    refused(ValueError, f"`rounds` must be an integer of at least 0, got {rounds!r}.", sharpen, X, rounds=rounds)


@pytest.mark.parametrize(("power", "rounds"), [(10.0, 400), (0.1, 400)])
def test_rounds_out_of_range_are_refused(power, rounds):
    refused(
        ValueError,
        f"`power ** rounds` must be a finite number greater than 0, got {power} ** {rounds}.",
        sharpen,
        X,
        power=power,
        rounds=rounds,
    )


@pytest.mark.parametrize("name", ["array_api_strict", "dask"])
def test_a_foreign_function_has_no_derivative_without_automatic_differentiation(name):
    assert name in PRESENT, f"{name} is needed here"
    backend = PRESENT[name]
    text = "`f` must be one call of a function of this library on arrays that have no automatic differentiation, got '<lambda>'"
    refused(TypeError, text, anyargmax.vjp, lambda x: soft_argmax(x) + 1, backend.asarray(X))
    refused(TypeError, text, anyargmax.jvp, lambda x: x * 2, (backend.asarray(X),), (backend.asarray(X),))


def test_vjp_needs_an_array():
    refused(TypeError, "`arrays` must hold at least one array, got none.", anyargmax.vjp, soft_argmax)
    refused(TypeError, "`arrays[0]` must be an array", anyargmax.vjp, soft_argmax, [1.0])


def test_jvp_needs_two_tuples_of_equal_length():
    text = "`arrays` and `tangents` must be tuples of equal length, got ndarray and ndarray. Pass `(x,), (t,)`"
    refused(TypeError, text, anyargmax.jvp, partial(soft_argmax), X, X)


def test_an_adapter_that_lacks_something_is_refused():
    refused(
        TypeError,
        "lacks namespace, owns, detach, is_concrete, place, default_float. Add them.",
        anyargmax.register_backend,
        type("Adapter", (), {"name": "mine"}),
    )


HUGE = 10**400


@pytest.mark.parametrize(
    ("f", "option"),
    [(soft_argmax, "temperature"), (soft_argmax, "alpha"), (soft_one_hot, "alpha"), (sharpen, "power")],
    ids=["temperature", "alpha", "alpha of weights", "power"],
)
def test_a_number_beyond_the_range_of_floats_is_refused_by_name(anyargmax_backend, f, option):
    refused(ValueError, f"`{option}` must be", f, anyargmax_backend.asarray(np.abs(X) + 1), **{option: HUGE})


@pytest.mark.parametrize("window", [2**31, 2**63, 2**64, HUGE], ids=["2**31", "2**63", "2**64", "10**400"])
def test_a_window_wider_than_the_axis_takes_all(anyargmax_backend, window):
    x = anyargmax_backend.asarray(np.arange(12.0).reshape(3, 4) % 5)
    whole = anyargmax_backend.to_numpy(soft_argmax(x, axis=-1, window=3))
    np.testing.assert_array_equal(anyargmax_backend.to_numpy(soft_argmax(x, axis=-1, window=window)), whole)


@pytest.mark.parametrize(
    ("f", "option"),
    [
        (soft_argmax, "readout"),
        (lambda x, **o: soft_top_k(x, 1, **o), "kind"),
        (spatial_soft_argmax, "coordinates"),
    ],
    ids=["readout", "kind", "coordinates"],
)
@pytest.mark.parametrize("bad", ["array", None, 1, ["mean"]], ids=str)
def test_a_word_that_is_no_string_is_refused_by_name(anyargmax_backend, f, option, bad):
    value = anyargmax_backend.asarray(np.ones(2)) if bad == "array" else bad
    refused(TypeError, f"`{option}` must be '", f, anyargmax_backend.asarray(X), **{option: value})


@every_function
def test_modules_and_records_are_no_arrays(f):
    import autograd.numpy

    name = "p" if f in (sharpen, expectation) else "x"
    for module in (np, autograd.numpy, *(backend.xp for backend in PRESENT.values())):
        refused(TypeError, f"`{name}` must be an array", f, module)
    for records in (np.zeros(3, dtype=[("a", float)]), np.rec.array(np.zeros(3, dtype=[("a", float)]))):
        refused(TypeError, f"`{name}` must have a real floating-point or integer dtype, got", f, records)
    refused(TypeError, f"`{name}` must have a real", f, np.asarray([object()]))


def test_an_array_of_one_entry_is_no_axis(anyargmax_backend):
    for axis in (anyargmax_backend.asarray(np.asarray([0])), anyargmax_backend.asarray(np.asarray(0))):
        refused(TypeError, "`axis` must be an integer, got a", soft_argmax, anyargmax_backend.asarray(X), axis=axis)


def test_integers_and_booleans_of_numpy_are_integers_and_booleans(anyargmax_backend):
    x = anyargmax_backend.asarray(np.arange(12.0).reshape(3, 4) % 5)
    given = {"axis": np.int64(-1), "window": np.int8(1), "keepdims": np.True_, "hard": np.False_}
    expected = soft_argmax(x, axis=-1, window=1, keepdims=True)
    np.testing.assert_array_equal(
        anyargmax_backend.to_numpy(soft_argmax(x, **given)), anyargmax_backend.to_numpy(expected)
    )
    k = anyargmax_backend.to_numpy(soft_top_k(x, np.uint8(2), hard=np.True_))
    np.testing.assert_array_equal(k, anyargmax_backend.to_numpy(soft_top_k(x, 2, hard=True)))
    y = soft_argmax(x, axis=-1, zero_background=np.True_)
    np.testing.assert_array_equal(
        anyargmax_backend.to_numpy(y), anyargmax_backend.to_numpy(soft_argmax(x, axis=-1, zero_background=True))
    )


@pytest.mark.parametrize("option", ["temperature", "alpha"])
def test_a_boolean_of_numpy_is_no_number(option):
    refused(TypeError, f"`{option}` must be", soft_argmax, X, **{option: np.True_})


@pytest.mark.parametrize("alpha", [[[np.inf]] * 3, [[np.nan]] * 3, [[0.5], [1.0], [2.0]]], ids=["inf", "NaN", "0.5"])
def test_an_alpha_array_out_of_range_is_refused(anyargmax_backend, alpha):
    if anyargmax_backend.name == "dask":  # whose values are not looked at
        y = soft_argmax(anyargmax_backend.asarray(X), axis=-1, alpha=anyargmax_backend.asarray(np.asarray(alpha)))
        assert np.isnan(anyargmax_backend.to_numpy(y)[0])
        return
    text = "`alpha` must be at least 1 everywhere and finite, got"
    refused(
        ValueError,
        text,
        soft_argmax,
        anyargmax_backend.asarray(X),
        axis=-1,
        alpha=anyargmax_backend.asarray(np.asarray(alpha)),
    )


@pytest.mark.parametrize("option", ["temperature", "mask", "positions", "alpha"])
def test_an_array_of_another_framework_is_named(option):
    import array_api_strict

    other = array_api_strict.asarray(np.ones((3, 4)) > 0 if option == "mask" else np.ones((3, 1)))
    refused(TypeError, f"`x` and `{option}` must be of one framework", soft_argmax, X, axis=-1, **{option: other})


def test_a_number_with_more_digits_than_python_writes_is_refused_by_name():
    refused(ValueError, "`temperature` must be in the range of floats", soft_argmax, X, temperature=10**5000)


@pytest.mark.parametrize("bad", [np.float64(3.0), np.int64(1)], ids=["float64", "int64"])
def test_a_number_of_numpy_is_refused_by_name_where_an_array_belongs(anyargmax_backend, bad):
    x = anyargmax_backend.asarray(X)
    for option in ("mask", "positions"):
        with pytest.raises((TypeError, ValueError), match=f"`{option}`"):
            soft_argmax(x, axis=-1, **{option: bad})
    with pytest.raises((TypeError, ValueError), match="`target`"):
        fenchel_young_loss(x, bad)


def test_an_alpha_array_may_hold_integers(anyargmax_backend):
    alpha = anyargmax_backend.asarray(np.asarray([[1], [2], [2]]))
    expected = soft_one_hot(
        anyargmax_backend.asarray(X + np.arange(4)), alpha=anyargmax_backend.asarray(np.asarray([[1.0], [2.0], [2.0]]))
    )
    p = soft_one_hot(anyargmax_backend.asarray(X + np.arange(4)), alpha=alpha)
    np.testing.assert_array_equal(anyargmax_backend.to_numpy(p), anyargmax_backend.to_numpy(expected))

"""Arrays that conform to the Array API standard are enough: at its older versions, and without values while a graph is made."""

import re
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
from conftest import MANDATORY, MISSING, PRESENT

import anyargmax
from anyargmax import (
    expectation,
    fenchel_young_loss,
    soft_argmax,
    soft_argmax_moments,
    soft_one_hot,
    soft_top_k,
    spatial_soft_argmax,
)
from anyargmax._compat import array_namespace
from anyargmax._frameworks.standard import completed
from anyargmax.validation.catalogue import CALLS, KINDS
from anyargmax.validation.checking import assert_call_agrees

FIRST = {call.function: call for call in reversed(KINDS)}
MEDIAN = next(call for call in CALLS if call.options.get("readout") == "median")  # which adds up
ABSENT = [name for name in ("ndonnx", "onnxruntime") if find_spec(name) is None and "ndonnx" not in MANDATORY]


@pytest.fixture
def at_version():
    """Have array-api-strict be at a version of the standard until the test ends."""
    import array_api_strict

    before = array_api_strict.get_array_api_strict_flags()["api_version"]

    def set_version(version):
        array_api_strict.set_array_api_strict_flags(api_version=version)
        return array_api_strict

    yield set_version
    set_version(before)


@pytest.mark.skipif("array_api_strict" in MISSING, reason=MISSING.get("array_api_strict", ""))
class TestVersions:
    @pytest.mark.parametrize("version", ["2022.12", "2023.12", "2024.12"])
    @pytest.mark.parametrize("call", [pytest.param(c, id=c.id.replace(" ", "_")) for c in (*FIRST.values(), MEDIAN)])
    def test_each_function_has_the_answers_of_numpy_and_the_oracle(self, call, version, at_version):
        at_version(version)
        assert_call_agrees(call, [PRESENT["array_api_strict"], PRESENT["numpy"]], "float32")

    @pytest.mark.parametrize("version", ["2022.12", "2023.12"])
    @pytest.mark.parametrize("options", [{}, {"hard": True}, {"kind": "sigmoid"}], ids=str)
    def test_winners_have_the_values_of_numpy(self, options, version, at_version, rng):
        xp = at_version(version)
        x = rng.normal(size=(4, 7)).astype("float32")
        y = soft_top_k(xp.asarray(x), 2, **options)
        assert y.dtype == xp.float32
        np.testing.assert_allclose(np.asarray(y), soft_top_k(x, 2, **options), rtol=1e-5, atol=1e-6)

    def test_integers_are_computed_in_the_default_dtype(self, at_version):
        xp = at_version("2022.12")
        y = soft_argmax(xp.asarray([[1, 2, 3]]), axis=-1)
        assert y.dtype == xp.float64
        np.testing.assert_allclose(np.asarray(y), soft_argmax(np.asarray([[1, 2, 3]]), axis=-1), rtol=1e-12)

    def test_a_version_that_is_too_old_is_told_which_is_needed(self, at_version):
        with pytest.warns(UserWarning, match="2021"):
            xp = at_version("2021.12")
        text = (
            "of a namespace of version 2022.12 of the Array API standard or later, got a Array of array_api_strict at"
        )
        with pytest.raises(TypeError, match=re.escape(text)):
            soft_argmax(xp.asarray([1.0, 2.0]))

    def test_functions_that_came_later_do_what_those_of_numpy_do(self, at_version, rng):
        xp = completed(at_version("2022.12"))
        x = rng.normal(size=(3, 5, 4)).astype("float32")
        x[0, 1, 2], x[1, 1, 1] = np.nan, np.inf
        given, least = xp.asarray(x), np.zeros_like(x)
        alike = partial(np.testing.assert_allclose, rtol=1e-6)
        for axis in (0, 1, -1):
            alike(np.asarray(xp.cumulative_sum(given, axis=axis)), np.cumsum(x, axis=axis), atol=1e-6)
            alike(np.asarray(xp.moveaxis(given, 0, axis)), np.moveaxis(x, 0, axis))
        for name in ("maximum", "minimum"):
            for other in (0.0, xp.asarray(least)):
                alike(np.asarray(getattr(xp, name)(given, other)), getattr(np, name)(x, least))
                alike(np.asarray(getattr(xp, name)(other, given)), getattr(np, name)(least, x))
        for bounds in ((-0.5, 0.5), (None, 0.5), (-0.5, None)):
            alike(np.asarray(xp.clip(given, *bounds)), np.clip(x, *bounds))
        assert xp.sum(given).dtype == given.dtype


def test_a_namespace_of_a_full_version_is_used_as_it_is():
    namespace = array_namespace(np.zeros(1))
    assert completed(namespace) is namespace
    assert completed(np) is np


# Functions of the scores, and of a mask beside them; and how many nodes a graph may have beside constants.
LAZY = {
    "softmax position": (partial(soft_argmax, axis=-1), 40),
    "softmax position at a temperature": (partial(soft_argmax, axis=-1, temperature=0.5), 45),
    "1.5-entmax position": (partial(soft_argmax, axis=-1, alpha=1.5), 95),
    "median": (partial(soft_argmax, axis=-1, readout="median"), 90),
    "position within a window": (partial(soft_argmax, axis=-1, window=1), 110),
    "hard position": (partial(soft_argmax, axis=-1, hard=True), 100),
    "position above a background": (partial(soft_argmax, axis=-1, zero_background=True), 90),
    "softmax weights": (partial(soft_one_hot, alpha=1), 30),
    "logarithms of weights": (partial(soft_one_hot, log=True), 30),
    "1.5-entmax weights": (partial(soft_one_hot, alpha=1.5), 80),
    "sparsemax weights": (partial(soft_one_hot, alpha=2), 65),
    "1.25-entmax weights": (partial(soft_one_hot, alpha=1.25), 250),
    "capped winners": (lambda x, **options: soft_top_k(x, 2, **options), 80),
    "mean and variance": (partial(soft_argmax_moments, axis=-1), 60),
    "mean of given weights": (partial(expectation, axis=-1), 25),
    "coordinates": (spatial_soft_argmax, 45),
    "coordinates and covariances": (partial(spatial_soft_argmax, readout="covariance"), 95),
    "1.5-entmax coordinates": (partial(spatial_soft_argmax, alpha=1.5), 110),
}


def row_shape(name):
    return (3, 4) if "coordinates" in name else (5,)


@pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}")
class TestWithoutValues:
    """Graphs of ONNX, made by ndonnx of arrays without values whose first length is not known, and run."""

    @staticmethod
    def argument(shape, dtype="float32"):
        import ndonnx

        return ndonnx.argument(shape=("N", *shape), dtype=getattr(ndonnx, dtype))

    @staticmethod
    def built(inputs, y):
        """A graph of these inputs, and a function of NumPy's arrays that runs it."""
        import ndonnx
        import onnxruntime

        outputs = {f"y{k}": array for k, array in enumerate(y if isinstance(y, tuple) else (y,))}
        model = ndonnx.build(inputs, outputs)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return model, lambda **arrays: session.run(None, arrays)

    @staticmethod
    def assert_alike(got, wanted, rtol=2e-5):
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        for y, value in zip(got, wanted, strict=True):
            assert y.dtype == value.dtype
            np.testing.assert_allclose(y, value, rtol=rtol, atol=2e-6)

    @pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
    @pytest.mark.parametrize("name", list(LAZY))
    def test_a_graph_has_the_numbers_of_numpy_for_any_number_of_rows(self, name, masked, rng):
        f, most = LAZY[name]
        inputs = {"x": self.argument(row_shape(name))}
        if masked:
            inputs["mask"] = self.argument(row_shape(name), "bool")
        options = dict(inputs)
        model, run = self.built(inputs, f(options.pop("x"), **options))
        assert sum(node.op_type != "Constant" for node in model.graph.node) <= most
        for rows in (1, 3, 8):
            x = 2 * rng.normal(size=(rows, *row_shape(name))).astype("float32")
            mask = rng.random(x.shape) < 0.7
            mask[..., 0] = True
            arrays = {"x": x, "mask": mask} if masked else {"x": x}
            self.assert_alike(run(**arrays), f(x, mask=mask) if masked else f(x))

    @pytest.mark.parametrize("f", [f for f, _ in LAZY.values()][:13], ids=list(LAZY)[:13])
    def test_rows_of_infinities_and_nan_are_those_of_numpy(self, f):
        nan, inf = np.nan, np.inf
        rows = [[1, nan, 3, 0, 2], [inf, 1, 2, inf, 0], [-inf] * 5, [1, 2, 2, -inf, 0], [3e38, -3e38, 1, 0, 3e38]]
        x = np.asarray(rows, dtype="float32")
        given = self.argument((5,))
        _, run = self.built({"x": given}, f(given))
        self.assert_alike(run(x=x), f(x))

    @pytest.mark.parametrize("alpha", [1, 1.5, 2])
    @pytest.mark.parametrize("shape", [(1,), (5,)], ids=str)
    def test_a_temperature_may_be_an_argument(self, alpha, shape, rng):
        """Of a row, or of all rows; it is not looked at, and one that is not positive gives NaN."""
        given = {"x": self.argument((3, 5)), "t": self.argument((1, 1))}
        f = partial(soft_one_hot, alpha=alpha, axis=(1, 2) if shape == (5,) else -1)
        _, run = self.built(given, f(given["x"], temperature=given["t"]))
        x, t = rng.normal(size=(4, 3, 5)).astype("float32"), rng.uniform(0.5, 2, size=(4, 1, 1)).astype("float32")
        self.assert_alike(run(x=x, t=t), f(x, temperature=t))
        assert np.all(np.isnan(run(x=x, t=-t)[0]))

    def test_a_loss_of_weights_and_of_indices(self, rng):
        given = {"x": self.argument((5,)), "y": self.argument((5,)), "k": self.argument((), "int64")}
        f = partial(fenchel_young_loss, alpha=1.5)
        x = rng.normal(size=(4, 5)).astype("float32")
        y, k = soft_one_hot(rng.normal(size=(4, 5)).astype("float32")), np.asarray([0, 4, 2, 2])
        _, run = self.built({"x": given["x"], "y": given["y"]}, f(given["x"], given["y"]))
        self.assert_alike(run(x=x, y=y), f(x, y), rtol=1e-4)
        _, run = self.built({"x": given["x"], "k": given["k"]}, f(given["x"], given["k"]))
        self.assert_alike(run(x=x, k=k), f(x, k), rtol=1e-4)

    @pytest.mark.parametrize("alpha", [1, 1.5, 2])
    def test_a_gradient_is_a_graph_too(self, alpha, rng):
        given = {"x": self.argument((5,)), "g": self.argument((5,))}
        f = partial(soft_one_hot, alpha=alpha)
        _, pullback = anyargmax.vjp(f, given["x"])
        _, run = self.built(given, pullback(given["g"])[0])
        x, g = (rng.normal(size=(4, 5)).astype("float32") for _ in range(2))
        self.assert_alike(run(x=x, g=g), anyargmax.vjp(f, x)[1](g)[0], rtol=1e-4)

    @pytest.mark.parametrize("alpha", [1, 2])
    def test_weights_along_the_axis_that_is_not_known(self, alpha, rng):
        given = self.argument((5,))
        f = partial(soft_one_hot, alpha=alpha, axis=0)
        _, run = self.built({"x": given}, f(given))
        for rows in (1, 6):
            x = rng.normal(size=(rows, 5)).astype("float32")
            self.assert_alike(run(x=x), f(x))

    @pytest.mark.parametrize(
        "f",
        [partial(soft_argmax, axis=0), lambda x: soft_top_k(x, 2, axis=0), partial(soft_one_hot, axis=0, alpha=3)],
        ids=["position", "winners", "3-entmax"],
    )
    def test_what_counts_along_an_axis_asks_for_its_length(self, f):
        with pytest.raises(ValueError, match=re.escape("whose length is known, got axis 0 of shape (None, 5)")):
            f(self.argument((5,)))

    def test_arrays_with_values_are_looked_at(self):
        import ndonnx

        x = ndonnx.asarray(np.asarray([[0.5, 1.0, 3.0]], dtype="float32"))
        with pytest.raises(ValueError, match="`temperature` must be greater than 0 everywhere"):
            soft_one_hot(x, temperature=ndonnx.asarray(np.asarray([[-1.0]], dtype="float32")))
        y = soft_one_hot(x, alpha=1.5).unwrap_numpy()
        np.testing.assert_allclose(y, soft_one_hot(x.unwrap_numpy(), alpha=1.5), rtol=1e-5)

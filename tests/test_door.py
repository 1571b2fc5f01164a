"""Arrays that cannot be served are told so at the door, by what to do with them; and what torch makes graphs of."""

import re
import types

import numpy as np
import pytest
from conftest import PRESENT

from anyargmax import expectation, soft_argmax, soft_argmax_moments, soft_one_hot
from anyargmax._rules.ops import Namespace

torch_only = pytest.mark.skipif("torch" not in PRESENT, reason="torch is not installed")
CUTS = "to convert it to NumPy would cut its gradient."


def stand_in(module, **attributes):
    """An array of a class that another package may have."""
    kind = type("Tensor", (), {"__module__": module, "shape": (3,), "dtype": "float32", "ndim": 1, **attributes})
    return kind()


def refused(text, x, f=soft_argmax):
    with pytest.raises(TypeError, match=re.escape(text)):
        f(x)


@pytest.mark.parametrize("f", [soft_argmax, soft_one_hot, expectation], ids=lambda f: f.__name__)
@pytest.mark.parametrize("module", ["tensorflow.python.framework.ops", "paddle", "tinygrad.tensor", "mlx.core"])
def test_a_framework_that_is_not_known_is_to_be_registered_and_not_converted(module, f):
    name, root = ("p" if f is expectation else "x"), module.partition(".")[0]
    refused(
        f"`{name}` must be an array of numpy, torch, jax, tensorflow, autograd or of a framework that conforms",
        stand_in(module),
        f,
    )
    refused(f"got a Tensor of {root}. Teach the library", stand_in(module), f)
    refused(f"by `register_backend`; {CUTS}", stand_in(module), f)


@pytest.mark.parametrize(
    ("module", "held"),
    [("pandas.core.series", "to_numpy()"), ("xarray.core.dataarray", "data"), ("sparse._coo.core", "todense()")],
)
def test_a_container_of_an_array_is_told_how_to_get_at_it(module, held):
    refused(
        f"`x` must be a dense array, got a Tensor of {module.partition('.')[0]}. Pass `x.{held}`.", stand_in(module)
    )


def conforming(lacks, module="half_a_framework", **attributes):
    namespace = types.ModuleType(module)
    for name in Namespace.__annotations__.keys() - set(lacks):
        setattr(namespace, name, getattr(np, name, None))
    return stand_in(module, __array_namespace__=lambda self, api_version=None: namespace, **attributes)


def test_a_namespace_that_lacks_functions_is_told_which():
    x = conforming(("sort", "cumulative_sum"), device="cpu")
    refused("whose namespace lacks cumulative_sum, sort. Bring these by `register_backend`", x)
    refused(CUTS, x)


def test_an_array_without_a_device_is_refused_at_the_door():
    refused("of no_devices, whose namespace lacks device. Bring", conforming((), "no_devices"))


def test_a_namespace_that_lacks_nearly_all_is_told_of_some():
    x = conforming(Namespace.__annotations__, "nothing_there", device="cpu")
    refused("lacks abs, all, any, arange, argmax, asarray, astype, bitwise_invert, and others. Bring", x)


@torch_only
class TestTorch:
    def test_nested_tensors_are_told_to_be_padded(self):
        import torch

        rows = [torch.ones(3), torch.ones(2)]
        with pytest.warns(UserWarning, match="prototype"):
            strided = torch.nested.nested_tensor(rows)
        for x in (strided, torch.nested.nested_tensor(rows, layout=torch.jagged)):
            refused("got a nested one. Pass `torch.nested.to_padded_tensor(x, 0.0)`, and a mask of what was there.", x)

    @pytest.mark.filterwarnings("ignore::UserWarning")
    def test_masked_tensors_are_told_to_bring_their_mask_beside(self):
        import torch
        from torch.masked import MaskedTensor

        x = MaskedTensor(torch.ones(3), torch.tensor([True, False, True]))
        refused("got a MaskedTensor. Pass `x.get_data()` with `mask=x.get_mask()`.", x)

    @pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
    def test_sparse_tensors_of_any_layout_are_told_to_be_dense(self):
        import torch

        for x in (torch.eye(3).to_sparse(), torch.eye(3).to_sparse_csr(), torch.eye(3).to_sparse_csc()):
            refused("`x` must be a dense array, got a sparse one. Pass `x.to_dense()`.", x)

    def test_a_symbolic_trace_keeps_layers_and_functions_as_nodes(self):
        import torch

        from anyargmax.backends.torch import SoftArgmax, SpatialSoftArgmax

        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.rows = SoftArgmax(temperature=torch.nn.Parameter(torch.tensor([0.5])))
                self.map = SpatialSoftArgmax((-1, -2), coordinates="corner")

            def forward(self, x):
                mean, variance = soft_argmax_moments(2 * x, -1, temperature=0.5)
                return self.rows(x) + mean + variance + soft_argmax(x, 0, alpha=1.5)[0], self.map(x)

        model, x = Model(), torch.linspace(-1, 1, 20).reshape(4, 5).sin()
        traced = torch.fx.symbolic_trace(model)
        kinds = [node.op for node in traced.graph.nodes]
        assert kinds.count("call_module") == 2
        assert sum("again" in str(node.target) for node in traced.graph.nodes) == 2
        for model_of, other in zip(traced(x), model(x), strict=True):
            torch.testing.assert_close(model_of, other, rtol=0, atol=0)
        traced(x)[0].sum().backward()
        assert model.rows.temperature.grad.abs() > 0

    def test_a_script_of_a_layer_is_told_what_to_do_instead(self):
        import torch

        from anyargmax.backends.torch import SoftArgmax

        with pytest.raises(
            TypeError, match=re.escape("Trace it by `torch.jit.trace`, or export it by `torch.export.export`.")
        ):
            torch.jit.script(SoftArgmax())

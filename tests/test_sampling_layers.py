"""The layers of `sample_one_hot`: they draw in training, take the argmax in evaluation, and repeat by their generators.

Keras takes one backend a process: `test_layers.py` runs these tests once more for each of the others.
"""

import copy
import re

import numpy as np
import pytest
from test_layers import (
    KERAS_BACKEND,
    differentiates,
    keras,
    keras_layers,
    numpy,
    on_keras,
    on_torch,
    tensor,
    torch,
    torch_layers,
)

from anyargmax import soft_one_hot
from anyargmax._layers import choice
from anyargmax.validation.tolerance import assert_close

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
SCORES = np.asarray([0.5, -1.0, 1.25, 0.0])
MANY = np.broadcast_to(SCORES, (20_000, 4)).copy()
ESTIMATORS = ("gumbel", "straight-through", "reinmax", "gumbel-rao", "gapped")
BAD = [
    ({"estimator": "rebar"}, ValueError, "`estimator` must be 'gumbel' or"),
    ({"temperature": 0}, ValueError, "`temperature` must be greater than 0, got 0."),
    ({"draws": 0}, ValueError, "`draws` must be an integer of at least 1, got 0."),
    ({"draws": 4}, ValueError, "`draws` must be 1 with estimator 'gumbel', got 4."),
    ({"axis": 0.5}, TypeError, "`axis` must be an integer"),
    ({"hard": True}, TypeError, "must be given options out of temperature, estimator, draws, got 'hard'."),
]
bad = pytest.mark.parametrize(("options", "error", "text"), BAD, ids=[str(options) for options, *_ in BAD])


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def are_softmax_draws(y):
    """One-hot rows, in 5 standard errors of their probabilities."""
    p, share = softmax(SCORES), y.mean(axis=0)
    assert set(np.unique(y)) == {0.0, 1.0}
    assert np.array_equal(y.sum(axis=-1), np.ones(len(y)))
    assert np.all(np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / len(y)))


@on_torch
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_torch_draws_in_training_and_takes_the_argmax_in_evaluation(estimator):
    layer = torch_layers.SampleOneHot(estimator=estimator, draws=3 if estimator == "gumbel-rao" else 1)
    torch.manual_seed(0)
    x = torch.tensor(MANY, requires_grad=True)
    y = layer(x)
    are_softmax_draws(y.detach().numpy())
    (y * torch.arange(4)).sum().backward()
    assert bool((x.grad != 0).all())
    x = torch.tensor(SCORES, requires_grad=True)
    y = layer.eval()(x)
    assert y.tolist() == [0, 0, 1, 0]
    (y * torch.arange(4)).sum().backward()
    _, pull = torch.func.vjp(soft_one_hot, torch.tensor(SCORES))
    (soft,) = pull(torch.arange(4.0, dtype=torch.float64))
    assert_close(x.grad.numpy(), soft.numpy(), "float64", "derivative")


@on_torch
def test_torch_repeats_its_draws_by_its_generator_and_by_the_seed():
    x = torch.tensor(MANY[:50])
    first, second = (torch_layers.SampleOneHot(generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first(x), second(x))
    assert not torch.equal(first(x), torch_layers.SampleOneHot(generator=torch.Generator().manual_seed(3))(x))
    layer, draws = torch_layers.SampleOneHot(), []
    for _ in range(2):
        torch.manual_seed(5)
        draws.append(layer(x))
    assert torch.equal(*draws)
    assert layer.state_dict() == {}


@on_torch
def test_torch_masks_types_and_options_are_those_of_the_function():
    layer = torch_layers.SampleOneHot(0, temperature=torch.nn.Parameter(torch.tensor([0.5])))
    mask = torch.tensor([True, False, True, False])[:, None]
    x = torch.zeros(4, 500, dtype=torch.bfloat16)
    y = layer(x, mask)
    assert y.dtype == torch.bfloat16
    assert y.sum(1).tolist()[1::2] == [0, 0]
    (y * torch.arange(4)[:, None]).sum().backward()
    assert layer.temperature.grad.shape == (1,)
    assert repr(layer) == "SampleOneHot(axis=0, temperature=Parameter(1,))"


@on_torch
def test_torch_layer_compiles_whole_and_copies():
    layer = torch_layers.SampleOneHot(estimator="reinmax")
    x = torch.tensor(MANY[:2000], dtype=torch.float32)
    torch._dynamo.reset()
    y = torch.compile(copy.deepcopy(layer), fullgraph=True, backend="aot_eager")(x)
    assert set(y.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(y.sum(-1), torch.ones(2000))
    assert not torch.equal(y[0].expand_as(y), y)


@on_torch
@bad
def test_torch_refuses_bad_options(options, error, text):
    with pytest.raises(error, match=re.escape(text)):
        torch_layers.SampleOneHot(**options)


@on_torch
def test_torch_refuses_what_is_no_generator():
    with pytest.raises(TypeError, match=re.escape("`generator` must be a torch.Generator or None, got 0.")):
        torch_layers.SampleOneHot(generator=0)


@on_keras
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_keras_draws_in_training_and_takes_the_argmax_otherwise(estimator):
    draws = 3 if estimator == "gumbel-rao" else 1
    layer = keras_layers.SampleOneHot(seed=0, dtype="float64", estimator=estimator, draws=draws)
    are_softmax_draws(numpy(layer(tensor(MANY), training=True)))
    assert numpy(layer(tensor(SCORES))).tolist() == [0, 0, 1, 0]


@on_keras
def test_keras_repeats_its_draws_by_its_seed():
    x = tensor(MANY[:50])
    first, second = (keras_layers.SampleOneHot(seed=3, dtype="float64") for _ in range(2))
    draws = [numpy(layer(x, training=True)) for layer in (first, second, first)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


@on_keras
@differentiates
def test_keras_trains_through_draws_and_saves_them(tmp_path):
    """Scores before the choice move, and the model that is loaded chooses the same."""
    rng = np.random.default_rng(0)
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(4),
        keras_layers.SampleOneHot(seed=1, estimator="reinmax"),
        keras.layers.Dense(1),
    ]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse")
    before = numpy(model.layers[0].kernel).copy()
    model.fit(rng.normal(size=(64, 4)), rng.normal(size=(64, 1)), verbose=0)
    assert np.all(numpy(model.layers[0].kernel) != before)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = rng.normal(size=(8, 4))
    assert np.array_equal(model.predict(x, verbose=0), loaded.predict(x, verbose=0))
    assert loaded.layers[1].get_config()["seed"] == 1


@on_keras
def test_keras_shapes_dtypes_and_masks_are_those_of_the_scores():
    layer = keras_layers.SampleOneHot(estimator="gumbel-rao", draws=2, dtype="mixed_float16")
    assert layer(keras.Input((7, 3))).shape == (None, 7, 3)
    assert keras.backend.standardize_dtype(layer(tensor(np.zeros((2, 3)), "float16"), training=True).dtype) == "float16"
    mask = np.asarray([[True, False, True]])
    y = numpy(
        layer(tensor(np.zeros((1000, 3)), "float32"), mask=tensor(np.repeat(mask, 1000, 0), "bool"), training=True)
    )
    assert not np.any(y[:, 1])
    of_steps = tensor(np.ones((2, 5)), "bool")
    assert layer.compute_mask(tensor(np.zeros((2, 5, 3))), of_steps) is of_steps


@on_keras
@bad
def test_keras_refuses_bad_options(options, error, text):
    text = "Unrecognized keyword arguments" if "hard" in options else text
    with pytest.raises((error, ValueError), match=re.escape(text)):
        keras_layers.SampleOneHot(**options)


def test_a_choice_without_noise_is_the_argmax():
    assert np.array_equal(choice(SCORES), soft_one_hot(SCORES, hard=True))
    assert KERAS_BACKEND

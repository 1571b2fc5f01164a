"""The Keras 3 layers: scores in, positions out, on any Keras backend whose tensors the library knows.

Keras chooses its backend once, when it is first imported: TensorFlow unless the environment variable
KERAS_BACKEND (or the file keras.json) says otherwise. Set it to "torch" or "jax" before that for one of those, and
before TensorFlow is imported, which imports Keras. On "numpy" the layers have values, but no gradient, as all of Keras.
"""

import inspect
import os
from typing import Any

import numpy as np

from .._calls.validate import one_axis, several_axes
from .._frameworks.registry import select
from .._layers import ARRAYS, FunctionLayer, choice, noise_for
from .._rules.noise import BOUND
from ..operators import soft_argmax, spatial_soft_argmax

_CHOOSE = (
    'Set the environment variable KERAS_BACKEND to "tensorflow", "torch" or "jax", whichever is installed, '
    "before Keras is first imported"
)

try:
    import keras
except (ImportError, ValueError) as error:  # a ValueError is what Keras makes of a backend it has never heard of
    if getattr(error, "name", None) == "keras":
        raise ImportError("Keras 3 is needed for this layer and is not installed. Run `pip install keras`.") from error
    _chosen = os.environ.get("KERAS_BACKEND")
    raise ImportError(
        f"Keras must have a usable backend, but its import failed ({error}) with KERAS_BACKEND "
        f"{f'set to {_chosen!r}' if _chosen else 'not set, which means TensorFlow unless keras.json names another'}. "
        f"{_CHOOSE}, and start a new process: the failed import has left parts behind."
    ) from error


# The name under which models are saved belongs to no particular copy of the library: what an installed
# copy saves loads with a vendored, renamed one and the reverse, without `custom_objects`. Beside each
# other, the copy that was imported last loads; an entry in `get_custom_objects()` chooses another.
_serializable = keras.saving.register_keras_serializable(package="soft_argmax")


class _Layer(FunctionLayer, keras.layers.Layer):
    """What both layers are: a function without weights, with the masks, dtypes and shapes of Keras."""

    _further: tuple[inspect.Parameter, ...] = (inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),)

    def __init__(self, axis: Any, kwargs: dict[str, Any]):
        options = self._with_defaults({option: kwargs.pop(option) for option in self._defaults if option in kwargs})
        super().__init__(**kwargs)
        setattr(self, self._axis_name, _held(self._axis_name, axis))
        for option, value in options.items():
            setattr(self, option, _held(option, value))
        self._check_options(self._options(), lambda shape, _: np.zeros(shape))

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        given = getattr(args[0] if args else kwargs.get("mask"), "shape", None)
        rank = len(getattr(inputs, "shape", ()))
        if given is not None and len(given) < min(2, rank):
            raise ValueError(
                f"`mask` must have the rank of the scores, {rank}, or be a Keras mask such as (batch, time), got shape "
                f"{tuple(given)}. Give it the missing axes, such as with `mask[None, :]`."
            )
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs, mask=None):
        return self._answered(inputs, mask, {})

    def _answered(self, inputs, mask, further):
        """The answer of the function, which is given options that come with the call."""
        if select([inputs]) is None:
            raise TypeError(
                f"`inputs` must be a tensor of a framework that soft_argmax knows (TensorFlow, PyTorch, JAX, NumPy), got a "
                f"{type(inputs).__name__} of {type(inputs).__module__} on the Keras backend "
                f"{keras.config.backend()!r}. {_CHOOSE}."
            )
        dtype = self._answer_dtype(inputs.dtype)
        options = self._options()
        for name in ARRAYS:
            if hasattr(options.get(name), "shape"):
                options[name] = keras.ops.convert_to_tensor(options[name], dtype=dtype)
        answer = self._answer(inputs, self._score_mask(inputs, mask), {**options, **further})
        # Nothing to do but for integers, which the framework makes its default float.
        return keras.tree.map_structure(lambda y: keras.ops.cast(y, dtype), answer)

    def _score_mask(self, inputs, mask):
        """The mask as one of scores; None if it leaves every candidate of every row in."""
        missing = len(inputs.shape) - len(getattr(mask, "shape", inputs.shape))
        if missing <= 0:
            return mask
        shape, leading = tuple(mask.shape), tuple(inputs.shape[: len(mask.shape)])
        if any(n not in (1, m) for n, m in zip(shape, leading, strict=True)):
            raise ValueError(
                f"`mask` must have the rank of the scores or the shape {leading} of their leading axes, got shape "
                f"{shape} for scores of shape {tuple(inputs.shape)}. Give a mask of scores one axis for each of theirs."
            )
        return mask[(..., *(None,) * missing)] if self._reduces_one_of(len(shape), inputs.shape) else None

    def _reduces_one_of(self, count, shape):
        """Whether one of the first axes, so many of them, is reduced."""
        return any(axis < count for axis in self._reduced(tuple(shape)))

    def _reduced(self, shape):
        """The axes that are reduced of scores of a shape, in which None is a length that is not known yet."""
        axis = self._axis()
        if isinstance(axis, tuple):
            return several_axes(axis, shape)
        return tuple(range(len(shape))) if axis is None else (one_axis(axis, shape),)

    def compute_mask(self, inputs, previous_mask):
        """The Keras mask of the positions: the one of the scores, unless its axes are reduced or it masks scores."""
        if previous_mask is None or len(previous_mask.shape) == len(inputs.shape):
            return None
        if self._reduces_one_of(len(previous_mask.shape), inputs.shape):
            return None
        return _alone(tuple(previous_mask for _ in self._answer_shapes(tuple(inputs.shape))))

    def compute_output_shape(self, input_shape):
        return _alone(self._answer_shapes(tuple(input_shape)))

    def _answer_dtype(self, dtype):
        """At least float32: what the function returns for floats; integers take the layer's compute dtype."""
        dtype = keras.backend.standardize_dtype(dtype)
        computed = dtype if "float" in dtype else self.compute_dtype
        return "float64" if computed == "float64" else "float32"

    def compute_output_spec(self, inputs, mask=None):
        dtype = self._answer_dtype(inputs.dtype)
        return _alone(
            tuple(keras.KerasTensor(shape, dtype=dtype) for shape in self._answer_shapes(tuple(inputs.shape)))
        )

    def get_config(self):
        options = {self._axis_name: self._axis(), **self._options()}
        plain = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in options.items()}
        return {**super().get_config(), **plain}


@_serializable
class SoftArgmax(_Layer, function=soft_argmax):
    """Position of the largest score along an axis, differentiably: `soft_argmax` as a Keras layer without weights.

    Import it by ``from anyargmax.backends.keras import SoftArgmax``. Scores of any shape go in, and positions of that
    shape without the axis come out, in the layer's compute dtype but at least float32, so also under ``mixed_float16``
    and ``mixed_bfloat16``. The layer has no weights: options that are arrays are constants, which are saved with it.

    Parameters
    ----------
    axis : int or None, default -1
        The axis that is reduced, the batch counting as axis 0. None takes the flattened array, batch and all, and
        returns a scalar.
    keepdims : bool, default False
        Keep the reduced axis with length 1.
    temperature : float or array, default 1.0
        Divides the scores, greater than 0. An array broadcasts against the reduced shape (reduced axes kept, with
        length 1).
    alpha : float or array, default 1.0
        The relaxation, at least 1: 1 is softmax, 2 sparsemax, other values are entmax. An array as for the temperature.
    positions : array or list, optional
        The positions of the entries, n numbers; None is 0..n-1.
    window : int, optional
        Use only the scores at most this many entries away from the largest. None takes all.
    zero_background : bool, default False
        For heatmaps ``>= 0`` whose background is 0: weights are proportional to ``exp(x / T) - 1``. Needs alpha 1.
    readout : {"mean", "median"}, default "mean"
        The expected position, or a median under the weights.
    hard : bool, default False
        Straight-through: the value is exactly the position of the largest score, the gradient that of the soft
        position.
    **kwargs
        What every layer takes: ``name``, ``dtype``, ``trainable``.

    Raises
    ------
    TypeError
        If an option has a wrong type or is unknown; on a call, if the mask has a wrong type, or if the tensors are of a
        framework that the library does not know.
    ValueError
        If an option has a value that `soft_argmax` refuses; on a call, if the axis does not exist, or if the mask fits
        neither the scores nor their leading axes.

    See Also
    --------
    anyargmax.soft_argmax : The function, with every option in full.

    Notes
    -----
    Call it as ``layer(inputs, mask=None)``. A Boolean mask of the rank of the scores masks scores where it is False, as
    in `soft_argmax` and in `keras.layers.Softmax`. A mask of lower rank is read as Keras reads it, such as the
    ``(batch, time)`` mask that ``Embedding(mask_zero=True)`` and ``Masking`` attach and Keras passes on: it belongs to
    the leading axes of the scores. If the reduced axis is one of those (time, for scores of shape ``(batch, time)`` or
    ``(batch, time, features)``), padded steps are no candidates. If it is another (features), the mask changes no value
    and is passed on with the positions.

    The positions carry a Keras mask if one of lower rank than the scores came in and none of its axes is reduced.
    Keras' losses reduce the last axis before they apply it: train masked positions of shape ``(batch, time)`` with
    ``keepdims=True``, against targets of shape ``(batch, time, 1)``.

    A row (or, along time, a sample) without any kept score has position NaN and gradient 0. The layer refuses to be
    called with a mask of one axis for scores of more, which may mean batch or features.

    The gradient is that of `soft_argmax`: for softmax, ``p_j (c_j - position) / T``. On Keras' NumPy backend there are
    values only: it has no gradients. On TensorFlow the length of the axis must be known when a graph is traced: give
    sequences that are reduced along time one length, such as by padding and a mask, or compile the model with
    ``run_eagerly=True``.

    References
    ----------
    * Chapelle and Wu (2010), "Gradient descent optimization of smoothed information retrieval metrics".
    * Kendall et al. (2017), "End-to-end learning of geometry and context for deep stereo regression", eq. 1.

    Examples
    --------
    >>> layer = SoftArgmax(temperature=0.1)
    >>> layer(keras.ops.convert_to_tensor([[0.0, 1.0, 5.0], [0.0, 3.0, 3.0]])).shape == (2,)
    True
    """

    def __init__(self, axis: int | None = -1, **kwargs: Any):
        super().__init__(axis, kwargs)

    def _answer_shapes(self, shape):
        reduced = self._reduced(shape)
        if self.keepdims:
            return (tuple(1 if axis in reduced else n for axis, n in enumerate(shape)),)
        return (tuple(n for axis, n in enumerate(shape) if axis not in reduced),)


@_serializable
class SpatialSoftArgmax(_Layer, function=spatial_soft_argmax):
    """Coordinates of the largest score of a map: `spatial_soft_argmax` as a Keras layer without weights.

    Import it by ``from anyargmax.backends.keras import SpatialSoftArgmax``. Maps of scores of any shape go in, such as
    ``(batch, height, width, channels)``, and one coordinate for each axis of a map comes out: ``(batch, channels, 2)``.
    The dtype is the layer's compute dtype but at least float32. The layer has no weights: options that are arrays are
    constants, which are saved with it.

    Parameters
    ----------
    axes : tuple of int, default (-2, -1)
        The axes of the map, the batch counting as axis 0, in the order in which the coordinates come out: ``(-1, -2)``
        is x before y. Maps with their channels last have height and width on ``(1, 2)``.
    coordinates : {"index", "corner", "center"}, default "index"
        ``"index"``: 0..n-1. ``"corner"``: -1 and 1 on the first and last entry. ``"center"``: the centres of n equal
        cells of [-1, 1].
    temperature : float or array, default 1.0
        Divides the scores, greater than 0. An array broadcasts against the reduced shape (the axes of the map kept,
        with length 1).
    alpha : float or array, default 1.0
        The relaxation, at least 1: 1 is softmax, 2 sparsemax, other values are entmax. An array as for the temperature.
    window : int or tuple of int, optional
        Use only the scores at most this many entries away from the largest: one number, or one for each axis.
    zero_background : bool, default False
        For maps ``>= 0`` whose background is 0: weights are proportional to ``exp(x / T) - 1``. Needs alpha 1.
    readout : {"mean", "median", "moments", "covariance"}, default "mean"
        ``"moments"`` is mean and variance, ``"covariance"`` mean and covariance matrix: two tensors, as
        `spatial_soft_argmax` returns them. These not with ``hard=True``.
    hard : bool, default False
        Straight-through: the value is exactly the coordinates of the largest score, the gradient that of the soft ones.
    **kwargs
        What every layer takes: ``name``, ``dtype``, ``trainable``.

    Raises
    ------
    TypeError
        If an option has a wrong type or is unknown; on a call, if the mask has a wrong type, or if the tensors are of a
        framework that the library does not know.
    ValueError
        If an option has a value that `spatial_soft_argmax` refuses; on a call, if an axis does not exist, or if the
        mask fits neither the scores nor their leading axes.

    See Also
    --------
    anyargmax.spatial_soft_argmax : The function, with every option in full.
    SoftArgmax : More on masks, and on TensorFlow's graphs.

    Notes
    -----
    Call it as ``layer(inputs, mask=None)``. A Boolean mask of the rank of the scores masks scores where it is False.
    One of lower rank belongs to the leading axes of the scores, as Keras has it, and is passed on if none of those is
    reduced.

    The gradient is that of `spatial_soft_argmax`: for softmax, ``p_j (c_j - coordinate) / T``.

    References
    ----------
    * Levine, Finn, Darrell and Abbeel (2016), "End-to-end training of deep visuomotor policies".
    * Nibali, He, Morgan and Prendergast (2018), arXiv:1801.07372 (center coordinates).

    Examples
    --------
    >>> layer = SpatialSoftArgmax((1, 2), temperature=0.1, coordinates="center", readout="covariance")
    >>> means, covariances = layer(keras.Input((64, 48, 17)))
    >>> means.shape, covariances.shape
    ((None, 17, 2), (None, 17, 2, 2))
    """

    def __init__(self, axes: tuple[int, ...] = (-2, -1), **kwargs: Any):
        super().__init__(axes, kwargs)

    def _answer_shapes(self, shape):
        reduced = self._reduced(shape)
        means = (*(n for axis, n in enumerate(shape) if axis not in reduced), len(reduced))
        second = {"moments": (means,), "covariance": ((*means, len(reduced)),)}
        return (means, *second.get(self.readout, ()))


@_serializable
class SampleOneHot(_Layer, function=choice):
    """A one-hot choice, at random in training: `sample_one_hot` as a Keras layer without weights.

    Import it by ``from anyargmax.backends.keras import SampleOneHot``. Scores of any shape go in, and one-hot weights
    of that shape come out, in the dtype of the scores, or of integers in the layer's compute dtype. In training it
    draws from ``softmax(inputs)``. Otherwise it takes the largest score (of equal ones, the first), with the gradient
    of the softmax weights. Its only state is that of a seed generator.

    Parameters
    ----------
    axis : int, default -1
        The axis along which one entry is chosen, the batch counting as axis 0.
    temperature : float or array, default 1.0
        The temperature of the gradient, greater than 0; it does not change the choice. An array broadcasts against the
        result with the axis of length 1.
    estimator : {"gumbel", "straight-through", "reinmax", "gumbel-rao", "gapped"}, default "gumbel"
        The estimator of the gradient, as in `sample_one_hot`.
    draws : int, default 1
        The number of draws of noise over which ``"gumbel-rao"`` takes the mean.
    seed : int, optional
        Where the noise starts. None is one at random.
    **kwargs
        What every layer takes: ``name``, ``dtype``, ``trainable``.

    Raises
    ------
    TypeError
        If an option has a wrong type or is unknown; on a call, if the mask has a wrong type, or if the tensors are of a
        framework that the library does not know.
    ValueError
        If an option has a value that `sample_one_hot` refuses; on a call, if the axis does not exist, or if the mask
        fits neither the scores nor their leading axes.

    See Also
    --------
    anyargmax.sampling.sample_one_hot : The function, with the estimators in full.
    SoftArgmax : More on masks.

    Notes
    -----
    Call it as ``layer(inputs, mask=None, training=False)``; Keras sets ``training`` in ``fit``. A Boolean mask of the
    rank of the scores masks scores where it is False. One of lower rank belongs to the leading axes of the scores, as
    Keras has it, and is passed on.

    The gradient in training is that of the estimator; otherwise it is ``(diag(p) - p p^T) / T``.

    References
    ----------
    * Jang, Gu and Poole (2017), arXiv:1611.01144 (gumbel).
    * Liu, Dong, Liu, Yu and Gao (2023), arXiv:2304.08612 (reinmax).

    Examples
    --------
    >>> layer = SampleOneHot(seed=0)
    >>> bool(keras.ops.all(keras.ops.sum(layer(keras.ops.zeros((4, 3)), training=True), -1) == 1))
    True
    """

    _further = (
        inspect.Parameter("seed", inspect.Parameter.KEYWORD_ONLY, default=None),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    )

    def __init__(self, axis: int = -1, *, seed: int | None = None, **kwargs: Any):
        super().__init__(axis, kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, mask=None, training=False):
        return self._answered(inputs, mask, {"noise": self._noise(inputs) if training else None})

    def _noise(self, inputs):
        def integers(lead):
            shape = (*lead, *keras.ops.shape(inputs))
            return keras.random.randint(shape, 0, BOUND, dtype="int32", seed=self.seed_generator)

        return noise_for(inputs, (self.draws,) if self.estimator == "gumbel-rao" else (), integers)

    def compute_mask(self, inputs, previous_mask):
        """The Keras mask of the scores, unless it masks scores."""
        return None if previous_mask is None or len(previous_mask.shape) == len(inputs.shape) else previous_mask

    def compute_output_spec(self, inputs, mask=None, training=False):
        return super().compute_output_spec(inputs, mask)

    def _answer_shapes(self, shape):
        self._reduced(shape)  # which refuses an axis that is none
        return (shape,)

    def _answer_dtype(self, dtype):
        """That of the scores: a one-hot choice is exact in any."""
        dtype = keras.backend.standardize_dtype(dtype)
        return dtype if "float" in dtype else self.compute_dtype

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def _alone(answers: tuple[Any, ...]) -> Any:
    """Return what is made for each array of an answer as the answer itself comes: one alone, two in a tuple."""
    return answers[0] if len(answers) == 1 else answers


def _held(option: str, value: Any) -> Any:
    """Return an option as the layer holds it: arrays as constants, a list as the tuple that it was before it was saved."""
    if option in ("axes", "window") and isinstance(value, (list, tuple)):
        return tuple(_constant(number, option) for number in value)
    return _constant(value, option) if option in ("axis", *ARRAYS) else value


def _constant(value: Any, name: str) -> Any:
    """Return an option as something that can be saved: a list or array as a NumPy array, the rest as it is."""
    if isinstance(value, keras.Variable):
        raise TypeError(
            f"`{name}` must be a number or a constant array, got a Variable, which this layer does not train. "
            "Call `soft_argmax` in a layer of your own to train it."
        )
    if isinstance(value, (list, tuple)):
        return np.asarray(value)
    if not hasattr(value, "shape"):
        return value
    array = np.array(keras.ops.convert_to_numpy(value))
    return array if array.ndim else array.item()

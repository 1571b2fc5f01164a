"""The Keras 3 layer: scores in, positions out, on any Keras backend whose tensors the library knows.

Keras chooses its backend once, when it is first imported: TensorFlow unless the environment variable
KERAS_BACKEND (or the file keras.json) says otherwise. Set it to "torch" or "jax" before that.
"""

import inspect
import os
from typing import Any

import numpy as np

from .._calls.validate import is_any_axis, one_axis
from .._frameworks.registry import select
from .._layers import OPTIONS, options_of, signature
from ..operators import soft_argmax

_CHOOSE = 'Set the environment variable KERAS_BACKEND to "torch" or "jax" before Keras is first imported'

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
@keras.saving.register_keras_serializable(package="soft_argmax")
class SoftArgmax(keras.layers.Layer):
    """Position of the largest score along an axis, differentiably: `soft_argmax` as a layer without weights.

    Parameters
    ----------
    axis
        The axis that is reduced, the batch counting as axis 0; None takes the flattened array, batch and
        all, and returns a scalar.
    keepdims, temperature, alpha, positions, window, zero_background, readout, hard
        As in `soft_argmax`. Lists and arrays (positions, temperature) are constants, saved with the layer.
    **kwargs
        What every layer takes: ``name``, ``dtype``, ``trainable``.

    Call arguments
    --------------
    inputs
        Scores, of any shape.
    mask
        Boolean, True keeps. A mask of the rank of the scores masks scores, as in `soft_argmax` and in
        `keras.layers.Softmax`. One of lower rank is read as Keras reads it, such as the ``(batch, time)``
        mask that ``Embedding(mask_zero=True)`` and ``Masking`` attach and Keras passes on: it belongs to
        the leading axes of the scores. If the reduced axis is one of those (time, for scores of shape
        ``(batch, time)`` or ``(batch, time, features)``), padded steps are no candidates. If it is another
        (features), the mask changes no value and is passed on with the positions.

    Returns
    -------
    tensor
        Positions: the shape of the scores without the axis, in the layer's compute dtype but at least
        float32, so also under ``mixed_float16`` and ``mixed_bfloat16``.

    Raises
    ------
    TypeError
        If an option or the mask is of the wrong type, or the tensors are of a framework that the library
        does not know (TensorFlow).
    ValueError
        If the axis does not exist, an option has a value that `soft_argmax` refuses, or the mask fits
        neither the scores nor their leading axes.

    Notes
    -----
    The positions carry a Keras mask if one of lower rank than the scores came in and none of its axes is
    reduced. Keras' losses reduce the last axis before they apply it: train masked positions of shape
    ``(batch, time)`` with ``keepdims=True``, against targets of shape ``(batch, time, 1)``.

    A row (or, along time, a sample) without any kept score has position NaN and gradient 0. The layer
    refuses to be called with a mask of one axis for scores of more, which may mean batch or features.
    """

    __signature__ = signature(inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD))

    def __init__(self, axis: int | None = -1, **kwargs: Any):
        options = options_of({option: kwargs.pop(option) for option in OPTIONS if option in kwargs})
        super().__init__(**kwargs)
        self.axis = _constant(axis, "axis")
        for option, value in options.items():
            setattr(self, option, _held(option, value))
        self._check_options()

    def _options(self):
        return {option: getattr(self, option) for option in OPTIONS}

    def _check_options(self):
        """Have `soft_argmax` refuse bad options now, on scores that fit the arrays among them."""
        options = self._options()
        lead, n = (), 1
        for name in ("temperature", "alpha"):
            if hasattr(options[name], "shape"):
                lead = np.broadcast_shapes(lead, options[name].shape)
                options[name] = options[name][..., None]
        if hasattr(self.positions, "shape"):
            n = self.positions.size
            options["positions"] = self.positions.reshape(-1)
        soft_argmax(np.zeros((*lead, n)), axis=-1 if is_any_axis(self.axis) else self.axis, **options)

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
        if select([inputs]) is None:
            raise TypeError(
                f"`inputs` must be a tensor of a framework that soft_argmax knows (PyTorch, JAX, NumPy), got a "
                f"{type(inputs).__name__} of {type(inputs).__module__} on the Keras backend "
                f"{keras.config.backend()!r}. {_CHOOSE}."
            )
        dtype = self._answer_dtype(inputs.dtype)
        options = self._options()
        for name in ("temperature", "alpha", "positions"):
            if hasattr(options[name], "shape"):
                options[name] = keras.ops.convert_to_tensor(options[name], dtype=dtype)
        y = soft_argmax(inputs, axis=self.axis, mask=self._score_mask(inputs, mask), **options)
        return keras.ops.cast(y, dtype)  # nothing to do but for integers, which the framework makes its default float

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
        return self.axis is None or one_axis(self.axis, tuple(shape)) < count

    def compute_mask(self, inputs, previous_mask):
        """The Keras mask of the positions: the one of the scores, unless its axes are reduced or it masks scores."""
        if previous_mask is None or len(previous_mask.shape) == len(inputs.shape):
            return None
        return None if self._reduces_one_of(len(previous_mask.shape), inputs.shape) else previous_mask

    def compute_output_shape(self, input_shape):
        shape = tuple(input_shape)
        if self.axis is None:
            return (1,) * len(shape) if self.keepdims else ()
        axis = one_axis(self.axis, shape)
        return (*shape[:axis], *((1,) if self.keepdims else ()), *shape[axis + 1 :])

    def _answer_dtype(self, dtype):
        """At least float32: what `soft_argmax` returns for floats; integers take the layer's compute dtype."""
        dtype = keras.backend.standardize_dtype(dtype)
        computed = dtype if "float" in dtype else self.compute_dtype
        return "float64" if computed == "float64" else "float32"

    def compute_output_spec(self, inputs, mask=None):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self._answer_dtype(inputs.dtype))

    def get_config(self):
        options = {"axis": self.axis, **self._options()}
        plain = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in options.items()}
        return {**super().get_config(), **plain}


def _held(option: str, value: Any) -> Any:
    """Return an option as the layer holds it: arrays as constants, a list as the tuple that it was before it was saved."""
    if option == "window":
        return tuple(value) if isinstance(value, list) else value
    return _constant(value, option) if option in ("temperature", "alpha", "positions") else value


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

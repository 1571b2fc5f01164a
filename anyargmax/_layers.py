"""What the layers of all frameworks share: each is a public function, and takes its options by its signature."""

import inspect
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ._calls import validate
from ._calls.annotations import Axis, Estimator, Mask, Noise, Scores, Temperature
from ._calls.validate import is_any_axis, is_number
from ._rules.estimators import ESTIMATORS
from ._rules.noise import noise_of, words
from .sampling import sample_one_hot
from .weights import soft_one_hot

ARRAYS = ("temperature", "alpha", "positions")  # the options that may be arrays
# What comes with the scores, and what no layer has: a model is saved without the processes that it ran in.
WITH_A_CALL = ("mask", "noise", "group")


def choice(
    x: Scores[Any],
    axis: Axis = -1,
    *,
    temperature: Temperature = 1.0,
    estimator: Estimator = "gumbel",
    draws: int = 1,
    mask: Mask = None,
    noise: Noise | None = None,
) -> Any:
    """Return the one-hot choice of the largest score, or of the largest of scores and noise.

    Parameters
    ----------
    x : array
        Scores, as in `sample_one_hot`.
    axis : int, default -1
        The axis along which one entry is chosen.
    temperature : float or array, default 1.0
        Of the gradient; it does not change the choice.
    estimator : str, default "gumbel"
        Where the gradient of a draw comes from, as in `sample_one_hot`.
    draws : int, default 1
        How many draws of noise ``"gumbel-rao"`` takes the mean over.
    mask : array of bool, optional
        Broadcasts against x; True keeps a score.
    noise : array, optional
        Gumbel noise, as in `sample_one_hot`. None: no noise, with the gradient of the softmax weights.
    """
    validate.choice(estimator, "estimator", tuple(ESTIMATORS))
    if isinstance(draws, bool) or not isinstance(draws, numbers.Integral) or draws < 1:
        raise ValueError(f"`draws` must be an integer of at least 1, got {draws!r}. Pass such as 16.")
    if draws > 1 and estimator != "gumbel-rao":
        raise ValueError(
            f"`draws` must be 1 with estimator {estimator!r}, got {draws}. Pass estimator 'gumbel-rao', which takes the mean "
            "over draws."
        )
    if noise is None:
        return soft_one_hot(x, axis, temperature=temperature, mask=mask, hard=True)
    return sample_one_hot(x, noise, axis, temperature=temperature, mask=mask, estimator=estimator)


def noise_for(x: Any, draws: tuple[int, ...], integers: Callable[[tuple[int, ...]], Any]) -> Any:
    """Return Gumbel noise of the shape of scores after that of the draws.

    ``integers(lead)`` draws integers from 0 to ``2^24 - 1``, of the lengths of lead before those of the scores.
    """
    ops = validate.operations(x, "x")
    dtype = validate.real_floating(ops, x, "x")
    return noise_of(ops, "gumbel", integers((words(ops, "gumbel", dtype), *draws)), dtype)


class FunctionLayer:
    """A layer that is a function: it has each option as an attribute, and the axis under the function's name for it.

    A class names its function, and its constructor the default of the axis:
    ``class SoftArgmax(Base, function=soft_argmax)``.
    """

    __signature__: inspect.Signature
    _further: tuple[inspect.Parameter, ...] = ()  # what the layers of a framework take beside the options
    _function: Callable[..., Any]
    _axis_name: str
    _defaults: dict[str, Any]

    def __init_subclass__(cls, function: Callable[..., Any] | None = None, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if function is None:  # a base of layers, or a class that a user or a framework derives from one
            return
        _, axis, *others = inspect.signature(function).parameters.values()
        options = [option for option in others if option.name not in WITH_A_CALL]
        axis = axis.replace(default=inspect.signature(cls.__init__).parameters[axis.name].default)
        cls.__signature__ = inspect.Signature([axis, *options, *cls._further])
        cls._function = staticmethod(function)
        cls._axis_name = axis.name
        cls._defaults = {option.name: option.default for option in options}

    def _with_defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option with its value, the default where none is given."""
        unknown = [name for name in given if name not in self._defaults]
        if unknown:
            raise TypeError(
                f"`{type(self).__name__}` must be given options out of {', '.join(self._defaults)}, "
                f"got {', '.join(map(repr, unknown))}. Correct or remove them."
            )
        return {**self._defaults, **given}

    def _axis(self) -> Any:
        return getattr(self, self._axis_name)

    def _options(self) -> dict[str, Any]:
        return {option: getattr(self, option) for option in self._defaults}

    def _answer(self, x: Any, mask: Any, options: Mapping[str, Any]) -> Any:
        """Call the function. Scores without axes take one temperature or alpha in an array too, as all others do."""
        if getattr(x, "shape", None) == ():
            arrays = {name: value for name, value in _arrays(options).items() if name != "positions"}
            alone = {name: value.reshape(()) for name, value in arrays.items() if tuple(value.shape) == (1,)}
            options = {**options, **alone}
        return self._function(x, self._axis(), mask=mask, **options)

    def _check_options(self, options: Mapping[str, Any], zeros: Callable[[tuple[int, ...], Any], Any]) -> None:
        """Have the function refuse bad options now, each array alone, as they may be on different devices.

        Parameters
        ----------
        options
            The options, arrays without a gradient.
        zeros
            Makes scores of a shape, on the device of an array if one is given.
        """
        axis = self._axis_to_try()
        last = (None,) * (len(axis) if isinstance(axis, tuple) else 1)
        arrays = _arrays(options)
        plain = {name: value for name, value in options.items() if name not in arrays}
        self._function(zeros((1,) * len(last), None), axis, **plain)
        rows = _rows(arrays)
        for name, array in arrays.items():
            flat = name == "positions"
            value = array.reshape(-1) if flat else array[(..., *last)]
            shape = tuple(value.shape) if flat else (*rows, *(1 for _ in last))
            self._function(zeros(shape, value), axis, **plain, **{name: value})

    def _axis_to_try(self) -> Any:
        """Return an axis, or axes, that are the last and as distinct as the layer's; what can be none is as it is."""
        axis = self._axis()
        if self._axis_name == "axis":
            return -1 if is_any_axis(axis) else axis
        if not isinstance(axis, tuple) or not all(isinstance(a, numbers.Integral) and is_number(a) for a in axis):
            return axis
        order = sorted(set(axis))
        return tuple(order.index(a) - len(order) for a in axis)


def _arrays(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are arrays."""
    given = {name: options[name] for name in ARRAYS if name in options}
    return {name: value for name, value in given.items() if hasattr(value, "shape") and not is_number(value)}


def _rows(arrays: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of rows of scores that all temperatures and alphas fit."""
    shapes = {name: tuple(array.shape) for name, array in arrays.items() if name != "positions"}
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        names, got = (" and ".join(map(str, words)) for words in ([f"`{name}`" for name in shapes], shapes.values()))
        raise ValueError(
            f"{names} must broadcast against each other, got shapes {got}. Give one number a row."
        ) from None

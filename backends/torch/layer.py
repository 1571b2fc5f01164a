"""The layers for PyTorch: `soft_argmax`, `spatial_soft_argmax` and `sample_one_hot` as modules."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

import torch

from ..._calls.annotations import ChoiceOptions, MapOptions, PositionOptions
from ..._layers import FunctionLayer, choice, noise_for
from ..._rules.noise import BOUND
from ...operators import soft_argmax, spatial_soft_argmax


class _Layer(FunctionLayer, torch.nn.Module):
    """What both modules are: a function whose options that are tensors are buffers or parameters."""

    temperature: Any
    alpha: Any

    def __init__(self, axis: Any, options: Mapping[str, Any]):
        super().__init__()
        setattr(self, self._axis_name, tuple(axis) if isinstance(axis, list) else axis)
        for option, value in self._with_defaults(options).items():
            self._hold(option, value)
        plain = {name: v.detach() if isinstance(v, torch.Tensor) else v for name, v in self._options().items()}
        self._check_options(plain, lambda shape, beside: torch.zeros(shape, device=getattr(beside, "device", None)))

    def _hold(self, option, value):
        if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
            self.register_buffer(option, value)
        else:
            setattr(self, option, value)

    def _answer(self, x, mask, options):
        if isinstance(x, torch.fx.Proxy):  # `torch.fx.symbolic_trace` then keeps the layer as one node
            tracer: Any = x.tracer
            return tracer.create_proxy(
                "call_module", tracer.path_of_module(self), (x,) if mask is None else (x, mask), {}
            )
        return super()._answer(x, mask, options)

    def __prepare_scriptable__(self):
        raise TypeError(
            f"A module for `torch.jit.script` must be compiled from its source, got {type(self).__name__}, which follows "
            "options. Trace it by `torch.jit.trace`, or export it by `torch.export.export`."
        )

    def extra_repr(self) -> str:
        shown = [f"{self._axis_name}={self._axis()}"]
        for option, value in self._options().items():
            if isinstance(value, torch.Tensor):
                shown.append(f"{option}={type(value).__name__}{tuple(value.shape)}")
            elif value != self._defaults[option]:
                shown.append(f"{option}={value!r}")
        return ", ".join(shown)


class SoftArgmax(_Layer, function=soft_argmax):
    """Position of the largest score along an axis, differentiably: `soft_argmax` as a `torch.nn.Module`.

    Import it by ``from anyargmax.backends.torch import SoftArgmax``. Scores of any shape go in, and positions of that
    shape without the axis come out, in the dtype of the scores but at least float32. The module has a state only where
    an option is a tensor: a `torch.nn.Parameter` is trained with the module, any other tensor is a buffer, and both are
    in ``state_dict()``.

    Parameters
    ----------
    axis : int or None, default -1
        The axis that is reduced. None takes the flattened tensor.
    keepdims : bool, default False
        Keep the reduced axis with length 1.
    temperature : float or tensor, default 1.0
        Divides the scores, greater than 0. A tensor broadcasts against the reduced shape (reduced axes kept, with
        length 1), as one of shape ``(1,)`` always does. A parameter or a buffer where it is a tensor.
    alpha : float or tensor, default 1.0
        The relaxation, at least 1: 1 is softmax, 2 sparsemax, other values are entmax. A tensor as for the temperature.
    positions : tensor or list, optional
        The positions of the entries, n numbers; None is 0..n-1. A parameter or a buffer. ``half()``, ``bfloat16()`` and
        the like leave a buffer in its dtype, because bfloat16 cannot hold index 257.
    window : int, optional
        Use only the scores at most this many entries away from the largest. None takes all.
    zero_background : bool, default False
        For heatmaps ``>= 0`` whose background is 0: weights are proportional to ``exp(x / T) - 1``. Needs alpha 1.
    readout : {"mean", "median"}, default "mean"
        The expected position, or a median under the weights.
    hard : bool, default False
        Straight-through: the value is exactly the position of the largest score, the gradient that of the soft
        position.

    Raises
    ------
    TypeError
        If an option has a wrong type, or is unknown.
    ValueError
        If an option has a value or a shape that `soft_argmax` refuses.

    See Also
    --------
    anyargmax.soft_argmax : The function, with every option in full.

    Notes
    -----
    The gradient is that of `soft_argmax`: for softmax, ``p_j (c_j - position) / T``.

    Learn one temperature for all rows as a parameter of shape ``(1,)``. One without axes works too, but
    `torch.distributed.fsdp.fully_shard` refuses it.

    Nothing keeps a trained temperature above 0 (`soft_argmax` raises below it): train its logarithm with
    ``torch.nn.utils.parametrize`` where steps may be large.

    References
    ----------
    * Chapelle and Wu (2010), "Gradient descent optimization of smoothed information retrieval metrics".
    * Kendall et al. (2017), "End-to-end learning of geometry and context for deep stereo regression", eq. 1.

    Examples
    --------
    >>> SoftArgmax(temperature=0.1)(torch.tensor([[0.0, 1.0, 5.0], [0.0, 3.0, 3.0]]))
    tensor([2.0000, 1.5000])
    >>> SoftArgmax(temperature=torch.nn.Parameter(torch.tensor([0.5])))
    SoftArgmax(axis=-1, temperature=Parameter(1,))
    """

    positions: torch.Tensor | None

    def __init__(self, axis: int | None = -1, **options: Unpack[PositionOptions]):
        super().__init__(axis, options)

    def _hold(self, option, value):
        if option == "positions" and value is not None and not isinstance(value, torch.Tensor):
            value = torch.tensor(value)  # a copy: loading a state must not write into the caller's array
        super()._hold(option, value)

    def _apply(self, fn, recurse=True):
        before = self.positions
        super()._apply(fn, recurse)
        after = self.positions
        if before is not None and after is not None and after.dtype != before.dtype:
            self.positions = before.to(after.device)
        return self

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return the positions of scores.

        Parameters
        ----------
        x : torch.Tensor
            Scores of any shape.
        mask : torch.Tensor, optional
            Boolean, broadcasts against x; True keeps a score. A row without any kept score has position NaN and
            gradient 0.

        Returns
        -------
        torch.Tensor
            Positions, of the shape of x without the axis, in the dtype of x but at least float32.
        """
        return self._answer(x, mask, self._options())

    if TYPE_CHECKING:  # torch's own says that a call returns anything

        def __call__(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor: ...


class SpatialSoftArgmax(_Layer, function=spatial_soft_argmax):
    """Coordinates of the largest score of a map, differentiably: `spatial_soft_argmax` as a `torch.nn.Module`.

    Import it by ``from anyargmax.backends.torch import SpatialSoftArgmax``. Maps of any shape go in, such as ``(batch,
    keypoints, height, width)``, and one coordinate for each axis of a map comes out: ``(batch, keypoints, 2)``. The
    module has a state only where the temperature or alpha is a tensor: a `torch.nn.Parameter` is trained with the
    module, any other tensor is a buffer.

    Parameters
    ----------
    axes : tuple of int, default (-2, -1)
        The axes of the map, in the order in which the coordinates come out: ``(-1, -2)`` is x before y.
    coordinates : {"index", "corner", "center"}, default "index"
        ``"index"``: 0..n-1. ``"corner"``: -1 and 1 on the first and last entry. ``"center"``: the centres of n equal
        cells of [-1, 1].
    temperature : float or tensor, default 1.0
        Divides the scores, greater than 0. A tensor broadcasts against the reduced shape (the axes of the map kept,
        with length 1), as one of shape ``(1,)`` always does.
    alpha : float or tensor, default 1.0
        The relaxation, at least 1: 1 is softmax, 2 sparsemax, other values are entmax. A tensor as for the temperature.
    window : int or tuple of int, optional
        Use only the scores at most this many entries away from the largest: one number, or one for each axis.
    zero_background : bool, default False
        For maps ``>= 0`` whose background is 0: weights are proportional to ``exp(x / T) - 1``. Needs alpha 1.
    readout : {"mean", "median", "moments", "covariance"}, default "mean"
        ``"moments"`` is mean and variance, ``"covariance"`` mean and covariance matrix; these two not with
        ``hard=True``.
    hard : bool, default False
        Straight-through: the value is exactly the coordinates of the largest score, the gradient that of the soft ones.

    Raises
    ------
    TypeError
        If an option has a wrong type, or is unknown.
    ValueError
        If an option has a value or a shape that `spatial_soft_argmax` refuses.

    See Also
    --------
    anyargmax.spatial_soft_argmax : The function, with every option in full.
    SoftArgmax : Notes on a learned temperature.

    Notes
    -----
    The gradient is that of `spatial_soft_argmax`: for softmax, ``p_j (c_j - coordinate) / T``.

    With ``axes=(-1, -2), coordinates="corner"`` and a parameter of shape ``(1,)`` as the temperature it returns the
    same as the layers called spatial softmax in robotics, for maps of more than one row and column: x before y, -1 and
    1 on the first and last entry.

    References
    ----------
    * Levine, Finn, Darrell and Abbeel (2016), "End-to-end training of deep visuomotor policies".
    * Nibali, He, Morgan and Prendergast (2018), arXiv:1801.07372 (center coordinates).

    Examples
    --------
    >>> temperature = torch.nn.Parameter(torch.tensor([0.5]))
    >>> layer = SpatialSoftArgmax((-1, -2), coordinates="corner", temperature=temperature)
    >>> maps = torch.zeros(2, 32, 5, 7)
    >>> maps[..., 0, 6] = 30.0
    >>> layer(maps).shape, layer(maps)[0, 0]
    (torch.Size([2, 32, 2]), tensor([ 1., -1.], grad_fn=<SelectBackward0>))
    """

    def __init__(self, axes: tuple[int, ...] = (-2, -1), **options: Unpack[MapOptions]):
        super().__init__(axes, options)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> Any:
        """Return the coordinates of maps.

        Parameters
        ----------
        x : torch.Tensor
            Maps of scores, of any shape.
        mask : torch.Tensor, optional
            Boolean, broadcasts against x; True keeps a score. A map without any kept score has coordinates NaN and
            gradient 0.

        Returns
        -------
        torch.Tensor or tuple of torch.Tensor
            Coordinates: the other axes of x, then one entry for each axis of the map, in the dtype of x but at least
            float32. For ``"moments"`` and ``"covariance"`` two tensors, as `spatial_soft_argmax` returns them.
        """
        return self._answer(x, mask, self._options())


class SampleOneHot(_Layer, function=choice):
    """A one-hot choice, at random in training: `sample_one_hot` as a `torch.nn.Module`.

    Import it by ``from anyargmax.backends.torch import SampleOneHot``. Scores of any shape go in, and one-hot weights
    of that shape and dtype come out. In training it draws from ``softmax(x)``. In evaluation (``eval()``) it takes the
    largest score (of equal ones, the first), with the gradient of the softmax weights. It has a state only where the
    temperature is a tensor: a `torch.nn.Parameter` is trained with the module, any other tensor is a buffer. The state
    of the generator is not part of it.

    Parameters
    ----------
    axis : int, default -1
        The axis along which one entry is chosen.
    temperature : float or tensor, default 1.0
        The temperature of the gradient, greater than 0; it does not change the choice. A tensor broadcasts against the
        result with the axis of length 1.
    estimator : {"gumbel", "straight-through", "reinmax", "gumbel-rao", "gapped"}, default "gumbel"
        The estimator of the gradient, as in `sample_one_hot`.
    draws : int, default 1
        The number of draws of noise over which ``"gumbel-rao"`` takes the mean.
    generator : torch.Generator, optional
        The generator of the noise, on the device of the scores. None is PyTorch's own of that device, which
        `torch.manual_seed` sets.

    Raises
    ------
    TypeError
        If an option has a wrong type, or is unknown.
    ValueError
        If an option has a value or a shape that `sample_one_hot` refuses.

    See Also
    --------
    anyargmax.sampling.sample_one_hot : The function, with the estimators in full.

    Notes
    -----
    The gradient in training is that of the estimator; in evaluation it is ``(diag(p) - p p^T) / T``.

    `torch.compile(fullgraph=True)` supports only PyTorch's default generator. Under `torch.func.vmap` noise needs
    ``randomness="different"`` or ``"same"``.

    References
    ----------
    * Jang, Gu and Poole (2017), arXiv:1611.01144 (gumbel).
    * Liu, Dong, Liu, Yu and Gao (2023), arXiv:2304.08612 (reinmax).

    Examples
    --------
    >>> layer = SampleOneHot(estimator="reinmax", generator=torch.Generator().manual_seed(0))
    >>> layer(torch.zeros(4, 3)).sum(-1)
    tensor([1., 1., 1., 1.])
    >>> layer.eval()(torch.tensor([0.0, 2.0, 1.0]))
    tensor([0., 1., 0.])
    """

    _further = (inspect.Parameter("generator", inspect.Parameter.KEYWORD_ONLY, default=None),)
    estimator: str
    draws: int

    def __init__(self, axis: int = -1, *, generator: torch.Generator | None = None, **options: Unpack[ChoiceOptions]):
        super().__init__(axis, options)
        if generator is not None and not isinstance(generator, torch.Generator):
            raise TypeError(
                f"`generator` must be a torch.Generator or None, got {generator!r}. Pass such as `torch.Generator()`."
            )
        self.generator = generator

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return the choice in scores.

        Parameters
        ----------
        x : torch.Tensor
            Scores of any shape.
        mask : torch.Tensor, optional
            Boolean, broadcasts against x; True keeps a score. A masked score is never chosen.

        Returns
        -------
        torch.Tensor
            One-hot weights of the shape of x, in its dtype where that is floating.
        """
        if self.training and not isinstance(x, torch.Tensor | torch.fx.Proxy):
            raise TypeError(f"`x` must be a torch.Tensor, got a {type(x).__name__}. Convert it first.")
        noise = self._noise(x) if self.training and not isinstance(x, torch.fx.Proxy) else None
        return self._answer(x, mask, {**self._options(), "noise": noise})

    def _noise(self, x):
        def integers(lead):
            shape = (*lead, *x.shape)
            return torch.randint(BOUND, shape, generator=self.generator, dtype=torch.int32, device=x.device)

        return noise_for(x, (self.draws,) if self.estimator == "gumbel-rao" else (), integers)

    if TYPE_CHECKING:

        def __call__(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor: ...

"""The public functions: they validate, choose the framework of the array and hand over to `_core`."""

from typing import Any

from . import _core, _validate
from ._core import Options
from ._rule import Array


def soft_argmax(
    x: Array,
    /,
    *,
    axis: int | None = None,
    keepdims: bool = False,
    temperature: Any = 1.0,
    alpha: Any = 1.0,
    mask: Array | None = None,
    positions: Array | None = None,
    window: Any = None,
    readout: str = "mean",
    hard: bool = False,
) -> Array:
    """Return the position of the largest score along an axis, differentiably.

    The scores become weights ``p = softmax(x / temperature)``, and the position is read out of them:
    ``sum_i c_i p_i`` for the positions ``c``, by default 0..n-1.

    Parameters
    ----------
    x
        Scores, of any shape and a real floating-point or integer dtype. Integers are computed in the
        framework's default floating-point dtype. A ``-inf`` score counts as masked; rows with ``+inf``
        scores spread their weight evenly over those, with gradient 0; NaN makes its own row NaN.
    axis
        The axis that is reduced; None takes the flattened array, as ``argmax`` does.
    keepdims
        Keep the reduced axes with length 1.
    temperature
        Divides the scores. A number greater than 0, or an array that broadcasts against the reduced shape
        (reduced axes kept, with length 1), which gets a gradient. Towards 0 the result is argmax.
    alpha
        The relaxation: 1 is softmax, the only one in this release.
    mask
        Boolean, broadcasts against x, True keeps. Masked scores enter no arithmetic. The position of a
        row without any kept score is NaN, its gradient 0.
    positions
        What the entries stand for: shape ``(n,)``, or the rank of x with length n along the axis. Gets a
        gradient. None is 0..n-1.
    window
        Not in this release.
    readout
        ``"mean"``, the expected position, or ``"median"``, which moves only where more than half of the
        weight has passed: ``c_0 + sum_j (c_{j+1} - c_j) clip(2 S_j - 1, 0, 1)``, ``S_j = sum_{i>j} p_i``.
    hard
        Straight-through: the value is exactly the position of the (first) largest score, the gradient that
        of the soft position.

    Returns
    -------
    array
        Positions, of the shape of x without the axis, in x's floating-point dtype but at least float32
        (bfloat16 cannot hold index 257, float16 not 2049).

    Raises
    ------
    TypeError
        If x is no array, or of a Boolean or complex dtype; if an option is of the wrong type.
    ValueError
        If the axis does not exist or is empty, a concrete temperature is not greater than 0, or a shape
        does not fit.

    Notes
    -----
    Jacobian of the mean: ``d position / d x_j = p_j (c_j - position) / temperature``.

    References
    ----------
    Chapelle and Wu (2010), "Gradient descent optimization of smoothed information retrieval metrics".
    Kendall et al. (2017), "End-to-end learning of geometry and context for deep stereo regression", eq. 1.
    Bengio, Leonard and Courville (2013), arXiv:1308.3432 (straight-through).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.asarray([[0.0, 1.0, 5.0], [3.0, 0.0, 0.0]])
    >>> print(soft_argmax(x, axis=-1, temperature=0.1), soft_argmax(x, axis=-1, hard=True))
    [2.00000000e+00 2.80722864e-13] [2. 0.]
    """
    return _position(
        x, axis, keepdims, temperature, alpha, mask, positions, window,
        _validate.choice(readout, "readout", ("mean", "median")), hard, 1,
    )  # fmt: skip


def soft_argmin(
    x: Array,
    /,
    *,
    axis: int | None = None,
    keepdims: bool = False,
    temperature: Any = 1.0,
    alpha: Any = 1.0,
    mask: Array | None = None,
    positions: Array | None = None,
    window: Any = None,
    readout: str = "mean",
    hard: bool = False,
) -> Array:
    """Return the position of the smallest score along an axis, differentiably: ``soft_argmax(-x)``.

    Parameters, returns, errors and Jacobian (with the sign of x turned) are those of `soft_argmax`. A
    ``+inf`` score counts as masked. Unsigned and extreme integers are compared without overflow.
    """
    return _position(
        x, axis, keepdims, temperature, alpha, mask, positions, window,
        _validate.choice(readout, "readout", ("mean", "median")), hard, -1,
    )  # fmt: skip


def soft_argmax_moments(
    x: Array,
    /,
    *,
    axis: int | None = None,
    keepdims: bool = False,
    temperature: Any = 1.0,
    alpha: Any = 1.0,
    mask: Array | None = None,
    positions: Array | None = None,
    window: Any = None,
) -> tuple[Array, Array]:
    """Return mean and variance of the position under the weights: an argmax with its uncertainty.

    Parameters are those of `soft_argmax`.

    Returns
    -------
    mean, variance : array
        ``sum_i c_i p_i`` and ``sum_i p_i (c_i - mean)^2``, each as `soft_argmax` returns its position. Two
        far peaks, or flat scores, show as a large variance.

    Notes
    -----
    Jacobian of the variance: ``d variance / d x_j = p_j ((c_j - mean)^2 - variance) / temperature``.
    """
    return _position(x, axis, keepdims, temperature, alpha, mask, positions, window, "moments", False, 1)


def soft_one_hot(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    temperature: Any = 1.0,
    alpha: Any = 1.0,
    mask: Array | None = None,
    hard: bool = False,
) -> Array:
    """Return the weights of the scores: a soft one-hot encoding of their argmax.

    Parameters
    ----------
    x, temperature, alpha, mask
        As in `soft_argmax`.
    axis
        The axis along which the weights sum to 1; a tuple or None (all) for several at once.
    hard
        Straight-through: the value is exactly the one-hot encoding of the (first) argmax, the gradient
        that of the soft weights.

    Returns
    -------
    array
        Weights of the shape of x, ``>= 0``, summing to 1 along the axis (to 0 in a row without any kept
        score), in the dtype of x where that is floating.

    Notes
    -----
    ``p = argmax_{p in simplex} <x / T, p> + H(p)`` with the Shannon entropy H. Jacobian:
    ``(diag(p) - p p^T) / temperature``, symmetric.
    """
    _supported(alpha)
    ops = _validate.operations(x, "x", temperature, mask)
    shape, dtype = tuple(x.shape), _validate.real_floating(ops, x, "x")
    if isinstance(axis, (tuple, list)):
        axes = _validate.several_axes(axis, shape, "axis")
    else:
        axes = _validate.all_axes(shape) if axis is None else (_validate.one_axis(axis, shape),)
    mask = _validate.boolean_mask(ops, mask, shape)
    temperature = _validate.positive_number(ops, temperature, "temperature", dtype, _reduced(shape, axes))
    options = Options(axes=axes, dtype=dtype, hard=_validate.flag(hard, "hard"))
    return ops.run(_core.weights, x, temperature, mask, options=options)


def spatial_soft_argmax(
    x: Array,
    /,
    *,
    axes: tuple[int, ...] = (-2, -1),
    coordinates: str = "index",
    temperature: Any = 1.0,
    alpha: Any = 1.0,
    mask: Array | None = None,
    window: Any = None,
    readout: str = "mean",
    hard: bool = False,
) -> Array:
    """Return the coordinates of the largest score of a map, one for each of its axes, differentiably.

    The weights sum to 1 over all the axes together; each coordinate is read out of them along its own.

    Parameters
    ----------
    x, temperature, alpha, mask, window, readout, hard
        As in `soft_argmax`. The median is taken of the weights summed over the other axes.
    axes
        The axes of the map, such as height and width, in the order in which the coordinates come out.
    coordinates
        ``"index"``: 0..n-1; ``"corner"``: -1 and 1 on the first and last entry; ``"center"``: the centres
        of n equal cells of [-1, 1], ``(2 i + 1) / n - 1``. An axis of one entry is at 0.

    Returns
    -------
    array
        Shape ``(..., len(axes))``: the other axes of x, then the coordinates; dtype as in `soft_argmax`.

    References
    ----------
    Levine, Finn, Darrell and Abbeel (2016), "End-to-end training of deep visuomotor policies".
    Nibali, He, Morgan and Prendergast (2018), arXiv:1801.07372 (center coordinates).
    """
    _supported(alpha, window)
    ops = _validate.operations(x, "x", temperature, mask)
    shape, dtype = tuple(x.shape), _validate.real_floating(ops, x, "x")
    axes = _validate.several_axes(axes, shape)
    mask = _validate.boolean_mask(ops, mask, shape)
    options = Options(
        axes=axes,
        dtype=dtype,
        readout=_validate.choice(readout, "readout", ("mean", "median")),
        hard=_validate.flag(hard, "hard"),
        coordinates=_validate.choice(coordinates, "coordinates", ("index", "corner", "center")),
    )
    temperature = _validate.positive_number(ops, temperature, "temperature", dtype, _reduced(shape, axes))
    return ops.run(_core.coordinates, x, temperature, mask, options=options)


def sharpen(p: Array, /, *, axis: int = -1, power: float = 10.0, rounds: int = 1) -> Array:
    """Return weights raised to a power and normalised again, so many times over.

    Parameters
    ----------
    p
        Weights, ``>= 0``; they need not sum to 1. A negative one makes its row NaN.
    axis
        The axis along which the result sums to 1.
    power
        The exponent of each round, greater than 0; above 1 sharpens, below 1 flattens.
    rounds
        How many times, an integer ``>= 0``; 0 only normalises.

    Returns
    -------
    array
        ``p^(power^rounds)`` normalised, computed as a softmax of logarithms, so that it neither overflows
        nor divides 0 by 0. An entry of weight 0 keeps weight 0; unless ``power^rounds`` is 1 its gradient
        is given as 0, the limit for powers above 1 (below 1 it is infinite).

    Notes
    -----
    k rounds are ``softmax(power^k log p)``. With q the result, ``dq/dp = power^k J(q) / p``.
    """
    ops = _validate.operations(p, "p")
    shape, dtype = tuple(p.shape), _validate.real_floating(ops, p, "p")
    axes = (_validate.one_axis(axis, shape),)
    total = _validate.total_power(power, rounds)
    return ops.run(_core.sharpened, p, options=Options(axes=axes, dtype=dtype, power=total))


def _supported(alpha: Any, window: Any = None) -> None:
    if isinstance(alpha, bool) or hasattr(alpha, "shape") or alpha != 1:
        raise ValueError(f"`alpha` must be 1 (softmax) in this release, got {alpha!r}. Leave it out.")
    if window is not None:
        raise ValueError(f"`window` must be None in this release, got {window!r}. Leave it out.")


def _reduced(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if axis in axes else n for axis, n in enumerate(shape))


def _position(x, axis, keepdims, temperature, alpha, mask, positions, window, readout, hard, sign):
    """Validate what reduces one axis, or the flattened array, to one position."""
    _supported(alpha, window)
    ops = _validate.operations(x, "x", temperature, mask, positions)
    shape, dtype = tuple(x.shape), _validate.real_floating(ops, x, "x")
    mask = _validate.boolean_mask(ops, mask, shape)
    axes = _validate.all_axes(shape) if axis is None else (_validate.one_axis(axis, shape),)
    temperature = _validate.positive_number(ops, temperature, "temperature", dtype, _reduced(shape, axes))
    flat = axis is None and len(shape) != 1
    if flat:
        mask, temperature, positions, shape = _flattened(ops, mask, temperature, positions, shape)
    options = Options(
        axes=(0,) if flat else axes,
        dtype=dtype,
        kept=axes if _validate.flag(keepdims, "keepdims") else (),
        sign=sign,
        flat=flat,
        readout=readout,
        hard=_validate.flag(hard, "hard"),
    )
    if positions is not None:
        positions = _validate.position_table(ops, positions, dtype, shape, options.axes[0])
    return ops.run(_core.position, x, temperature, mask, positions, options=options)


def _flattened(ops, mask, temperature, positions, shape):
    """What goes with the scores, flattened as they will be."""
    xp = ops.xp
    if mask is not None:
        mask = xp.reshape(xp.broadcast_to(mask, shape), (-1,))
    if hasattr(temperature, "shape"):
        temperature = xp.reshape(temperature, (1,))
    if hasattr(positions, "shape") and tuple(positions.shape) == shape:
        positions = xp.reshape(positions, (-1,))
    size = 1
    for n in shape:
        size *= n
    return mask, temperature, positions, (size,)

"""The public functions that answer with positions: each packs its arguments into one tuple."""

from typing import overload

from ._calls.annotations import (
    A,
    Axes,
    AxisOrAll,
    Coordinates,
    Mask,
    Members,
    Order,
    Pair,
    Positions,
    Readout,
    Readouts,
    Scores,
    Temperature,
    Window,
    Windows,
)
from ._calls.arguments import map_coordinates, moments, position, smallest
from ._frameworks.kept_calls import called


def soft_argmax(
    x: Scores[A],
    /,
    axis: AxisOrAll = None,
    *,
    keepdims: bool = False,
    temperature: Temperature = 1.0,
    alpha: Order = 1.0,
    mask: Mask = None,
    positions: Positions = None,
    window: Window = None,
    zero_background: bool = False,
    readout: Readout = "mean",
    hard: bool = False,
    group: Members = None,
) -> A:
    """Return the position of the largest score along an axis, differentiably.

    The scores become weights ``p = argmax_{p in simplex} <x / temperature, p> + H(p)``, H being the Tsallis
    entropy of order alpha (softmax at 1, sparsemax at 2), and the position is read out of them:
    ``sum_i c_i p_i`` for the positions ``c``, by default 0..n-1.

    Parameters
    ----------
    x
        Scores, of any shape and a real floating-point or integer dtype. Integers are computed in the
        framework's default floating-point dtype. A ``-inf`` score counts as masked; rows with ``+inf``
        scores spread their weight evenly over those, with gradient 0; NaN makes its own row NaN. All of
        this holds with every option.
    axis
        The axis that is reduced; None takes the flattened array, as ``argmax`` does.
    keepdims
        Keep the reduced axes with length 1.
    temperature
        Divides the scores. A number greater than 0, or an array that broadcasts against the reduced shape
        (reduced axes kept, with length 1), which gets a gradient. Towards 0 the result is argmax. An entry
        that is not greater than 0 is refused where values may be looked at; on an accelerator and in a compiled or transformed
        function it makes its row NaN.
    alpha
        The relaxation, a number of at least 1: 1 is softmax, 2 sparsemax, between and beyond them entmax,
        whose weights are exactly 0 far from the maximum. Or an array like that of the temperature, which
        gets a gradient; an entry below 1 or infinite is refused or makes its row NaN, as a temperature
        would. Above 2 the weights are less well determined by the scores: half of their digits at alpha 3,
        a quarter at 5, where the slope at the edge of the support is infinite.
    mask
        Boolean, broadcasts against x, True keeps. Masked scores enter no arithmetic. The position of a
        row without any kept score is NaN, its gradient 0.
    positions
        What the entries stand for: shape ``(n,)``, or the rank of x with length n along the axis. Gets a
        gradient. None is 0..n-1.
    window
        Only the scores within so many entries of the largest take part; the choice of those has no
        gradient. Against two far peaks, whose mean lies at neither. None, or one wider than the axis,
        takes all.
    zero_background
        For heatmaps ``>= 0`` whose background is 0: weights proportional to ``exp(x / T) - 1``, so that the
        background does not pull the position to the centre. Alpha must be 1. A map of zeros, or of
        less than the smallest normal number, is at the centre of its positions, with gradient 0; a negative score makes its row NaN, unless a score is
        ``+inf``.
    readout
        ``"mean"``, the expected position, or ``"median"``, which moves only where more than half of the
        weight has passed: ``c_0 + sum_j (c_{j+1} - c_j) clip(2 S_j - 1, 0, 1)``, ``S_j = sum_{i>j} p_i``.
    hard
        Straight-through: the value is exactly the position of the (first) largest score, the gradient that
        of the soft position.
    group
        The axis goes on in other members, and x is one shard of it: the name of a mesh axis inside ``jax.shard_map``, or a
        `torch.distributed.ProcessGroup`, in which shards may differ in length. All members call with the same options,
        and with masks and given positions of their own shard. Positions count through all shards, every member gets the
        same answer, and numbers of the size of a row are all that is exchanged. With several axes, or None, the first
        axis goes on. None: x is whole.

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
    Jacobian of the mean: ``d position / d x_j = s_j (c_j - <s, c> / sum(s)) / temperature`` with
    ``s = p^(2 - alpha)`` on the support and 0 off it; for softmax ``p_j (c_j - position) / temperature``.

    References
    ----------
    Chapelle and Wu (2010), "Gradient descent optimization of smoothed information retrieval metrics".
    Kendall et al. (2017), "End-to-end learning of geometry and context for deep stereo regression", eq. 1.
    Martins and Astudillo (2016), arXiv:1602.02068 (sparsemax, eq. 2).
    Peters, Niculae and Martins (2019), arXiv:1905.05702 (alpha-entmax, eq. 10).
    Correia, Niculae and Martins (2019), arXiv:1909.00015 (learning alpha).
    Gu, Yang and Yao (2021), "Removing the bias of integral pose regression" (zero background).
    Bengio, Leonard and Courville (2013), arXiv:1308.3432 (straight-through).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.asarray([[0.0, 1.0, 5.0], [3.0, 0.0, 0.0]])
    >>> print(soft_argmax(x, axis=-1, temperature=0.1), soft_argmax(x, axis=-1, hard=True))
    [2.00000000e+00 2.80722864e-13] [2. 0.]
    """
    arguments = (axis, keepdims, temperature, alpha, mask, positions, window, zero_background, readout, hard, group)
    return called(position, x, arguments)


def soft_argmin(
    x: Scores[A],
    /,
    axis: AxisOrAll = None,
    *,
    keepdims: bool = False,
    temperature: Temperature = 1.0,
    alpha: Order = 1.0,
    mask: Mask = None,
    positions: Positions = None,
    window: Window = None,
    readout: Readout = "mean",
    hard: bool = False,
    group: Members = None,
) -> A:
    """Return the position of the smallest score along an axis, differentiably: ``soft_argmax(-x)``.

    Parameters, returns, errors and Jacobian (with the sign of x turned) are those of `soft_argmax`. A
    ``+inf`` score counts as masked. Unsigned and extreme integers are compared without overflow.
    """
    arguments = (axis, keepdims, temperature, alpha, mask, positions, window, False, readout, hard, group)
    return called(smallest, x, arguments)


def soft_argmax_moments(
    x: Scores[A],
    /,
    axis: AxisOrAll = None,
    *,
    keepdims: bool = False,
    temperature: Temperature = 1.0,
    alpha: Order = 1.0,
    mask: Mask = None,
    positions: Positions = None,
    window: Window = None,
    zero_background: bool = False,
    group: Members = None,
) -> tuple[A, A]:
    """Return mean and variance of the position under the weights: an argmax with its uncertainty.

    Parameters are those of `soft_argmax`.

    Returns
    -------
    mean, variance : array
        ``sum_i c_i p_i`` and ``sum_i p_i (c_i - mean)^2``, each as `soft_argmax` returns its position. Two
        far peaks, or flat scores, show as a large variance.

    Notes
    -----
    Jacobian of the variance: ``d variance / d x_j = s_j (d_j - <s, d> / sum(s)) / temperature`` with
    ``d_j = (c_j - mean)^2`` and s as in `soft_argmax`.
    """
    arguments = (axis, keepdims, temperature, alpha, mask, positions, window, zero_background, "moments", False, group)
    return called(moments, x, arguments)


@overload
def spatial_soft_argmax(
    x: Scores[A],
    /,
    axes: Axes = (-2, -1),
    *,
    coordinates: Coordinates = "index",
    temperature: Temperature = 1.0,
    alpha: Order = 1.0,
    mask: Mask = None,
    window: Windows = None,
    zero_background: bool = False,
    readout: Readout = "mean",
    hard: bool = False,
    group: Members = None,
) -> A: ...
@overload
def spatial_soft_argmax(
    x: Scores[A],
    /,
    axes: Axes = (-2, -1),
    *,
    coordinates: Coordinates = "index",
    temperature: Temperature = 1.0,
    alpha: Order = 1.0,
    mask: Mask = None,
    window: Windows = None,
    zero_background: bool = False,
    readout: Pair,
    hard: bool = False,
    group: Members = None,
) -> tuple[A, A]: ...
def spatial_soft_argmax(
    x: Scores[A],
    /,
    axes: Axes = (-2, -1),
    *,
    coordinates: Coordinates = "index",
    temperature: Temperature = 1.0,
    alpha: Order = 1.0,
    mask: Mask = None,
    window: Windows = None,
    zero_background: bool = False,
    readout: Readouts = "mean",
    hard: bool = False,
    group: Members = None,
) -> A | tuple[A, A]:
    """Return the coordinates of the largest score of a map, one for each of its axes, differentiably.

    The weights sum to 1 over all the axes together; each coordinate is read out of them along its own.

    Parameters
    ----------
    x, temperature, alpha, mask, zero_background, hard, group
        As in `soft_argmax`.
    axes
        The axes of the map, such as height and width, in the order in which the coordinates come out.
    coordinates
        ``"index"``: 0..n-1; ``"corner"``: -1 and 1 on the first and last entry; ``"center"``: the centres
        of n equal cells of [-1, 1], ``(2 i + 1) / n - 1``. An axis of one entry is at 0.
    window
        As in `soft_argmax`, in entries: one number for all of the axes, or a tuple with one for each.
    readout
        ``"mean"``; ``"median"``, of the weights summed over the other axes; ``"moments"``, mean and variance; or
        ``"covariance"``, mean and covariance matrix. The last two not with ``hard=True``.

    Returns
    -------
    array
        Shape ``(..., len(axes))``: the other axes of x, then the coordinates; dtype as in `soft_argmax`. For
        ``"moments"`` two such arrays: the means, and the variance along each axis. For ``"covariance"`` the means, and
        a symmetric matrix of shape ``(..., len(axes), len(axes))``.

    Notes
    -----
    Jacobian of the covariance of coordinates c and d: ``s_j (e_j - <s, e> / sum(s)) / temperature`` with
    ``e_j = (c_j - mean_c) (d_j - mean_d)`` and s as in `soft_argmax`.

    References
    ----------
    Levine, Finn, Darrell and Abbeel (2016), "End-to-end training of deep visuomotor policies".
    Nibali, He, Morgan and Prendergast (2018), arXiv:1801.07372 (center coordinates).
    """
    axes = tuple(axes) if isinstance(axes, list) else axes
    window = tuple(window) if isinstance(window, list) else window
    arguments = (axes, coordinates, temperature, alpha, mask, window, zero_background, readout, hard, group)
    return called(map_coordinates, x, arguments)

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

    The scores become weights ``p = argmax_{p in simplex} <x / T, p> + H(p)`` with the temperature T and the Tsallis
    entropy H of order alpha. The position is read out of the weights: ``sum_i c_i p_i`` for the positions ``c``.

    Parameters
    ----------
    x : array
        Scores of any shape and of a real floating-point or integer dtype. Integers are computed in the framework's
        default floating-point dtype. A ``-inf`` score counts as masked. A row with ``+inf`` scores spreads its weight
        evenly over those, with gradient 0. NaN makes its own row NaN. All of this holds with every option.
    axis : int or None, default None
        The axis that is reduced. None takes the flattened array, as ``argmax`` does.
    keepdims : bool, default False
        Keep the reduced axes with length 1.
    temperature : float or array, default 1.0
        Divides the scores. Towards 0 the result is argmax. A number greater than 0, or an array that broadcasts against
        the reduced shape (reduced axes kept, with length 1). An array gets a gradient. An entry that is not greater
        than 0 raises an error. On an accelerator, and in a compiled or transformed function, where values cannot be
        read, it makes its row NaN.
    alpha : float or array, default 1.0
        The relaxation, a number of at least 1: 1 is softmax, 2 is sparsemax, and other values are entmax. Above 1,
        weights far from the maximum are exactly 0. An array has a shape like that of the temperature and gets a
        gradient. An entry that is below 1 or infinite raises an error or makes its row NaN, like a temperature that is
        not greater than 0. Above 2 the scores determine the weights less well: to half of their digits at alpha 3 and
        to a quarter at 5, because the slope at the edge of the support is infinite.
    mask : array of bool, optional
        Broadcasts against x; True keeps a score. Masked scores take no part in the computation: a masked NaN changes
        nothing. A row without any kept score has position NaN and gradient 0.
    positions : array, optional
        The positions of the entries: shape ``(n,)``, or the rank of x with length n along the axis. They get a
        gradient. None is 0..n-1.
    window : int, optional
        Use only the scores at most this many entries away from the largest. This helps against two far peaks, whose
        mean lies at neither. The choice of the window has no gradient. None, or a window wider than the axis, takes
        all.
    zero_background : bool, default False
        For heatmaps ``>= 0`` whose background is 0: weights are proportional to ``exp(x / T) - 1``, so that the
        background does not pull the position to the centre. Needs alpha 1. A row of zeros, or of less than the smallest
        normal number, is at the centre of its positions, with gradient 0. A negative score makes its row NaN, unless
        another is ``+inf``.
    readout : {"mean", "median"}, default "mean"
        ``"mean"`` is the expected position. ``"median"`` is a median under the weights,
        ``c_0 + sum_j (c_{j+1} - c_j) clip(2 S_j - 1, 0, 1)`` with ``S_j = sum_{i>j} p_i``. It does not reach an outlier
        above the peak that has less than half of the weight.
    hard : bool, default False
        Straight-through: the value is exactly the position of the largest score (of equal ones, the first), and the
        gradient is that of the soft position.
    group : object, optional
        If x is one shard of the axis, the members that hold the others: the name of a mesh axis inside
        ``jax.shard_map``, or a `torch.distributed.ProcessGroup`, whose shards can have different lengths. All members
        call with the same options, and with the masks and positions of their own shards. Positions count over all
        shards, and every member gets the same result. Only a few numbers for each row are exchanged. With several axes,
        or None, the first axis is the one that is split. None: x is whole.

    Returns
    -------
    array
        Positions, of the shape of x without the axis, in the floating-point dtype of x but at least float32 (bfloat16
        cannot hold index 257, float16 not 2049).

    Raises
    ------
    TypeError
        If x is no array, or of a Boolean or complex dtype; if an option has a wrong type.
    ValueError
        If the axis does not exist or is empty, if a shape does not fit, or if an option is out of its range.

    See Also
    --------
    soft_argmin : The position of the smallest score.
    soft_argmax_moments : The position and its variance.
    spatial_soft_argmax : One coordinate for each axis of a map.
    soft_one_hot : The weights.
    expectation : The position under given weights.

    Notes
    -----
    Jacobian of the mean: ``d position / d x_j = s_j (c_j - <s, c> / sum(s)) / T``, with ``s = p^(2 - alpha)`` on the
    support and 0 off it. For softmax it is ``p_j (c_j - position) / T``.

    References
    ----------
    * Chapelle and Wu (2010), "Gradient descent optimization of smoothed information retrieval metrics".
    * Kendall et al. (2017), "End-to-end learning of geometry and context for deep stereo regression", eq. 1.
    * Martins and Astudillo (2016), arXiv:1602.02068, eq. 2 (sparsemax).
    * Peters, Niculae and Martins (2019), arXiv:1905.05702, eq. 10 (entmax).
    * Correia, Niculae and Martins (2019), arXiv:1909.00015 (a learned alpha).
    * Gu, Yang and Yao (2021), "Removing the bias of integral pose regression" (zero background).
    * Bengio, Leonard and Courville (2013), arXiv:1308.3432 (straight-through).

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import soft_argmax
    >>> x = np.asarray([[0.0, 1.0, 5.0], [3.0, 0.0, 0.0]])
    >>> print(soft_argmax(x, axis=-1).round(4), soft_argmax(x, axis=-1, temperature=0.1).round(4))
    [1.969  0.1358] [2. 0.]
    >>> print(soft_argmax(x, axis=-1, alpha=2), soft_argmax(x, axis=-1, hard=True))
    [2. 0.] [2. 0.]
    >>> print(soft_argmax(x, axis=-1, positions=np.asarray([-1.0, 0.0, 1.0])).round(4))
    [ 0.969  -0.8642]
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

    Unsigned and extreme integers are compared without overflow.

    Parameters
    ----------
    x : array
        Scores of any shape and of a real floating-point or integer dtype, such as the costs of a match. A ``+inf``
        score counts as masked. NaN makes its own row NaN.
    axis : int or None, default None
        The axis that is reduced. None takes the flattened array.
    keepdims : bool, default False
        Keep the reduced axes with length 1.
    temperature : float or array, default 1.0
        Divides the scores; towards 0 the result is argmin. Greater than 0: a number, or an array that broadcasts
        against the reduced shape (reduced axes kept, with length 1), which gets a gradient.
    alpha : float or array, default 1.0
        The relaxation, at least 1: 1 is softmax, 2 sparsemax, other values are entmax. An array is broadcast like that
        of the temperature, and gets a gradient.
    mask : array of bool, optional
        Broadcasts against x; True keeps a score. A row without any kept score has position NaN and gradient 0.
    positions : array, optional
        The positions of the entries: shape ``(n,)``, or the rank of x with length n along the axis. They get a
        gradient. None is 0..n-1.
    window : int, optional
        Use only the scores at most this many entries away from the smallest. None takes all.
    readout : {"mean", "median"}, default "mean"
        The expected position, or a median under the weights, as in `soft_argmax`.
    hard : bool, default False
        Straight-through: the value is exactly the position of the smallest score (of equal ones, the first), the
        gradient that of the soft position.
    group : object, optional
        If the array is one shard of the axis, the members that hold the others: the name of a mesh axis inside
        ``jax.shard_map``, or a `torch.distributed.ProcessGroup`. None: x is whole.

    Returns
    -------
    array
        Positions, of the shape of x without the axis, in the floating-point dtype of x but at least float32.

    Raises
    ------
    TypeError
        If x is no array, or of a Boolean or complex dtype; if an option has a wrong type.
    ValueError
        If the axis does not exist or is empty, if a shape does not fit, or if an option is out of its range.

    See Also
    --------
    soft_argmax : The position of the largest score, with every option in full.

    Notes
    -----
    Weights ``p = argmax_{p in simplex} <-x / T, p> + H(p)``. Jacobian of the mean:
    ``d position / d x_j = -s_j (c_j - <s, c> / sum(s)) / T``, with ``s = p^(2 - alpha)`` on the support and 0 off it.

    References
    ----------
    * Kendall et al. (2017), "End-to-end learning of geometry and context for deep stereo regression", eq. 1.

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import soft_argmin
    >>> cost = np.asarray([3.0, 0.5, 2.0, 4.0])
    >>> print(soft_argmin(cost).round(4), soft_argmin(cost, temperature=0.1).round(4), soft_argmin(cost, hard=True))
    1.1508 1.0 1.0
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

    Parameters
    ----------
    x : array
        Scores of any shape and of a real floating-point or integer dtype. A ``-inf`` score counts as masked. NaN makes
        its own row NaN.
    axis : int or None, default None
        The axis that is reduced. None takes the flattened array.
    keepdims : bool, default False
        Keep the reduced axes with length 1.
    temperature : float or array, default 1.0
        Divides the scores. Greater than 0: a number, or an array that broadcasts against the reduced shape (reduced
        axes kept, with length 1), which gets a gradient.
    alpha : float or array, default 1.0
        The relaxation, at least 1: 1 is softmax, 2 sparsemax, other values are entmax. An array is broadcast like that
        of the temperature, and gets a gradient.
    mask : array of bool, optional
        Broadcasts against x; True keeps a score. In a row without any kept score both moments are NaN, with gradient 0.
    positions : array, optional
        The positions of the entries: shape ``(n,)``, or the rank of x with length n along the axis. They get a
        gradient. None is 0..n-1.
    window : int, optional
        Use only the scores at most this many entries away from the largest. None takes all.
    zero_background : bool, default False
        For heatmaps ``>= 0`` whose background is 0: weights are proportional to ``exp(x / T) - 1``. Needs alpha 1.
    group : object, optional
        If the array is one shard of the axis, the members that hold the others: the name of a mesh axis inside
        ``jax.shard_map``, or a `torch.distributed.ProcessGroup`. None: x is whole.

    Returns
    -------
    mean : array
        ``m = sum_i c_i p_i``, of the shape of x without the axis, in the floating-point dtype of x but at least
        float32.
    variance : array
        ``sum_i p_i (c_i - m)^2``, of the same shape and dtype. It is large for two far peaks, and for flat scores.

    Raises
    ------
    TypeError
        If x is no array, or of a Boolean or complex dtype; if an option has a wrong type.
    ValueError
        If the axis does not exist or is empty, if a shape does not fit, or if an option is out of its range.

    See Also
    --------
    soft_argmax : The mean alone, with every option in full.
    spatial_soft_argmax : Means and covariances of the coordinates of a map.

    Notes
    -----
    Jacobian of the variance: ``d variance / d x_j = s_j (d_j - <s, d> / sum(s)) / T`` with ``d_j = (c_j - m)^2`` and
    ``s = p^(2 - alpha)`` on the support and 0 off it. That of the mean has ``c_j`` in place of ``d_j``.

    References
    ----------
    * Kendall et al. (2017), "End-to-end learning of geometry and context for deep stereo regression", eq. 1 (the mean).
    * Nibali, He, Morgan and Prendergast (2018), arXiv:1801.07372 (the variance, as a regulariser).

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import soft_argmax_moments
    >>> one_peak, two_peaks = np.asarray([0.0, 0.0, 8.0, 0.0, 0.0]), np.asarray([8.0, 0.0, 0.0, 0.0, 8.0])
    >>> print([float(moment.round(3)) for moment in soft_argmax_moments(one_peak)])
    [2.0, 0.003]
    >>> print([float(moment.round(3)) for moment in soft_argmax_moments(two_peaks)])
    [2.0, 3.998]
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

    The weights sum to 1 over all the axes together. Each coordinate is read out of them along its own axis.

    Parameters
    ----------
    x : array
        Scores of any shape and of a real floating-point or integer dtype, such as heatmaps of the shape
        ``(batch, keypoints, height, width)``. A ``-inf`` score counts as masked. NaN makes its own map NaN.
    axes : tuple of int, default (-2, -1)
        The axes of the map, in the order in which the coordinates come out: ``(-1, -2)`` is x before y.
    coordinates : {"index", "corner", "center"}, default "index"
        ``"index"``: 0..n-1. ``"corner"``: -1 and 1 on the first and last entry. ``"center"``: the centres of n equal
        cells of [-1, 1], ``(2 i + 1) / n - 1``. In the last two, an axis of one entry is at 0.
    temperature : float or array, default 1.0
        Divides the scores. Greater than 0: a number, or an array that broadcasts against the reduced shape (the axes of
        the map kept, with length 1), which gets a gradient. For a heatmap in [0, 1], take a low one, such as 0.05.
    alpha : float or array, default 1.0
        The relaxation, at least 1: 1 is softmax, 2 sparsemax, other values are entmax. An array is broadcast like that
        of the temperature, and gets a gradient.
    mask : array of bool, optional
        Broadcasts against x; True keeps a score. A map without any kept score has coordinates NaN and gradient 0.
    window : int or tuple of int, optional
        Use only the scores at most this many entries away from the largest: one number for all axes, or a tuple with
        one for each. None takes all.
    zero_background : bool, default False
        For maps ``>= 0`` whose background is 0: weights are proportional to ``exp(x / T) - 1``, so that the background
        does not pull the coordinates to the centre. Needs alpha 1. A map of zeros is at its centre, with gradient 0.
    readout : {"mean", "median", "moments", "covariance"}, default "mean"
        ``"mean"``; ``"median"``, of the weights summed over the other axes; ``"moments"``, mean and variance; or
        ``"covariance"``, mean and covariance matrix. The last two do not go with ``hard=True``.
    hard : bool, default False
        Straight-through: the value is exactly the coordinates of the largest score (of equal ones, the first), the
        gradient that of the soft coordinates.
    group : object, optional
        If the array is one shard of the first of the axes, the members that hold the others: the name of a mesh axis
        inside ``jax.shard_map``, or a `torch.distributed.ProcessGroup`. None: x is whole.

    Returns
    -------
    array or tuple of arrays
        Coordinates of the shape ``(..., len(axes))``: the other axes of x, then the coordinates, in the floating-point
        dtype of x but at least float32. For ``"moments"`` two such arrays: means, and variances along each axis. For
        ``"covariance"`` the means, and symmetric matrices of the shape ``(..., len(axes), len(axes))``.

    Raises
    ------
    TypeError
        If x is no array, or of a Boolean or complex dtype; if an option has a wrong type.
    ValueError
        If an axis does not exist, is empty or is given twice, if a shape does not fit, or if an option is out of its
        range.

    See Also
    --------
    soft_argmax : The position along one axis, with every option in full.
    spatial_expectation : The coordinates under given weights.

    Notes
    -----
    Jacobian of a coordinate c: ``s_j (c_j - <s, c> / sum(s)) / T``, with ``s = p^(2 - alpha)`` on the support and 0 off
    it. That of the covariance of coordinates c and d has ``e_j = (c_j - mean_c) (d_j - mean_d)`` in place of ``c_j``.

    References
    ----------
    * Levine, Finn, Darrell and Abbeel (2016), "End-to-end training of deep visuomotor policies".
    * Nibali, He, Morgan and Prendergast (2018), arXiv:1801.07372 (center coordinates).
    * Gu, Yang and Yao (2021), "Removing the bias of integral pose regression" (zero background).

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import spatial_soft_argmax
    >>> heatmap = np.zeros((4, 5))
    >>> heatmap[1, 3] = 9.0
    >>> print(spatial_soft_argmax(heatmap).round(3), spatial_soft_argmax(heatmap, (-1, -2)).round(3))
    [1.001 2.998] [2.998 1.001]
    >>> print(spatial_soft_argmax(heatmap, coordinates="corner", hard=True).round(3))
    [-0.333  0.5  ]
    >>> mean, covariance = spatial_soft_argmax(heatmap, zero_background=True, readout="covariance")
    >>> print(mean, covariance.shape)
    [1. 3.] (2, 2)
    """
    axes = tuple(axes) if isinstance(axes, list) else axes
    window = tuple(window) if isinstance(window, list) else window
    arguments = (axes, coordinates, temperature, alpha, mask, window, zero_background, readout, hard, group)
    return called(map_coordinates, x, arguments)

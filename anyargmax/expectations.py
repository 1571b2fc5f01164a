"""The public functions that read positions out of weights that the caller has."""

from typing import overload

from ._calls.annotations import (
    A,
    Answer,
    Axes,
    AxisOrAll,
    Coordinates,
    Mask,
    Members,
    Moments,
    Pair,
    Positions,
    Readout,
    Readouts,
    Weights,
)
from ._calls.arguments import map_weighted, weighted
from ._frameworks.kept_calls import called


@overload
def expectation(
    p: Weights[A],
    /,
    axis: AxisOrAll = None,
    *,
    positions: Positions = None,
    keepdims: bool = False,
    readout: Readout = "mean",
    mask: Mask = None,
    group: Members = None,
) -> A: ...
@overload
def expectation(
    p: Weights[A],
    /,
    axis: AxisOrAll = None,
    *,
    positions: Positions = None,
    keepdims: bool = False,
    readout: Moments,
    mask: Mask = None,
    group: Members = None,
) -> tuple[A, A]: ...
def expectation(
    p: Weights[A],
    /,
    axis: AxisOrAll = None,
    *,
    positions: Positions = None,
    keepdims: bool = False,
    readout: Answer = "mean",
    mask: Mask = None,
    group: Members = None,
) -> A | tuple[A, A]:
    """Return the position under weights: ``sum_i c_i p_i`` for the positions ``c``.

    The weights are taken as they are. With ``p = soft_one_hot(x, axis=axis)`` the result is
    ``soft_argmax(x, axis=axis)``: the weights are then computed only once.

    Parameters
    ----------
    p : array
        Weights of any shape and of a real floating-point or integer dtype. They need not sum to 1 and are not
        normalised; negative weights are allowed. NaN makes its own row NaN, with gradient 0.
    axis : int or None, default None
        The axis that is reduced. None takes the flattened array.
    positions : array, optional
        The positions of the entries: shape ``(n,)``, or the rank of p with length n along the axis. They get a
        gradient. None is 0..n-1.
    keepdims : bool, default False
        Keep the reduced axes with length 1.
    readout : {"mean", "median", "moments"}, default "mean"
        ``"mean"``: ``m = sum_i c_i p_i``. ``"median"``: ``c_0 + sum_j (c_{j+1} - c_j) clip(2 S_j - 1, 0, 1)`` with
        ``S_j = sum_{i>j} p_i``. ``"moments"``: m, and the variance ``sum_i p_i (c_i - m)^2``.
    mask : array of bool, optional
        Broadcasts against p; True keeps a weight. Masked weights take no part in the computation and have gradient 0.
    group : object, optional
        If the array is one shard of the axis, the members that hold the others: the name of a mesh axis inside
        ``jax.shard_map``, or a `torch.distributed.ProcessGroup`. Positions count over all shards. None: p is whole.

    Returns
    -------
    array or tuple of arrays
        Positions of the shape of p without the axis, in the floating-point dtype of p but at least float32. For
        ``"moments"`` two such arrays, mean and variance. A row whose kept weights are all 0 has position NaN and
        gradient 0.

    Raises
    ------
    TypeError
        If p is no array, or of a Boolean or complex dtype; if an option has a wrong type.
    ValueError
        If the axis does not exist or is empty, if a shape does not fit, or if an option is out of its range.

    See Also
    --------
    soft_argmax : The position of scores.
    soft_one_hot : The weights of scores.
    spatial_expectation : The coordinates under the weights of a map.

    Notes
    -----
    Jacobian of the mean: ``d m / d p_j = c_j``, at weights of 0 too. Of the variance:
    ``(c_j - m)^2 - 2 c_j sum_i p_i (c_i - m)``, whose second term is 0 for weights that sum to 1.

    References
    ----------
    * Nibali, He, Morgan and Prendergast (2018), arXiv:1801.07372, eq. 5.
    * Kendall et al. (2017), "End-to-end learning of geometry and context for deep stereo regression", eq. 1.

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import expectation
    >>> p = np.asarray([[0.0, 0.25, 0.75], [0.0, 0.0, 0.0]])
    >>> print(expectation(p, -1), expectation(p, -1, readout="median"))
    [1.75  nan] [1.5 nan]
    >>> print(expectation(p[0], positions=np.asarray([0.0, 8.0, 16.0]), readout="moments"))
    (array(14.), array(12.))
    """
    return called(weighted, p, (axis, positions, keepdims, readout, mask, group))


@overload
def spatial_expectation(
    p: Weights[A],
    /,
    axes: Axes = (-2, -1),
    *,
    coordinates: Coordinates = "index",
    readout: Readout = "mean",
    mask: Mask = None,
    group: Members = None,
) -> A: ...
@overload
def spatial_expectation(
    p: Weights[A],
    /,
    axes: Axes = (-2, -1),
    *,
    coordinates: Coordinates = "index",
    readout: Pair,
    mask: Mask = None,
    group: Members = None,
) -> tuple[A, A]: ...
def spatial_expectation(
    p: Weights[A],
    /,
    axes: Axes = (-2, -1),
    *,
    coordinates: Coordinates = "index",
    readout: Readouts = "mean",
    mask: Mask = None,
    group: Members = None,
) -> A | tuple[A, A]:
    """Return the coordinates under the weights of a map, one for each of its axes.

    The weights are taken as they are: with ``p = soft_one_hot(x, axis=axes)`` the result is
    ``spatial_soft_argmax(x, axes)``, and the weights are computed only once.

    Parameters
    ----------
    p : array
        Weights of any shape and of a real floating-point or integer dtype. They need not sum to 1 and are not
        normalised. NaN makes its own map NaN, with gradient 0.
    axes : tuple of int, default (-2, -1)
        The axes of the map, such as height and width, in the order in which the coordinates come out: ``(-1, -2)`` is x
        before y.
    coordinates : {"index", "corner", "center"}, default "index"
        ``"index"``: 0..n-1. ``"corner"``: -1 and 1 on the first and last entry. ``"center"``: the centres of n equal
        cells of [-1, 1], ``(2 i + 1) / n - 1``. In the last two, an axis of one entry is at 0.
    readout : {"mean", "median", "moments", "covariance"}, default "mean"
        ``"mean"``; ``"median"``, of the weights summed over the other axes; ``"moments"``, mean and variance; or
        ``"covariance"``, mean and covariance matrix.
    mask : array of bool, optional
        Broadcasts against p; True keeps a weight. Masked weights take no part in the computation and have gradient 0.
    group : object, optional
        If the array is one shard of the first of the axes, the members that hold the others: the name of a mesh axis
        inside ``jax.shard_map``, or a `torch.distributed.ProcessGroup`. None: p is whole.

    Returns
    -------
    array or tuple of arrays
        Coordinates of the shape ``(..., len(axes))``: the other axes of p, then the coordinates, in the floating-point
        dtype of p but at least float32. For ``"moments"`` two such arrays: means, and variances along each axis. For
        ``"covariance"`` the means, and symmetric matrices of the shape ``(..., len(axes), len(axes))``. A map whose
        kept weights are all 0 has NaN and gradient 0.

    Raises
    ------
    TypeError
        If p is no array, or of a Boolean or complex dtype; if an option has a wrong type.
    ValueError
        If an axis does not exist, is empty or is given twice, if a shape does not fit, or if an option is out of its
        range.

    See Also
    --------
    spatial_soft_argmax : The coordinates of scores.
    expectation : The position along one axis, or along the flattened array.

    Notes
    -----
    Jacobian of the means: the coordinates. Of the covariance of c and d: ``(c_j - m_c) (d_j - m_d)`` for weights that
    sum to 1.

    References
    ----------
    * Nibali, He, Morgan and Prendergast (2018), arXiv:1801.07372, eq. 5 to 7.

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import spatial_expectation
    >>> p = np.diag([0.5, 0.0, 0.5])
    >>> print(spatial_expectation(p), spatial_expectation(p, (-1, -2), coordinates="corner"))
    [1. 1.] [0. 0.]
    >>> mean, covariance = spatial_expectation(p, readout="covariance")
    >>> print(covariance)
    [[1. 1.]
     [1. 1.]]
    """
    axes = tuple(axes) if isinstance(axes, list) else axes
    return called(map_weighted, p, (axes, coordinates, readout, mask, group))

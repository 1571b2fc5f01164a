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
    """Return the position that weights stand for: ``sum_i c_i p_i``.

    The weights are taken as they are, so that with ``p = soft_one_hot(x, axis=axis)`` the result is
    ``soft_argmax(x, axis=axis)``: weights and position then come from one solve.

    Parameters
    ----------
    p
        Weights, of any shape and a real floating-point or integer dtype. They need not sum to 1, and are not
        normalised; negative ones count as what they are. NaN makes its own row NaN, with gradient 0.
    axis
        The axis that is reduced; None takes the flattened array.
    positions
        What the entries stand for: shape ``(n,)``, or the rank of p with length n along the axis. Gets a
        gradient. None is 0..n-1.
    keepdims
        Keep the reduced axes with length 1.
    readout
        ``"mean"``: ``m = sum_i c_i p_i``. ``"median"``: ``c_0 + sum_j (c_{j+1} - c_j) clip(2 S_j - 1, 0, 1)`` with
        ``S_j = sum_{i>j} p_i``. ``"moments"``: m, and ``sum_i p_i (c_i - m)^2``.
    mask
        Boolean, broadcasts against p, True keeps. Masked weights enter no arithmetic and have gradient 0.
    group
        The axis goes on in other members, and p is one shard of it, as in `soft_argmax`.

    Returns
    -------
    array
        Positions, of the shape of p without the axis, in p's floating-point dtype but at least float32; for
        ``"moments"`` a tuple of two, mean and variance. A row whose kept weights are all 0 has position NaN,
        and gradient 0.

    Raises
    ------
    TypeError
        If p is no array, or of a Boolean or complex dtype; if an option is of the wrong type.
    ValueError
        If the axis does not exist or is empty, or a shape does not fit.

    See Also
    --------
    soft_argmax : the position of scores.

    Notes
    -----
    Jacobian of the mean: ``d m / d p_j = c_j``, at weights of 0 too. Of the variance:
    ``(c_j - m)^2 - 2 c_j sum_i p_i (c_i - m)``, whose second term is 0 for weights that sum to 1.

    References
    ----------
    Nibali, He, Morgan and Prendergast (2018), arXiv:1801.07372, eq. 5.
    Kendall et al. (2017), "End-to-end learning of geometry and context for deep stereo regression", eq. 1.

    Examples
    --------
    >>> import numpy as np
    >>> print(expectation(np.asarray([[0.0, 0.25, 0.75], [0.0, 0.0, 0.0]]), -1))
    [1.75  nan]
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
    """Return the coordinates that the weights of a map stand for, one for each of its axes.

    The weights are taken as they are, as in `expectation`: with ``p = soft_one_hot(x, axis=axes)`` the result is
    ``spatial_soft_argmax(x, axes)``.

    Parameters
    ----------
    p, mask, group
        As in `expectation`.
    axes
        The axes of the map, such as height and width, in the order in which the coordinates come out: ``(-1, -2)``
        is x before y.
    coordinates
        As in `spatial_soft_argmax`.
    readout
        ``"mean"``; ``"median"``, of the weights summed over the other axes; ``"moments"``, mean and variance; or
        ``"covariance"``, mean and covariance matrix.

    Returns
    -------
    array
        Shape ``(..., len(axes))``: the other axes of p, then the coordinates, in p's floating-point dtype but at least
        float32. For ``"moments"`` two such arrays: the means, and the variance along each axis. For
        ``"covariance"`` the means, and a symmetric matrix of shape ``(..., len(axes), len(axes))``. NaN, with
        gradient 0, in a map whose kept weights are all 0.

    Raises
    ------
    TypeError, ValueError
        As `expectation`.

    Notes
    -----
    Jacobian of the means: the coordinates. Of the covariance of c and d, ``(c_j - m_c)(d_j - m_d)`` for weights that
    sum to 1.

    References
    ----------
    Nibali, He, Morgan and Prendergast (2018), arXiv:1801.07372, eq. 5 to 7.

    Examples
    --------
    >>> import numpy as np
    >>> print(spatial_expectation(np.diag([0.5, 0.0, 0.5]), (-1, -2), readout="covariance"))
    (array([1., 1.]), array([[1., 1.],
           [1., 1.]]))
    """
    axes = tuple(axes) if isinstance(axes, list) else axes
    return called(map_weighted, p, (axes, coordinates, readout, mask, group))

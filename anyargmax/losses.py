"""The loss that goes with the weights."""

from ._calls.annotations import A, Ignored, Mask, Members, OrderNumber, Scores, SomeAxes, Target, Temperature
from ._calls.arguments import loss
from ._frameworks.kept_calls import called


def fenchel_young_loss(
    x: Scores[A],
    target: Target,
    /,
    axis: SomeAxes = -1,
    *,
    alpha: OrderNumber = 1.0,
    temperature: Temperature = 1.0,
    mask: Mask = None,
    ignore_index: Ignored = None,
    group: Members = None,
) -> A:
    """Return the Fenchel-Young loss of each row: ``>= 0``, and 0 only where the weights are the target.

    At alpha 1 it is the cross-entropy (for target weights less their own entropy, which is the Kullback-Leibler
    divergence), at 2 the sparsemax loss.

    Parameters
    ----------
    x : array
        Scores of any shape and of a real floating-point or integer dtype. A ``-inf`` score counts as masked. NaN makes
        its own row NaN.
    target : array
        Weights of the shape of x, ``>= 0`` and summing to 1 along the axis, which get a gradient. Or integer indices,
        of the shape of x without the axis; with several axes, an index counts the entries in the order of the axes.
        Indices out of range, and weights that are no distribution, raise an error. On an accelerator, and in a compiled
        or transformed function, where values cannot be read, they make their row NaN.
    axis : int or tuple of int, default -1
        The axis along which the weights sum to 1; a tuple for several at once.
    alpha : float, default 1.0
        The relaxation, a number of at least 1: 1 is softmax, 2 sparsemax, other values are entmax.
    temperature : float or array, default 1.0
        Divides the scores of the weights, and multiplies the entropies of the loss. Greater than 0: a number, or an
        array that broadcasts against the reduced shape (the axis kept, with length 1), which gets a gradient.
    mask : array of bool, optional
        Broadcasts against x; True keeps a score. Where the target has weight on a masked score, the loss is ``+inf``.
        In a row without any kept score, the loss and its gradients are 0, whatever the target.
    ignore_index : int, optional
        An index for rows without a target, such as -100: their loss and its gradients are 0. Only with target indices.
    group : object, optional
        If the array is one shard of the axis, the members that hold the others: the name of a mesh axis inside
        ``jax.shard_map``, or a `torch.distributed.ProcessGroup`. Indices count over all shards, and target weights are
        those of this shard. None: x is whole.

    Returns
    -------
    array
        The loss of each row, of the shape of x without the axis, in the floating-point dtype of x but at least float32.
        Take its mean or sum yourself.

    Raises
    ------
    TypeError
        If x or the target is no array, or of a Boolean or complex dtype; if an option has a wrong type.
    ValueError
        If the axis does not exist or is empty, if a shape does not fit, if the target is out of range or no
        distribution, or if an option is out of its range.

    See Also
    --------
    soft_one_hot : The weights that the loss trains.

    Notes
    -----
    ``L = <p - y, x> + T H(p) - T H(y)`` with the target y, the Tsallis entropy H of order alpha, and ``p =
    soft_one_hot(x)``. Jacobian: ``dL/dx = p - y``, exactly. The gradient of the target is ``-x - T dH/dy``, shifted by
    the largest score; at alpha 1 it is infinite where the target is 0.

    References
    ----------
    * Blondel, Martins and Niculae (2020), "Learning with Fenchel-Young losses", JMLR 21, eq. 13.
    * Martins and Astudillo (2016), arXiv:1602.02068, eq. 16 (the sparsemax loss).

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import fenchel_young_loss
    >>> x, target = np.asarray([[0.0, 1.0, 3.0], [0.0, 0.0, 0.0]]), np.asarray([2, 0])
    >>> print(fenchel_young_loss(x, target).round(4))
    [0.1698 1.0986]
    >>> print(fenchel_young_loss(x, target, alpha=2).round(4))
    [0.     0.3333]
    >>> print(fenchel_young_loss(x, np.asarray([2, -100]), ignore_index=-100).round(4))
    [0.1698 0.    ]
    """
    axis = tuple(axis) if isinstance(axis, list) else axis
    return called(loss, x, (target, axis, alpha, temperature, mask, ignore_index, group))

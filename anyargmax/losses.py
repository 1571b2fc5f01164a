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

    At alpha = 1 it is the cross-entropy (for target weights less their own entropy, which is the
    Kullback-Leibler divergence), at 2 the sparsemax loss.

    Parameters
    ----------
    x, temperature, mask, group
        As in `soft_argmax`. Where the target has weight on a masked score, the loss is ``+inf``. In a row without any
        kept score the loss is 0, and so are its gradients, whatever its target. With a group, indices count through all
        shards, and target weights are those of this shard.
    target
        Weights of the shape of x, ``>= 0`` and summing to 1 along the axis, which get a gradient; or integer indices, of the
        shape of x without the axis. Of several axes an index counts the entries in the order of the axes. Values that may be
        looked at are checked. On an accelerator and in a compiled or transformed function, indices out of range and weights
        that are no distribution make their row NaN.
    axis
        The axis along which the weights sum to 1; a tuple for several at once.
    alpha
        The relaxation, a number of at least 1.
    ignore_index
        An index for rows without a target: their loss is 0, and so are their gradients. Only with target indices.

    Returns
    -------
    array
        The loss of each row, of the shape of x without the axes, in x's floating dtype but at least float32.
        Reducing it further is left to the caller.

    Notes
    -----
    ``L = <p - y, x> + T H(p) - T H(y)`` with the Tsallis entropy H and ``p = soft_one_hot(x)``. Jacobian:
    ``dL/dx = p - y``, exactly. The gradient of the target is ``-x - T dH/dy``, shifted by the largest score;
    at alpha = 1 it is infinite where the target is 0.

    References
    ----------
    Blondel, Martins and Niculae (2020), "Learning with Fenchel-Young losses", JMLR 21, eq. 13.
    Martins and Astudillo (2016), arXiv:1602.02068, eq. 16 (the sparsemax loss).
    """
    axis = tuple(axis) if isinstance(axis, list) else axis
    return called(loss, x, (target, axis, alpha, temperature, mask, ignore_index, group))

"""The public functions that answer with weights."""

from ._calls.annotations import (
    A,
    AxesOrAll,
    Axis,
    Count,
    Kind,
    Mask,
    Members,
    Order,
    Power,
    Rounds,
    Scores,
    Shares,
    Temperature,
)
from ._calls.arguments import one_hot, sharpened, winners
from ._frameworks.kept_calls import called


def soft_one_hot(
    x: Scores[A],
    /,
    axis: AxesOrAll = -1,
    *,
    temperature: Temperature = 1.0,
    alpha: Order = 1.0,
    mask: Mask = None,
    hard: bool = False,
    log: bool = False,
    group: Members = None,
) -> A:
    """Return the weights of the scores: a soft one-hot encoding of their argmax.

    They are ``p = argmax_{p in simplex} <x / T, p> + H(p)`` with the temperature T and the Tsallis entropy H of order
    alpha: softmax, sparsemax or entmax.

    Parameters
    ----------
    x : array
        Scores of any shape and of a real floating-point or integer dtype. A ``-inf`` score counts as masked. A row with
        ``+inf`` scores spreads its weight evenly over those, with gradient 0.
    axis : int, tuple of int or None, default -1
        The axis along which the weights sum to 1; a tuple for several at once, None for all.
    temperature : float or array, default 1.0
        Divides the scores; towards 0 the weights are one-hot. Greater than 0: a number, or an array that broadcasts
        against the reduced shape (the axis kept, with length 1), which gets a gradient.
    alpha : float or array, default 1.0
        The relaxation, at least 1: 1 is softmax, 2 sparsemax, other values are entmax, whose weights far from the
        maximum are exactly 0. An array is broadcast like that of the temperature, and gets a gradient.
    mask : array of bool, optional
        Broadcasts against x; True keeps a score. Masked scores take no part in the computation and have weight 0 and
        gradient 0.
    hard : bool, default False
        Straight-through: the value is exactly the one-hot encoding of the argmax (of equal scores, the first), the
        gradient that of the soft weights.
    log : bool, default False
        Return the logarithms of the weights, right also where a weight is too small for its dtype. Where a weight is
        exactly 0 (off the support of a sparse one, or masked) they are ``-inf``, with gradient 0. Not with
        ``hard=True``.
    group : object, optional
        If the array is one shard of the axis, the members that hold the others: the name of a mesh axis inside
        ``jax.shard_map``, or a `torch.distributed.ProcessGroup`. The weights are those of this shard. None: x is whole.

    Returns
    -------
    array
        Weights of the shape of x, ``>= 0``, summing to 1 along the axis (to 0 in a row without any kept score). Their
        dtype is that of x where it is floating, and the framework's default for integers. NaN makes all weights of its
        row NaN, those of masked scores included.

    Raises
    ------
    TypeError
        If x is no array, or of a Boolean or complex dtype; if an option has a wrong type.
    ValueError
        If the axis does not exist or is empty, if a shape does not fit, or if an option is out of its range.

    See Also
    --------
    soft_top_k : Weights that sum to k.
    expectation : The position under the weights.
    fenchel_young_loss : The loss whose gradient is weights minus target.

    Notes
    -----
    Jacobian: ``(diag(s) - s s^T / sum(s)) / T`` with ``s = p^(2 - alpha)`` on the support and 0 off it, symmetric. That
    of the logarithms: ``(diag(b) - b s^T / sum(s)) / T`` with ``b = p^(1 - alpha)`` on the support.

    References
    ----------
    * Martins and Astudillo (2016), arXiv:1602.02068, eq. 2 (sparsemax).
    * Peters, Niculae and Martins (2019), arXiv:1905.05702, eq. 10 (entmax).

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import soft_one_hot
    >>> x = np.asarray([0.0, 1.0, 2.0])
    >>> for alpha in (1, 1.5, 2):
    ...     print(soft_one_hot(x, alpha=alpha).round(3))
    [0.09  0.245 0.665]
    [0.    0.169 0.831]
    [0. 0. 1.]
    >>> print(soft_one_hot(x, log=True).round(3), soft_one_hot(x, hard=True))
    [-2.408 -1.408 -0.408] [0. 0. 1.]
    """
    axis = tuple(axis) if isinstance(axis, list) else axis
    return called(one_hot, x, (axis, temperature, alpha, mask, hard, log, group))


def soft_top_k(
    x: Scores[A],
    k: Count,
    /,
    axis: Axis = -1,
    *,
    temperature: Temperature = 1.0,
    kind: Kind = "capped",
    mask: Mask = None,
    hard: bool = False,
    group: Members = None,
) -> A:
    """Return weights in [0, 1] that sum to k: a soft choice of the k largest scores.

    Parameters
    ----------
    x : array
        Scores of any shape and of a real floating-point or integer dtype. A ``-inf`` score counts as masked. NaN makes
        its own row NaN.
    k : int
        The sum of the weights, from 1 to n. If at most k scores are kept, each of them has weight 1 and gradient 0.
    axis : int, default -1
        The axis along which the weights sum to k.
    temperature : float or array, default 1.0
        Divides the scores; towards 0 the weights are 0 and 1. Greater than 0: a number, or an array that broadcasts
        against the reduced shape (the axis kept, with length 1), which gets a gradient.
    kind : {"capped", "sigmoid", "subset"}, default "capped"
        ``"capped"``: ``clip(x / T - tau, 0, 1)``, exactly 0 and 1 far from the threshold, and sparsemax at k = 1.
        Weights within 8 eps of 0 or 1 are 0 or 1, so that scores that tie with the threshold do so in every framework.
        ``"sigmoid"``: ``1 / (1 + exp(tau - x / T))``, which is never 0 or 1 but for rounding. A weight that is rounded
        to 1 has gradient 0. ``"subset"``: the probability that an entry is in a random set S of k entries, which is
        drawn with probability proportional to ``exp(sum_{i in S} x_i / T)``; softmax at k = 1.
    mask : array of bool, optional
        Broadcasts against x; True keeps a score. Masked scores take no part in the computation and have weight 0 and
        gradient 0.
    hard : bool, default False
        Straight-through: the value is exactly 1 at the k largest scores (of equal ones, the first) and 0 elsewhere, the
        gradient that of the soft weights. There are fewer ones if fewer than k scores are kept.
    group : object, optional
        If the array is one shard of the axis, the members that hold the others: the name of a mesh axis inside
        ``jax.shard_map``, or a `torch.distributed.ProcessGroup`. The weights are those of this shard. Not with
        ``kind="subset"``. None: x is whole.

    Returns
    -------
    array
        Weights of the shape of x, in [0, 1], summing to k along the axis (to the number of kept scores where that is
        less). Their dtype is that of x where it is floating, and the framework's default for integers.

    Raises
    ------
    TypeError
        If x is no array, or of a Boolean or complex dtype; if an option has a wrong type.
    ValueError
        If k is no integer from 1 to n, if the axis does not exist, if a shape does not fit, or if an option is out of
        its range.

    See Also
    --------
    soft_one_hot : The weights of one winner, with alpha.
    anyargmax.sampling.sample_top_k : Draws, whose mean the weights of kind ``"subset"`` are.

    Notes
    -----
    ``p = argmax_p <x / T, p> + H(p)`` over ``0 <= p <= 1, sum p = k``, with ``H = -|p|^2 / 2`` (capped) or the sum of
    binary entropies (sigmoid). Jacobian: ``(diag(s) - s s^T / sum(s)) / T`` with s = 1 where ``0 < p < 1`` (capped) or
    ``s = p (1 - p)`` (sigmoid).

    For ``kind="subset"``, ``p = sum_S P(S) 1_S`` over the sets of k kept entries: the marginals of the conditional
    Bernoulli distribution. Jacobian: the covariance matrix of the indicators of the entries, over T. Time is O(n k) a
    row and memory O(n sqrt(k)), where the other kinds take O(n).

    References
    ----------
    * Blondel, Martins and Niculae (2020), "Learning with Fenchel-Young losses", JMLR 21, section 7.3 (capped).
    * Amos, Koltun and Kolter (2019), arXiv:1906.08707 (sigmoid).
    * Ahmed, Zeng, Niepert and Van den Broeck (2022), arXiv:2210.01941 (subset).

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import soft_top_k
    >>> x = np.asarray([0.0, 4.0, 3.5, 3.9])
    >>> for kind in ("capped", "sigmoid", "subset"):
    ...     print(soft_top_k(x, 2, kind=kind).round(2))
    [0.   0.87 0.37 0.77]
    [0.04 0.7  0.58 0.68]
    [0.02 0.73 0.55 0.7 ]
    >>> print(soft_top_k(x, 2, hard=True))
    [0. 1. 0. 1.]
    """
    return called(winners, x, (k, axis, temperature, kind, mask, hard, group))


def sharpen(p: Shares[A], /, axis: Axis = -1, *, power: Power = 10.0, rounds: Rounds = 1, group: Members = None) -> A:
    """Return weights raised to a power and normalised, in one or more rounds.

    Parameters
    ----------
    p : array
        Weights ``>= 0`` of any shape and of a real floating-point or integer dtype; they need not sum to 1. A negative
        one, or NaN, makes its row NaN. Entries of ``+inf`` share the whole weight evenly, with gradient 0.
    axis : int, default -1
        The axis along which the result sums to 1.
    power : float, default 10.0
        The exponent of each round, greater than 0: above 1 sharpens, below 1 flattens.
    rounds : int, default 1
        How many times, at least 0; 0 only normalises.
    group : object, optional
        If the array is one shard of the axis, the members that hold the others: the name of a mesh axis inside
        ``jax.shard_map``, or a `torch.distributed.ProcessGroup`. None: p is whole.

    Returns
    -------
    array
        ``p^(power^rounds)``, normalised, of the shape of p and in its dtype where that is floating. It is computed as a
        softmax of logarithms, so that it neither overflows nor divides 0 by 0. An entry of weight 0 keeps weight 0.
        Unless ``power^rounds`` is 1, its gradient is given as 0, the limit for powers above 1 (below 1 it is infinite).

    Raises
    ------
    TypeError
        If p is no array, or of a Boolean or complex dtype; if an option has a wrong type.
    ValueError
        If the axis does not exist or is empty, or if an option is out of its range.

    See Also
    --------
    soft_one_hot : The weights of scores; a lower temperature sharpens those.

    Notes
    -----
    k rounds are ``softmax(power^k log p)``. Jacobian, with q the result and ``J(q) = diag(q) - q q^T``:
    ``dq/dp_j = power^k J(q)_j / p_j``.

    References
    ----------
    * Berthelot et al. (2019), "MixMatch", arXiv:1905.02249, eq. 7 (one round of power 1 / T).

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import sharpen
    >>> p = np.asarray([1.0, 2.0, 1.0])
    >>> print(sharpen(p, power=2.0).round(3), sharpen(p, rounds=0))
    [0.167 0.667 0.167] [0.25 0.5  0.25]
    """
    return called(sharpened, p, (axis, power, rounds, group))

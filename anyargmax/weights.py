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

    Parameters
    ----------
    x, temperature, alpha, mask, group
        As in `soft_argmax`; with a group, weights are those of this shard.
    axis
        The axis along which the weights sum to 1; a tuple or None (all) for several at once.
    hard
        Straight-through: the value is exactly the one-hot encoding of the (first) argmax, the gradient
        that of the soft weights.
    log
        Return the logarithms of the weights instead, right also where a weight is too small for its dtype.
        Where a weight is exactly 0 (off the support of a sparse one, or masked) they are ``-inf``, with gradient 0.
        Not with ``hard=True``.

    Returns
    -------
    array
        Weights of the shape of x, ``>= 0``, summing to 1 along the axis (to 0 in a row without any kept
        score), in the dtype of x where that is floating. NaN makes all weights of its row NaN, those of
        masked scores included.

    Notes
    -----
    ``p = argmax_{p in simplex} <x / T, p> + H(p)`` with the Tsallis entropy H of order alpha. Jacobian:
    ``(diag(s) - s s^T / sum(s)) / T`` with ``s = p^(2 - alpha)`` on the support and 0 off it, symmetric. That of the
    logarithms is ``(diag(b) - b s^T / sum(s)) / T`` with ``b = p^(1 - alpha)`` on the support.

    References
    ----------
    Martins and Astudillo (2016), arXiv:1602.02068; Peters, Niculae and Martins (2019), arXiv:1905.05702.
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
    """Return weights that share a sum of k: a soft choice of the k largest scores.

    Parameters
    ----------
    x, temperature, mask, group
        As in `soft_argmax`; with a group, weights are those of this shard, and the kind is not ``"subset"``.
    k
        How many, an integer from 1 to n. At most k kept scores have weight 1 each and gradient 0.
    axis
        The axis along which the weights sum to k.
    kind
        ``"capped"``: ``clip(x / T - tau, 0, 1)``, exactly 0 and 1 far from the threshold, and sparsemax at
        k = 1; ``"sigmoid"``: ``1 / (1 + exp(tau - x / T))``, never quite either; ``"subset"``: the probability
        that an entry is in a random set S of k entries, which is drawn with probability proportional to
        ``exp(sum_{i in S} x_i / T)``, softmax at k = 1. Capped weights within 8 eps of 0 or 1 are 0 or 1, so that
        scores that tie with the threshold do so in every framework. A sigmoid weight that is rounded to 1 has
        gradient 0.
    hard
        Straight-through: the value is exactly 1 at the k largest scores (of equal ones, the first) and 0
        elsewhere, the gradient that of the soft weights. Ones are fewer where fewer scores are kept.

    Returns
    -------
    array
        Weights of the shape of x, in [0, 1], summing to k along the axis (to the number of kept scores where
        that is less), in the dtype of x where that is floating.

    Notes
    -----
    ``p = argmax_p <x / T, p> + H(p)`` over ``0 <= p <= 1, sum p = k``, with ``H = -|p|^2 / 2`` (capped) or the
    sum of binary entropies (sigmoid). Jacobian: ``(diag(s) - s s^T / sum(s)) / T`` with s = 1 where
    ``0 < p < 1`` (capped) or ``s = p (1 - p)`` (sigmoid).

    With the kind ``"subset"``, ``p = sum_S P(S) 1_S`` over the sets of k kept entries, the marginals of the conditional
    Bernoulli distribution. Jacobian: the covariance matrix of the indicators of the entries, over T. Time is
    O(n k) a row and memory O(n sqrt(k)), where the other kinds take O(n).

    References
    ----------
    Blondel, Martins and Niculae (2020), "Learning with Fenchel-Young losses", section 7.3.
    Amos, Koltun and Kolter (2019), arXiv:1906.08707 (the sigmoid kind).
    Ahmed, Zeng, Niepert and Van den Broeck (2022), arXiv:2210.01941 (the subset kind).
    """
    return called(winners, x, (k, axis, temperature, kind, mask, hard, group))


def sharpen(p: Shares[A], /, axis: Axis = -1, *, power: Power = 10.0, rounds: Rounds = 1, group: Members = None) -> A:
    """Return weights raised to a power and normalised again, so many times over.

    Parameters
    ----------
    p
        Weights, ``>= 0``; they need not sum to 1. A negative one, or NaN, makes its row NaN; one of ``+inf``
        shares all with others of its kind, with gradient 0.
    axis
        The axis along which the result sums to 1.
    power
        The exponent of each round, greater than 0; above 1 sharpens, below 1 flattens.
    rounds
        How many times, an integer ``>= 0``; 0 only normalises.
    group
        The axis goes on in other members, and p is one shard of it, as in `soft_argmax`.

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
    return called(sharpened, p, (axis, power, rounds, group))

"""The public functions of random choices."""

from ._calls.annotations import A, Axis, Distribution, Mask, Scale, Scores
from ._calls.probability import chances
from ._frameworks.kept_calls import called


def argmax_probability(
    x: Scores[A],
    /,
    axis: Axis = -1,
    *,
    scale: Scale = 1.0,
    distribution: Distribution = "normal",
    mask: Mask = None,
) -> A:
    """Return the exact probability that each entry is the argmax of ``x + scale * noise`` along the axis.

    It is what the mean of the hard argmax over draws tends to, without a draw: a softmax for Normal noise.

    Parameters
    ----------
    x
        Scores. ``-inf`` counts as masked. In a row with ``+inf``, those entries are equally probable, with gradient 0.
    axis
        The axis along which the probabilities sum to 1.
    scale
        The scale of the noise, greater than 0: the standard deviation of Normal noise. A number, or an array that
        broadcasts against x, one for each entry, which gets a gradient. That of Gumbel noise is the temperature of
        `soft_one_hot`: a number, or an array of the reduced shape (the reduced axis kept with length 1).
    distribution
        ``"normal"`` or ``"gumbel"``: that of the noise, which is independent for each entry.
    mask
        Boolean, broadcasts against x; True keeps a score. Others have probability 0 and gradient 0.

    Returns
    -------
    array
        Probabilities of the shape of x, ``>= 0``, summing to 1 along the axis (to 0 in a row without any kept score), in the
        dtype of x where that is floating. NaN makes all of its row NaN, those of masked scores included.

    Notes
    -----
    Gumbel noise: ``p = softmax(x / scale)``. Normal noise: with ``u_i = (m - x_i) / s_i`` and
    ``h_i = phi(u_i) / (s_i Phi(u_i))``, ``p_i = int F h_i dm`` of ``F = prod Phi(u_j)``. Jacobian, with ``H = sum h``:
    ``int F (H diag(h) - h h^T) dm``, symmetric; that of the scales is ``int F (H diag(h) - h h^T) diag(u) dm``.

    The integrals are taken by the trapezium rule, right to some eps absolutely. An entry whose noise within 9 scales
    (6 in float32) of it does not reach that of another has probability 0, with gradient 0: of equal scales, one that is more
    than 18 (12) below another. The cost is that of x times 20 to 250 nodes for scales that are equal in a row, and grows with
    the logarithm of their ratio. Where scales for each entry cannot be looked at, as in a compiled function or on an
    accelerator, ratios up to 1e4 are served; a row that would need more nodes than there are, at most 8192, is NaN.

    References
    ----------
    Thurstone (1927), "A law of comparative judgment" (Normal noise); Luce (1959), "Individual choice behavior", and
    Yellott (1977), J. Math. Psych. 15, 109 (Gumbel noise).
    """
    return called(chances, x, (axis, scale, distribution, mask))

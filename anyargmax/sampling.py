"""Choices at random, with gradients: noise is an argument, and a draw a function of scores and noise."""

from collections.abc import Callable
from typing import Any

from ._calls.annotations import (
    A,
    AnyArray,
    Axis,
    Baseline,
    Choice,
    Count,
    Distribution,
    Draws,
    Estimator,
    Key,
    Mask,
    Noise,
    Scale,
    Scores,
    Temperature,
)
from ._calls.draws import noise_given_choice, one_hot_drawn, replaced, winners_drawn
from ._calls.noise import noise as drawn_noise
from ._calls.perturbed import mean_answer
from ._calls.probability import chances
from ._frameworks.kept_calls import called

__all__ = [
    "argmax_probability",
    "conditional_gumbel",
    "gumbel_noise",
    "normal_noise",
    "perturbed",
    "sample_one_hot",
    "sample_top_k",
    "straight_through",
]


def gumbel_noise(key: Key, x: Scores[A], /, *, draws: Draws = ()) -> A:
    """Return standard Gumbel noise for scores: the argmax of ``x + noise`` is a draw from ``softmax(x)``.

    Parameters
    ----------
    key
        What the framework of x draws random numbers with: a key of JAX (typed, or raw words), a `torch.Generator` on the device
        of x, a `tf.random.Generator`, or a `numpy.random.Generator` for NumPy, autograd, Dask, CuPy and other
        namespaces of the Array API standard. Dask and CuPy take their own generators too.
    x
        Real scores of any shape. Only shape, dtype and device are used, and no value is read.
    draws
        The length of an axis of independent draws, or several of them, which come before the axes of x.

    Returns
    -------
    array
        Noise of the shape ``draws + x.shape``, on the device of x, in x's floating dtype but at least float32; integers
        give the framework's default. It is finite, and a constant: it has no gradient.

    Raises
    ------
    TypeError
        If x is no real array, the key is none of the framework of x, or draws are no integers.
    ValueError
        If draws are negative, or a `torch.Generator` is on another device than x.

    Notes
    -----
    ``g = -log(-log(1 - w))``, with w uniform on (0, 1). It is made of integers that are uniform from 0 to
    ``2^24 - 1``: ``w = i / 2^24 + j / 2^48``, in float64 ``i / 2^24 + j / 2^48 + k / 2^72``, rounded to the dtype, at most
    ``1 - eps / 2``, and in place of 0 half of the next number. So large values are resolved up to the largest, 33.96 in
    float32 and 50.60 in float64. The smallest are -2.81 and -3.60, below which a Gumbel number is with probability ``eps / 2``.

    The frameworks draw other integers from the same seed. The same integers give the same noise, within a few eps; and
    the same noise gives the same answer in every framework. `torch.compile(fullgraph=True)` follows no
    `torch.Generator`: make the noise outside, and pass it.

    Jacobian: none, the noise does not depend on x.

    References
    ----------
    Gumbel (1954), "Statistical theory of extreme values and some practical applications", National Bureau of
    Standards, Applied Mathematics Series 33 (the argmax of scores and noise).
    Maddison, Tarlow and Minka (2014), "A* sampling", arXiv:1411.0030, section 2.
    """
    draws = tuple(draws) if isinstance(draws, list) else draws
    return called(drawn_noise, x, (key, draws, "gumbel"))


def normal_noise(key: Key, x: Scores[A], /, *, draws: Draws = ()) -> A:
    """Return standard normal noise for scores.

    Parameters
    ----------
    key, x, draws
        As in `gumbel_noise`.

    Returns
    -------
    array
        Noise of the shape ``draws + x.shape``, on the device of x, in x's floating dtype but at least float32; integers
        give the framework's default. It is finite, and a constant: it has no gradient.

    Raises
    ------
    TypeError, ValueError
        As `gumbel_noise`.

    Notes
    -----
    ``sqrt(-2 log w) cos(pi (2 a + 1 - 2^24) / 2^24)``, with w uniform on (0, 1) as in `gumbel_noise`, and one more integer
    a, uniform from 0 to ``2^24 - 1``. The law is symmetric. Both tails are resolved up to the largest value,
    8.24 in float32 and 10.06 in float64.

    The frameworks draw other integers from the same seed. The same integers give the same noise, within a few eps; and
    the same noise gives the same answer in every framework.

    Jacobian: none, the noise does not depend on x.

    References
    ----------
    Box and Muller (1958), "A note on the generation of random normal deviates", Annals of Mathematical Statistics 29,
    610-611.
    """
    draws = tuple(draws) if isinstance(draws, list) else draws
    return called(drawn_noise, x, (key, draws, "normal"))


def sample_one_hot(
    x: Scores[A],
    noise: Noise,
    /,
    axis: Axis = -1,
    *,
    temperature: Temperature = 1.0,
    mask: Mask = None,
    estimator: Estimator = "gumbel",
) -> A:
    """Return one-hot draws of the scores' softmax weights, with the gradient of an estimator.

    The choice of a row is ``argmax(x + noise)``, which has the probabilities ``softmax(x)`` if the noise is that of
    `gumbel_noise`. With other noise it has other probabilities, see `argmax_probability`.

    Parameters
    ----------
    x
        Scores, as in `soft_argmax`. A masked or ``-inf`` score is never chosen. Among ``+inf`` scores the noise decides, and
        x has gradient 0 in that row.
    noise
        Floating-point array that broadcasts against x, with x's length along the axis. Leading axes that x lacks are those
        of draws. The first axis of the noise for ``estimator="gumbel-rao"`` is reduced.
    axis
        The axis of x along which one entry is chosen.
    temperature
        Of the gradient: it does not change the choice. ``x / t`` in place of x, or ``t * noise`` in place of the noise,
        does. As in `soft_argmax`, but an array broadcasts against the reduced shape of the result.
    mask
        As in `soft_argmax`.
    estimator
        The cotangent of x is, for the cotangent v of the result, the choice D, ``p_T = softmax(x / T)`` and
        ``J(q) v = q * (v - <q, v>)``:

        ``"gumbel"``
            ``J(softmax((x + noise) / T)) v / T``, and the noise has the same.
        ``"straight-through"``
            ``J(p_T) v / T``. Its mean is exact for linear functions of D at T = 1.
        ``"reinmax"``
            ``2 J((p_T + D) / 2) v - J(p_1) v / 2``. Its mean is exact for quadratic functions at T = 1. The temperature
            has no gradient. Second derivatives are the symmetric part of those of this product.
        ``"gumbel-rao"``
            The mean over k of ``J(softmax((x + G_k) / T)) v / T`` with ``G_0`` the first entry of the noise, which chooses,
            and ``G_k`` the k-th given that choice (`conditional_gumbel`), all constant. Its mean is that of ``"gumbel"``,
            its variance less.
        ``"gapped"``
            ``J(softmax((x + m) / T)) v / T`` with m constant: ``max(x) - x_D`` at the choice,
            ``-max(x_j + 1 - max(x), 0)`` elsewhere.

    Returns
    -------
    array
        One-hot weights of the shape that x and the noise have together, in the dtype of x where that is floating; 0 in a row
        without any kept score, NaN in the row of a NaN.

    Raises
    ------
    TypeError
        As `soft_argmax`; if the noise is no floating-point array.
    ValueError
        As `soft_argmax`; if the noise does not fit, or the estimator is unknown.

    References
    ----------
    Jang, Gu and Poole (2017), arXiv:1611.01144; Maddison, Mnih and Teh (2017), arXiv:1611.00712 (gumbel).
    Bengio, Leonard and Courville (2013), arXiv:1308.3432 (straight-through).
    Liu, Dong, Liu, Yu and Gao (2023), arXiv:2304.08612 (reinmax).
    Paulus, Maddison and Krause (2020), arXiv:2010.04838 (gumbel-rao).
    Fan, Chi, Rudnicky and Ramadge (2022), arXiv:2206.07235 (gapped).

    Examples
    --------
    >>> import numpy as np
    >>> x, noise = np.asarray([1.0, 2.0, 0.0]), np.asarray([[1.5, 0.0, 0.5], [0.0, 0.25, 0.5]])
    >>> print(sample_one_hot(x, noise))
    [[1. 0. 0.]
     [0. 1. 0.]]
    """
    return called(one_hot_drawn, x, (noise, axis, temperature, mask, estimator))


def sample_top_k(
    x: Scores[A],
    k: Count,
    noise: Noise,
    /,
    axis: Axis = -1,
    *,
    temperature: Temperature = 1.0,
    mask: Mask = None,
) -> A:
    """Return random choices of k entries, exactly of the law ``P(S) ~ exp(sum_S x / T)``, with the gradient of its marginals.

    Parameters
    ----------
    x, mask
        As in `soft_argmax`. A masked or ``-inf`` score is never chosen.
    k
        How many, an integer from 1 to n.
    noise
        Gumbel noise, as in `sample_one_hot`. Each choice in a tree over the entries uses the uniform number
        ``exp(-exp(-g))``: it is not added to the scores.
    axis
        The axis of x along which k entries are chosen.
    temperature
        Of the law and of the gradient, as in `soft_top_k`.

    Returns
    -------
    array
        Ones at the k entries chosen and zeros elsewhere, of the shape that x and the noise have together, in the dtype of x
        where that is floating. Ones are fewer where fewer scores are kept. NaN in the row of a NaN.

    Raises
    ------
    TypeError, ValueError
        As `sample_one_hot` and `soft_top_k`.

    See Also
    --------
    soft_top_k : with ``kind="subset"``, the mean of these draws, with the same gradient.

    Notes
    -----
    The gradient is exact in the mean for linear functions of the draw. Jacobian: the covariance matrix of the indicators, over
    T. The k largest of ``x + noise`` have another law, that of drawing k times without putting back, whose gradient
    this is not.

    References
    ----------
    Ahmed, Zeng, Niepert and Van den Broeck (2022), "SIMPLE: a gradient estimator for k-subset sampling", arXiv:2210.01941.
    Chen and Liu (1997), "Statistical applications of the Poisson-binomial and conditional Bernoulli distributions".

    Examples
    --------
    >>> import numpy as np
    >>> x = np.asarray([2.0, 0.0, 1.0, 0.5])
    >>> print(sample_top_k(x, 2, gumbel_noise(np.random.default_rng(0), x, draws=3)).sum(axis=-1))
    [2. 2. 2.]
    """
    return called(winners_drawn, x, (k, noise, axis, temperature, mask))


def conditional_gumbel(x: Scores[A], chosen: Choice, noise: Noise, /, axis: Axis = -1, *, mask: Mask = None) -> A:
    """Return Gumbel noise given what it chooses: ``argmax(x + result)`` is the choice.

    Parameters
    ----------
    x, mask
        As in `soft_argmax`.
    chosen
        The choice of each row: a one-hot array of floats or Booleans, such as `sample_one_hot` returns, or integer indices of
        the shape of the result without the axis. An array of integers is read as indices.
    noise
        Gumbel noise, as in `sample_one_hot`.
    axis
        The axis along which one entry is chosen.

    Returns
    -------
    array
        Noise of the shape that x and the noise have together, in x's floating dtype but at least float32, with gradients for
        x and the noise. Where a score is masked it is the noise as it was given. NaN in a row whose choice is masked, or no entry.

    Notes
    -----
    With ``top = logsumexp(x) + g_D`` for the choice D it is ``top - x_D`` there, and
    ``g_j - log(1 + exp(x_j + g_j - top))`` elsewhere, which overflows for no scores. The sum ``x + result`` is rounded: its
    largest entry may tie with another where scores are large, unless they are shifted by their largest.
    Jacobian, with ``s_j = 1 / (1 + exp(top - x_j - g_j))`` and ``p = softmax(x)``: ``d top = <p, dx> + dg_D``,
    ``dG_D = d top - dx_D`` and ``dG_j = dg_j - s_j (dx_j + dg_j - d top)``.

    References
    ----------
    Maddison, Tarlow and Minka (2014), "A* sampling" (truncated Gumbel variables).
    Paulus, Maddison and Krause (2020), arXiv:2010.04838, eq. 6.
    """
    return called(noise_given_choice, x, (chosen, noise, axis, mask))


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

    It is the limit of the mean one-hot argmax over many draws: for Normal noise what softmax is for Gumbel noise.

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
    than 18 (12) below another. The cost is that of x times about 14 to 300 nodes for scales that are equal in a row, and grows with
    the logarithm of their ratio. Where scales for each entry cannot be looked at, as in a compiled function or on an
    accelerator, ratios up to 1e4 are served; a row that would need more nodes than there are, at most 8192, is NaN.

    References
    ----------
    Thurstone (1927), "A law of comparative judgment" (Normal noise); Luce (1959), "Individual choice behavior", and
    Yellott (1977), J. Math. Psych. 15, 109 (Gumbel noise).
    """
    return called(chances, x, (axis, scale, distribution, mask))


def perturbed(
    f: Callable[[Any], Any],
    x: Scores[A],
    noise: Noise,
    /,
    *,
    scale: Scale = 1.0,
    distribution: Distribution = "gumbel",
    baseline: Baseline | None = "mean",
) -> A:
    """Return the mean of ``f(x + scale * noise)`` over the draws, with a gradient for x, whatever f is.

    Parameters
    ----------
    f
        A function of an array of x's shape, which need have no derivative, such as an argmax, a sort or a solver. It is
        called once for each draw, and returns arrays of one shape. Whatever else it depends on gets its usual gradient.
    x
        Scores, as in `soft_argmax`. An infinite one has gradient 0.
    noise
        The draws, then the shape of x.
    scale
        Of the noise: a number greater than 0, or an array that broadcasts against x, which gets a gradient.
    distribution
        That of the noise, whose density the gradient depends on: ``"gumbel"`` (`gumbel_noise`) or ``"normal"``
        (`normal_noise`).
    baseline
        What is subtracted from each answer in the gradient, whose mean does not change by it and whose variance does:
        ``"mean"``, the mean of the other draws' answers; ``"center"``, ``f(x)``; or None.

    Returns
    -------
    array
        The mean of the answers, of their shape. Where an answer is NaN or infinite it is NaN, and so is the gradient.

    Raises
    ------
    TypeError, ValueError
        If x, the noise or an option is none of these; if f returns no array, or arrays of different shapes; of one draw
        with ``baseline="mean"``.

    Notes
    -----
    Jacobian, with the answers y, baselines b and noise z of M draws, and ``nu(z) = z`` (normal) or ``1 - exp(-z)`` (gumbel):
    ``sum_m (y_m - b_m) nu(z_m)^T / (M scale)``. Second derivatives have the mean of the true ones as well. f is given
    scores that carry no gradient.

    References
    ----------
    Berthet, Blondel, Teboul, Cuturi, Vert and Bach (2020), arXiv:2002.08676.
    """
    return mean_answer(f, x, noise, scale, distribution, baseline)


def straight_through(value: AnyArray, surrogate: Scores[A], /) -> A:
    """Return the value exactly, with the gradient of the surrogate.

    Parameters
    ----------
    value
        Array of the surrogate's shape, of its dtype or of integers or Booleans, without a gradient.
    surrogate
        Floating-point array that lends its gradient. Where it is infinite it has none.

    Returns
    -------
    array
        The value, in the dtype of the surrogate; NaN where the surrogate is.

    Raises
    ------
    TypeError, ValueError
        If the shapes differ, or a dtype is none of these.

    Notes
    -----
    ``value + (surrogate - detach(surrogate))``, which is exact where ``surrogate + detach(value - surrogate)`` is rounded.

    References
    ----------
    Bengio, Leonard and Courville (2013), arXiv:1308.3432.
    """
    return called(replaced, surrogate, (value,))

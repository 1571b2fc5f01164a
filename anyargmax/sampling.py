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
    key : object
        The random generator of the framework of x: a key of JAX (typed, or raw words), a `torch.Generator` on the
        device of x, a `tf.random.Generator`, or a `numpy.random.Generator` for NumPy, autograd, Dask, CuPy and other
        namespaces of the Array API standard. Dask and CuPy take their own generators too.
    x : array
        Real scores of any shape. Only shape, dtype and device are used; no value is read.
    draws : int or sequence of int, default ()
        The length of an axis of independent draws, or several of them, which come before the axes of x.

    Returns
    -------
    array
        Noise of the shape ``draws + x.shape``, on the device of x, in the floating-point dtype of x but at least
        float32; integers give the framework's default. It is finite, and a constant: it has no gradient.

    Raises
    ------
    TypeError
        If x is no real array, if the key is none of the framework of x, or if draws are no integers.
    ValueError
        If draws are negative, or if a `torch.Generator` is on another device than x.

    See Also
    --------
    normal_noise : Standard normal noise.
    sample_one_hot : A draw, with a gradient.

    Notes
    -----
    ``g = -log(-log(1 - w))``, with w uniform on (0, 1). It is made of integers that are uniform from 0 to ``2^24 - 1``:
    ``w = i / 2^24 + j / 2^48``, in float64 ``i / 2^24 + j / 2^48 + k / 2^72``, rounded to the dtype, at most
    ``1 - eps / 2``, and in place of 0 half of the next number. So large values are resolved up to the largest, 33.96 in
    float32 and 50.60 in float64. The smallest are -2.81 and -3.60, below which a Gumbel number lies with probability
    ``eps / 2``.

    The frameworks draw other integers from the same seed. The same integers give the same noise, within a few eps, and
    the same noise gives the same answer in every framework. `torch.compile(fullgraph=True)` follows no
    `torch.Generator`: make the noise outside, and pass it.

    Jacobian: none, because the noise does not depend on x.

    References
    ----------
    * Gumbel (1954), "Statistical theory of extreme values and some practical applications", National Bureau of
      Standards, Applied Mathematics Series 33.
    * Maddison, Tarlow and Minka (2014), "A* sampling", arXiv:1411.0030, section 2 (the argmax of scores and noise).

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax.sampling import gumbel_noise
    >>> x = np.log(np.asarray([0.1, 0.2, 0.7]))
    >>> noise = gumbel_noise(np.random.default_rng(0), x, draws=100_000)
    >>> print(noise.shape, (np.bincount((x + noise).argmax(-1)) / 100_000).round(2))
    (100000, 3) [0.1 0.2 0.7]
    """
    draws = tuple(draws) if isinstance(draws, list) else draws
    return called(drawn_noise, x, (key, draws, "gumbel"))


def normal_noise(key: Key, x: Scores[A], /, *, draws: Draws = ()) -> A:
    """Return standard normal noise for scores.

    Parameters
    ----------
    key : object
        The random generator of the framework of x: a key of JAX, a `torch.Generator` on the device of x, a
        `tf.random.Generator`, or a `numpy.random.Generator` for NumPy, autograd, Dask, CuPy and other namespaces of the
        Array API standard.
    x : array
        Real scores of any shape. Only shape, dtype and device are used; no value is read.
    draws : int or sequence of int, default ()
        The length of an axis of independent draws, or several of them, which come before the axes of x.

    Returns
    -------
    array
        Noise of the shape ``draws + x.shape``, on the device of x, in the floating-point dtype of x but at least
        float32; integers give the framework's default. It is finite, and a constant: it has no gradient.

    Raises
    ------
    TypeError
        If x is no real array, if the key is none of the framework of x, or if draws are no integers.
    ValueError
        If draws are negative, or if a `torch.Generator` is on another device than x.

    See Also
    --------
    gumbel_noise : Gumbel noise, with notes on both.
    argmax_probability : The probability of each argmax under this noise.

    Notes
    -----
    ``sqrt(-2 log w) cos(pi (2 a + 1 - 2^24) / 2^24)``, with w uniform on (0, 1) as in `gumbel_noise`, and one more
    integer a, uniform from 0 to ``2^24 - 1``. The law is symmetric. Both tails are resolved up to the largest value,
    8.24 in float32 and 10.06 in float64.

    The frameworks draw other integers from the same seed. The same integers give the same noise, within a few eps, and
    the same noise gives the same answer in every framework.

    Jacobian: none, because the noise does not depend on x.

    References
    ----------
    * Box and Muller (1958), "A note on the generation of random normal deviates", Annals of Mathematical Statistics 29,
      610-611.

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax.sampling import normal_noise
    >>> noise = normal_noise(np.random.default_rng(0), np.zeros((2, 5), "float32"), draws=(10_000,))
    >>> print(noise.shape, noise.dtype, abs(noise.mean()) < 0.01, abs(noise.std() - 1) < 0.01)
    (10000, 2, 5) float32 True True
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
    x : array
        Scores of any shape and of a real floating-point or integer dtype. A masked or ``-inf`` score is never chosen.
        Among ``+inf`` scores the noise decides, and x has gradient 0 in that row.
    noise : array
        Of a floating-point dtype; broadcasts against x, with the length of x along the axis. Leading axes that x lacks
        are those of draws. With ``estimator="gumbel-rao"`` the first axis is reduced.
    axis : int, default -1
        The axis of x along which one entry is chosen.
    temperature : float or array, default 1.0
        The temperature of the gradient. It does not change the choice: for that, pass ``x / t`` as x, or ``t * noise``
        as the noise. Greater than 0: a number, or an array that broadcasts against the result with the axis of length
        1.
    mask : array of bool, optional
        Broadcasts against x; True keeps a score. Masked scores take no part in the computation and have gradient 0.
    estimator : {"gumbel", "straight-through", "reinmax", "gumbel-rao", "gapped"}, default "gumbel"
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
            The mean over k of ``J(softmax((x + G_k) / T)) v / T`` with ``G_0`` the first entry of the noise, which
            chooses, and ``G_k`` the k-th given that choice (`conditional_gumbel`), all constant. Its mean is that of
            ``"gumbel"``, its variance less.
        ``"gapped"``
            ``J(softmax((x + m) / T)) v / T`` with m constant: ``max(x) - x_D`` at the choice,
            ``-max(x_j + 1 - max(x), 0)`` elsewhere.

    Returns
    -------
    array
        One-hot weights of the shape that x and the noise have together, in the dtype of x where that is floating. They
        are 0 in a row without any kept score, and NaN in the row of a NaN.

    Raises
    ------
    TypeError
        If x is no array, or of a Boolean or complex dtype; if the noise is no floating-point array; if an option has a
        wrong type.
    ValueError
        If the axis does not exist or is empty, if the noise or another shape does not fit, or if the estimator is
        unknown.

    See Also
    --------
    gumbel_noise : The noise.
    sample_top_k : Draws of k entries.
    anyargmax.soft_one_hot : The mean of the draws.

    Notes
    -----
    Jacobian: that of the estimator, above; each is a stand-in, because the draw itself has derivative 0 almost
    everywhere.

    References
    ----------
    * Jang, Gu and Poole (2017), arXiv:1611.01144; Maddison, Mnih and Teh (2017), arXiv:1611.00712 (gumbel).
    * Bengio, Leonard and Courville (2013), arXiv:1308.3432 (straight-through).
    * Liu, Dong, Liu, Yu and Gao (2023), arXiv:2304.08612 (reinmax).
    * Paulus, Maddison and Krause (2020), arXiv:2010.04838 (gumbel-rao).
    * Fan, Chi, Rudnicky and Ramadge (2022), arXiv:2206.07235 (gapped).

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import vjp
    >>> from anyargmax.sampling import sample_one_hot
    >>> x, noise = np.asarray([1.0, 2.0, 0.0]), np.asarray([[1.5, 0.0, 0.5], [0.0, 0.25, 0.5]])
    >>> print(sample_one_hot(x, noise))
    [[1. 0. 0.]
     [0. 1. 0.]]
    >>> draw, pullback = vjp(lambda x: sample_one_hot(x, noise[0], estimator="reinmax"), x)
    >>> print(pullback(np.asarray([1.0, 0.0, 0.0]))[0].round(3))
    [ 0.378 -0.333 -0.045]
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
    """Return random choices of k entries with the gradient of their marginals.

    A set S of k entries is drawn with probability ``P(S)`` proportional to ``exp(sum_{i in S} x_i / T)``, exactly.

    Parameters
    ----------
    x : array
        Scores of any shape and of a real floating-point or integer dtype. A masked or ``-inf`` score is never chosen.
    k : int
        The number of entries to draw, from 1 to n.
    noise : array
        Gumbel noise of a floating-point dtype; broadcasts against x, with the length of x along the axis. Leading axes
        that x lacks are those of draws. Each choice in a tree over the entries uses the uniform number
        ``exp(-exp(-g))``: the noise is not added to the scores.
    axis : int, default -1
        The axis of x along which k entries are chosen.
    temperature : float or array, default 1.0
        The temperature of the distribution and of the gradient. Greater than 0: a number, or an array that broadcasts
        against the result with the axis of length 1, which gets a gradient.
    mask : array of bool, optional
        Broadcasts against x; True keeps a score. Masked scores take no part in the computation and have gradient 0.

    Returns
    -------
    array
        Ones at the k entries chosen and zeros elsewhere, of the shape that x and the noise have together, in the dtype
        of x where that is floating. There are fewer ones if fewer than k scores are kept. NaN in the row of a NaN.

    Raises
    ------
    TypeError
        If x is no array, or of a Boolean or complex dtype; if the noise is no floating-point array; if an option has a
        wrong type.
    ValueError
        If k is no integer from 1 to n, if the axis does not exist, or if the noise or another shape does not fit.

    See Also
    --------
    anyargmax.soft_top_k : With ``kind="subset"``, the mean of these draws, with the same gradient.

    Notes
    -----
    Jacobian: the covariance matrix of the indicators of the entries, over T. The gradient is exact in the mean for
    linear functions of the draw. The k largest of ``x + noise`` have another distribution, that of k draws without
    replacement, and this is not its gradient.

    References
    ----------
    * Ahmed, Zeng, Niepert and Van den Broeck (2022), "SIMPLE: a gradient estimator for k-subset sampling",
      arXiv:2210.01941.
    * Chen and Liu (1997), "Statistical applications of the Poisson-binomial and conditional Bernoulli distributions".

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax.sampling import gumbel_noise, sample_top_k
    >>> x = np.asarray([2.0, 0.0, 1.0, 0.5])
    >>> draws = sample_top_k(x, 2, gumbel_noise(np.random.default_rng(0), x, draws=3))
    >>> print(draws.shape, draws.sum(axis=-1))
    (3, 4) [2. 2. 2.]
    """
    return called(winners_drawn, x, (k, noise, axis, temperature, mask))


def conditional_gumbel(x: Scores[A], chosen: Choice, noise: Noise, /, axis: Axis = -1, *, mask: Mask = None) -> A:
    """Return Gumbel noise given what it chooses: ``argmax(x + result)`` is the choice.

    Parameters
    ----------
    x : array
        Scores of any shape and of a real floating-point or integer dtype.
    chosen : array
        The choice of each row: a one-hot array of floats or Booleans, such as `sample_one_hot` returns, or integer
        indices of the shape of the result without the axis. An array of integers is read as indices.
    noise : array
        Gumbel noise of a floating-point dtype; broadcasts against x, with the length of x along the axis. Leading axes
        that x lacks are those of draws.
    axis : int, default -1
        The axis of x along which one entry is chosen.
    mask : array of bool, optional
        Broadcasts against x; True keeps a score. Where a score is masked, the noise is returned as it was given.

    Returns
    -------
    array
        Noise of the shape that x and the noise have together, in the floating-point dtype of x but at least float32,
        with gradients for x and the noise. NaN in a row whose choice is masked, or is no entry.

    Raises
    ------
    TypeError
        If x is no array, or of a Boolean or complex dtype; if the choice is no array or the noise no floating-point
        array.
    ValueError
        If the axis does not exist or is empty, or if a shape does not fit.

    See Also
    --------
    gumbel_noise : Noise without a condition.
    sample_one_hot : Its estimator ``"gumbel-rao"`` takes the mean over such noise.

    Notes
    -----
    With ``top = logsumexp(x) + g_D`` for the choice D it is ``top - x_D`` there, and ``g_j - log(1 + exp(x_j + g_j -
    top))`` elsewhere, which overflows for no scores. The sum ``x + result`` is rounded: its largest entry may tie with
    another where scores are large, unless they are shifted by their largest.

    Jacobian, with ``s_j = 1 / (1 + exp(top - x_j - g_j))`` and ``p = softmax(x)``: ``d top = <p, dx> + dg_D``,
    ``dG_D = d top - dx_D`` and ``dG_j = dg_j - s_j (dx_j + dg_j - d top)``.

    References
    ----------
    * Maddison, Tarlow and Minka (2014), "A* sampling", arXiv:1411.0030 (truncated Gumbel variables).
    * Paulus, Maddison and Krause (2020), arXiv:2010.04838, eq. 6.

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax.sampling import conditional_gumbel, gumbel_noise
    >>> x = np.asarray([1.0, 2.0, 0.0])
    >>> noise = conditional_gumbel(x, np.asarray([2] * 5), gumbel_noise(np.random.default_rng(0), x, draws=5))
    >>> print((x + noise).argmax(-1))
    [2 2 2 2 2]
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

    It is the limit of the mean one-hot argmax over many draws: for normal noise what softmax is for Gumbel noise.

    Parameters
    ----------
    x : array
        Scores of any shape and of a real floating-point or integer dtype. ``-inf`` counts as masked. In a row with
        ``+inf``, those entries are equally probable, with gradient 0.
    axis : int, default -1
        The axis along which the probabilities sum to 1.
    scale : float or array, default 1.0
        The scale of the noise, greater than 0: the standard deviation of normal noise. A number, or an array that
        broadcasts against x, one for each entry, which gets a gradient. That of Gumbel noise is the temperature of
        `soft_one_hot`: a number, or an array of the reduced shape (the axis kept, with length 1).
    distribution : {"normal", "gumbel"}, default "normal"
        The distribution of the noise, which is independent for each entry.
    mask : array of bool, optional
        Broadcasts against x; True keeps a score. Others have probability 0 and gradient 0.

    Returns
    -------
    array
        Probabilities of the shape of x, ``>= 0``, summing to 1 along the axis (to 0 in a row without any kept score),
        in the dtype of x where that is floating. NaN makes all of its row NaN, those of masked scores included.

    Raises
    ------
    TypeError
        If x is no array, or of a Boolean or complex dtype; if an option has a wrong type.
    ValueError
        If the axis does not exist or is empty, if a shape does not fit, or if an option is out of its range.

    See Also
    --------
    normal_noise : The noise.
    anyargmax.soft_one_hot : The probabilities under Gumbel noise.

    Notes
    -----
    Gumbel noise: ``p = softmax(x / scale)``. Normal noise: with ``u_i = (m - x_i) / s_i`` and
    ``h_i = phi(u_i) / (s_i Phi(u_i))``, ``p_i = int F h_i dm`` of ``F = prod Phi(u_j)``. Jacobian, with ``H = sum h``:
    ``int F (H diag(h) - h h^T) dm``, symmetric; that of the scales is ``int F (H diag(h) - h h^T) diag(u) dm``.

    The integrals are taken by the trapezium rule, right to some eps absolutely. An entry whose noise within 9 scales (6
    in float32) of it does not reach that of another has probability 0, with gradient 0: of equal scales, one that is
    more than 18 (12) below another. The cost is that of x times about 14 to 300 nodes for scales that are equal in a
    row, and grows with the logarithm of their ratio. Where scales for each entry cannot be looked at, as in a compiled
    function or on an accelerator, ratios up to 1e4 are served. A row that would need more nodes than there are, at most
    8192, is NaN.

    References
    ----------
    * Thurstone (1927), "A law of comparative judgment" (normal noise).
    * Luce (1959), "Individual choice behavior"; Yellott (1977), J. Math. Psych. 15, 109 (Gumbel noise).

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax.sampling import argmax_probability
    >>> x = np.asarray([0.0, 1.0, 2.0])
    >>> print(argmax_probability(x).round(4), argmax_probability(x, distribution="gumbel").round(4))
    [0.0472 0.2241 0.7288] [0.09   0.2447 0.6652]
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
    f : callable
        A function of an array of the shape of x, which need have no derivative, such as an argmax, a sort or a solver.
        It is called once for each draw, and returns arrays of one shape. Whatever else it depends on gets its usual
        gradient.
    x : array
        Scores of any shape and of a real floating-point or integer dtype. An infinite one has gradient 0.
    noise : array
        Of a floating-point dtype and of the shape ``(draws, *x.shape)``.
    scale : float or array, default 1.0
        The scale of the noise: a number greater than 0, or an array that broadcasts against x, which gets a gradient.
    distribution : {"gumbel", "normal"}, default "gumbel"
        The distribution of the noise, on whose density the gradient depends: that of `gumbel_noise` or of
        `normal_noise`.
    baseline : {"mean", "center"} or None, default "mean"
        What is subtracted from each answer in the gradient. This changes the variance of the gradient, and not its
        mean: ``"mean"``, the mean of the other draws' answers; ``"center"``, ``f(x)``; or None.

    Returns
    -------
    array
        The mean of the answers, of their shape. Where an answer is NaN or infinite it is NaN, and so is the gradient.

    Raises
    ------
    TypeError
        If f is no function or returns no array; if x is no real array; if the noise is no floating-point array; if an
        option has a wrong type.
    ValueError
        If the noise does not fit, if f returns arrays of different shapes, if an option is out of its range, or if
        there is one draw with ``baseline="mean"``.

    See Also
    --------
    sample_one_hot : Draws of one entry, whose gradient needs the derivative of what follows.

    Notes
    -----
    Jacobian, with the answers y, baselines b and noise z of M draws, and ``nu(z) = z`` (normal) or ``1 - exp(-z)``
    (gumbel): ``sum_m (y_m - b_m) nu(z_m)^T / (M scale)``. Second derivatives have the mean of the true ones as well. f
    is given scores that carry no gradient.

    References
    ----------
    * Berthet, Blondel, Teboul, Cuturi, Vert and Bach (2020), arXiv:2002.08676.

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import vjp
    >>> from anyargmax.sampling import gumbel_noise, perturbed
    >>> one_hot = lambda x: (x == x.max()).astype(float)
    >>> x = np.asarray([0.0, 1.0, 2.0])
    >>> noise = gumbel_noise(np.random.default_rng(0), x, draws=10_000)
    >>> value, pullback = vjp(lambda x: perturbed(one_hot, x, noise), x)
    >>> print(value.round(2), pullback(np.asarray([0.0, 0.0, 1.0]))[0].round(1))
    [0.09 0.25 0.66] [-0.1 -0.2  0.2]
    """
    return mean_answer(f, x, noise, scale, distribution, baseline)


def straight_through(value: AnyArray, surrogate: Scores[A], /) -> A:
    """Return the value exactly, with the gradient of the surrogate.

    Parameters
    ----------
    value : array
        Of the shape of the surrogate, of its dtype or of integers or Booleans. It gets no gradient.
    surrogate : array
        Of a floating-point dtype; lends its gradient. Where it is infinite it has none.

    Returns
    -------
    array
        The value, in the dtype of the surrogate; NaN where the surrogate is.

    Raises
    ------
    TypeError
        If one of them is no array, or of a dtype that is none of these.
    ValueError
        If the shapes differ.

    See Also
    --------
    anyargmax.soft_one_hot : With ``hard=True`` the one-hot argmax, with the gradient of the weights.

    Notes
    -----
    ``value + (surrogate - detach(surrogate))``, which is exact where ``surrogate + detach(value - surrogate)`` is
    rounded. Jacobian: the identity for the surrogate, 0 for the value.

    References
    ----------
    * Bengio, Leonard and Courville (2013), arXiv:1308.3432.

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import straight_through, vjp
    >>> p = np.asarray([0.25, 0.75])
    >>> value, pullback = vjp(lambda p: straight_through(np.round(p), p), p)
    >>> print(value, pullback(np.asarray([2.0, 3.0]))[0])
    [0. 1.] [2. 3.]
    """
    return called(replaced, surrogate, (value,))

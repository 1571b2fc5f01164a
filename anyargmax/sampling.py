"""Random choices: noise as an array, and what is made of scores and noise."""

from ._calls.annotations import A, Draws, Key, Scores
from ._calls.noise import noise
from ._frameworks.kept_calls import called


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
    return called(noise, x, (key, draws, "gumbel"))


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
    return called(noise, x, (key, draws, "normal"))

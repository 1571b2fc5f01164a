"""Explicit derivatives, in every framework: by its own differentiation, or by the rules."""

from collections.abc import Callable
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from ._calls import validate
from ._calls.annotations import AnyArray

P = ParamSpec("P")
T = TypeVar("T")
X = TypeVar("X", bound=AnyArray)


def _differentiator(arrays: tuple[Any, ...]) -> Any:
    if not arrays:
        raise TypeError("`arrays` must hold at least one array, got none. Pass what `f` is differentiated by.")
    ops = validate.operations(arrays[0], "arrays[0]", **{f"arrays[{k}]": x for k, x in enumerate(arrays[1:], 1)})
    if ops.name == "numpy":
        try:
            from ._frameworks.binding import autograd
        except ModuleNotFoundError:
            return ops
        return autograd
    return ops


# A function of one array is followed, so that the value of a generic one is known; others say what they return.
@overload
def vjp(
    f: Callable[Concatenate[X, P], T], x: X, /, *arrays: P.args, **options: P.kwargs
) -> tuple[T, Callable[[Any], tuple[X, ...]]]: ...
@overload
def vjp(f: Callable[..., T], /, *arrays: X, **options: Any) -> tuple[T, Callable[[Any], tuple[X, ...]]]: ...
def vjp(f: Callable[..., Any], /, *arrays: Any, **options: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Return ``f(*arrays, **options)`` and its pullback, as ``jax.vjp`` does, in any framework.

    Parameters
    ----------
    f : callable
        Any function of arrays of NumPy (through autograd), torch, JAX or TensorFlow that the framework can
        differentiate. With arrays of a framework without differentiation, one call of a function of this library.
    *arrays : array
        The arguments of f, with respect to which it is differentiated: one or more arrays of one framework.
    **options
        Passed to f as they are, and not differentiated.

    Returns
    -------
    value : array or tuple of arrays
        What f returns.
    pullback : callable
        Takes the cotangent ``g``, of the structure of the value, and returns a tuple with one gradient ``J^T g`` for
        each array. Arrays that cannot have one (integers, or in torch all of them if the value depends on none) get
        None, or what the framework puts there.

    Raises
    ------
    TypeError
        If there is no array, or if the framework has no automatic differentiation and f is not one call of a function
        of this library.

    See Also
    --------
    jvp : The directional derivative.

    Notes
    -----
    The Jacobian J is that of f. NumPy arrays are differentiated by autograd where it is installed, and by the rules of
    this library otherwise.

    References
    ----------
    * Baydin, Pearlmutter, Radul and Siskind (2018), arXiv:1502.05767, section 3.2 (reverse mode).

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import soft_argmax, vjp
    >>> value, pullback = vjp(soft_argmax, np.asarray([0.0, 0.0, 0.0]), temperature=0.5)
    >>> print(value, pullback(np.asarray(3.0))[0])
    1.0 [-2.  0.  2.]
    """
    return _differentiator(arrays).vjp(partial(f, **options) if options else f, *arrays)


@overload
def jvp(f: Callable[Concatenate[X, ...], T], arrays: tuple[X], tangents: tuple[AnyArray], /) -> tuple[T, T]: ...
@overload
def jvp(
    f: Callable[..., T], arrays: tuple[AnyArray, ...], tangents: tuple[AnyArray, ...], /, **options: Any
) -> tuple[T, T]: ...
def jvp(
    f: Callable[..., Any], arrays: tuple[Any, ...], tangents: tuple[Any, ...], /, **options: Any
) -> tuple[Any, Any]:
    """Return ``f(*arrays, **options)`` and its directional derivative ``J t``, as ``jax.jvp`` does, in any framework.

    Parameters
    ----------
    f : callable
        Any function of arrays of NumPy (through autograd), torch, JAX or TensorFlow that the framework can
        differentiate. With arrays of a framework without differentiation, one call of a function of this library.
    arrays : tuple of arrays
        Where f is differentiated: arrays of one framework.
    tangents : tuple of arrays
        The direction: as many arrays as ``arrays``, of the same shapes and dtypes.
    **options
        Passed to f as they are, and not differentiated.

    Returns
    -------
    value : array or tuple of arrays
        What f returns.
    tangent : array or tuple of arrays
        The derivative of the value along the tangents, of the structure of the value.

    Raises
    ------
    TypeError
        If arrays and tangents are no tuples of equal length, or if the framework has no automatic differentiation and f
        is not one call of a function of this library.

    See Also
    --------
    vjp : The gradient for a cotangent.

    Notes
    -----
    The Jacobian J is that of f. Weights of this library have symmetric Jacobians, so that ``J t`` is also ``J^T t``.

    References
    ----------
    * Baydin, Pearlmutter, Radul and Siskind (2018), arXiv:1502.05767, section 3.1 (forward mode).

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import jvp, soft_argmax
    >>> x, t = np.asarray([0.0, 0.0, 0.0]), np.asarray([0.0, 0.0, 3.0])
    >>> print([float(y) for y in jvp(soft_argmax, (x,), (t,))])
    [1.0, 1.0]
    """
    if not isinstance(arrays, (tuple, list)) or not isinstance(tangents, (tuple, list)) or len(arrays) != len(tangents):
        raise TypeError(
            f"`arrays` and `tangents` must be tuples of equal length, got {type(arrays).__name__} and "
            f"{type(tangents).__name__}. Pass `(x,), (t,)` for a function of one array."
        )
    return _differentiator(tuple(arrays)).jvp(partial(f, **options) if options else f, tuple(arrays), tuple(tangents))

"""Compare a function of arrays in every framework."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from .frameworks import Backend
from .places import dtypes_of, missing_dtypes, order_of, places_of, versions
from .problems import Answers, Inputs, Problem, rounded, tuple_of
from .reduction import examined
from .report import Report
from .tolerance import TOLERANCE


def _function_in(f: Any, backend: Backend) -> Callable[..., Any]:
    """The function for a framework; one with a parameter `xp` is given the framework's namespace."""
    chosen = f[backend.name] if isinstance(f, Mapping) else f
    try:
        parameters = inspect.signature(chosen).parameters
    except (TypeError, ValueError):
        return chosen
    return partial(chosen, xp=backend.xp) if "xp" in parameters else chosen


def _reference(reference: Callable[..., Any], inputs: Inputs) -> Answers:
    return Answers(tuple(np.asarray(y, dtype=np.float64) for y in tuple_of(reference(*inputs.arrays))))


def compare(
    f: Any,
    /,
    *arrays: Any,
    backends: Iterable[Any] | None = None,
    dtypes: Iterable[str] | None = None,
    devices: Iterable[str] | None = None,
    reference: Callable[..., Any] | None = None,
    order: int = 1,
    seed: int = 0,
    tolerance: Mapping[str, float] | None = None,
    exact_zeros: bool = False,
    name: str | None = None,
) -> Report:
    """Run a function of arrays in every framework and compare values and derivatives.

    Compared are the value, the VJP for a cotangent and the JVP for a tangent that are drawn independently of the
    inputs, and for order 2 the gradient of ``<t, J^T g>``: each framework against the median of all, against a
    reference, in float64 against finite differences where the function is smooth, and each framework's products against
    each other by the identity ``<g, J t> = <J^T g, t>``.

    Parameters
    ----------
    f : callable or dict
        Takes arrays and returns an array or a tuple of arrays, in any framework: written against the Array API (a
        parameter ``xp`` is given the framework's namespace, which autograd needs) or with this library. Or a dictionary
        with a function for each framework.
    *arrays : array
        Anything that NumPy makes arrays of. Floating-point ones are rounded to each dtype and differentiated; integers
        and Booleans are handed on as they are.
    backends : iterable, optional
        Names of frameworks, or `Backend` objects. None is those that are installed, or the keys of a dictionary f.
    dtypes : iterable of str, optional
        Some of ``"float16"``, ``"bfloat16"``, ``"float32"`` and ``"float64"``. None is the last two. Errors are in the
        eps of the dtype.
    devices : iterable of str, optional
        Such as ``"cpu"`` or ``"cuda:1"``. None is the framework's own choice. A framework without a device is noted.
    reference : callable, optional
        The same function of float64 arrays of NumPy, by other means: an independent value.
    order : {0, 1, 2}, default 1
        0 for values alone, 1 for first derivatives, 2 for second ones too (in float32 and float64).
    seed : int, default 0
        The seed of the cotangents and tangents.
    tolerance : dict, optional
        Multiples of eps, ``{"value": 16, "derivative": 64}``, on results scaled to 1 by their largest entry.
    exact_zeros : bool, default False
        Demand zeros in the same places everywhere, as of the support of sparse weights.
    name : str, optional
        What the report calls f. None is its own name.

    Returns
    -------
    Report
        Look at ``report.ok``, ``report.findings`` and ``str(report)``. What f raises is in the report.

    Raises
    ------
    TypeError
        If f is neither a function nor a dictionary, or if an array is not real.
    ValueError
        If a framework or a dtype is not one of what there is, or if a dictionary lacks a framework.
    ModuleNotFoundError
        If a framework is not installed.

    See Also
    --------
    assert_backends_agree : The same as an assertion, for tests.
    check : The functions of this library.

    Notes
    -----
    Agreement alone is not enough: only a reference and finite differences can find an error that all frameworks share.

    References
    ----------
    * Christianson (1992), "Automatic Hessians by reverse accumulation", IMA Journal of Numerical Analysis 12 (products
      with the Hessian by the gradient of ``<t, J^T g>``).

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax import soft_argmax
    >>> from anyargmax.validation import compare
    >>> compare(soft_argmax, [0.0, 1.0, 3.0], backends=["numpy", "autograd"]).ok
    True
    >>> def norm(x, xp):
    ...     return xp.sqrt(xp.sum(x * x))
    >>> compare(norm, [3.0, 4.0], backends=["autograd"], reference=np.linalg.norm, dtypes=["float64"]).ok
    True
    """
    if not callable(f) and not isinstance(f, Mapping):
        raise TypeError(
            f"`f` must be a function or a dictionary of functions, got {type(f).__name__}. Pass a function."
        )
    if backends is None and isinstance(f, Mapping):
        backends = tuple(f)
    order = order_of(order)
    places, notes = places_of(backends, devices)
    lacking = [str(place) for place in places if isinstance(f, Mapping) and place.backend.name not in f]
    if lacking:
        raise ValueError(f"`f` must have a function for each framework, got none for {', '.join(lacking)}. Add it.")
    given = tuple(np.asarray(x) for x in arrays)
    wrong = [x.dtype for x in given if x.dtype.kind not in "fiub"]
    if wrong:
        raise TypeError(f"`arrays` must be real numbers or Booleans, got {wrong[0]}. Pass floating-point arrays.")
    table = dict(TOLERANCE) | dict(tolerance or {})
    problem = Problem(
        name or getattr(f, "__name__", None) or "function",
        lambda backend, dtype, device: _function_in(f, backend),
        partial(rounded, given),
        oracle=None if reference is None else partial(_reference, reference),
        exact_zeros=exact_zeros,
        tolerance=table,
    )
    chosen = dtypes_of(dtypes)
    rows = tuple(examined(problem, places, dtype, order, seed, rows=True) for dtype in chosen)
    return Report(rows, versions(places), table, seed, notes=(*notes, *missing_dtypes(places, chosen)))


def assert_backends_agree(f: Any, /, *arrays: Any, **options: Any) -> None:
    """Raise an AssertionError, with the whole report, unless a function agrees in every framework.

    Parameters
    ----------
    f : callable or dict
        Takes arrays and returns an array or a tuple of arrays, in any framework; or one function for each. A parameter
        ``xp`` is given the framework's namespace.
    *arrays : array
        Anything that NumPy makes arrays of.
    **options
        Those of `compare`: ``backends``, ``dtypes``, ``devices``, ``reference``, ``order``, ``seed``, ``tolerance``,
        ``exact_zeros`` and ``name``.

    Raises
    ------
    AssertionError
        If a value or a derivative differs, or if f raises.

    See Also
    --------
    compare : The same, returning the report.

    Examples
    --------
    >>> from anyargmax import soft_argmax
    >>> from anyargmax.validation import assert_backends_agree
    >>> assert_backends_agree(soft_argmax, [0.0, 1.0, 3.0], backends=["numpy", "autograd"])
    """
    report = compare(f, *arrays, **options)
    assert report.ok, f"\n{report}"

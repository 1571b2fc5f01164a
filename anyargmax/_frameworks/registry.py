"""Which framework an array belongs to, found without importing any."""

import sys
from typing import Any

from .._compat import array_namespace, is_array_api_obj
from . import binding
from .binding import Ops
from .kept_calls import forget, when_compiling
from .names import PROBES, Probe
from .protocol import check

_registered: list[Ops] = []


when_compiling(lambda: binding.compiling)


def registered() -> dict[str, Ops]:
    """Return the operations of the frameworks that the library was taught, by their names."""
    return {ops.name: ops for ops in _registered}


def unregister(name: str) -> None:
    """Forget a framework that the library was taught."""
    forget()
    _registered[:] = [ops for ops in _registered if ops.name != name]


def _is_of(x, probe: Probe) -> bool:
    module = sys.modules.get(probe.module)
    return module is not None and any(isinstance(x, _found(module, path)) for path in probe.classes)


def _found(module, path: str) -> Any:
    """A class by its dotted name; none in a module that is half imported."""
    for name in path.split("."):
        module = getattr(module, name, ())
    return module


def select(arrays: list[Any]) -> Ops | None:
    """Return the operations for arrays, None if the first is no array.

    A framework that differentiates comes before NumPy: a NumPy array beside a tracer is a constant.
    """
    for x in arrays:
        for name, probe in PROBES.items():
            if _is_of(x, probe):
                return getattr(binding, name)
        for ops in _registered:
            if ops.owns(x):
                return ops
    return binding.of_namespace(array_namespace(arrays[0])) if is_array_api_obj(arrays[0]) else None


def is_known(x: Any) -> bool:
    """Whether an array is of a framework that has an adapter, or was registered."""
    return any(_is_of(x, probe) for probe in PROBES.values()) or any(ops.owns(x) for ops in _registered)


def register_backend(adapter: Any, /) -> None:
    """Add a framework to every function of the library.

    Parameters
    ----------
    adapter : object
        A module or object with these attributes; an adapter of the same name is replaced:

        ``name``
            The name of the framework in messages.
        ``namespace``
            Its Array API namespace.
        ``owns(x)``
            Whether x is an array of the framework.
        ``detach(x)``
            x without a gradient.
        ``is_concrete(x)``
            Whether the values of x can be read. False for traced arrays.
        ``place(x)``
            The keyword arguments that create an array next to x, such as its device.
        ``default_float()``
            The floating-point dtype in which integers are computed.

        An adapter of a framework that differentiates also has ``lift(rule, ops)``, ``vjp(f, *arrays)`` and
        ``jvp(f, arrays, tangents)``. Without them, derivatives come from the rules of this library, for one call at a
        time. With ``random``, `anyargmax.sampling.gumbel_noise` and `anyargmax.sampling.normal_noise` draw noise for
        the framework. The reference of adapters lists further attributes.

    Raises
    ------
    TypeError
        If the adapter lacks one of the seven attributes, has an unknown attribute, or has a function with other
        parameters.

    See Also
    --------
    anyargmax.validation.check : Whether the framework has the right values and derivatives.

    Notes
    -----
    The registration lasts as long as the process: call it before the first use of an array of the framework.

    References
    ----------
    * Consortium for Python Data API Standards, "Python array API standard", version 2022.12 or later.

    Examples
    --------
    An array class that is NumPy's in all but name:

    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from anyargmax import register_backend, soft_argmax
    >>> class Mine(np.ndarray):
    ...     pass
    >>> adapter = SimpleNamespace(
    ...     name="mine",
    ...     namespace=np,
    ...     owns=lambda x: isinstance(x, Mine),
    ...     detach=lambda x: x,
    ...     is_concrete=lambda x: True,
    ...     place=lambda x: {},
    ...     default_float=lambda: np.float64,
    ... )
    >>> register_backend(adapter)
    >>> print(soft_argmax(np.asarray([0.0, 1.0, 3.0]).view(Mine)).round(4))
    1.8018
    """
    check(adapter)
    unregister(adapter.name)
    _registered.append(Ops(adapter))

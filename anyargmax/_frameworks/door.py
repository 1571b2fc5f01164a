"""Which arrays cannot be served, and what to do with them: one look at each, before anything is asked of it."""

from typing import Any

from .._compat import array_namespace, device, is_array_api_obj
from .._rules.ops import Namespace
from .names import PROBES
from .registry import is_known
from .standard import OLDEST, completed, version_of

NEEDED = tuple(Namespace.__annotations__)  # of a namespace
SHOWN = 8  # of the names that a namespace lacks
# Containers of arrays, and how to get at those.
_HELD = {
    **dict.fromkeys(("pandas", "polars", "pyarrow"), "to_numpy()"),
    "sparse": "todense()",
    "xarray": "data",
}
# Classes of torch and TensorFlow that hold more than numbers in rows and columns.
_UNUSUAL = {
    "MaskedTensor": "Pass `{0}.get_data()` with `mask={0}.get_mask()`",
    "RaggedTensor": "Pass `{0}.to_tensor()`, and a mask of what was there",
    "SparseTensor": "Pass `tf.sparse.to_dense({0})`",
}
_CUTS = "to convert it to NumPy would cut its gradient."
_complete: set[tuple[str, str]] = set()  # names and versions of namespaces that were looked through


def refusal(x: Any, name: str) -> str | None:
    """Return what x should have been, what it is, and what to do; None if it is an array that can be served, or no array."""
    return _unusual(x, name) or (None if is_known(x) else _unknown(x, name))


def _unusual(x: Any, name: str) -> str | None:
    """What is wrong with an array of a framework that is known: it is more than numbers in rows and columns."""
    kind = type(x).__name__
    if kind in ("MaskedArray", "matrix"):
        return (
            f"a plain array, got a {kind}. Pass `numpy.asarray({name})`, "
            f"of a masked array with `mask=~numpy.ma.getmaskarray({name})`."
        )
    if kind in _UNUSUAL:
        return f"a plain, dense tensor, got a {kind}. {_UNUSUAL[kind].format(name)}."
    if getattr(x, "is_nested", False):
        return (
            f"a dense array, got a nested one. Pass `torch.nested.to_padded_tensor({name}, 0.0)`, "
            "and a mask of what was there."
        )
    if getattr(x, "is_sparse", False) or "sparse" in str(getattr(x, "layout", "")):
        return f"a dense array, got a sparse one. Pass `{name}.to_dense()`."
    return None


def _unknown(x: Any, name: str) -> str | None:
    """What is wrong with an array of another framework, unless that conforms to the standard."""
    root = type(x).__module__.partition(".")[0]
    if root in _HELD:
        return f"a dense array, got a {type(x).__name__} of {root}. Pass `{name}.{_HELD[root]}`."
    if is_array_api_obj(x):
        return _lacking(x, root)
    if isinstance(x, type) or not (hasattr(x, "dtype") and hasattr(x, "shape")) or callable(x.shape):
        return None
    return (
        f"an array of {', '.join(['numpy', *PROBES])} or of a framework that conforms to the Array API standard, got a "
        f"{type(x).__name__} of {root}. Teach the library this framework by `register_backend`; {_CUTS}"
    )


def _lacking(x: Any, root: str) -> str | None:
    """What the namespace of an array lacks that says that it conforms."""
    namespace = array_namespace(x)
    version = version_of(namespace)
    if (namespace.__name__, version) in _complete:
        return None
    if version < OLDEST:
        return (
            f"an array of a namespace of version {OLDEST} of the Array API standard or later, got a {type(x).__name__} "
            f"of {root} at version {version}. Have {root} use a later version, if it has one."
        )
    filled = completed(namespace)
    missing = [needed for needed in NEEDED if not hasattr(filled, needed)]
    try:
        device(x)
    except AttributeError:
        missing.append("device")
    if not missing:
        _complete.add((namespace.__name__, version))
        return None
    shown = missing[:SHOWN] + ["and others"] * (len(missing) > SHOWN)
    return (
        f"an array with all of what the rules use of the Array API standard, got a {type(x).__name__} of {root}, whose "
        f"namespace lacks {', '.join(shown)}. Bring these by `register_backend`; {_CUTS}"
    )

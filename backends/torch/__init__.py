"""PyTorch: the adapter, which the library loads, and the layers, which you do."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .layer import SampleOneHot, SoftArgmax, SpatialSoftArgmax

__all__ = ["SampleOneHot", "SoftArgmax", "SpatialSoftArgmax"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import layer

    return getattr(layer, name)

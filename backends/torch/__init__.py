"""PyTorch: the adapter, which the library loads, and the layer `SoftArgmax`, which you do."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .layer import SoftArgmax

__all__ = ["SoftArgmax"]


def __getattr__(name: str) -> Any:
    if name != "SoftArgmax":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .layer import SoftArgmax

    return SoftArgmax

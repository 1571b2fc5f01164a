"""What must pass: the layers, whose tensors are of no class that a checker knows."""

from typing import Any

from anyargmax.backends.keras import SoftArgmax, SpatialSoftArgmax


def run(x: Any = None) -> None:
    layer = SoftArgmax(-1, temperature=0.1, name="position")
    if x is not None:
        layer(x, mask=x > 0)
        SpatialSoftArgmax((1, 2))(x)

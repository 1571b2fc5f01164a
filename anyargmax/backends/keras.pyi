from typing import Any

import keras

class _Layer(keras.layers.Layer):
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any: ...

class SoftArgmax(_Layer):
    def __init__(self, axis: int | None = -1, **kwargs: Any) -> None: ...

class SpatialSoftArgmax(_Layer):
    def __init__(self, axes: tuple[int, ...] = (-2, -1), **kwargs: Any) -> None: ...

class SampleOneHot(_Layer):
    def __init__(self, axis: int = -1, *, seed: int | None = None, **kwargs: Any) -> None: ...

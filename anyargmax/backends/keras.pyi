from typing import Any

import keras

class SoftArgmax(keras.layers.Layer):
    def __init__(self, axis: int | None = -1, **kwargs: Any) -> None: ...
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any: ...

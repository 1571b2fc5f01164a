"""What a workload has beside its scores: arrays for our options, and the same in the words of the framework."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .workloads import Workload

NUMBER = 0.5  # the temperature of one number


def arrays(asarray: Callable[..., Any], workload: Workload, learned: bool) -> dict[str, Any]:
    """Return the options that are arrays; those that are learned with a gradient, where there is to be one."""
    rng = np.random.default_rng(1)
    if workload.beside == "mask":
        return {"mask": asarray(rng.random(workload.shape) < 0.8)}
    if not workload.beside:
        return {}
    shape = (*workload.shape[:-1], 1) if workload.beside == "rows" else (1,)
    temperature = asarray(np.full(shape, NUMBER, dtype=np.float32))
    return {"temperature": temperature.requires_grad_(learned and workload.beside != "tensor")}


def softmax(function: Callable[[Any, int], Any], options: dict[str, Any], half: bool) -> Callable[[Any, int], Any]:
    """Return a softmax that is given what is beside the scores first, as users write it."""

    def prepared(x, axis):
        x = x.float() if half else x
        if "temperature" in options:
            x = x / options["temperature"]
        if "mask" in options:
            x = x.masked_fill(~options["mask"], float("-inf"))
        return function(x, axis)

    return prepared if options or half else function

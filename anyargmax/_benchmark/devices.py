"""The device that is timed: how arrays get there, how one waits for it, and how fast it copies."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

from .workloads import DEVICES

CPU, ACCELERATOR = DEVICES
COPIED, COPIES = 2**28, 20  # bytes that are copied to find the bandwidth, and how often
SHORTEST = 1e-2  # seconds; a sample on an accelerator repeats shorter calls


def _nothing() -> None:
    """What there is to wait for on a CPU."""


class Device(NamedTuple):
    """A device of a framework; `peak` is how many bytes a call needs at most beyond those in use before it."""

    kind: str = CPU
    label: str = ""
    put: Callable[[Any], Any] = lambda x: x
    wait: Callable[[], Any] = _nothing
    copy: Callable[[], Any] | None = None
    peak: Callable[[Callable[[], Any]], int] | None = None

    def bandwidth(self) -> float | None:
        """Return how many bytes a second a copy reads and writes; None where nobody asks."""
        if self.copy is None:
            return None
        seconds = []
        for _ in range(COPIES):
            self.copy()
            self.wait()
            start = time.perf_counter()
            for _ in range(COPIES):
                self.copy()
            self.wait()
            seconds.append((time.perf_counter() - start) / COPIES)
        return 2 * COPIED / median(seconds)


def of_torch(torch: Any, name: str) -> Device:
    """Return the device of torch of a name: ``gpu`` is the accelerator that there is."""
    if name == CPU:
        return Device()
    there = torch.accelerator.current_accelerator()
    if there is None or name not in ("gpu", there.type) or not torch.accelerator.is_available():
        raise LookupError(f"PyTorch has no device {name!r} here, but {there.type if there else 'the CPU alone'}.")
    own = getattr(torch, there.type)
    label = own.get_device_name() if hasattr(own, "get_device_name") else there.type
    x = torch.empty(COPIED // 4, device=there)
    y = torch.empty_like(x)
    wait = torch.accelerator.synchronize

    def peak(call):
        call()
        wait()
        own.reset_peak_memory_stats()
        before = own.memory_allocated()
        result = call()
        wait()
        most = own.max_memory_allocated() - before
        del result
        return most

    counted = hasattr(own, "reset_peak_memory_stats") and hasattr(own, "max_memory_allocated")
    return Device(ACCELERATOR, label, lambda v: v.to(there), wait, lambda: y.copy_(x), peak if counted else None)


def of_jax(jax: Any, name: str) -> Device:
    """Return the device of JAX of a name."""
    if name == CPU:
        return Device()
    try:
        there = jax.devices(name)[0]
    except RuntimeError as error:
        raise LookupError(f"JAX has no device {name!r} here: {str(error).splitlines()[0]}") from error
    x = jax.device_put(jax.numpy.zeros(COPIED // 4, dtype="float32"), there)
    copied = jax.jit(lambda x: x + 1)

    def copy():
        return copied(x).block_until_ready()

    return Device(ACCELERATOR, there.device_kind, lambda v: jax.device_put(v, there), copy=copy)

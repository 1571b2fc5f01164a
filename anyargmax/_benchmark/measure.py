"""One row of the benchmark: whether all give the same, how long they take, how much memory."""

from statistics import median
from typing import Any

import numpy as np

from . import beside, memory, peers, timing
from .devices import CPU, SHORTEST
from .frameworks import Toolkit
from .workloads import OURS, PEAK_BYTES, Workload

# Of the largest entry: enough to see that the same thing is timed.
TOLERANCES = {"float32": 1e-3, "bfloat16": 1e-2}


def agreement(calls: timing.Calls, reverse: set[str], failed: dict[str, str], to_numpy=np.asarray, most=1e-3) -> None:
    """Drop the calls that fail, or whose results are not ours, and say so in `failed`."""
    expected = to_numpy(calls[OURS]())
    for name in [name for name in calls if name != OURS]:
        try:
            actual = to_numpy(calls[name]())
        except Exception as error:  # whatever a peer raises is a reason not to time it
            failed[name] = f"failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        else:
            actual = actual[..., ::-1] if name in reverse else actual
            same = actual.shape == expected.shape
            off = np.max(np.abs(actual - expected)) / np.max(np.abs(expected)) if same else np.inf
            if off <= most:
                continue
            failed[name] = f"disagrees with {OURS} by {off:.1e} of the largest entry: not timed"
        del calls[name]


def _calls(toolkit: Toolkit, candidates, scores, which, rng, learned) -> timing.Calls:
    """What is timed: the functions of the scores, or their gradients for one random cotangent."""
    if which == "fwd":
        return {name: toolkit.forward(peer.function, scores) for name, peer in candidates.items()}
    g = rng.standard_normal(toolkit.to_numpy(candidates[OURS].function(scores)).shape, dtype=np.float32)
    cotangents = {False: toolkit.asarray(g), True: toolkit.asarray(np.flip(g, -1).copy())}
    return {
        name: toolkit.both(peer.function, scores, cotangents[peer.reverse], *learned)
        for name, peer in candidates.items()
    }


def _peaks(toolkit: Toolkit, calls: timing.Calls, names: list[str], nbytes: int) -> dict[str, float | None]:
    """The most memory that calls need, in sizes of the scores."""
    device = toolkit.device
    if device.kind == CPU:
        return {name: memory.peak(calls[name], nbytes) for name in names}
    return {} if device.peak is None else {name: device.peak(calls[name]) / nbytes for name in names}


def _timed(toolkit: Toolkit, calls: timing.Calls, seconds: float) -> dict[str, list[timing.Sample]]:
    if toolkit.device.kind == CPU:
        return timing.interleaved(calls, seconds)
    return timing.interleaved(calls, seconds, wait=toolkit.device.wait, shortest=SHORTEST)


def row(toolkit: Toolkit, workload: Workload, which: str, seconds: float, compiled: bool, missing) -> dict[str, Any]:
    """Return the times and the peak memory of ours and of every peer."""
    rng = np.random.default_rng(0)
    scores = toolkit.asarray(rng.standard_normal(workload.shape, dtype=np.float32), workload.dtype)
    options = beside.arrays(toolkit.asarray, workload, which == "f+b")
    candidates = peers.peers(toolkit, workload, options, missing, compiled)
    if (toolkit.name, which) == ("numpy", "f+b"):  # nobody else has one
        candidates = {OURS: candidates[OURS]}
    learned = [array for array in options.values() if array.requires_grad]
    calls = _calls(toolkit, candidates, scores, which, rng, learned)
    failed: dict[str, str] = {}
    reverse = {name for name, peer in candidates.items() if peer.reverse and which == "fwd"}
    agreement(calls, reverse, failed, toolkit.to_numpy, TOLERANCES[workload.dtype])
    samples = _timed(toolkit, calls, seconds)
    nbytes = int(np.prod(workload.shape)) * (4 if workload.dtype == "float32" else 2)
    counted = [name for name in calls if name == OURS or len(samples[name]) > 1] if nbytes >= PEAK_BYTES else []
    peaks = _peaks(toolkit, calls, counted, nbytes)
    return {
        "framework": toolkit.name,
        "workload": workload.name,
        "pass": which,
        "shape": list(workload.shape),
        "nbytes": nbytes,
        "variant": workload.is_variant,
        "times": {name: _time(taken, peaks.get(name), candidates[name].apart) for name, taken in samples.items()},
        "failed": failed,
    }


def _time(samples: list[timing.Sample], peak: float | None, apart: bool) -> dict[str, Any]:
    return {
        "median": median(timing.undisturbed(samples)),
        "samples": len(samples),
        "undisturbed": sum(sample.switches == 0 for sample in samples),
        "peak": peak,
        "apart": apart,
    }

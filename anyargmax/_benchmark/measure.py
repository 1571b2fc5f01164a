"""One row of the benchmark: whether all give the same, how long they take, how much memory."""

from statistics import median
from typing import Any

import numpy as np

from . import memory, peers, timing
from .workloads import OURS, PEAK_BYTES, Workload

TOLERANCE = 1e-3  # of the largest entry: enough to see that the same thing is timed


def agreement(calls: timing.Calls, reverse: set[str], failed: dict[str, str]) -> None:
    """Drop the calls that fail, or whose results are not ours, and say so in `failed`."""
    expected = np.asarray(calls[OURS]())
    for name in [name for name in calls if name != OURS]:
        try:
            actual = np.asarray(calls[name]())
        except Exception as error:  # whatever a peer raises is a reason not to time it
            failed[name] = f"failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        else:
            actual = actual[..., ::-1] if name in reverse else actual
            same = actual.shape == expected.shape
            off = np.max(np.abs(actual - expected)) / np.max(np.abs(expected)) if same else np.inf
            if off <= TOLERANCE:
                continue
            failed[name] = f"disagrees with {OURS} by {off:.1e} of the largest entry: not timed"
        del calls[name]


def _calls(toolkit, candidates, x, which, rng) -> timing.Calls:
    """What is timed: the functions of the scores, or their gradients for one random cotangent."""
    scores = toolkit.asarray(x)
    if which == "fwd":
        return {name: toolkit.forward(peer.function, scores) for name, peer in candidates.items()}
    g = rng.standard_normal(np.asarray(candidates[OURS].function(scores)).shape, dtype=np.float32)
    cotangents = {False: toolkit.asarray(g), True: toolkit.asarray(np.flip(g, -1).copy())}
    return {name: toolkit.both(peer.function, scores, cotangents[peer.reverse]) for name, peer in candidates.items()}


def row(toolkit, workload: Workload, which: str, seconds: float, compiled: bool, missing) -> dict[str, Any]:
    """Return the times and the peak memory of ours and of every peer."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(workload.shape, dtype=np.float32)
    candidates = {OURS: peers.Peer(peers.ours(workload)), **peers.peers(toolkit, workload, missing, compiled)}
    if (toolkit.name, which) == ("numpy", "f+b"):  # nobody else has one
        candidates = {OURS: candidates[OURS]}
    calls = _calls(toolkit, candidates, x, which, rng)
    failed: dict[str, str] = {}
    reverse = {name for name, peer in candidates.items() if peer.reverse and which == "fwd"}
    agreement(calls, reverse, failed)
    samples = timing.interleaved(calls, seconds)
    counted = [name for name in calls if name == OURS or len(samples[name]) > 1] if x.nbytes >= PEAK_BYTES else []
    peaks = {name: memory.peak(calls[name], x.nbytes) for name in counted}
    times = {
        name: {
            "median": median(timing.undisturbed(taken)),
            "samples": len(taken),
            "undisturbed": sum(sample.switches == 0 for sample in taken),
            "peak": peaks.get(name),
            "apart": candidates[name].apart,
        }
        for name, taken in samples.items()
    }
    return {
        "framework": toolkit.name,
        "workload": workload.name,
        "pass": which,
        "shape": list(workload.shape),
        "times": times,
        "failed": failed,
    }

"""What the times of a row say: the best peer, the ratio to it, and whether its targets are met."""

from collections.abc import Mapping
from typing import Any

from .targets import COPIED, PEAK_LIMIT, TARGETS, Target
from .workloads import OURS, OURS_COMPILED

Row = dict[str, Any]


def best(row: Row, prefix: str = "") -> str:
    """Return the fastest of the peers that count, or of those whose names begin so; nothing where there is none."""
    times = row["times"]
    if prefix in times:
        return prefix
    own = (OURS, OURS_COMPILED)
    peers = {
        name: time["median"]
        for name, time in times.items()
        if name not in own and name.startswith(prefix) and (prefix or not time["apart"])
    }
    return min(peers, key=peers.__getitem__, default="")


def ratio(row: Row, peer: str) -> float | None:
    """Return our time as a multiple of a peer's; None without it."""
    times = row["times"]
    return times[OURS]["median"] / times[peer]["median"] if OURS in times and peer in times else None


def several(targets: Target | tuple[Target, ...]) -> tuple[Target, ...]:
    """Return the targets of a row, of which there may be one."""
    return (targets,) if isinstance(targets, Target) else targets


def _judged(row: Row, target: Target) -> dict[str, Any]:
    """A target, the peer it is set against, and what became of it."""
    against = best(row, target.peer)
    found = ratio(row, against)
    met = None if found is None else found <= target.limit
    return {"target": target.limit, "against": against or target.peer, "ratio": found, "met": met}


def _passes(row: Row, bandwidth: float | None, limit: float | None) -> dict[str, Any]:
    """Our time in those that a copy takes to read the scores, and whether that is little enough."""
    if bandwidth is None:
        return {"passes": None, "passes_limit": None, "passes_met": None}
    passes = row["times"][OURS]["median"] * bandwidth / row["nbytes"]
    return {"passes": passes, "passes_limit": limit, "passes_met": None if limit is None else passes <= limit}


def verdict(
    row: Row,
    scale: float = 1.0,
    targets: Mapping[tuple[str, str, str], Target | tuple[Target, ...]] = TARGETS,
    bandwidth: float | None = None,
) -> Row:
    """Return the best peer, the ratio to it, the target, the peer it is set against and what became of all limits.

    Where the bandwidth of a copy is known, on an accelerator, the time is also set against that.
    """
    key = (row["workload"], row["framework"], row["pass"]) if scale == 1 else ("", "", "")
    limits = several(targets.get(key, ()))
    first, *further = [_judged(row, target) for target in limits] or [{"target": None, "against": "", "met": None}]
    peer = best(row)
    asked = row["pass"] == "f+b" and bandwidth is None and not row.get("variant")
    peak = row["times"][OURS]["peak"] if asked else None
    return {
        "best": peer,
        "ratio": ratio(row, peer),
        "target": first["target"],
        "against": first["against"],
        "met": first["met"],
        "further": further,
        "peak_met": None if peak is None else peak <= PEAK_LIMIT,
        **_passes(row, bandwidth, COPIED.get(key)),
    }

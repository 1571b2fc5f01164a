"""What the times of a row say: the best peer, the ratio to it, and whether a target is met."""

from typing import Any

from .workloads import OURS, PEAK_LIMIT, TARGETS, Target

Row = dict[str, Any]


def best(row: Row) -> str:
    """Return the fastest of the peers that count, nothing where there is none."""
    peers = {name: time["median"] for name, time in row["times"].items() if name != OURS and not time["apart"]}
    return min(peers, key=peers.__getitem__, default="")


def ratio(row: Row, peer: str) -> float | None:
    """Return our time as a multiple of a peer's; None without it."""
    times = row["times"]
    return times[OURS]["median"] / times[peer]["median"] if OURS in times and peer in times else None


def verdict(row: Row, scale: float = 1.0, targets: dict[tuple[str, str, str], Target] = TARGETS) -> Row:
    """Return the best peer, the ratio to it, the target, the peer it is set against and what became of both limits."""
    target = targets.get((row["workload"], row["framework"], row["pass"])) if scale == 1 else None
    peer = best(row)
    against = target.peer or peer if target else ""
    found = ratio(row, against)
    peak = row["times"][OURS]["peak"] if row["pass"] == "f+b" else None
    return {
        "best": peer,
        "ratio": ratio(row, peer),
        "target": target.limit if target else None,
        "against": against,
        "met": None if target is None or found is None else found <= target.limit,
        "peak_met": None if peak is None else peak <= PEAK_LIMIT,
    }

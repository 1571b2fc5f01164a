"""What the benchmark prints: text of at most 80 columns, made of what was measured elsewhere."""

import platform
import textwrap
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from .judge import Row
from .targets import LOADING_LIMIT, PEAK_LIMIT
from .workloads import COMPILED, FRAMEWORKS, LOADING, OURS, OURS_COMPILED

HEADING = (
    f"{'':16} {'':3} {'ours':>7} {'best':>7} {'':15} {'':5} {'':11} {'peak':>9}\n"
    f"{'workload':16} {'':3} {'':>7} {'peer':>7} {'':15} {'ratio':>5} {'target':>11} {'ours/peer':>9}"
)


def wrapped(text: str) -> str:
    """Return a remark, indented and broken before column 80."""
    return textwrap.fill(text, 80, initial_indent="  ", subsequent_indent="    ")


def processor() -> str:
    """Return the name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def duration(seconds: float | None) -> str:
    """Return a time in seven characters at most, with its unit."""
    if seconds is None:
        return "-"
    for unit, size in (("us", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        if seconds < 999.5 * size or unit == "s":
            value = seconds / size
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"
    raise AssertionError("the last unit takes every time")


def judged(limit: float | None, met: bool | None) -> str:
    """Return a target and what became of it."""
    return "-" if limit is None else f"{limit:.2f} {'-' if met is None else 'met' if met else 'missed'}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def line(row: Row) -> str:
    """Return the line of a row in the table."""
    times, best = row["times"], row["best"]
    ours = times[OURS]
    if row["workload"] == LOADING:
        limit = judged(LOADING_LIMIT, ours["median"] <= LOADING_LIMIT)
        return f"{LOADING:16} {'fwd':3} {duration(ours['median']):>7} {'':29} {limit:>11}"
    peer = times.get(best, {"median": None, "peak": None})
    target = judged(row["target"], row["met"])
    peaks = "/".join(_number(time["peak"]) for time in (ours, peer))
    return (
        f"{row['workload']:16} {row['pass']:3} {duration(ours['median']):>7} {duration(peer['median']):>7} "
        f"{best or 'no peer':15.15} {_number(row['ratio']):>5} {target:>11} {'-' if peaks == '-/-' else peaks:>9}"
    )


def remarks(row: Row) -> list[str]:
    """Return what a row's line has no room for."""
    times = row["times"]
    found = [f"{name} {reason}" for name, reason in row["failed"].items()]
    if row["against"] not in ("", row["best"]) and row["met"] is not None:
        ratio = times[OURS]["median"] / times[row["against"]]["median"]
        found.append(
            f"against {row['against']}, for which the target is: {ratio:.2f}, {judged(row['target'], row['met'])}"
        )
    set_against = {row["against"], *(other["against"] for other in row["further"])}
    for name, time in times.items():
        if name == OURS_COMPILED and COMPILED in times:
            ratio = time["median"] / times[COMPILED]["median"]
            found.append(f"{name}: {duration(time['median'])}, ratio to {COMPILED} of the naive formula {ratio:.2f}")
        elif time["apart"] and name not in set_against:
            ratio = times[OURS]["median"] / time["median"]
            found.append(f"{name}: {duration(time['median'])}, ratio to it {ratio:.2f}")
        elif time["samples"] == 1:
            found.append(f"{name} timed once: {duration(time['median'])}")
    for other in row["further"]:
        if other["ratio"] is not None:
            limit = judged(other["target"], other["met"])
            found.append(f"against {other['against']}, for which the target is: {other['ratio']:.2f}, {limit}")
    if row["passes"] is not None:
        limit = "" if row["passes_limit"] is None else f", {judged(row['passes_limit'], row['passes_met'])}"
        found.append(f"{row['passes']:.2f} passes at the bandwidth of a copy{limit}")
    if row["peak_met"] is False:
        found.append(f"peak {times[OURS]['peak']:.2f} inputs, target {PEAK_LIMIT:.2f} missed")
    return [wrapped(text) for text in found]


def missing(packages: dict[str, str]) -> list[str]:
    """Name the packages that could not be compared with."""
    return [wrapped(f"without {name}, which {reason}: pip install {name}") for name, reason in packages.items()]


def summary(rows: list[Row]) -> str:
    """Count the targets that are met."""
    outcomes = {
        "ratio": [met for row in rows for met in (row["met"], *(other["met"] for other in row["further"]))],
        "bandwidth": [row["passes_met"] for row in rows],
        "peak memory": [row["peak_met"] for row in rows],
        LOADING: [row["times"][OURS]["median"] <= LOADING_LIMIT for row in rows if row["workload"] == LOADING],
    }
    counted = {name: [met for met in found if met is not None] for name, found in outcomes.items()}
    parts = [f"{name} {sum(found)} of {len(found)}" for name, found in counted.items() if found]
    return f"Targets met: {', '.join(parts)}." if parts else "No target was judged."


def legend(threads: int, scale: float) -> str:
    """Say what the columns are."""
    text = (
        f"Medians with {threads} thread{'s' * (threads > 1)}, float32 or bf16; f+b: forward and backward. Ratio: ours "
        "to the fastest peer of the same framework. Peak: what a call adds to the memory in use, at most, in sizes of "
        "its input (the gradient is 1). 64x1000 1.5: the weights of alpha 1.5; with an i: their mean index. T[1], T "
        "grad, T rows: a temperature in a tensor of one number, a learned one, a learned one for each row; comp: both by "
        "torch.compile."
    )
    if scale != 1:
        text += f" Lengths are scaled by {scale:g}: no target is judged."
    return textwrap.fill(text, 80)


def title(framework: str) -> str:
    """Head a framework's part of the table."""
    return f"\n{FRAMEWORKS[framework]}"


def device(label: str, bandwidth: float) -> str:
    """Say what is timed, and how fast it copies."""
    return wrapped(f"on {label}, which copies {bandwidth / 1e12:.2f} TB/s (reading and writing)")


class Progress:
    """One line that is rewritten in place, on a terminal only."""

    def __init__(self, stream: TextIO):
        self.stream, self.shown = stream, stream.isatty()

    def __call__(self, text: str = "") -> None:
        if self.shown:
            print(f"\r{text:79.79}\r", end="", file=self.stream, flush=True)


class Result(NamedTuple):
    """All that came out, as it comes."""

    rows: list[Row]
    packages: dict[str, str]  # and their versions
    missing: dict[str, str]  # and why
    devices: dict[str, Any]  # of each framework, where it is not the CPU


def described(result: Result, command: list[str]) -> dict[str, Any]:
    """Return all of it for a machine to read."""
    from .. import __version__

    machine = {"processor": processor(), "system": platform.platform(), "python": platform.python_version()}
    return {"version": __version__, "command": command, "machine": machine, **result._asdict()}

"""Count all that there is to count and print it, in at most 80 columns."""

import textwrap
from collections.abc import Iterator
from typing import Any

from .. import report
from . import exported, measure
from .calls import CALLS, GRAPHS, SECONDS, Call, Graph, Limits

LEGEND = (
    "What PyTorch does on an accelerator, counted on one that is pretended: kernels / the bytes that they read and write, "
    "in sizes of the scores / values that the host waits for. f+b: forward and backward. Naive: the formula in torch's own "
    "functions; of sparse weights the package entmax."
)
HEADING = f"{'call':19} {'':3} {'ours':>14} {'naive':>14} {'at most':>14}"
GRAPH_HEADING = f"{'graph of torch.export':23} {'nodes':>14} {'seconds':>14} {'at most':>14}"


def _number(value: float, digits: int) -> str:
    return "-" if value == float("inf") else f"{value:.{digits}f}"


def _costs(found: measure.Cost | Limits | None) -> str:
    if found is None:
        return "-"
    kernels, passes, reads = found
    return "/".join((_number(kernels, 0), _number(passes, int(passes < 100)), _number(reads, 0)))


def line(name: str, which: str, ours: measure.Cost, naive: measure.Cost | None, limits: Limits) -> str:
    """Return the line of a call one way."""
    judged = "missed" if ours.missed(limits) else "met"
    return f"{name:19} {which:3} {_costs(ours):>14} {_costs(naive):>14} {_costs(limits):>14} {judged}"


def graph_line(graph: Graph, found: exported.Export) -> str:
    """Return the line of an exported graph."""
    judged = "met" if found.small(graph) else "missed"
    most = f"{graph.nodes}, {SECONDS:.0f} s"
    return f"{graph.name:23} {found.nodes:>14} {found.seconds:>14.2f} {most:>14} {judged}"


def _counted(call: Call, missing: dict[str, str]) -> Iterator[dict[str, Any]]:
    costs = measure.costs(call, missing)
    for which, limits in zip(measure.PASSES, call.most, strict=True):
        ours, naive = costs["ours"][which], costs.get("naive", {}).get(which)
        print(line(call.name, which, ours, naive, limits), flush=True)
        yield {
            "call": call.name,
            "pass": which,
            "shape": list(call.shape),
            "ours": ours._asdict(),
            "naive": naive and naive._asdict(),
            "met": not ours.missed(limits),
        }


def named(only: str) -> tuple[list[Call], list[Graph]]:
    """Return the calls and the graphs whose names hold a text."""
    calls = [call for call in CALLS if only.lower() in call.name.lower()]
    return calls, [graph for graph in GRAPHS if only.lower() in f"export {graph.name}".lower()]


def show(only: str, scale: float, progress: report.Progress) -> list[dict[str, Any]]:
    """Count the calls and graphs whose names hold a text, print them and return what was found."""
    calls, graphs = named(only)
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    print(f"{textwrap.fill(LEGEND, 80)}\n\n{HEADING}" if calls else textwrap.fill(LEGEND, 80))
    for call in calls:
        progress(call.name)
        rows += _counted(call.scaled(scale), missing)
    print("".join(f"{text}\n" for text in report.missing(missing)), end="")
    if graphs:
        print(f"\n{GRAPH_HEADING}")
    for graph in graphs:
        progress(graph.name)
        found = exported.export(graph)
        rows.append({"graph": graph.name, **found._asdict(), "met": found.small(graph)})
        print(graph_line(graph, found), flush=True)
    print(f"\nTargets met: {sum(row['met'] for row in rows)} of {len(rows)}.")
    return rows

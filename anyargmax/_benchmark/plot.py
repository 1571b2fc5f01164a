"""A picture of a run as it is written by ``--json``: what was timed, or what was counted."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from .._figures import COLOURS, GREY, styled
from . import judge
from .counts.calls import CALLS, GRAPHS, SECONDS
from .judge import Row
from .report import duration
from .targets import LOADING_LIMIT, PEAK_LIMIT
from .workloads import FRAMEWORKS, LOADING, OURS

COLOUR = dict(zip(FRAMEWORKS, COLOURS, strict=False))
WIDTH, HEAD, TITLE, LINE, ROW = 10.0, 0.45, 1.0, 0.15, 0.17  # inches
Limit = tuple[float | None, bool | None]  # and whether it is met

# How each is drawn, and what the legend says of it.
OTHER = {"marker": ".", "color": "#bbbbbb", "markersize": 4, "label": "other formulations"}
PEER = {"marker": "o", "color": "black", "markersize": 5, "fillstyle": "none", "label": "fastest peer"}
NAMED = {
    "marker": "D",
    "color": "black",
    "markersize": 4,
    "fillstyle": "none",
    "label": "ratio to the target's own peer",
}
LIMIT = {"marker": "|", "color": "black", "markersize": 10, "markeredgewidth": 1.5, "label": "target, met"}
MISSED = {"marker": "x", "color": "black", "markersize": 5, "label": "target, missed"}
TIMED = ({"marker": "o", "color": GREY, "markersize": 5, "label": "ours"}, PEER, OTHER, NAMED, LIMIT, MISSED)
COUNTED = (
    {"marker": "s", "color": COLOUR["torch"], "markersize": 7, "label": "ours"},
    PEER | {"label": "naive formula"},
    LIMIT,
    MISSED,
)


class Column(NamedTuple):
    """A measured quantity: its axis, and what draws it for the rows of a group."""

    label: str
    draw: Callable[[Any, list[Row], str], None]
    scale: str = "linear"


class Group(NamedTuple):
    """Rows under a heading, in a colour of their own."""

    title: str
    colour: str
    names: list[str]
    rows: list[Row]


def figure(described: dict[str, Any]) -> Any:
    """Return a figure with every row of a run, as `report.described` has it: of times, or of counts."""
    rows = described["rows"]
    counted = "framework" not in rows[0]
    tables, heading = list(_counted(rows) if counted else _timed(rows)), _heading(described, counted)
    heights = [HEAD + LINE * (heading.count("\n") + 1)]
    heights += [sum(TITLE + ROW * len(group.rows) for group in groups) for groups, _ in tables]
    draw = partial(_draw, tables=tables, heights=heights, heading=heading, looks=COUNTED if counted else TIMED)
    return styled(draw, figsize=(WIDTH, sum(heights)))


def name(row: Row) -> str:
    """Return what a row is called, beside its framework."""
    called = row.get("workload") or row.get("call") or row["graph"]
    return f"{called} {row['pass']}" if "pass" in row else called


def _heading(described: dict[str, Any], counted: bool) -> str:
    packages = [f"{package} {version}" for package, version in described["packages"].items()]
    lines = [", ".join(packages[k : k + 7]) for k in range(0, len(packages), 7)]
    where = "counted on a pretended accelerator" if counted else f"on {described['machine']['processor']}"
    return "\n".join([f"{OURS} {described['version']}, {where}", *lines])


def _timed(rows: list[Row]) -> Iterator[tuple[list[Group], list[Column]]]:
    """The rows of each framework, and what was measured of any."""
    shared = [
        Column("our time / that of the fastest peer\n(left of 1: ours is faster)", _ratios, "log"),
        Column("time of a call", _times, "log"),
    ]
    if any(time["peak"] is not None for row in rows for time in row["times"].values()):
        shared.append(Column("memory added by a call,\nin sizes of its input", _peaks))
    if any(row.get("passes") is not None for row in rows):
        shared.append(Column("time in passes of a copy", _passes))
    groups = []
    for framework, label in FRAMEWORKS.items():
        if found := [row for row in rows if row["framework"] == framework]:
            groups.append(Group(label, COLOUR[framework], list(map(name, found)), found))
    yield groups, shared


def _counted(rows: list[Row]) -> Iterator[tuple[list[Group], list[Column]]]:
    """Calls, and graphs, each with what was counted of them."""
    calls, graphs = ([row for row in rows if kind in row] for kind in ("call", "graph"))
    if calls:
        labels = {"kernels": "kernels", "passes": "bytes moved, in sizes of the scores", "reads": "reads by the host"}
        scales = {"reads": "linear"}
        columns = [
            Column(label, partial(_costs, which=which), scales.get(which, "log")) for which, label in labels.items()
        ]
        yield [Group("Calls", COLOUR["torch"], list(map(name, calls)), calls)], columns
    if graphs:
        columns = [Column("nodes", partial(_sizes, which="nodes")), Column("seconds", partial(_sizes, which="seconds"))]
        yield [Group("Graphs of torch.export", COLOUR["torch"], list(map(name, graphs)), graphs)], columns


def _draw(
    figure: Any, tables: list[Any], heights: list[float], heading: str, looks: tuple[dict[str, Any], ...]
) -> None:
    head, *parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).ravel()
    ax = head.subplots()
    ax.axis("off")
    ax.text(0, 1, heading, va="top", transform=ax.transAxes)
    for look in looks:
        ax.plot([], [], linestyle="none", **look)
    ax.legend(loc="lower left", ncols=7, borderaxespad=0, columnspacing=1.2, handletextpad=0.2)
    for part, (groups, columns) in zip(parts, tables, strict=True):
        _table(part, groups, columns)


def _table(part: Any, groups: list[Group], columns: list[Column]) -> None:
    """Draw a row of axes for each group, a column for each quantity."""
    ratios = [TITLE / 2 + ROW * len(group.rows) for group in groups]
    grid = part.subplots(len(groups), len(columns), squeeze=False, sharex="col", height_ratios=ratios)
    for line, group in zip(grid, groups, strict=True):
        for ax, column in zip(line, columns, strict=True):
            ax.set(xscale=column.scale, ylim=(len(group.rows) - 0.4, -0.6))
            for k in range(0, len(group.rows), 2):
                ax.axhspan(k - 0.5, k + 0.5, color="#f4f4f4", zorder=0, linewidth=0)
            column.draw(ax, group.rows, group.colour)
            ax.grid(visible=False, axis="y")
            ax.set_yticks(range(len(group.rows)), group.names if ax is line[0] else [""] * len(group.rows))
            ax.tick_params(axis="y", length=0)
            ax.tick_params(axis="x", labelbottom=True)
            ax.set_xlabel(column.label)
        line[0].set_title(group.title, color=group.colour)
    for ax, column in zip(grid[0], columns, strict=True):  # whose ticks the others share
        _ticks(ax, column.scale == "log")


def _ticks(ax: Any, log: bool) -> None:
    """Have few ticks, and enough of them where the numbers are close together."""
    ticker: Any = importlib.import_module("matplotlib.ticker")
    low, high = ax.get_xlim()
    if log:
        ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1,) if high > 2000 * low else (1, 2, 5)))
        ax.xaxis.set_minor_formatter(ticker.NullFormatter())
    elif high < 8:
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))


def _marks(ax: Any, found: Iterable[tuple[int, float | None]], look: dict[str, Any]) -> None:
    """Mark numbers in their rows, where there are any."""
    points = [(x, k) for k, x in found if x is not None]
    if points:
        ax.plot(*zip(*points, strict=True), linestyle="none", **(look | {"label": None}))


def _limits(ax: Any, found: Iterable[tuple[int, Limit]]) -> None:
    found = list(found)
    for look, outcome in ((LIMIT, True), (MISSED, False)):
        _marks(ax, [(k, limit) for k, (limit, met) in found if met is outcome], look)


def _ours(colour: str) -> dict[str, Any]:
    return {"marker": "o", "color": colour, "markersize": 5}


def _ratios(ax: Any, rows: list[Row], colour: str) -> None:
    """A bar from 1 to the ratio, and marks at the targets; where a target names a peer, the ratio to that as well."""
    ax.axvline(1, color=GREY, linewidth=1)
    ax.xaxis.set_major_formatter("{x:g}")
    targets: list[tuple[int, Limit]] = []
    named: list[tuple[int, float | None]] = []
    for k, row in enumerate(rows):
        if row["ratio"] is None:
            ax.text(1, k, " no peer", color=GREY, fontsize=6.5, va="center")
            continue
        ax.barh(k, row["ratio"] - 1, left=1, height=0.7, color=colour)
        for judged in (row, *row["further"]):
            targets.append((k, (judged["target"], judged["met"])))
            if judged["against"] not in ("", row["best"]):
                named.append((k, judge.ratio(row, judged["against"])))
    _marks(ax, named, NAMED)
    _limits(ax, targets)


def _candidates(ax: Any, rows: list[Row], colour: str, which: str) -> None:
    """What each formulation takes of a quantity: the others, the fastest peer, and ours above them."""
    others = [
        (k, time[which])
        for k, row in enumerate(rows)
        for candidate, time in row["times"].items()
        if candidate not in (OURS, row["best"])
    ]
    _marks(ax, others, OTHER)
    _marks(ax, [(k, row["times"][OURS][which]) for k, row in enumerate(rows)], _ours(colour))
    _marks(ax, [(k, row["times"][row["best"]][which]) for k, row in enumerate(rows) if row["best"]], PEER)


def _times(ax: Any, rows: list[Row], colour: str) -> None:
    _candidates(ax, rows, colour, "median")
    first = [(k, row["times"][OURS]["median"]) for k, row in enumerate(rows) if row["workload"] == LOADING]
    _limits(ax, [(k, (LOADING_LIMIT, seconds <= LOADING_LIMIT)) for k, seconds in first])
    ax.xaxis.set_major_formatter(lambda seconds, _: duration(seconds).replace(".00", "").replace(".0", ""))


def _peaks(ax: Any, rows: list[Row], colour: str) -> None:
    _candidates(ax, rows, colour, "peak")
    _limits(ax, [(k, (PEAK_LIMIT, row["peak_met"])) for k, row in enumerate(rows) if row["peak_met"] is not None])


def _passes(ax: Any, rows: list[Row], colour: str) -> None:
    _marks(ax, [(k, row["passes"]) for k, row in enumerate(rows)], _ours(colour))
    _limits(ax, [(k, (row["passes_limit"], row["passes_met"])) for k, row in enumerate(rows)])


def _costs(ax: Any, rows: list[Row], colour: str, which: str) -> None:
    """A bar for ours, and marks at the naive formula's and at the most it may be."""
    start = 0.0 if which == "reads" else 0.8  # the axis of the others is logarithmic
    ax.barh(range(len(rows)), [row["ours"][which] - start for row in rows], left=start, height=0.7, color=colour)
    ax.xaxis.set_major_formatter("{x:g}")
    _marks(ax, [(k, row["naive"][which]) for k, row in enumerate(rows) if row["naive"]], PEER)
    budgets = {call.name: dict(zip(("fwd", "f+b"), call.most, strict=True)) for call in CALLS}
    limits = [(k, getattr(budgets[row["call"]][row["pass"]], which)) for k, row in enumerate(rows)]
    _limits(ax, [(k, (x, rows[k]["ours"][which] <= x)) for k, x in limits if x < float("inf")])


def _sizes(ax: Any, rows: list[Row], colour: str, which: str) -> None:
    """A bar for each graph, and a mark at the most it may be."""
    ax.barh(range(len(rows)), [row[which] for row in rows], height=0.7, color=colour)
    most = {graph.name: {"nodes": graph.nodes, "seconds": SECONDS} for graph in GRAPHS}
    limits = [(k, most[row["graph"]][which]) for k, row in enumerate(rows)]
    _limits(ax, [(k, (x, rows[k][which] <= x)) for k, x in limits])

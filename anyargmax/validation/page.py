"""What a comparison found, as a page of HTML that needs no other file and runs nothing."""

import platform
from collections.abc import Iterable, Iterator
from textwrap import dedent
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from .differences import TOLERANCE as DIFFERENCE_TOLERANCE
from .findings import EVIDENCE, Finding
from .report import (
    Line,
    Report,
    again_for,
    columns_of,
    details,
    first_of_each,
    lines_of,
    notes_of,
    number,
    shown,
    title,
    verdict,
)

PACKAGE = __name__.rpartition(".validation")[0]
NOTHING_RUNS = "default-src 'none'; style-src 'unsafe-inline'"
QUANTITIES = {
    "value": "value",
    "vjp": "gradient, Jᵀg",
    "jvp": "derivative along a direction, Jt",
    "2nd": "second derivative",
}
EXPLAINED = {
    "agreement": "each framework against the median of all",
    "oracle": "an independent value: a computation in 50 digits for the built-in functions, your reference for yours",
    "invariants": "what must hold of any answer: signs, sums, optimality conditions, supports",
    "differences": "derivatives against finite differences, in float64",
}
MARKS = {
    "ok": "within the tolerance",
    "high": "above the tolerance, and still allowed: two frameworks may differ by twice as much, and a result that is "
    "stored in fewer digits is rounded once more",
    "FAILED": "not allowed: listed under the failures",
}
STYLE = """
:root {
  color-scheme: light dark;
  --ground: #ffffff; --text: #1d2126; --quiet: #58606a; --line: #d5d9de; --panel: #f5f6f8;
  --good: #116b35; --high: #855600; --bad: #b3141d; --link: #0b57b0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171b; --text: #e4e7eb; --quiet: #a2abb5; --line: #3a4149; --panel: #1e2328;
    --good: #58c27d; --high: #e0a83a; --bad: #ff8480; --link: #7db7ff;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { margin: 0; font-size: 1.6rem; line-height: 1.25; }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.2rem; }
h3 { margin: 1.2rem 0 .3rem; font-size: 1rem; overflow-wrap: anywhere; }
a { color: var(--link); }
p, li, dd { overflow-wrap: anywhere; }
.verdict { margin: 1rem 0 0; padding: .6rem .9rem; background: var(--panel); border-left: .35rem solid; font-weight: 600; }
.good { color: var(--good); } .high { color: var(--high); } .bad { color: var(--bad); } .quiet { color: var(--quiet); }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .3rem 1rem; margin: 0; }
dt { color: var(--quiet); } dd { margin: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
table.wide { width: 100%; }
caption { text-align: left; color: var(--quiet); padding-bottom: .5rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { vertical-align: bottom; white-space: nowrap; }
tbody th { font-weight: 400; overflow-wrap: anywhere; }
tbody th small { display: block; font-weight: 600; }
.number { text-align: right; white-space: nowrap; }
.number small { margin-left: .2rem; font-size: .75rem; }
.bar { display: block; height: 3px; margin: 2px 0 0 auto; width: 3.5rem; background: var(--line); }
.bar span { display: block; height: 3px; background: currentColor; }
.letters { font-family: ui-monospace, monospace; white-space: nowrap; }
abbr { text-decoration: none; }
pre { margin: 0; padding: .7rem .9rem; background: var(--panel); border: 1px solid var(--line); font-size: .85rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 36rem) {
  main { padding: 1rem .75rem 3rem; }
  th, td { padding: .3rem .25rem; font-size: .85rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; }
  .number small { display: block; }
  .bar { width: 2.5rem; }
}
"""


def element(tag: str, *children: Any, **attributes: str) -> Element:
    """Return an element with texts, which are escaped when it is written, and elements in it.

    A name of an attribute may end in an underscore, and has them for hyphens.
    """
    made = Element(tag, {key.rstrip("_").replace("_", "-"): shown(value) for key, value in attributes.items()})
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + shown(child)
        else:
            made.text = (made.text or "") + shown(child)
    return made


def document(heading: str, outcome: str, ok: bool, parts: Iterable[Element]) -> str:
    """Return a page with a heading, an outcome in a line, and parts."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=NOTHING_RUNS),
        element("title", f"{heading}: {outcome}"),
    )
    SubElement(head, "style").text = STYLE
    line = element("p", f"{'✓' if ok else '✗'} {outcome}", class_=f"verdict {'good' if ok else 'bad'}")
    body = element("body", element("main", element("h1", heading), line, *parts))
    page = tostring(element("html", head, body, lang="en"), encoding="unicode", method="html")
    return f"<!doctype html>\n{page}"


def section(heading: str, *parts: Any, **attributes: str) -> Element:
    """Return a section under a heading."""
    return element("section", element("h2", heading), *parts, **attributes)


def described_list(pairs: Iterable[tuple[str, Any]]) -> Element:
    """Return names and what is said of them."""
    return element("dl", *(element(tag, part) for pair in pairs for tag, part in zip(("dt", "dd"), pair, strict=True)))


def table(caption: str, head: Iterable[Element], rows: Iterable[Element]) -> Element:
    """Return a table that scrolls by itself where it is too wide."""
    made = element("table", element("caption", caption), class_="wide")
    made.append(element("thead", element("tr", *head)))
    made.append(element("tbody", *rows))
    return element("div", made, class_="scroll", role="region", aria_label=caption, tabindex="0")


def ran_on() -> tuple[tuple[str, str], ...]:
    """Return what all of it ran on, in words."""
    from .. import __version__

    return (PACKAGE, __version__), ("Python", f"{platform.python_version()} on {platform.platform()}")


def frameworks(versions: Iterable[str]) -> Element:
    """Return the frameworks with their versions and devices, which come as ``torch on cpu 2.13``."""
    items = []
    for entry in versions:
        place, _, version = entry.rpartition(" ")
        name, on, device = place.partition(" on ")
        items.append(element("li", f"{name} {version}{f', on the device {device}' if on else ''}"))
    return element("ul", *items, style="margin:0;padding-left:1.2rem")


def as_html(report: Report) -> str:
    """Return a page of HTML: what was compared, the table of errors, and every failure in full.

    Parameters
    ----------
    report : Report
        What `check` or `compare` returned.

    Returns
    -------
    str
        A page without scripts and without other files, in light and dark, for a screen of any width.

    Examples
    --------
    >>> import numpy as np
    >>> from anyargmax.validation import as_html, compare
    >>> page = as_html(compare(np.tanh, [0.5], backends=["numpy"], dtypes=["float64"]))
    >>> page[:15], "numpy" in page
    ('<!doctype html>', True)
    """
    different = first_of_each(report.findings)
    anchors = {(f.call, f.quantity): f"failure-{k + 1}" for k, f in reversed(list(enumerate(different)))}
    parts = [section("What was compared", described_list(_compared(report)))]
    if not report.ok:
        parts.append(section("Failures", *_failures(report, different)))
    if report.rows:
        parts += [section("Errors", _errors(report, anchors), _marks()), _evidence()]
    if notes := notes_of(report):
        parts.append(section("Notes", element("ul", *(element("li", note) for note in notes))))
    return document(f"{PACKAGE} check", verdict(report), report.ok, parts)


def _compared(report: Report) -> Iterator[tuple[str, Any]]:
    yield from ran_on()
    yield "Frameworks", frameworks(report.frameworks)
    yield "Calls", str(len(lines_of(report)))
    yield "Dtypes", ", ".join(dict.fromkeys(row.dtype for row in report.rows)) or "none"
    yield "Seed", str(report.seed)
    allowed = f"{report.tolerance['value']:g} eps for values and {report.tolerance['derivative']:g} for derivatives"
    apart = f"{DIFFERENCE_TOLERANCE:g} of the scale for finite differences"
    yield "Tolerance", f"{allowed}, twice that between frameworks; {apart}"


def _failures(report: Report, different: list[Finding]) -> Iterator[Element]:
    """Every failure with its whole text; what was raised first."""
    if report.raised:
        heading = element("h3", "Raised", id="raised")
        yield element("article", heading, element("pre", "\n".join(report.raised)))
    for k, finding in enumerate(different):
        text = element("pre", dedent(details(finding, again_for(report, finding))))
        yield element("article", element("h3", title(finding), id=f"failure-{k + 1}"), text)


def _errors(report: Report, anchors: dict[tuple[str, str], str]) -> Element:
    columns = columns_of(report)
    head = [
        element("th", "call", scope="col"),
        *(element("th", element("abbr", n, title=QUANTITIES[n]), scope="col", class_="number") for n in columns),
        element("th", "evidence", scope="col"),
    ]
    caption = (
        "The largest error of each call, in eps, over all dtypes and frameworks. The bar is its share of the tolerance."
    )
    return table(caption, head, (_line(report, line, columns, anchors) for line in lines_of(report)))


def _line(report: Report, line: Line, columns: list[str], anchors: dict[tuple[str, str], str]) -> Element:
    """A row of the table: the call with what failed of it, its errors, and its evidence."""
    name = element("th", line.call, scope="row")
    failed = list(dict.fromkeys(finding.quantity for finding in line.findings))
    if line.raised:
        name.append(element("small", element("a", "✗ raised", href="#raised", class_="bad")))
    if failed:
        links = [element("a", quantity, href=f"#{anchors[line.call, quantity]}", class_="bad") for quantity in failed]
        parts = [part for k, link in enumerate(links) for part in ((", ", link) if k else (link,))]
        name.append(element("small", "✗ FAILED: ", *parts, class_="bad"))
    cells = [_error(line.worst[column], _tolerance(report, column), column in failed) for column in columns]
    letters = [
        element(
            "abbr", kind[0] if kind in line.evidence else ".", title=kind if kind in line.evidence else f"no {kind}"
        )
        for kind in EVIDENCE
    ]
    return element("tr", name, *cells, element("td", *letters, class_="letters"))


def _tolerance(report: Report, column: str) -> float:
    return report.tolerance["value" if column == "value" else "derivative"]


def _error(error: float | None, tolerance: float, failed: bool) -> Element:
    """A cell with an error, its share of the tolerance and what that means, in words and in a colour."""
    if error is None and not failed:
        return element("td", "-", class_="number quiet")
    within = error is not None and error <= tolerance
    colour, mark = ("bad", "FAILED") if failed else ("good", "ok") if within else ("high", "high")
    share = min(100.0, 100 * error / tolerance) if error is not None and within and tolerance else 100.0
    bar = element("span", element("span", style=f"width:{share:.0f}%"), class_="bar", aria_hidden="true")
    return element("td", number(error), " ", element("small", mark), bar, class_=f"number {colour}")


def _marks() -> Element:
    return element("div", element("h3", "Marks"), described_list(MARKS.items()))


def _evidence() -> Element:
    letters = [(f"{kind[0]}, {kind}", EXPLAINED[kind]) for kind in EVIDENCE]
    text = "Letters in the table say what a call was held against, a dot that this was not possible there:"
    return section("Evidence", element("p", text), described_list(letters))

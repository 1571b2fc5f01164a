"""What a comparison found, as a page of HTML."""

from collections.abc import Iterator
from textwrap import dedent
from typing import Any
from xml.etree.ElementTree import Element

from .differences import TOLERANCE as DIFFERENCE_TOLERANCE
from .findings import EVIDENCE, Finding
from .html import PACKAGE, described_list, document, element, frameworks, ran_on, section, table
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
    title,
    verdict,
)

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

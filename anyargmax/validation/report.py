"""What a comparison found, as a table for a terminal, as JSON and as JUnit's XML."""

import json
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from .differences import TOLERANCE as DIFFERENCE_TOLERANCE
from .findings import EVIDENCE, Finding, Row

WIDTH, SHOWN = 80, 8
RED, GREEN, PLAIN = "\033[31m", "\033[32m", "\033[0m"
COLUMNS = ("value", "vjp", "jvp", "2nd")
NOTHING = "Nothing was compared."


class Report(NamedTuple):
    """Rows of a comparison, and what it ran on. ``str(report)`` is the table.

    Parameters
    ----------
    rows : tuple of Row
        One for each call and dtype.
    frameworks : tuple of str
        The frameworks, with their versions.
    tolerance : dict of str to float
        How many eps were allowed of values and of derivatives.
    seed : int
        Of the random numbers.
    again : str, default ""
        The command line that repeats the comparison.
    notes : tuple of str, default ()
        What was left out, and why.

    Attributes
    ----------
    ok : bool
        Whether nothing disagrees and nothing raised.
    findings : tuple of Finding
        Every disagreement.
    raised : tuple of str
        Where the function raised.
    exit_code : int
        0 where all is well, 1 for a disagreement, 2 where a function raised.
    """

    rows: tuple[Row, ...]
    frameworks: tuple[str, ...]
    tolerance: dict[str, float]
    seed: int
    again: str = ""
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every disagreement."""
        return tuple(finding for row in self.rows for finding in row.findings)

    @property
    def raised(self) -> tuple[str, ...]:
        """Where the function raised."""
        return tuple(line for row in self.rows for line in row.raised)

    @property
    def ok(self) -> bool:
        """Whether nothing disagrees and nothing raised."""
        return not self.findings and not self.raised

    @property
    def exit_code(self) -> int:
        """0 where all is well, 1 for a disagreement, 2 where a function raised."""
        return 2 if self.raised else int(not self.ok)

    def __str__(self) -> str:
        return text(self)


def _wrapped(line: str, hanging: str = "  ") -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)


def _heading(report: Report) -> str:
    calls, dtypes = (
        list(dict.fromkeys(names)) for names in zip(*((r.call, r.dtype) for r in report.rows), strict=True)
    )
    tolerance = report.tolerance
    count = f"{len(calls)} call{'s' * (len(calls) > 1)}"
    return "\n".join(
        [
            _wrapped(f"{count} in {', '.join(dtypes)} on {', '.join(report.frameworks)}; seed {report.seed}"),
            _wrapped(
                f"Largest errors in eps; allowed are {tolerance['value']:g} for values and {tolerance['derivative']:g} for "
                "derivatives (twice that between frameworks),"
                f" and {DIFFERENCE_TOLERANCE:g} of the scale for finite differences (in float64).",
                "",
            ),
            "Evidence: a agreement, o oracle, i invariants, d finite differences",
        ]
    )


def number(error: float | None) -> str:
    """Return an error in eps as it is shown."""
    return "-" if error is None else f"{error:.1f}" if error < 1e4 else f"{error:.0e}"


class Line(NamedTuple):
    """A call in all dtypes: the largest error of each column, the evidence there is anywhere, and what is wrong."""

    call: str
    worst: dict[str, float | None]
    evidence: tuple[str, ...]
    findings: tuple[Finding, ...]
    raised: tuple[str, ...]


def columns_of(report: Report) -> list[str]:
    """Return the quantities that have an error in any row."""
    return [name for name in COLUMNS if any(name in row.errors for row in report.rows)]


def lines_of(report: Report) -> list[Line]:
    """Return the lines of the table, one for each call."""
    columns, lines = columns_of(report), []
    for call in dict.fromkeys(row.call for row in report.rows):
        rows = [row for row in report.rows if row.call == call]
        worst = {name: max((r.errors[name] for r in rows if name in r.errors), default=None) for name in columns}
        evidence = tuple(kind for kind in EVIDENCE if any(kind in r.evidence for r in rows))
        findings = tuple(finding for r in rows for finding in r.findings)
        lines.append(Line(call, worst, evidence, findings, tuple(text for r in rows for text in r.raised)))
    return lines


def _table(report: Report) -> list[str]:
    columns = columns_of(report)
    width = WIDTH - 13 - 9 * len(columns)
    lines = [f"{'':{width}}" + "".join(f"{name:>9}" for name in columns) + "  evidence"]
    for line in lines_of(report):
        letters = "".join(kind[0] if kind in line.evidence else "." for kind in EVIDENCE)
        label = line.call if len(line.call) < width else line.call[: width - 4] + "..."
        failed = " FAILED" if line.findings or line.raised else ""
        errors = "".join(f"{number(line.worst[name]):>9}" for name in columns)
        lines.append(f"{label:{width}}{errors}  {letters}{failed}")
    return lines


def _array(x: np.ndarray) -> str:
    return np.array2string(np.asarray(x), separator=", ", max_line_width=WIDTH - 6, threshold=60, floatmode="unique")


def title(finding: Finding) -> str:
    """Say what is wrong, and where."""
    return f"{finding.call}: {finding.quantity} of {finding.place} in {finding.dtype}"


def described(finding: Finding, again: str = "") -> str:
    """Say what is wrong, by how much, and how to see it again."""
    return f"{_wrapped(title(finding), '    ')}\n{details(finding, again)}"


def details(finding: Finding, again: str = "") -> str:
    """Say by how much it is wrong, and how to see it again."""
    f, lines = finding, []
    if np.isnan(f.expected) and np.isnan(f.actual):
        amount = f", {f.error:.3g} eps where {f.allowed:.3g} are allowed" if np.isfinite(f.error) else ""
        lines.append(f"  {f.evidence}: {f.detail}{amount}")
    else:
        place = f" at {list(f.entry)}" if f.entry else ""
        lines.append(f"  expected {f.expected:.9g} by {f.evidence}, got {f.actual:.9g}{place}")
        lines.append(f"  {f.error:.3g} eps where {f.allowed:.3g} are allowed" + f" ({f.detail})" * bool(f.detail))
    lines = [_wrapped(line, "    ") for line in lines]
    inputs = ", ".join(_array(x) for x in f.inputs)
    lines.append(f"  with seed {f.seed}, inputs {inputs}".replace("\n", "\n  "))
    if again:
        name = f.place.partition(" on ")[0]
        lines.append(f"  again: {again} --backends {name} --dtypes {f.dtype} --seed {f.seed}")
    return "\n".join(lines)


def first_of_each(findings: Sequence[Finding]) -> list[Finding]:
    """One finding for each call, place and quantity: further evidence against the same says little more."""
    return list({(f.call, f.place, f.quantity): f for f in reversed(findings)}.values())[::-1]


def text(report: Report, color: bool = False) -> str:
    """Return the report as text of at most 80 columns, but for the inputs of a failure."""
    if not report.rows:
        return NOTHING
    lines = [_heading(report), "", *_table(report), ""]
    lines += [_wrapped(f"note: {note}") for note in notes_of(report)]
    different = first_of_each(report.findings)
    lines += [_wrapped(line) for line in report.raised]
    lines += [described(f, again_for(report, f)) for f in different[:SHOWN]]
    if len(different) > SHOWN:
        lines.append(f"and {len(different) - SHOWN} more")
    paint = GREEN if report.ok else RED
    lines.append(f"{paint}{verdict(report)}{PLAIN}" if color else verdict(report))
    return "\n".join(lines)


def notes_of(report: Report) -> list[str]:
    """Return what is to be noted of the whole and of its rows, each once."""
    return list(dict.fromkeys([*report.notes, *(note for row in report.rows for note in row.notes)]))


def again_for(report: Report, finding: Finding) -> str:
    """Return the command that compares a finding's call again, nothing where there is none."""
    return report.again and f'{report.again} --only "{finding.call}"'


def verdict(report: Report) -> str:
    """Say in a line whether all is well."""
    if not report.rows:
        return NOTHING
    if report.ok:
        alone = sum(not row.evidence for row in report.rows)
        doubt = f", but {alone} of {len(report.rows)} rows had nothing to be held against" if alone else ""
        return f"Everything agrees{doubt}."
    different = len(first_of_each(report.findings))
    parts = [f"{different} disagreement{'s' * (different != 1)}"] * bool(different)
    parts += [f"raised {len(report.raised)} time{'s' * (len(report.raised) != 1)}"] * bool(report.raised)
    return f"FAILED: {', '.join(parts)}."


def _json_number(x: float) -> float | str:
    return float(x) if np.isfinite(x) else str(float(x))


def _finding_as_data(finding: Finding) -> dict[str, Any]:
    data = finding._asdict()
    data |= {name: _json_number(data[name]) for name in ("error", "allowed", "expected", "actual")}
    nested = [np.vectorize(_json_number, otypes=[object])(x).tolist() for x in finding.inputs if x.size]
    return data | {"entry": list(finding.entry), "inputs": nested}


def as_json(report: Report) -> str:
    """Return everything that was found as JSON; numbers that are not finite are strings.

    Parameters
    ----------
    report : Report
        What `check` or `compare` returned.

    Returns
    -------
    str
        An object with ``ok``, ``frameworks``, ``tolerance``, ``seed``, ``notes`` and ``rows``. Each row has the fields
        of `Row`, and each of its findings those of `Finding`.

    Examples
    --------
    >>> import json
    >>> from anyargmax import soft_argmax
    >>> from anyargmax.validation import as_json, compare
    >>> report = compare(soft_argmax, [0.0, 1.0, 3.0], backends=["numpy"], dtypes=["float64"])
    >>> [json.loads(as_json(report))[name] for name in ("ok", "seed")]
    [True, 0]
    """
    rows = [
        row._asdict()
        | {
            "errors": {name: _json_number(error) for name, error in row.errors.items()},
            "findings": [_finding_as_data(f) for f in row.findings],
        }
        for row in report.rows
    ]
    data = {"ok": report.ok, "frameworks": report.frameworks, "tolerance": report.tolerance, "seed": report.seed}
    return json.dumps(data | {"notes": report.notes, "rows": rows}, indent=1)


def shown(value: object) -> str:
    """Return a text with marks in place of what neither XML nor HTML can hold: control characters, halves of pairs."""
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return "".join(
        c if c in "\n\t" or (ord(c) >= 32 and c not in "\ufffe\uffff") else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def as_junit(report: Report) -> str:
    """Return a test suite in JUnit's XML, with a test case for each call and dtype.

    Parameters
    ----------
    report : Report
        What `check` or `compare` returned.

    Returns
    -------
    str
        An XML document with one ``testsuite``. Disagreements are failures, and what a function raised are errors.

    Examples
    --------
    >>> from anyargmax import soft_argmax
    >>> from anyargmax.validation import as_junit, compare
    >>> report = compare(soft_argmax, [0.0, 1.0, 3.0], backends=["numpy"], dtypes=["float64"])
    >>> print(as_junit(report).partition("<testcase ")[2])
    classname="soft_argmax" name="float64" /></testsuite>
    """
    failed = [row for row in report.rows if row.findings and not row.raised]
    raised = [row for row in report.rows if row.raised]
    counts = {"tests": len(report.rows), "failures": len(failed), "errors": len(raised)}
    suite = ElementTree.Element("testsuite", {"name": "check", **{k: str(n) for k, n in counts.items()}})
    for row in report.rows:
        case = ElementTree.SubElement(suite, "testcase", classname=shown(row.call), name=row.dtype)
        if row.raised:
            ElementTree.SubElement(case, "error", message=shown(row.raised[0])).text = shown("\n".join(row.raised))
        elif row.findings:
            body = shown("\n".join(described(f) for f in first_of_each(row.findings)))
            ElementTree.SubElement(case, "failure", message=body.partition("\n")[0]).text = body
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)

"""Do the frameworks agree here? Values and derivatives of any function, compared everywhere."""

from .checking import check
from .comparison import assert_backends_agree, compare
from .findings import Finding, Row
from .frameworks import Backend, load
from .page import as_html
from .report import Report, as_json, as_junit

__all__ = [
    "Backend",
    "Finding",
    "Report",
    "Row",
    "as_html",
    "as_json",
    "as_junit",
    "assert_backends_agree",
    "check",
    "compare",
    "load",
]

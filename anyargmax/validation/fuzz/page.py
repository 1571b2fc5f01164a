"""What random calls found, as a page of HTML."""

from collections.abc import Iterator
from textwrap import dedent
from typing import Any
from xml.etree.ElementTree import Element

from ..html import PACKAGE, described_list, document, element, frameworks, ran_on, section, table
from .command import Fuzzed

CAPTION = "Random calls of each property. One that FAILED is not called again."


def as_html(found: Fuzzed) -> str:
    """Return a page of HTML: what was called, the table of properties, and every failure in full."""
    parts = [section("What was called", described_list(_called(found)))]
    if found.failures:
        parts.append(section("Failures", *map(_failure, found.failures)))
    head = [
        element("th", "property", scope="col"),
        element("th", "calls", scope="col", class_="number"),
        element("th", "outcome", scope="col"),
    ]
    parts.append(section("Properties", table(CAPTION, head, (_line(name, found) for name in found.counts))))
    return document(f"{PACKAGE} check --fuzz", found.verdict, not found.exit_code, parts)


def _called(found: Fuzzed) -> Iterator[tuple[str, Any]]:
    yield from ran_on()
    yield "Frameworks", frameworks(found.frameworks)
    yield "Random calls", str(sum(found.counts.values()))
    yield "Dtypes", ", ".join(found.dtypes)
    yield "Seed", str(found.seed)


def _failure(failure: tuple[str, str]) -> Element:
    heading, text = failure
    return element("article", element("h3", heading), element("pre", dedent(text)))


def _line(name: str, found: Fuzzed) -> Element:
    failed = bool(found.broken.get(name))
    outcome = element("td", "✗ FAILED" if failed else "✓ ok", class_="bad" if failed else "good")
    return element(
        "tr", element("th", name, scope="row"), element("td", str(found.counts[name]), class_="number"), outcome
    )

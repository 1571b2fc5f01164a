"""Pages of HTML that need no other file and run nothing: their style, and the elements that they are made of."""

import platform
from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from .report import shown

PACKAGE = __name__.rpartition(".validation")[0]
NOTHING_RUNS = "default-src 'none'; style-src 'unsafe-inline'"
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

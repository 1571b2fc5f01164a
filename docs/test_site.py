"""What must hold of the built site: ``sphinx-build docs docs/_build/html`` first, or ``nox -s docs`` for both."""

import inspect
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

import anyargmax
from anyargmax import sampling, validation

DOCS = Path(__file__).resolve().parent
SITE = DOCS / "_build" / "html"
PAGES = sorted(page.relative_to(SITE).as_posix() for page in SITE.rglob("*.html") if "_static" not in page.parts)
EXAMPLES = sorted(path.stem for path in (DOCS / "gallery").glob("plot_*.py"))
FUNCTIONS = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (anyargmax, sampling, validation)
    for name in module.__all__
    if inspect.isfunction(getattr(module, name))
}


class Page(HTMLParser):
    """What a page links to, loads and shows, and the places in it that links lead to."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.loaded, self.places, self.images, self.words = [], [], {""}, [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.places |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag == "link" and found.get("rel") == "stylesheet":
            self.loaded.append(found["href"])
        if tag in ("script", "img") and found.get("src"):
            self.loaded.append(found["src"])
        if tag == "img":
            self.images.append((found.get("src"), found.get("alt")))

    def handle_data(self, data):
        self.words.append(data)


@cache
def parsed(name: str) -> Page:
    return Page((SITE / name).read_text(encoding="utf-8"))


def broken(links, page: Path) -> list[str]:
    """Return the links of a page that lead to no file of the site, or to no place in it."""
    failed = []
    for link in links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if (
            not target.is_file()
            or not target.is_relative_to(SITE)
            or (
                target.suffix == ".html"
                and unquote(parts.fragment) not in parsed(target.relative_to(SITE).as_posix()).places
            )
        ):
            failed.append(link)
    return failed


def test_the_site_is_built():
    assert "index.html" in PAGES, f"Build the site first: python -m sphinx {DOCS} {SITE}"
    assert len(PAGES) > 30
    assert len(EXAMPLES) >= 9
    assert len(FUNCTIONS) >= 25


@pytest.mark.parametrize("name", PAGES)
def test_links_of_the_page_lead_somewhere(name):
    assert broken(parsed(name).links, SITE / name) == []


def test_a_link_that_leads_nowhere_is_noticed():
    links = [
        "index.html",
        "nowhere.html",
        "index.html#nowhere",
        "#nowhere",
        "https://numpy.org/nowhere",
        "../index.html",
    ]
    assert broken(links, SITE / "index.html") == ["nowhere.html", "index.html#nowhere", "#nowhere", "../index.html"]


@pytest.mark.parametrize("name", PAGES)
def test_the_page_loads_nothing_from_elsewhere(name):
    page = parsed(name)
    assert [source for source in page.loaded if urlsplit(source).scheme not in ("", "data")] == []
    assert broken([source for source in page.loaded if not source.startswith("data:")], SITE / name) == []


@pytest.mark.parametrize("name", PAGES)
def test_pictures_of_the_page_are_described(name):
    """But for thumbnails, which stand in a link that has words."""
    assert [source for source, text in parsed(name).images if not text and "_thumb" not in source] == []


def ink(path: Path) -> float:
    """Return the share of a picture's pixels that have another colour than its corner."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return float(np.mean(np.any(pixels != pixels[0, 0], axis=-1)))


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_draws(example):
    pictures = sorted((DOCS / "examples" / "images").glob(f"sphx_glr_{example}_*.png"))
    assert pictures, f"{example} draws no figure"
    assert [picture.name for picture in pictures if ink(picture) < 0.01] == []
    assert any(f"sphx_glr_{example}_001" in source for source, _ in parsed(f"examples/{example}.html").images)


def test_an_empty_picture_is_noticed(tmp_path):
    Image.new("RGB", (40, 30), "white").save(tmp_path / "empty.png")
    assert ink(tmp_path / "empty.png") == 0


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_runs_in_less_than_20_seconds(example):
    """By the time that the page itself says."""
    text = " ".join(parsed(f"examples/{example}.html").words)
    minutes, seconds = re.search(r"running time of the script:\s*\((\d+) minutes? ([\d.]+) seconds?\)", text).groups()
    assert 60 * int(minutes) + float(seconds) < 20


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_reference_has_the_function_and_all_its_options(name):
    module, _, function = name.rpartition(".")
    page = parsed(f"reference/generated/{module}.{function}.html")
    assert name in page.places
    named = set(re.findall(r"\w+", " ".join(page.words).partition("Parameters")[2]))
    assert set(inspect.signature(FUNCTIONS[name]).parameters) <= named


def test_every_page_is_reached_from_the_first():
    reached, waiting = set(), ["index.html"]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in PAGES:
            continue
        reached.add(name)
        base = (SITE / name).parent
        local = [urlsplit(link) for link in parsed(name).links]
        paths = [(base / unquote(link.path)).resolve() for link in local if link.path and not link.scheme]
        waiting += [path.relative_to(SITE).as_posix() for path in paths if path.is_relative_to(SITE)]
    assert sorted(set(PAGES) - reached - {"genindex.html", "search.html", "py-modindex.html"}) == []

"""The snippets of the page on extending print what it says. What they register is removed again, because other tests see it."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from anyargmax._frameworks import registry
from anyargmax._rules.relaxations import WINNERS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "extending.md"
SNIPPETS = re.findall(r"```py\n(.*?)```\n```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def taken_back(monkeypatch):
    monkeypatch.setattr(registry, "_registered", list(registry._registered))
    kinds = dict(WINNERS)
    yield
    for kind in {*WINNERS} - {*kinds}:
        del WINNERS[kind]


@pytest.mark.parametrize(("code", "printed"), [pytest.param(*pair, id=str(k)) for k, pair in enumerate(SNIPPETS)])
def test_what_is_registered_does_what_the_page_says(code, printed, taken_back):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, PAGE.name, "exec"), {})
    assert out.getvalue() == printed


def test_the_page_has_a_relaxation_and_a_framework():
    assert ["WINNERS[" in code for code, _ in SNIPPETS] == [True, False]
    assert ["register_backend(" in code for code, _ in SNIPPETS] == [False, True]

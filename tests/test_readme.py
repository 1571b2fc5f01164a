"""Every Python snippet of the README, run in the order of the page, prints what the page says."""

import contextlib
import io
import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"
SNIPPETS = re.findall(r"```python\n(.*?)```(?:\n```text\n(.*?)```)?", README.read_text(encoding="utf-8"), re.DOTALL)


def title(code: str) -> str:
    return re.sub(r"\W+", "_", code.strip().splitlines()[0])


@pytest.mark.parametrize(
    ("code", "printed"), [pytest.param(*pair, id=f"{k}_{title(pair[0])}") for k, pair in enumerate(SNIPPETS)]
)
def test_snippet_prints_what_the_page_says(code, printed):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {})
    assert out.getvalue() == printed


def test_the_page_has_its_snippets():
    assert len(SNIPPETS) >= 5
    assert all(printed for _, printed in SNIPPETS)

"""Every Python snippet and command of the pages, run in their order, prints what the page says."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import anyargmax
from anyargmax import __main__ as command

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path(anyargmax.__file__).resolve().parent  # an installed wheel has the library elsewhere
README = ROOT / "README.md"
WRITTEN = (README, *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docs/reference/*.md")))
PAGES = "".join(page.read_text(encoding="utf-8") for page in WRITTEN)
SNIPPETS = re.findall(r"```python\n(.*?)```(?:\n```text\n(.*?)```)?", PAGES, re.DOTALL)
COMMANDS = re.findall(r"```sh\n(python -m anyargmax .*?)\n```\n```text\n(.*?)```", PAGES, re.DOTALL)
VERSION = re.compile(r"(?<= )\d+\.\d+[\w.+]*(?=[,; ])")
ERROR = re.compile(r"(?<= )\d+\.\d\b")


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


def test_links_of_the_pages_lead_to_files():
    """Which a checkout has, before the site is built."""
    for page in WRITTEN:
        prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose):
            path = (page.parent / link).resolve().relative_to(ROOT)
            assert any((home / path).exists() for home in (ROOT, SOURCE, SOURCE.parent)), f"{page.name}: {link}"


@pytest.mark.parametrize(("line", "printed"), [pytest.param(*pair, id=pair[0].split()[3]) for pair in COMMANDS])
def test_command_prints_what_the_page_says(line, printed, tmp_path, monkeypatch, capsys):
    """But for the versions of frameworks, and for rounding errors, which belong to a processor."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mypackage").mkdir()
    assert command.main(shlex.split(line)[3:]) == 0

    def masked(text):
        return " ".join(ERROR.sub("E", VERSION.sub("V", text)).split())

    shown = capsys.readouterr().out
    assert masked(shown) == masked(printed)


def test_the_pages_tests_of_a_project_pass(tmp_path):
    (code,) = re.findall(r"```py\n(from anyargmax.validation.*?)```", PAGES, re.DOTALL)
    (tmp_path / "test_of_a_project.py").write_text(code, encoding="utf-8")
    (tmp_path / "conftest.py").write_text("pytest_plugins = ['anyargmax.pytest_plugin']\n", encoding="utf-8")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(Path(anyargmax.__file__).resolve().parent.parent)}
    child = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=env, check=False)
    assert child.returncode == 0, child.stdout + child.stderr


def test_the_pages_have_their_commands():
    assert sorted(line.split()[3] for line, _ in COMMANDS) == ["bench", "check", "estimators", "vendor"]


def test_the_main_page_is_short():
    assert len(README.read_text(encoding="utf-8").split()) <= 1000

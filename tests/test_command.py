"""The command line as a whole: how it is started, what it calls itself, and the examples of its help pages."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import anyargmax
from anyargmax import __main__ as command
from anyargmax import _vendoring
from anyargmax._benchmark import command as bench
from anyargmax.validation import command as check

ROOT = Path(__file__).resolve().parent.parent
MODULE = "python -m anyargmax"
PARSERS = {
    "check": lambda program, words: check.parser(program).parse_args(words),
    "vendor": _vendoring.arguments,
    "bench": lambda program, words: bench._parser(program).parse_args(words),
}
LONG = (  # other tests run those
    "",
    "experiment",
    "experiment --plot training.png",
    "bench --frameworks torch jax --only 4096x1024 --json timings.json --plot timings.png",
)


def process(*words, folder, **environment):
    """Run Python in a folder, with the library under test on its path."""
    home = str(Path(anyargmax.__file__).resolve().parent.parent)
    env = {**os.environ, "PYTHONPATH": home, **environment}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=folder, env=env, check=False, timeout=120
    )


@pytest.fixture
def script(tmp_path):
    """The path of the script that an installer makes of the entry in `pyproject.toml`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ((name, entry),) = project["scripts"].items()
    module, _, function = entry.partition(":")
    (tmp_path / "bin").mkdir()
    path = tmp_path / "bin" / name
    path.write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n", encoding="utf-8")
    return str(path)


class TestTheScript:
    @pytest.mark.parametrize("verb", [[], *([verb] for verb in command.VERBS)], ids=str)
    def test_is_called_by_its_name_in_help(self, script, verb, tmp_path):
        child = process(script, *verb, "--help", folder=tmp_path)
        assert child.returncode == 0, child.stderr
        assert child.stdout.startswith(f"usage: {' '.join(['anyargmax', *verb])} ")
        assert "python -m" not in child.stdout

    @pytest.mark.parametrize(
        "words", [["check", "--only", "no such"], ["vendor", "1st"], ["bench", "--only", "no such"]], ids=str
    )
    def test_is_called_by_its_name_in_errors(self, script, words, tmp_path):
        child = process(script, *words, folder=tmp_path)
        assert (child.returncode, child.stderr.count("\n")) == (2, 1)
        assert child.stderr.startswith(f"anyargmax {words[0]}: ")

    def test_finds_a_module_of_the_folder_as_the_module_does(self, script, tmp_path):
        (tmp_path / "of_mine.py").write_text("def double(x): return 2 * x\n", encoding="utf-8")
        words = ["check", "of_mine:double", "--backends", "numpy", "--order", "0"]
        for start in ([script], ["-m", "anyargmax"]):
            child = process(*start, *words, folder=tmp_path)
            assert (child.returncode, child.stderr) == (0, "")
        hidden = process(script, *words, folder=tmp_path, PYTHONSAFEPATH="1")
        assert "cannot import of_mine:double" in hidden.stderr

    def test_is_none_of_what_a_renamed_copy_calls_itself(self, tmp_path):
        assert command.main(["vendor", str(tmp_path / "_mine"), "--backends"]) == 0
        for words in (["-m", "_mine", "vendor", "1st"], ["-m", "_mine", "vendor", "--help"]):
            child = process(*words, folder=tmp_path)
            assert "python -m _mine vendor" in child.stdout + child.stderr
        assert process("-m", "_mine", "--version", folder=tmp_path).stdout == f"_mine {anyargmax.__version__}\n"


@pytest.mark.parametrize("start", ["script", "module"])
def test_the_version_is_printed_without_numpy(script, start, tmp_path):
    words = [script] if start == "script" else ["-m", "anyargmax"]
    child = process("-X", "importtime", *words, "--version", folder=tmp_path)
    assert (child.returncode, child.stdout) == (0, f"anyargmax {anyargmax.__version__}\n")
    assert "argparse" in child.stderr
    assert "numpy" not in child.stderr


def page(capsys, *words):
    with pytest.raises(SystemExit, match="0"):
        command.main([*words, "--help"])
    return capsys.readouterr().out


def examples(text):
    """The examples of a help page, as they are typed after the program's name."""
    _, _, last = text.partition("\nexamples:\n")
    lines = last.splitlines()
    assert all(line.startswith(f"  {MODULE}") for line in lines)
    return [line.removeprefix(f"  {MODULE}").strip() for line in lines]


@pytest.mark.parametrize("words", [[], *([verb] for verb in command.VERBS)], ids=str)
def test_every_help_page_ends_with_examples_that_run(capsys, words, tmp_path, monkeypatch):
    found = examples(page(capsys, *words))
    assert found
    assert all(example.startswith(" ".join(words)) for example in found)
    monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", str(tmp_path / "hypothesis"))
    monkeypatch.chdir(tmp_path)
    for example in found:
        verb, *options = shlex.split(example) or ["experiment"]
        if verb in PARSERS:
            PARSERS[verb](verb, options)
        if example not in LONG:
            small = ["--backends", "numpy"] if verb == "check" and "--backends" not in options else []
            assert command.main([verb, *options, *small]) == 0, capsys.readouterr()


def test_the_help_page_has_an_example_of_each_verb(capsys):
    assert [re.match(r"\w*", example)[0] or "experiment" for example in examples(page(capsys))] == [*command.VERBS]

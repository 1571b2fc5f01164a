"""The reference is whole: public names are on its page, options in docstrings, and verbs and options in the help of commands."""

import argparse
import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import anyargmax
import anyargmax.backends.torch as torch_layers
from anyargmax import __main__ as command
from anyargmax import pytest_plugin, sampling, validation
from anyargmax._frameworks import protocol, registry

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
HOMES = (Path(anyargmax.__file__).parent, Path(next(iter(anyargmax.backends.__path__))))
LAYERS = {  # of Keras they have the names that they have of torch
    f"backends.{framework}.{name}": framework for framework in ("torch", "keras") for name in torch_layers.__all__
}
FUNCTIONS = [
    *(name for name in anyargmax.__all__ if name != "sampling"),
    *(f"sampling.{name}" for name in sampling.__all__),
    *(f"validation.{name}" for name in validation.__all__),
]
EXAMPLES = [
    *("operators", "expectations", "weights", "losses", "derivatives", "sampling", "_frameworks.registry"),
    *(f"validation.{name}" for name in ("checking", "comparison", "frameworks", "page", "report")),
]


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text(encoding="utf-8")


def object_of(name: str):
    """What a dotted name in the library means."""
    module, _, last = f"anyargmax.{name}".rpartition(".")
    return getattr(importlib.import_module(module), last)


def difference(documented, f) -> str:
    """Say how the section Parameters differs from a signature, nothing if it does not."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    wanted = [stars.get(p.kind, "") + p.name for p in inspect.signature(f).parameters.values() if p.name != "self"]
    return "" if documented == wanted else f"documented are {documented}, the signature has {wanted}"


@pytest.fixture(scope="module")
def sections():
    """The sections of a docstring. An unknown one is a warning, which is an error here."""
    docscrape = pytest.importorskip("numpydoc.docscrape")
    return lambda f: docscrape.NumpyDocString(inspect.getdoc(f) or "")


def parameters(sections, f) -> list[str]:
    return [parameter.name for parameter in sections(f)["Parameters"]]


@pytest.mark.parametrize("name", [*FUNCTIONS, *LAYERS])
def test_every_public_name_is_on_the_page(name):
    assert name in re.findall(r"^   ([\w.]+)$", page("index"), re.MULTILINE)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_documented_in_the_order_of_the_signature(name, sections):
    f = object_of(name)
    assert not difference(parameters(sections, f), f)
    assert all(parameter.desc for parameter in sections(f)["Parameters"])


@pytest.mark.parametrize("name", LAYERS)
def test_every_option_of_a_layer_is_documented_in_the_order_of_the_signature(name, sections):
    pytest.importorskip(LAYERS[name])
    layer = object_of(name)
    assert not difference(parameters(sections, layer), layer)
    if LAYERS[name] == "torch":
        assert not difference(parameters(sections, layer.forward), layer.forward)


def test_a_missing_option_is_noticed(sections):
    def f(x, *, temperature=1.0, hard=False):
        """Return it.

        Parameters
        ----------
        x : array
            Scores.
        hard : bool
            Straight-through.
        """

    found = parameters(sections, f)
    assert difference(found, f) == "documented are ['x', 'hard'], the signature has ['x', 'temperature', 'hard']"
    assert difference(["x", "hard", "temperature"], f)
    assert not difference(["x", "temperature", "hard"], f)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if inspect.isfunction(object_of(name))])
def test_every_function_has_an_example(name, sections):
    imported = re.findall(
        r"^>>> from anyargmax[\w.]* import (.*)", "\n".join(sections(object_of(name))["Examples"]), re.MULTILINE
    )
    assert name.rpartition(".")[2] in ", ".join(imported).split(", ")


def test_the_examples_of_every_module_are_run():
    root = HOMES[0]
    found = {path for path in root.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")}
    shown = {path.relative_to(root).with_suffix("").as_posix().replace("/", ".") for path in found}
    assert {name for name in shown if not name.startswith("backends.")} == {*EXAMPLES}  # those: tests/test_layers.py


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_print_what_they_say(name):
    before = {*registry.registered()}
    module = importlib.import_module(f"anyargmax.{name}")
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        try:
            runner.run(test, clear_globs=False)
        finally:
            for taught in {*registry.registered()} - before:
                registry.unregister(taught)
    assert runner.failures == 0
    assert runner.tries > 0


class Parser(Exception):
    """The parser that a command was about to use."""


def parser_of(run, monkeypatch) -> argparse.ArgumentParser:
    def caught(self, *_):
        raise Parser(self)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", caught)
    with pytest.raises(Parser) as found:
        run()
    return found.value.args[0]


@pytest.mark.parametrize("verb", [None, *command.VERBS])
def test_every_option_of_a_command_has_a_help_text(verb, monkeypatch):
    run = command.VERBS[verb] if verb else command.main
    parser = parser_of(lambda: run([], "program"), monkeypatch)
    assert parser.description
    assert [action.dest for action in parser._actions if not action.help] == []


@pytest.mark.parametrize("verb", command.VERBS)
def test_every_verb_is_on_the_page(verb):
    assert f"\n## {verb}\n" in page("command")
    assert f"\n```{{program-output}} python -m anyargmax {verb} --help\n" in page("command")


def test_the_fixture_and_its_option_are_on_the_page():
    assert f"\n`{pytest_plugin.NAME}`\n" in page("index")
    assert f"\n`{pytest_plugin.OPTION}`\n" in page("index")


def test_the_environment_variables_that_are_read_are_on_the_page():
    sources = [path for home in HOMES for path in home.rglob("*.py") if "_benchmark" not in path.parts]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    read = {*re.findall(r"""environ(?:\.get\(|\.setdefault\(|\[)["'](\w+)["']""", text)}
    assert {"ANYARGMAX_ENGINES", "KERAS_BACKEND"} <= read
    assert {*re.findall(r"^\| `([A-Z_]+)` \|", page("index"), re.MULTILINE)} == read


def test_the_attributes_of_an_adapter_are_those_of_the_protocol():
    needed, *others = [re.findall(r"^\| (`.*?) \|", part, re.MULTILINE) for part in page("adapter").split("|---|")[1:]]
    listed = [[name for cell in cells for name in re.findall(r"`(\w+)", cell)] for cells in (needed, *others)]
    assert tuple(listed[0]) == protocol.REQUIRED
    assert {name for names in listed for name in names} <= {*protocol.NAMES}

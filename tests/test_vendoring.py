"""Copies of the library inside other projects: those that the command makes, and those that are made by hand."""

import errno
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from conftest import PRESENT

import anyargmax
import anyargmax.backends
from anyargmax import __main__ as command
from anyargmax import _vendoring
from anyargmax.validation.tolerance import assert_close

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path(anyargmax.__file__).resolve().parent  # of the checkout or of the installed wheel
ADAPTERS = Path(next(iter(anyargmax.backends.__path__))).resolve()
FRAMEWORKS = ["numpy", *(name for name in ("autograd", "torch", "jax") if name in PRESENT)]
PROGRAM = "python -m anyargmax vendor"
ALIAS = '''\
"""Source-checkout alias of ../backends; a wheel ships that folder in this module's place."""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parent.parent / "backends")]
'''

# What runs in a fresh interpreter: the copies in HOME are all that it has of the library.
START = """
import importlib, importlib.util, json, sys
from importlib.machinery import PathFinder

class OnlyAtHome(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return super().find_spec(name, [HOME] if name in HIDDEN else path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = OnlyAtHome
sys.path.insert(0, HOME)

def at_home():
    files = {name: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}
    return {name for name, file in files.items() if file.startswith(HOME)}
"""
CALLS = """
X = [[0.5, 2.0, -1.0, 1.75], [3.0, 0.25, 2.5, -0.5]]
LIKE_X = [[1.0, -2.0, 0.5, 3.0], [0.25, 1.5, -1.0, 2.0]]
CALLS = {
    "position": (lambda library, x: library.soft_argmax(x, axis=-1, temperature=0.5), [1.5, -0.75]),
    "square": (lambda library, x: library.soft_argmax(x, axis=-1) ** 2, [1.5, -0.75]),
    "entmax": (lambda library, x: library.soft_one_hot(x, alpha=1.5), LIKE_X),
}
"""
GRADIENTS = """
def with_numpy(library, f, g):
    import numpy as np
    value, pullback = library.vjp(lambda x: f(library, x), np.asarray(X))
    return value, pullback(np.asarray(g))[0]

def with_autograd(library, f, g):
    import autograd, numpy as np
    pullback, value = autograd.make_vjp(lambda x: f(library, x))(np.asarray(X))
    return value, pullback(np.asarray(g))

def with_torch(library, f, g):
    import torch
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    value = f(library, x)
    value.backward(torch.tensor(g, dtype=torch.float64))
    return value.detach(), x.grad

def with_jax(library, f, g):
    import jax
    jax.config.update("jax_enable_x64", True)
    value, pullback = jax.vjp(lambda x: f(library, x), jax.numpy.asarray(X))
    return value, pullback(jax.numpy.asarray(g))[0]

def gradients(name):
    library = importlib.import_module(name)
    return {
        framework: {
            call: [y.tolist() for y in globals()["with_" + framework](library, f, g)]
            for call, (f, g) in CALLS.items()
        }
        for framework in FRAMEWORKS
    }
"""
NAMESPACE: dict = {}
exec(CALLS, NAMESPACE)


def run_at(home: Path, code: str, hidden=("anyargmax", "backends"), frameworks=FRAMEWORKS, **environment):
    """Run code where the copies in a folder are all there is of the library; return what it prints as JSON."""
    given = f"HOME, HIDDEN, FRAMEWORKS = {str(home)!r}, {hidden!r}, {list(frameworks)!r}"
    program = "\n".join([given, START, CALLS, GRADIENTS, textwrap.dedent(code)])
    child = subprocess.run(
        [sys.executable, "-c", program],
        cwd=home,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stdout + child.stderr
    return json.loads(child.stdout.splitlines()[-1])


def agrees(found):
    """Hold the values and gradients of each framework, in a copy, to those of the library under test."""
    assert list(found) == FRAMEWORKS
    for results in found.values():
        assert results.keys() == NAMESPACE["CALLS"].keys()
        for call, (f, g) in NAMESPACE["CALLS"].items():
            value, pullback = anyargmax.vjp(lambda x, f=f: f(anyargmax, x), np.asarray(NAMESPACE["X"]))
            expected = pullback(np.asarray(g))[0]
            assert np.count_nonzero(expected) >= 4
            assert_close(results[call][0], value, "float64", "value")
            assert_close(results[call][1], expected, "float64", "derivative")


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder but caches, by its path from there."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def package(folder: Path) -> Path:
    """Make a folder a package, and those above it up to the first that is one or exists."""
    if not folder.exists():
        package(folder.parent)
        folder.mkdir()
        (folder / "__init__.py").touch()
    return folder


def plain_copy(folder: Path, name="anyargmax") -> None:
    """Copy the library and `backends` side by side, as one copies them from a source checkout."""
    caches = shutil.ignore_patterns("__pycache__")
    within = ["backends"] if ADAPTERS.parent == SOURCE else []
    shutil.copytree(
        SOURCE, folder / name, ignore=lambda at, names: {*caches(at, names), *(within if Path(at) == SOURCE else [])}
    )
    shutil.copytree(ADAPTERS, folder / "backends", ignore=caches)
    alias = folder / name / "backends.py"
    if within:
        alias.write_text(ALIAS, encoding="utf-8")
    assert alias.read_text(encoding="utf-8") == ALIAS


def vendor(*options) -> int:
    return command.main(["vendor", *map(str, options)])


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestACopyByHand:
    def test_works_nested_renamed_and_in_a_submodule_where_nothing_is_installed(self, home):
        plain_copy(package(home / "host" / "_vendor"))
        plain_copy(package(home / "host" / "other"), "argmaxes")
        plain_copy(home / "anyargmax")  # what `git submodule add` makes of a repository of this name
        if ADAPTERS.parent == SOURCE:
            shutil.copytree(SOURCE, home / "host" / "installed", ignore=shutil.ignore_patterns("__pycache__"))
        names = ["host._vendor.anyargmax", "host.other.argmaxes", "anyargmax.anyargmax"]
        names += ["host.installed"] if (home / "host" / "installed").exists() else []
        found = run_at(
            home,
            f"""
            spec = importlib.util.find_spec("anyargmax")
            assert spec.origin is None and list(spec.submodule_search_locations) == [HOME + "/anyargmax"]
            assert importlib.util.find_spec("backends") is None
            answer = {{}}
            for name in {names!r}:
                before = at_home()
                answer[name] = gradients(name)
                strangers = {{m for m in at_home() - before if not (name + ".").startswith(m + ".") and not m.startswith(name + ".")}}
                assert not strangers, strangers
                assert len(at_home() - before) > 15
            print(json.dumps(answer))
            """.replace('"/anyargmax"', repr(os.sep + "anyargmax")),
        )
        for name in names:
            agrees(found[name])

    def test_works_side_by_side_and_beside_another_version_in_one_process(self, home):
        plain_copy(home)
        assert vendor(package(home / "host") / "_argmax") == 0
        module = home / "host" / "_argmax" / "__init__.py"
        text = module.read_text(encoding="utf-8")
        module.write_text(re.sub(r'__version__ = ".*"', '__version__ = "99.0"', text), encoding="utf-8")
        found = run_at(
            home,
            """
            import anyargmax as ours
            from host import _argmax as theirs
            assert [ours.__version__ == "99.0", theirs.__version__] == [False, "99.0"]
            answer = {"ours": gradients("anyargmax"), "theirs": gradients("host._argmax")}
            for call, (f, _) in CALLS.items():
                CALLS[call] = (lambda _, x, f=f: f(ours, x) + 2 * f(theirs, x)), CALLS[call][1]
            answer["both"] = gradients("anyargmax")
            assert ours.soft_argmax is not theirs.soft_argmax
            assert ours._frameworks.registry._registered is not theirs._frameworks.registry._registered
            for framework in FRAMEWORKS[1:]:
                assert getattr(ours._frameworks.binding, framework) is not getattr(theirs._frameworks.binding, framework)
            print(json.dumps(answer))
            """,
        )
        for name in ("ours", "theirs"):
            agrees(found[name])
        agrees(
            {
                framework: {call: [np.asarray(y) / 3 for y in pair] for call, pair in results.items()}
                for framework, results in found["both"].items()
            }
        )


class TestTheCommand:
    def test_copies_the_whole_package_with_the_chosen_adapters_inside(self, home, capsys):
        assert vendor("_argmax", "--backends", "torch", "jax", "torch") == 0
        left_out = ("backends", "_benchmark", "_experiment", "validation", "pytest_plugin")
        expected = {name: data for name, data in tree(SOURCE).items() if not name.startswith(left_out)}
        for name, data in tree(ADAPTERS).items():
            if name.startswith(("__init__", "jax/", "torch/")) and not name.endswith("/probe.py"):
                expected[f"backends/{name}"] = data
        copied = tree(home / "_argmax")
        note = copied.pop("VENDORED.md").decode()
        assert copied == expected
        assert {"LICENSE", "py.typed"} <= copied.keys()
        assert note == textwrap.dedent(f"""\
            # A copy of anyargmax {anyargmax.__version__}

            Made by `{PROGRAM} _argmax --backends jax torch`; its licence is `LICENSE`.

            It has the adapters for jax, torch, in `backends`.
            To be installed: array-api-compat>=1.12, jax, torch (a framework only where its arrays are used).

            To renew it, install the version that you want, remove this folder and make it again. Changes made here are lost then.
            """)
        assert capsys.readouterr().out == textwrap.dedent(f"""\
            _argmax: anyargmax {anyargmax.__version__} with the adapters for jax, torch
            To be installed: array-api-compat>=1.12, jax, torch (a framework only where its arrays are used)
            In a module beside it: from ._argmax import soft_argmax
            """)

    def test_makes_a_folder_that_others_may_read_and_leaves_nothing_beside_it(self, home):
        (home / "usual").mkdir()
        assert vendor(home / "_argmax/") == 0
        assert sorted(os.listdir(home)) == ["_argmax", "usual"]
        for folder, _, files in os.walk(home / "_argmax"):
            assert os.stat(folder).st_mode == os.stat(home / "usual").st_mode
            assert "__pycache__" not in folder
            assert not [name for name in files if name.endswith(".pyc")]

    def test_takes_every_adapter_unless_told_otherwise(self, home):
        every = sorted({name.partition("/")[0] for name in tree(ADAPTERS)})
        assert {"__init__.py", "autograd", "jax", "keras.py", "tensorflow", "torch"} <= set(every)
        assert vendor("every") == vendor("none", "--backends") == 0
        assert sorted(os.listdir(home / "every" / "backends")) == every
        assert sorted(os.listdir(home / "none" / "backends")) == ["__init__.py"]

    @pytest.mark.parametrize(
        ("options", "needs"),
        [
            (["--backends", "torch"], "array-api-compat>=1.12, torch (a framework only where its arrays are used)"),
            (
                ["--with-compat", "--backends", "keras", "jax"],
                "jax, keras (a framework only where its arrays are used)",
            ),
            (["--backends"], "array-api-compat>=1.12"),
            (["--backends", "--with-compat"], "nothing"),
        ],
    )
    def test_says_what_has_to_be_installed(self, home, capsys, options, needs):
        assert vendor("_argmax", *options) == 0
        assert f"\nTo be installed: {needs}\n" in capsys.readouterr().out
        assert f"\nTo be installed: {needs}.\n" in (home / "_argmax" / "VENDORED.md").read_text(encoding="utf-8")

    def test_asks_for_the_array_api_compat_that_the_project_asks_for(self):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert _vendoring.COMPAT_REQUIREMENT in project["dependencies"]

    def test_ships_the_licence_of_the_project(self):
        ours = (SOURCE / "LICENSE").read_text(encoding="utf-8")
        if (ROOT / "LICENSE").exists():
            assert (ROOT / "LICENSE").read_text(encoding="utf-8") == ours
        else:
            files = importlib.metadata.files("anyargmax")
            assert [f.read_text() for f in files if f.parts[-2:] == ("licenses", "LICENSE")] == [ours]

    def test_works_through_a_folder_that_is_a_link(self, home):
        (home / "real").mkdir()
        (home / "link").symlink_to(home / "real", target_is_directory=True)
        assert vendor("link/_argmax") == 0
        assert (home / "real" / "_argmax" / "__init__.py").is_file()

    def test_makes_the_same_copy_from_a_copy(self, home):
        """Also beside it: what array-api-compat the copy has is not the next one's by default."""
        assert vendor("first", "--backends", "torch", "jax", "--with-compat") == 0
        first = home / "first"
        code = """
            import io, contextlib
            command = importlib.import_module("first.__main__")
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                codes = [command.main(["vendor", "autograd_too", "--backends", "autograd"])]
            codes += [command.main(["vendor", "second", "--with-compat"]), command.main(["vendor", "third"])]
            print(json.dumps([codes, said.getvalue()]))
        """
        codes, said = run_at(home, code, hidden=("anyargmax", "backends", "array_api_compat"))
        assert codes == [2, 0, 0]
        assert "must name some of jax, torch, separated by spaces, got autograd." in said
        without_note = {name: data for name, data in tree(first).items() if name != "VENDORED.md"}
        assert {name: data for name, data in tree(home / "second").items() if name != "VENDORED.md"} == without_note
        compat = {name for name in without_note if "array_api_compat" in name}
        assert len(compat) > 20
        assert tree(home / "third").keys() == without_note.keys() - compat | {"VENDORED.md"}

    def test_takes_validation_if_it_is_asked_for(self, home, capsys):
        assert vendor("_argmax", "--backends", "--with-validation") == 0
        copied = {name for name in tree(home / "_argmax") if name.startswith(("validation/", "pytest_plugin"))}
        assert copied == {name for name in tree(SOURCE) if name.startswith(("validation/", "pytest_plugin"))}
        assert f"`{PROGRAM} _argmax --backends --with-validation`" in (home / "_argmax" / "VENDORED.md").read_text()
        code = """
            from _argmax import validation
            print(json.dumps([validation.compare(abs, [1.0, -2.0], backends=["numpy"]).ok]))
        """
        assert run_at(home, code) == [True]

    @pytest.mark.skipif("autograd" not in PRESENT, reason="autograd is not installed")
    def test_checks_with_the_adapters_that_it_has(self, home):
        assert vendor("_argmax", "--backends", "--with-validation") == 0
        code = """
            from _argmax import validation
            found = validation.compare(abs, [1.0, -2.0])
            try:
                validation.compare(abs, [1.0, -2.0], backends=["autograd"])
            except ModuleNotFoundError as error:
                print(json.dumps([[place.split()[0] for place in found.frameworks], str(error)]))
        """
        frameworks, error = run_at(home, code)
        assert "numpy" in frameworks
        assert not {"autograd", "torch", "torch-func", "jax", "tensorflow"} & {*frameworks}
        assert error == (
            "autograd needs the adapter `backends/autograd`, which this copy of the library does not have. Vendor it "
            "again with autograd among its `--backends`."
        )

    def test_has_validation_as_an_attribute_or_says_how_to_get_it(self, home):
        assert vendor("more", "--backends", "--with-validation") == 0
        assert vendor(package(home / "host") / "least", "--backends") == 0
        code = """
            import more, host.least as least
            errors = []
            for code in ("least.validation", "exec('from host.least import validation')"):
                try:
                    eval(code)
                except ImportError as error:
                    errors.append(str(error))
            asked = [name in dir(copy) for copy in (more, least) for name in ("validation", "backends")]
            agrees = more.validation.compare(more.soft_argmax, [0.0, 1.0], backends=["numpy"]).ok
            print(json.dumps([agrees, asked, errors, least.backends.__name__, hasattr(least, "typo")]))
        """
        lacks = (
            "`host.least.validation` must be there, but this copy of the library has none. Vendor it again with "
            "`--with-validation`."
        )
        assert run_at(home, code) == [True, [True, True, False, True], [lacks, lacks], "host.least.backends", False]

    def test_a_copy_has_the_verbs_whose_parts_it_has(self, home):
        assert vendor("least", "--backends") == vendor("more", "--backends", "--with-validation") == 0
        code = """
            import io, contextlib
            found = []
            for name in ("least", "more"):
                command = importlib.import_module(f"{name}.__main__")
                with contextlib.redirect_stdout(io.StringIO()) as said:
                    found.append([list(command.verbs()), command.main([]), "to do" in said.getvalue()])
            with contextlib.redirect_stderr(io.StringIO()) as said:
                found.append([importlib.import_module("least.__main__").main(["vendor", "x", "--with-validation"])])
            print(json.dumps([*found, "this copy of the library has none" in said.getvalue()]))
        """
        assert run_at(home, code) == [[["vendor"], 0, True], [["check", "vendor"], 0, True], [2], True]

    def test_runs_as_a_program(self, home):
        """From the library under test, whether that is a checkout or installed."""
        child = subprocess.run(
            [sys.executable, "-m", *PROGRAM.split()[2:], "_argmax", "--backends", "no_such"],
            env={**os.environ, "PYTHONPATH": str(SOURCE.parent)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (child.returncode, child.stdout) == (2, "")
        assert child.stderr.startswith(
            f"{PROGRAM}: `--backends` must name some of autograd, jax, keras, tensorflow, torch, "
        )
        assert child.stderr.count("\n") == 1


class TestACopyByCommand:
    def test_works_with_array_api_compat_inside_and_none_installed(self, home):
        assert vendor(package(home / "host") / "_argmax", "--with-compat") == 0
        found = run_at(
            home,
            """
            assert importlib.util.find_spec("anyargmax") is importlib.util.find_spec("array_api_compat") is None
            answer = {"plain": gradients("host._argmax")}
            copy = sys.modules["host._argmax"]
            assert copy._compat.array_namespace.__module__ == "host._argmax.array_api_compat.common._helpers"
            assert "array_api_compat" not in sys.modules
            if "torch" in FRAMEWORKS:
                import torch
                x = torch.tensor(X, requires_grad=True)
                eager, traced = (
                    torch.func.grad(lambda x: f(x, axis=-1, alpha=1.5).square().sum())(x) for f in
                    (copy.soft_argmax, torch.compile(copy.soft_argmax, fullgraph=True, backend="eager"))
                )
                torch.testing.assert_close(traced, eager, rtol=0, atol=64 * 2.0**-23)
            print(json.dumps(answer))
            """,
            hidden=("anyargmax", "backends", "array_api_compat"),
        )
        agrees(found["plain"])

    def test_brings_the_licence_of_array_api_compat_and_not_its_tests(self, home):
        assert vendor("_argmax", "--with-compat") == 0
        installed = tree(Path(find_spec("array_api_compat").origin).parent)
        copied = tree(home / "_argmax" / "array_api_compat")
        licence = copied.pop("LICENSE")
        assert copied == {n: d for n, d in installed.items() if n.partition("/")[0] not in ("tests", "vendor_tests")}
        assert hashlib.sha256(licence).hexdigest().startswith("4ffd978e3fa18d05")  # of the sources of 1.16.0
        assert (home / "_argmax" / "VENDORED.md").read_text(encoding="utf-8").count("array_api_compat/LICENSE") == 1

    def test_prefers_the_licence_that_array_api_compat_was_installed_with(self, home, monkeypatch):
        class Installed:
            files = (importlib.metadata.PackagePath("array_api_compat-2.0.dist-info/licenses/LICENSE"),)

        monkeypatch.setattr(importlib.metadata.PackagePath, "read_text", lambda self, encoding: "another licence")
        monkeypatch.setattr(_vendoring.metadata, "distribution", lambda name: Installed)
        assert vendor("_argmax", "--with-compat") == 0
        assert (home / "_argmax" / "array_api_compat" / "LICENSE").read_text(encoding="utf-8") == "another licence"

    @pytest.mark.skipif("torch" not in PRESENT or "jax" not in PRESENT, reason="torch and jax are needed")
    def test_says_which_adapter_it_lacks_and_differentiates_numpy_without_one(self, home):
        assert vendor(package(home / "host") / "_argmax", "--backends", "torch") == 0
        shutil.copytree(SOURCE / "_experiment", home / "host" / "_argmax" / "_experiment")  # by hand
        code = """
            import autograd, numpy as np, jax
            from host._argmax import soft_argmax, vjp
            FRAMEWORKS[:] = ["torch"]
            answer = {"torch": gradients("host._argmax")["torch"], "errors": []}
            answer["numpy"] = vjp(soft_argmax, np.asarray(X[0]))[1](np.asarray(1.5))[0].tolist()
            for grad, x in [(autograd.grad, np.asarray(X[0])), (jax.grad, jax.numpy.asarray(X[0])), (vjp, jax.numpy.asarray(X[0]))]:
                try:
                    grad(soft_argmax)(x) if grad is not vjp else vjp(soft_argmax, x)
                except ModuleNotFoundError as error:
                    answer["errors"].append([error.name, str(error)])
            import io
            from importlib.util import find_spec
            from host._argmax._experiment import frameworks, network, run
            run(network.hard_argmax, stream=(told := io.StringIO()))
            answer["experiment"] = " ".join(told.getvalue().split())
            answer["missing"] = [frameworks.missing(f.name, f.label, find_spec) for f in frameworks.FRAMEWORKS]
            print(json.dumps(answer))
        """
        found = run_at(home, code)
        expected = anyargmax.vjp(anyargmax.soft_argmax, np.asarray(NAMESPACE["X"][0]))[1](np.asarray(1.5))[0]
        assert_close(found["numpy"], expected, "float64", "derivative")
        assert found["torch"].keys() == NAMESPACE["CALLS"].keys()
        assert found["errors"] == [
            [
                f"host._argmax.backends.{name}",
                (
                    f"Arrays of {name} need the adapter `backends/{name}`, which this copy of the library does not "
                    f"have. Vendor it again with {name} among its `--backends`, or put the file there."
                ),
            ]
            for name in ("autograd", "jax", "jax")
        ]
        lacks = "has no adapter in this copy of the library"
        assert found["missing"] == [f"NumPy + autograd {lacks}", "", f"JAX {lacks}", f"TensorFlow {lacks}"]
        assert "soft_argmax has gradients with PyTorch" in found["experiment"]

    @pytest.mark.skipif("torch" not in PRESENT or find_spec("keras") is None, reason="torch and Keras are needed")
    def test_has_the_layers_of_keras_and_torch(self, home):
        assert vendor(package(home / "host") / "_argmax", "--backends", "keras", "torch") == 0
        code = """
            import keras, torch
            from host._argmax.backends.keras import SoftArgmax
            from host._argmax.backends.torch import SoftArgmax as TorchSoftArgmax
            x = torch.tensor(X)
            layers = [keras.Sequential([SoftArgmax(temperature=0.5)]), TorchSoftArgmax(temperature=0.5)]
            print(json.dumps([[type(y).__module__, y.tolist()] for y in (layer(x) for layer in layers)]))
        """
        found = run_at(home, code, KERAS_BACKEND="torch")
        expected = anyargmax.soft_argmax(np.asarray(NAMESPACE["X"]), axis=-1, temperature=0.5)
        assert [module for module, _ in found] == ["torch", "torch"]
        for _, y in found:
            assert_close(y, expected, "float32", "value")

    @pytest.mark.skipif("tensorflow" not in PRESENT, reason="TensorFlow is not installed")
    def test_differentiates_tensors_of_tensorflow(self, home):
        assert vendor(package(home / "host") / "_argmax", "--backends", "tensorflow") == 0
        code = """
            import tensorflow as tf
            from host._argmax import soft_argmax
            x = tf.constant(X, tf.float64)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = soft_argmax(x, axis=-1, temperature=0.5)
            print(json.dumps([y.numpy().tolist(), tape.gradient(y, x).numpy().tolist()]))
        """
        value, gradient = run_at(home, code, KERAS_BACKEND="tensorflow")  # which TensorFlow imports
        x = np.asarray(NAMESPACE["X"], np.float64)
        expected, pullback = anyargmax.vjp(anyargmax.soft_argmax, x, axis=-1, temperature=0.5)
        assert_close(value, expected, "float64", "value")
        assert_close(gradient, pullback(np.ones_like(expected))[0], "float64", "derivative")

    @pytest.mark.skipif(
        "tensorflow" not in PRESENT or find_spec("keras") is None, reason="TensorFlow and Keras are needed"
    )
    def test_has_the_layer_of_keras_on_tensorflow(self, home):
        assert vendor(package(home / "host") / "_argmax", "--backends", "keras", "tensorflow") == 0
        code = """
            import keras
            from host._argmax.backends.keras import SoftArgmax
            y = keras.Sequential([SoftArgmax(temperature=0.5)])(keras.ops.convert_to_tensor(X))
            print(json.dumps([keras.backend.backend(), y.numpy().tolist()]))
        """
        backend, y = run_at(home, code, KERAS_BACKEND="tensorflow")
        assert backend == "tensorflow"
        expected = anyargmax.soft_argmax(np.asarray(NAMESPACE["X"]), axis=-1, temperature=0.5)
        assert_close(y, expected, "float32", "value")


def refused(capsys, *options) -> str:
    """Return the one line with which the command refuses, without the program's name."""
    assert vendor(*options) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"{PROGRAM}: ")
    assert printed.err.count("\n") == 1
    return printed.err.removeprefix(f"{PROGRAM}: ").removesuffix("\n")


class TestItRefuses:
    def test_a_folder_that_exists_and_leaves_it_alone(self, home, capsys):
        (home / "there").mkdir()
        (home / "there" / "mine.txt").write_text("mine", encoding="utf-8")
        (home / "file").write_text("mine", encoding="utf-8")
        (home / "dangling").symlink_to(home / "nowhere")
        for name in ("there", "file", "dangling"):
            expected = f"DEST must not exist, but `{name}` does. Remove it, or name another folder."
            assert refused(capsys, f"{name}/" if name == "there" else name) == expected
        assert tree(home) == {"there/mine.txt": b"mine", "file": b"mine"}
        assert os.listdir(home / "there") == ["mine.txt"]

    def test_an_unknown_adapter_and_lists_those_that_there_are(self, home, capsys):
        known = "`--backends` must name some of autograd, jax, keras, tensorflow, torch, separated by spaces, got "
        assert refused(capsys, "new", "--backends", "torch", "mxnet", "paddle") == f"{known}mxnet, paddle."
        assert refused(capsys, "new", "--backends", "torch,jax") == f"{known}torch,jax."
        assert refused(capsys, "new", "--backends", "__init__") == f"{known}__init__."
        assert os.listdir(home) == []

    def test_the_keras_layer_without_the_adapter_that_it_runs_on(self, home, capsys):
        expected = "`--backends keras` must come with the adapter of the Keras backend. Add tensorflow, torch or jax."
        assert refused(capsys, "new", "--backends", "keras", "autograd") == expected
        assert os.listdir(home) == []

    @pytest.mark.parametrize("name", ["my-pkg", "1st", "class", "..", ".", "", "new.py"])
    def test_a_name_that_cannot_be_imported(self, home, capsys, name):
        expected = f"DEST must end in a name that Python can import, such as `_argmax`, got `{Path(name)}`."
        assert refused(capsys, name) == expected
        assert os.listdir(home) == []

    @pytest.mark.parametrize("name", ["numpy", "torch", "array_api_compat"])
    def test_a_name_that_hides_another_package(self, home, capsys, name):
        expected = f"DEST must not be called `{name}`, which would hide the package of that name. Name another folder."
        assert refused(capsys, home / "new" / ".." / name) == expected

    def test_a_place_that_is_no_folder(self, home, capsys):
        (home / "file").touch()
        for folder in ("missing", "file"):
            expected = f"DEST must lie in a folder that exists, but `{folder}` is none. Create it first."
            assert refused(capsys, f"{folder}/new") == expected
        assert os.listdir(home) == ["file"]

    def test_a_place_inside_the_library_itself(self, home, capsys):
        (home / "link").symlink_to(SOURCE, target_is_directory=True)
        for folder in (SOURCE, ADAPTERS, home / "link"):
            expected = f"DEST must lie outside the library that is copied, got `{folder / 'new'}`. Name another folder."
            assert refused(capsys, folder / "new") == expected
            assert not (folder / "new").exists()

    def test_to_bring_an_array_api_compat_that_is_not_there(self, home, capsys, monkeypatch):
        monkeypatch.setattr(_vendoring, "find_spec", lambda name: None)
        expected = "`--with-compat` must find array-api-compat. Install it: pip install array-api-compat."
        assert refused(capsys, "new", "--with-compat") == expected
        assert os.listdir(home) == []

    def test_a_folder_that_may_not_be_written(self, home, capsys, monkeypatch):
        def forbidden(*args, **options):
            raise PermissionError(errno.EACCES, "Permission denied", str(home))

        monkeypatch.setattr(_vendoring, "TemporaryDirectory", forbidden)
        assert refused(capsys, "new") == "Nothing was written to `new`: Permission denied."


class TestNothingIsHalfWritten:
    @pytest.fixture(params=[0, 10, 30])
    def failing(self, request, monkeypatch):
        """Have the copying fail at some file, with what the test asks for."""

        def fail_with(error):
            copied, copyfile = [], shutil.copyfile

            def copy(source, target):
                if len(copied) == request.param:
                    raise error
                copied.append(target)
                copyfile(source, target)

            monkeypatch.setattr(_vendoring.shutil, "copyfile", copy)
            return copied

        return fail_with

    def test_where_the_disk_is_full(self, home, capsys, failing):
        copied = failing(OSError(errno.ENOSPC, "No space left on device"))
        assert refused(capsys, "new", "--with-compat") == "Nothing was written to `new`: No space left on device."
        assert os.listdir(home) == []
        assert all(home in Path(path).resolve().parents for path in copied)

    def test_where_the_user_interrupts(self, home, failing):
        failing(KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            vendor("new")
        assert os.listdir(home) == []

    def test_where_another_takes_the_name_meanwhile(self, home, capsys, monkeypatch):
        real = _vendoring.note

        def note(*args):
            (home / "new").mkdir()
            (home / "new" / "theirs.txt").write_text("theirs", encoding="utf-8")
            return real(*args)

        monkeypatch.setattr(_vendoring, "note", note)
        assert refused(capsys, "new").startswith("Nothing was written to `new`: ")
        assert tree(home) == {"new/theirs.txt": b"theirs"}
        assert os.listdir(home) == ["new"]

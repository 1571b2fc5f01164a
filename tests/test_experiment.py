"""The seed's experiment: each of its claims as a number, what it prints, and when it fails."""

import io
import os
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from conftest import broken_python

from anyargmax import __main__ as command
from anyargmax import _experiment, soft_argmax
from anyargmax._experiment import frameworks, network, report, training
from anyargmax._experiment.frameworks import FRAMEWORKS
from anyargmax._experiment.network import Weights
from anyargmax._frameworks.registry import select

ROOT = Path(__file__).resolve().parent.parent
INSTALLED = {framework.name: framework for framework in FRAMEWORKS if find_spec(framework.name)}
WEIGHTS = network.initial_weights()


def needs(*names):
    """A mark that skips where one of these modules is not installed."""
    missing = [name for name in names if not find_spec(name)]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


def only(*names):
    """A `find_spec` that sees these modules and no other."""
    return lambda name: find_spec(name) if name in names else None


def outcome(argmax=soft_argmax, seen=("autograd",)):
    stream = io.StringIO()
    code = _experiment.run(argmax, only(*seen), stream)
    return code, stream.getvalue()


@pytest.fixture(scope="module")
def reference():
    return frameworks.evaluate(FRAMEWORKS[0], WEIGHTS, soft_argmax)


@pytest.fixture(scope="module")
def trained():
    seen = []
    return training.train(FRAMEWORKS[0], WEIGHTS, soft_argmax, lambda *state: seen.append(state)), seen


def central_differences(name, step=1e-6):
    """The gradient by one weight, entry by entry."""
    loss = partial(network.squared_distance, argmax=soft_argmax, temperature=network.TEMPERATURE)
    w = getattr(WEIGHTS, name)
    gradient = np.empty_like(w)
    for entry in np.ndindex(*w.shape):
        values = []
        for h in (step, -step):
            moved = w.copy()
            moved[entry] += h
            values.append(loss(WEIGHTS._replace(**{name: moved}), network.one_hot_inputs(), network.targets()))
        gradient[entry] = (values[0] - values[1]) / (2 * step)
    return gradient


@pytest.mark.parametrize("k", range(4), ids=Weights._fields)
class TestEveryWeight:
    def test_has_a_finite_gradient_that_is_not_zero_through_the_soft_argmax(self, reference, k):
        assert np.all(np.isfinite(reference.soft[k]))
        assert np.linalg.norm(reference.soft[k]) > 1

    def test_has_no_gradient_through_the_hard_argmax(self, reference, k):
        assert np.all(reference.hard[k] == 0)

    def test_has_the_gradient_of_finite_differences_in_every_entry(self, reference, k):
        expected = central_differences(Weights._fields[k])
        assert np.max(np.abs(reference.soft[k] - expected)) <= 1e-5 * np.max(np.abs(expected))

    def test_has_the_gradient_of_finite_differences_in_random_directions(self, reference, k):
        assert training.finite_difference_errors(WEIGHTS, reference.soft, soft_argmax)[k] <= 1e-5

    def test_with_one_wrong_entry_in_its_gradient_shows_in_the_finite_differences(self, reference, k):
        wrong = [g.copy() for g in reference.soft]
        wrong[k].flat[np.argmax(np.abs(wrong[k]))] *= 1.01
        assert training.finite_difference_errors(WEIGHTS, wrong, soft_argmax)[k] > 1e-5

    def test_with_a_nan_in_its_gradient_is_not_overlooked(self, reference, k):
        wrong = [g.copy() for g in reference.soft]
        wrong[k].flat[0] = np.nan
        assert np.isnan(training.finite_difference_errors(WEIGHTS, wrong, soft_argmax)[k])
        assert np.isnan(frameworks.relative_difference(wrong, reference.soft))


@pytest.mark.parametrize("name", [pytest.param(f.name, marks=needs(f.name)) for f in FRAMEWORKS[1:]])
def test_gradients_of_another_framework_are_those_of_autograd(reference, name):
    result = frameworks.evaluate(INSTALLED[name], WEIGHTS, soft_argmax)
    assert not result.error
    assert frameworks.relative_difference(result.soft, reference.soft) <= 1e-9
    assert result.hard is None or all(np.all(g == 0) for g in result.hard)


@pytest.mark.parametrize(
    "backend", [pytest.param(name, marks=needs("keras", name)) for name in ("tensorflow", "torch", "jax")]
)
def test_gradients_of_the_real_keras_model_are_those_of_autograd_on(reference, monkeypatch, backend):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    before = dict(os.environ)
    result = frameworks.evaluate_keras(WEIGHTS, find_spec)
    assert result.label.endswith(f"on {backend}")
    assert (result.error, result.missing) == ("", "")
    assert frameworks.relative_difference(result.soft, reference.soft) <= 1e-9
    assert result.hard is None or all(np.all(g == 0) for g in result.hard)
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("chosen", "seen", "expected"),
    [
        ("", ("keras", "tensorflow", "torch", "jax"), "tensorflow"),
        ("", ("keras", "torch", "jax"), "torch"),
        ("jax", ("keras", "tensorflow", "torch", "jax"), "jax"),
        ("numpy", ("keras", "jax"), "jax"),
    ],
)
def test_keras_runs_on_the_backend_that_is_chosen_or_its_own_default(monkeypatch, tmp_path, chosen, seen, expected):
    monkeypatch.setattr(sys, "executable", broken_python(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", chosen)
    result = frameworks.evaluate_keras(WEIGHTS, lambda name: name in seen)
    assert result.label.endswith(f" on {expected}")
    assert "No module named 'broken'" in result.error


@needs("jax")
def test_jax_computes_in_float64_in_the_experiment_only():
    lines = (
        "import jax",
        "from anyargmax import soft_argmax",
        "from anyargmax._experiment import frameworks, network",
        "result = frameworks.evaluate(frameworks.FRAMEWORKS[2], network.initial_weights(), soft_argmax)",
        "print(result.error, *(g.dtype for g in result.soft), jax.numpy.ones(1).dtype)",
    )
    child = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert child.stdout.split() == ["float64"] * 4 + ["float32"]


class TestTraining:
    def test_through_the_soft_argmax_reaches_the_targets(self, trained):
        soft, seen = trained
        assert soft.reached
        assert network.tokens(soft.weights).tolist() == [[3, 1, 4], [1, 5, 9]]
        assert len(seen) == soft.steps < training.STEPS
        assert seen[-1][2:] == (6, True)

    def test_brings_the_soft_tokens_close_to_the_targets_as_well(self, trained):
        p = network.scores(trained[0].weights, network.one_hot_inputs())
        soft = soft_argmax(p, axis=-1, temperature=network.TEMPERATURE)
        assert np.max(np.abs(soft - network.targets())) < training.CLOSE

    def test_through_the_hard_argmax_moves_no_weight_in_as_many_steps(self, trained):
        steps = trained[0].steps
        hard = training.train(FRAMEWORKS[0], WEIGHTS, network.hard_argmax, lambda *_: None, steps=steps)
        assert (hard.steps, hard.moved, hard.reached) == (steps, 0, False)

    @pytest.mark.parametrize("name", [pytest.param(f.name, marks=needs(f.name)) for f in FRAMEWORKS])
    def test_through_either_argmax_takes_the_same_steps_in_every_framework(self, name):
        hard = training.train(INSTALLED[name], WEIGHTS, network.hard_argmax, lambda *_: None, steps=2)
        assert (hard.steps, hard.moved) == (2, 0)
        ours, others = (
            training.train(f, WEIGHTS, soft_argmax, lambda *_: None, steps=2) for f in (INSTALLED[name], FRAMEWORKS[0])
        )
        for w, expected in zip(ours.weights, others.weights, strict=True):
            np.testing.assert_allclose(w, expected, rtol=1e-7, atol=1e-9)

    def test_moves_every_weight_that_the_inputs_use(self, trained):
        unused = set(range(network.VOCABULARY)) - {token for row in network.INPUTS for token in row}
        sizes = sum(w.size for w in WEIGHTS)
        assert trained[0].moved == sizes - network.FEATURES * len(unused)

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_reaches_the_targets_from_other_weights_too(self, seed):
        start = network.initial_weights(seed)
        assert training.train(FRAMEWORKS[0], start, soft_argmax, lambda *_: None).reached

    def test_leaves_the_weights_it_started_from_as_they_are(self, trained):
        assert all(np.array_equal(a, b) for a, b in zip(WEIGHTS, network.initial_weights(), strict=True))


class TestTheCommand:
    def test_succeeds_within_80_columns_with_all_that_is_installed(self):
        child = subprocess.run(
            [sys.executable, "-m", "anyargmax"], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert child.returncode == 0, child.stdout + child.stderr
        assert max(map(len, child.stdout.splitlines())) <= 80
        assert "claims hold." in child.stdout.splitlines()[-1]
        for name in (*Weights._fields, *(f.label for f in INSTALLED.values())):
            assert name in child.stdout

    def test_runs_the_experiment_where_no_verb_is_given(self, monkeypatch):
        monkeypatch.setitem(command.VERBS, "experiment", lambda options, program: 40 + len(options))
        assert command.main([]) == 40
        assert command.main(["experiment", "--some", "option"]) == 42

    def test_lists_every_verb_in_its_help(self, capsys):
        with pytest.raises(SystemExit, match="0"):
            command.main(["--help"])
        shown = capsys.readouterr().out
        assert all(f"  {verb} " in shown for verb in command.VERBS)

    def test_refuses_an_unknown_verb(self, capsys):
        with pytest.raises(SystemExit, match="2"):
            command.main(["nonsense"])
        assert "nonsense" in capsys.readouterr().err

    def test_says_what_is_missing_without_numpy(self, monkeypatch, capsys):
        monkeypatch.setattr(command, "find_spec", lambda name: None)
        assert command.main([]) == 1
        assert "pip install numpy" in capsys.readouterr().err


class TestTheText:
    def test_says_how_to_get_each_framework_that_is_missing(self):
        code, text = outcome()
        assert code == 0
        assert 'PyTorch is not installed: pip install "torch>=2.13"' in text
        assert 'JAX is not installed: pip install "jax>=0.5"' in text
        assert f"TensorFlow is not installed: {frameworks.install_hint('tensorflow')}" in text
        assert 'Keras is not installed: pip install "keras>=3.5"' in text
        assert "\r" not in text
        assert max(map(len, text.splitlines())) <= 80

    def test_says_how_to_get_autograd_where_nothing_differentiates(self):
        code, text = outcome(seen=())
        assert code == 1
        assert "pip install autograd" in text

    @needs("keras")
    def test_says_what_keras_lacks_where_it_has_no_usable_backend(self):
        code, text = outcome(seen=("autograd", "keras"))
        assert code == 0
        assert 'Keras needs TensorFlow, PyTorch or JAX below it here: pip install "torch>=2.13"' in " ".join(
            text.split()
        )

    @pytest.mark.parametrize("name", [pytest.param("torch", marks=needs("torch"))])
    def test_takes_another_framework_as_reference_where_autograd_is_missing(self, name):
        code, text = outcome(seen=(name,))
        assert code == 0
        assert "NumPy + autograd is not installed: pip install autograd" in text
        assert "none" in text  # what torch gives through the hard argmax

    def test_rewrites_the_progress_in_place_on_a_terminal(self):
        stream = io.StringIO()
        stream.isatty = lambda: True
        progress = report.Progress(stream)
        for step in (1, 2, 3):
            progress(step, 0.1, 2 * step, step == 3)
        first, *rest = stream.getvalue().split("\r")
        assert first == ""
        assert len(rest) == 3
        assert stream.getvalue().count("\n") == 1
        assert rest[-1].endswith("6 of 6 tokens right\n")

    def test_shows_the_progress_every_so_many_steps_elsewhere(self):
        stream = io.StringIO()
        progress = report.Progress(stream)
        for step in range(1, 121):
            progress(step, 0.1, 3, step == 120)
        assert [line.split()[1] for line in stream.getvalue().splitlines()] == ["50", "100", "120"]


class TestExitCodeIsOne:
    def failed(self, *args, **kwargs):
        code, text = outcome(*args, **kwargs)
        assert code == 1
        assert max(map(len, text.splitlines())) <= 80
        return " ".join(text[text.index("claims FAILED:") :].split())

    def test_when_the_gradients_are_zero(self):
        failed = self.failed(network.hard_argmax)
        for name in Weights._fields:
            assert f"the gradient of {name} through soft_argmax is finite and not 0" in failed
        assert "reached the target tokens" in failed

    def test_when_the_gradients_are_wrong(self):
        def doubled(p, **options):
            y = soft_argmax(p, **options)
            return y + (y - select([y]).detach(y))

        failed = self.failed(doubled)
        assert "the gradient of bias equals finite differences to 1e-05" in failed
        assert "finite and not 0" not in failed

    @pytest.mark.skipif(len(INSTALLED) < 2, reason="one framework only")
    def test_when_the_frameworks_disagree(self):
        first, second, *_ = INSTALLED

        def disagreeing(p, **options):
            y = soft_argmax(p, **options)
            return y * (1 + 1e-7) if type(p).__module__.startswith(second) else y

        failed = self.failed(disagreeing, seen=(first, second))
        assert failed.startswith("claims FAILED: - the gradients with")
        assert failed.count(" - the") == 1

    @pytest.mark.skipif(len(INSTALLED) < 2, reason="one framework only")
    def test_when_a_framework_raises(self):
        first, second, *_ = INSTALLED

        def raising(p, **options):
            if type(p).__module__.startswith(second):
                raise ArithmeticError("broken on purpose")
            return soft_argmax(p, **options)

        assert "ArithmeticError: broken on purpose" in self.failed(raising, seen=(first, second))

    def test_when_the_first_framework_raises(self):
        def raising(p, **options):
            if not isinstance(p, np.ndarray):
                raise ArithmeticError("broken on purpose")
            return soft_argmax(p, **options)

        assert "ArithmeticError: broken on purpose" in self.failed(raising)

    @needs("keras", "torch")
    def test_when_the_keras_model_fails(self, monkeypatch, tmp_path):
        monkeypatch.setattr(sys, "executable", broken_python(tmp_path))
        failed = self.failed(seen=("autograd", "torch", "keras"))
        assert "the gradients with Keras" in failed
        assert "No module named 'broken'" in failed

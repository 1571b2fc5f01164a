"""The validation finds what is planted, each by the evidence that can see it, and nothing where nothing is."""

import functools
import io
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import PRESENT, backend_parameters

import anyargmax
from anyargmax import __main__ as command
from anyargmax import soft_argmax, soft_one_hot, soft_top_k, validation
from anyargmax.validation import (
    assert_backends_agree,
    catalogue,
    check,
    checking,
    differences,
    examination,
    places,
    problems,
)
from anyargmax.validation.command import Progress
from anyargmax.validation.oracle import decimals
from anyargmax.validation.oracle import functions as oracle
from anyargmax.validation.places import Place, places_of
from anyargmax.validation.report import as_json, as_junit, text

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path(anyargmax.__file__).resolve().parent
EAGER = [name for name in ("numpy", "autograd", "torch", "torch-func") if name in PRESENT]
PLANTED = "torch"  # where the errors are, among at least three frameworks that are right
X = np.random.default_rng(3).normal(size=(4, 5))
position = partial(soft_argmax, axis=-1)
needs_torch = pytest.mark.skipif(PLANTED not in PRESENT, reason="torch is not installed")


def planted(wrong, right=position):
    """The function for each framework, with another one for torch."""
    return {name: wrong if name == PLANTED else right for name in EAGER}


def found(report, **wanted):
    """The findings that have the given fields."""
    return [f for f in report.findings if all(getattr(f, name) == value for name, value in wanted.items())]


def only_torch(report):
    """Whether there are findings and all of them name torch."""
    return {f.place for f in report.findings} == {PLANTED} and not report.raised


@needs_torch
class TestAPlantedError:
    def test_of_4000_eps_in_a_value_is_named(self):
        eps = 2.0**-52
        report = validation.compare(planted(lambda x: position(x) * (1 + 4e3 * eps)), X, dtypes="float64")
        assert only_torch(report)
        (first, *_) = found(report, quantity="value", evidence="agreement")
        assert 500 < first.error < 8000
        assert first.actual != first.expected
        assert abs(first.actual / first.expected - 1) < 8e3 * eps

    def test_of_4000_eps_in_float32_is_named(self):
        report = validation.compare(planted(lambda x: position(x) * (1 + 4e3 * 2.0**-23)), X, dtypes="float32")
        assert only_torch(report)
        assert found(report, quantity="value", dtype="float32")

    @pytest.mark.parametrize("evidence", ["agreement", "differences"])
    def test_of_a_halved_gradient_with_the_right_value_is_named(self, evidence):
        report = validation.compare(planted(lambda x: 0.5 * position(x) + 0.5 * position(x).detach()), X)
        assert only_torch(report)
        assert not found(report, quantity="value")
        (wrong, *_) = found(report, quantity="vjp", evidence=evidence, dtype="float64")
        assert wrong.actual == pytest.approx(wrong.expected / 2)

    def test_of_a_halved_gradient_is_seen_in_one_framework_alone(self):
        report = validation.compare(lambda x: 0.5 * position(x) + 0.5 * position(x).detach(), X, backends=[PLANTED])
        assert {f.evidence for f in report.findings} == {"differences"}

    def test_of_a_jvp_that_is_not_the_adjoint_of_the_vjp_is_named(self):
        honest = PRESENT[PLANTED]

        def doubled(f, arrays, tangents):
            value, tangent = honest.jvp(f, arrays, tangents)
            return value, 2 * tangent

        report = validation.compare(position, X, backends=["numpy", honest._replace(jvp=doubled)], dtypes="float32")
        assert found(report, quantity="adjoint", place=PLANTED)
        assert not found(report, quantity="adjoint", place="numpy")
        assert not found(report, quantity="vjp")

    def test_of_a_nan_in_one_row_is_named_with_its_place(self):
        def poisoned(x):
            y = position(x)
            y = y.clone()
            y[2] = float("nan")
            return y

        report = validation.compare(planted(poisoned), X, dtypes="float64", order=0)
        (wrong, *_) = report.findings
        assert (wrong.place, wrong.quantity) == (PLANTED, "value")
        assert np.isnan(wrong.actual)
        assert np.isinf(wrong.error)

    def test_of_a_wrong_support_is_named(self):
        sparsemax = partial(soft_one_hot, alpha=2)
        report = validation.compare(
            planted(lambda x: sparsemax(x) + 1e-9, sparsemax), X, dtypes="float32", order=0, exact_zeros=True
        )
        assert only_torch(report)
        assert {f.quantity for f in report.findings} == {"support"}
        assert validation.compare(planted(sparsemax, sparsemax), X, exact_zeros=True).ok

    @pytest.mark.parametrize("asked", [{}, {"exact_zeros": False}], ids=["by default", "by option"])
    def test_of_a_wrong_support_is_no_disagreement_unless_it_is_asked_for(self, asked):
        sparsemax = partial(soft_one_hot, alpha=2)
        wrong = planted(lambda x: sparsemax(x) + 1e-9, sparsemax)
        assert validation.compare(wrong, X, dtypes="float32", order=0, **asked).ok

    def test_of_a_shape_is_named(self):
        report = validation.compare(planted(lambda x: position(x)[:, None]), X)
        assert only_torch(report)
        assert "shapes ((1, 1),) where others have ((1,),)" in str(report)

    def test_of_a_dtype_is_named(self):
        report = validation.compare(planted(lambda x: position(x).double()), X, dtypes="float32", order=0)
        assert only_torch(report)
        assert found(report, quantity="dtype")

    def test_of_a_second_derivative_is_named(self):
        """The value and the gradient are right, and the gradient's own gradient is cut."""
        import torch

        class Square(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            def backward(ctx, g):
                return 2 * g * ctx.saved_tensors[0].detach()

        def wrong(x):
            return Square.apply(x) if torch._C._functorch.peek_interpreter_stack() is None else x * x

        honest = {name: (lambda x: x * x) for name in EAGER if name != "numpy"}
        assert validation.compare(honest, X, order=2, dtypes="float64").ok
        report = validation.compare(honest | {PLANTED: wrong}, X, order=2, dtypes="float64")
        assert only_torch(report)
        assert {f.quantity for f in report.findings} == {"2nd"}
        assert {f.evidence for f in report.findings} == {"agreement", "differences"}

    def test_that_all_frameworks_share_is_seen_by_a_reference_alone(self):
        wrong = partial(soft_argmax, axis=-1, temperature=1.001)
        assert validation.compare(wrong, X).ok
        report = validation.compare(wrong, X, reference=lambda x: soft_argmax(x, axis=-1))
        assert {f.evidence for f in report.findings} == {"oracle"}
        assert {f.place for f in report.findings} >= set(EAGER)

    def test_is_reproduced_by_the_inputs_that_are_shown(self):
        report = validation.compare(planted(lambda x: position(x) * (1 + 1e-9)), X, dtypes="float64", order=0)
        (wrong, *_) = report.findings
        (shown,) = wrong.inputs
        assert shown.shape == (1, 5)
        assert np.count_nonzero(shown) < 5
        values = [float(position(PRESENT[name].asarray(shown, "float64"))[0]) for name in ("numpy", PLANTED)]
        assert values[0] == pytest.approx(wrong.expected, rel=1e-14)
        assert values[1] * (1 + 1e-9) == pytest.approx(wrong.actual, rel=1e-14)


SLIGHTLY = 1 + 1e-9


def _times(factor, arrays):
    """An array, or each of a tuple, times a number."""
    return tuple(factor * x for x in arrays) if isinstance(arrays, tuple) else factor * arrays


class TestABuiltInFunction:
    """Errors planted where all frameworks share them: only the oracle and the invariants can see those."""

    @pytest.fixture
    def plant(self, monkeypatch):
        def plant(name, wrong):
            monkeypatch.setitem(catalogue.FUNCTIONS, name, wrong)

        return plant

    def check(self, only, **options):
        return check(only=only, backends=EAGER[:2], dtypes="float64", **options)

    def test_is_right_where_nothing_is_planted(self):
        assert self.check("sparsemax").ok

    def test_that_all_frameworks_have_wrong_alike_is_caught_by_the_oracle(self, plant):
        """Sparsemax that forgets the temperature: weights, and optimal ones, of other scores."""
        plant("soft_one_hot", lambda x, alpha=1, axis=-1, temperature=1.0: soft_one_hot(x, alpha=alpha, axis=axis))
        report = self.check("sparsemax weights over all axes at a temperature")
        assert found(report, evidence="oracle", quantity="value")
        assert not found(report, evidence="agreement")
        assert not found(report, evidence="differences")

    @pytest.mark.parametrize(
        ("quantity", "field", "of_answer"),
        [
            ("vjp", "vjp", lambda made: (made[0], lambda g: tuple(SLIGHTLY * dx for dx in made[1](g)))),
            ("jvp", "jvp", lambda made: (made[0], _times(SLIGHTLY, made[1]))),
            ("2nd", "second", lambda made: _times(SLIGHTLY, made)),
        ],
        ids=["vjp", "jvp", "second"],
    )
    @pytest.mark.parametrize("call", ["position along the last axis", "mean and variance", "1.5-entmax weights"])
    def test_with_a_derivative_that_all_frameworks_have_wrong_alike_is_caught_by_the_oracle(
        self, call, quantity, field, of_answer
    ):
        """By 1e-9 of its size: neither agreement nor finite differences see that."""

        def wrong(backend):
            honest = getattr(backend, field)
            answer = honest and (lambda *args: of_answer(honest(*args)))
            return backend._replace(**{field: answer})

        problem = checking.problem(catalogue.BY_ID[call], order=2)
        places = [Place(wrong(PRESENT[name])) for name in EAGER]
        row = examination.examine(problem, places, "float64", order=2)
        assert not row.raised
        assert {(f.quantity, f.evidence) for f in row.findings} - {("adjoint", "agreement")} == {(quantity, "oracle")}
        by_oracle = {f.place for f in row.findings if f.evidence == "oracle"}
        assert by_oracle == {name for name in EAGER if getattr(PRESENT[name], field)}

    @pytest.mark.parametrize("order", [0, 1, 2])
    def test_is_held_to_the_oracle_in_every_derivative_that_is_asked_for(self, order):
        rows = self.check("position along the last axis", order=order).rows
        assert [set(row.errors) for row in rows] == [{"value", *["vjp", "jvp"] * (order > 0), *["2nd"] * (order > 1)}]

    def test_with_weights_that_do_not_sum_to_1_is_caught_by_an_invariant(self, plant):
        plant("soft_one_hot", lambda x, **options: soft_one_hot(x, **options) * (1 + 1e-12))
        details = {f.detail for f in found(self.check("sparsemax weights"), evidence="invariants")}
        assert "weights sum to what they must" in details

    def test_with_a_negative_weight_is_caught_by_an_invariant(self, plant):
        plant("soft_one_hot", lambda x, **options: soft_one_hot(x, **options) - 1e-17)
        details = {f.detail for f in found(self.check("sparsemax weights"), evidence="invariants")}
        assert "weights are not negative" in details

    def test_with_a_support_too_large_is_caught_by_an_invariant_within_the_tolerance_of_values(self, plant):
        plant("soft_one_hot", lambda x, **options: soft_one_hot(x, **options) + 1e-17)
        report = self.check("sparsemax weights")
        assert {f.evidence for f in report.findings} == {"invariants"}
        assert {f.detail for f in report.findings} == {"weights satisfy the optimality conditions"}

    def test_with_another_map_is_caught_by_the_optimality_conditions(self, plant):
        """Weights of 1.4-entmax are weights, non-negative and of sum 1."""
        plant("soft_one_hot", lambda x, alpha, **options: soft_one_hot(x, alpha=1.4, **options))
        report = self.check("1.5-entmax weights")
        assert {f.detail for f in found(report, evidence="invariants")} == {"weights satisfy the optimality conditions"}

    @pytest.mark.parametrize(
        "call", ["capped weights of two winners", "sigmoid weights of two winners"], ids=["capped", "sigmoid"]
    )
    def test_with_winners_that_share_no_threshold_is_caught_by_the_optimality_conditions(self, plant, call):
        """Winners of a higher temperature are winners, between 0 and 1 and of sum 2."""

        def wrong(x, k, temperature=1.0, **options):
            return soft_top_k(x, k, temperature=1.25 * temperature, **options)

        plant("soft_top_k", wrong)
        report = self.check(call)
        assert {f.detail for f in found(report, evidence="invariants")} == {"weights satisfy the optimality conditions"}

    def test_with_a_gradient_that_moves_a_row_as_a_whole_is_caught_by_an_invariant(self, plant):
        plant("soft_argmax", lambda x, **options: soft_argmax(x, **options) + 1e-9 * x[:, 0])
        report = self.check(
            "position along the last axis",
        )
        assert {f.detail for f in found(report, evidence="invariants")} == {"the gradient of a row sums to 0"}

    def test_with_a_position_outside_is_caught_by_an_invariant(self, plant):
        plant("soft_argmax", lambda x, **options: soft_argmax(x, **options) + 9)
        report = self.check("position along the last axis")
        assert "positions lie among those of the entries" in {f.detail for f in found(report, evidence="invariants")}


class TestFalseAlarms:
    def test_are_not_raised_at_another_seed(self):
        names = [name for name in (*EAGER, "array_api_strict") if name in PRESENT]
        report = check(backends=names, seed=1)
        assert report.ok, f"\n{report}"

    def test_are_not_raised_at_a_kink(self):
        """At 0 the slope of the absolute value is whatever a framework says, and differences say something else."""
        report = validation.compare(abs, np.asarray([0.0, 1.0, -2.0]), backends=["numpy"], dtypes="float64")
        assert report.ok
        found = differences.difference(lambda x: (np.maximum(x[0], 0),), (np.zeros(1),), (np.ones(1),), (np.zeros(1),))
        assert found.error > differences.USELESS

    def test_differences_know_their_own_error(self):
        rng = np.random.default_rng(0)
        for scale in (0.1, 1.0, 10.0, 100.0):
            x, t = rng.normal(size=(2, 6))
            f = lambda z, s=scale: (np.sin(s * z[0]),)  # noqa: E731
            d = differences.difference(f, (x,), (t,), f((x,)))
            exact = scale * np.cos(scale * x) * t
            assert np.max(np.abs(d.along[0] - exact)) <= d.error * max(1, np.max(np.abs(exact)))
            assert d.error < 1e-5


class TestComparingAFunction:
    def test_takes_several_arrays_constants_and_tuples(self):
        def f(x, y, k, xp):
            return xp.sum(x * y, axis=-1) * xp.astype(k, x.dtype) if hasattr(xp, "astype") else (x * y).sum(-1) * k, x

        report = validation.compare(f, X, X[::-1], np.asarray([1, 2, 3, 4]))
        assert report.ok, f"\n{report}"

    @pytest.mark.parametrize("backend", backend_parameters(("jax",)))
    def test_leaves_the_precision_of_jax_as_it_was(self, backend):
        lines = (
            "import jax.numpy, numpy",
            "from anyargmax import soft_argmax, validation",
            "report = validation.compare(soft_argmax, numpy.ones(3), backends=['jax'], dtypes=['float64'])",
            "print(report.ok, report.rows[0].dtype, jax.numpy.ones(1).dtype)",
        )
        env = {k: v for k, v in os.environ.items() if k != "JAX_ENABLE_X64"} | {"PYTHONPATH": str(SOURCE.parent)}
        child = subprocess.run(
            [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, env=env, check=True
        )
        assert child.stdout.split() == ["True", "float64", "float32"]

    def test_says_where_a_function_raised(self):
        def fails(x):
            raise ArithmeticError("broken on purpose")

        report = validation.compare(fails, X, backends=["numpy"], dtypes=["float32"])
        assert report.raised == ("fails raised on numpy float32: ArithmeticError: broken on purpose",)
        assert (report.ok, report.exit_code) == (False, 2)

    def test_says_where_a_function_returned_no_array(self):
        report = validation.compare(lambda x: "text", X, backends=["numpy"], dtypes=["float32"])
        assert "returned str instead of an array" in report.raised[0]

    def test_differentiates_nothing_at_order_0(self):
        def refuse(*args):
            raise AssertionError("differentiated")

        backends = [PRESENT[name]._replace(vjp=refuse, jvp=refuse, second=refuse) for name in EAGER]
        report = validation.compare(position, X, backends=backends, order=0)
        assert report.ok, f"\n{report}"
        assert all(set(row.errors) == {"value"} for row in report.rows)
        assert validation.compare(position, X, backends=backends, order=1).raised

    def test_notes_where_a_function_has_no_derivative(self):
        report = validation.compare(lambda x: 2 * x + 1, X, backends=["numpy"])
        assert report.ok
        assert "note: numpy: values only: it differentiates single calls of this library" in str(report)

    def test_judges_half_precision_by_its_own_eps(self):
        names = [name for name in ("torch", "jax") if name in PRESENT]
        report = validation.compare(lambda x: x * x * x - x, X, backends=names, dtypes=["bfloat16"])
        assert report.ok, f"\n{report}"

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"backends": ["paddle"]}, ValueError, "`backends` must be some of numpy, .*, got 'paddle'"),
            ({"backends": ["numpy"], "dtypes": ["float8"]}, ValueError, "`dtypes` must be some of .*, got 'float8'"),
            ({"backends": ["numpy"], "devices": ["cuda"]}, ValueError, "got 'cuda', which none of numpy has"),
            ({"backends": ["numpy"], "order": 3}, ValueError, "`order` must be 0, 1 or 2, got 3"),
        ],
    )
    def test_refuses_what_there_is_not(self, options, error, message):
        with pytest.raises(error, match=message):
            validation.compare(soft_argmax, X, **options)
        with pytest.raises(error, match=message):
            validation.check(**options)

    def test_refuses_a_framework_without_a_function(self):
        with pytest.raises(ValueError, match="a function for each framework, got none for numpy"):
            validation.compare({"autograd": soft_argmax}, X, backends=["numpy"])

    def test_refuses_what_is_no_function(self):
        with pytest.raises(TypeError, match=r"`f` must be a function .*, got int"):
            validation.compare(3, X)

    def test_refuses_complex_arrays(self):
        with pytest.raises(TypeError, match="`arrays` must be real numbers or Booleans, got complex128"):
            validation.compare(soft_argmax, X + 1j)

    def test_asserts_with_the_whole_report(self):
        assert_backends_agree(position, X, backends=EAGER)
        with pytest.raises(AssertionError, match=r"expected .* by oracle, got"):
            assert_backends_agree(position, X, backends=EAGER, reference=lambda x: soft_argmax(-x, axis=-1))


class TestTheReport:
    @pytest.fixture
    def wrong(self):
        return validation.compare(
            position, X, backends=["numpy"], dtypes=["float64"], reference=lambda x: 2 * soft_argmax(x, axis=-1)
        )

    def test_is_at_most_80_columns_wide(self, wrong):
        lines = [line for line in str(wrong).splitlines() if not line.startswith(("  again", "  with"))]
        assert max(map(len, lines)) <= 80
        assert max(map(len, str(check(only="median", backends=["numpy"])).splitlines())) <= 80

    def test_names_place_numbers_eps_seed_and_inputs(self, wrong):
        shown = str(wrong)
        (finding, *_) = wrong.findings
        for part in (
            "numpy in float64",
            f"{finding.expected:.9g}",
            f"{finding.actual:.9g}",
            "eps where",
            "seed 0",
            "[",
        ):
            assert part in shown
        assert shown.endswith("FAILED: 1 disagreement.")

    def test_names_a_seed_that_was_asked_for_wherever_it_matters(self):
        f = partial(soft_argmax, axis=-1)
        options = {"backends": ["numpy"], "dtypes": ["float64"], "name": "f", "seed": 7}
        report = validation.compare(f, X, reference=lambda x: 2 * f(x), **options)
        assert (report.seed, {finding.seed for finding in report.findings}) == (7, {7})
        lines = text(report._replace(again="again")).splitlines()
        assert lines[0].endswith("; seed 7")
        assert sum(line.startswith("  with seed 7, inputs [[") for line in lines) == 1
        assert '  again: again --only "f" --backends numpy --dtypes float64 --seed 7' in lines
        assert json.loads(as_json(report))["seed"] == 7

    def test_draws_other_directions_at_another_seed(self):
        like = (np.zeros((2, 3)),)
        drawn = [problems.draw(seed, purpose, like)[0] for seed in (0, 1) for purpose in ("cotangents", "tangents")]
        for k, one in enumerate(drawn):
            for other in drawn[:k]:
                assert not np.any(one == other)

    @pytest.mark.parametrize("length", [65, 66, 67, 68, 90])
    def test_shortens_names_that_do_not_fit_and_no_others(self, length):
        name = "n" * length
        report = validation.compare(np.sin, [1.0], backends=["numpy"], dtypes=["float64"], order=0, name=name)
        (line,) = [line for line in str(report).splitlines() if line.startswith("nn")]
        room = 80 - 13  # for the evidence: there are no errors to show
        label = name if length < room else "n" * (room - 4) + "..."
        assert line.split()[0] == label
        assert line == f"{label:{room}}  ...."

    def test_says_how_much_had_no_evidence(self):
        report = validation.compare(abs, [-1.0, -2.0], backends=["numpy"])
        assert str(report).endswith("Everything agrees, but 2 of 2 rows had nothing to be held against.")

    def test_is_coloured_only_when_asked(self, wrong):
        assert "\033" not in str(wrong)
        assert "\033[31mFAILED" in text(wrong, color=True)

    def test_is_json_that_can_be_read(self, wrong):
        data = json.loads(as_json(wrong))
        assert not data["ok"]
        finding = data["rows"][0]["findings"][0]
        assert finding["place"] == "numpy"
        assert np.asarray(finding["inputs"][0]).shape == (1, 5)
        assert data["rows"][0]["evidence"] == ["oracle", "differences"]

    def test_is_junit_that_counts_failures_and_errors(self, wrong):
        suite = ElementTree.fromstring(as_junit(wrong))
        assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "1", "0")
        assert "numpy in float64" in suite.find("testcase/failure").get("message")
        raising = validation.compare(lambda x: 1 / 0, X, backends=["numpy"], dtypes=["float32"])
        assert ElementTree.fromstring(as_junit(raising)).get("errors") == "1"

    def test_is_junit_that_can_be_read_whatever_was_raised(self):
        def raising(x):
            raise ValueError("<b> & \x1b[31m\0\ud800\uffff ]]>")

        report = validation.compare(raising, X, backends=["numpy"], dtypes=["float32"], name="<\0>")
        case = ElementTree.fromstring(as_junit(report).encode("utf-8")).find("testcase")
        assert case.get("classname") == "<\ufffd>"
        assert "<b> & \ufffd[31m\ufffd?\ufffd ]]>" in case.find("error").get("message")

    def test_is_printed_where_the_encoding_lacks_its_letters(self, monkeypatch, tmp_path):
        (tmp_path / "of_a_user.py").write_text(
            "def f(x):\n    raise ValueError('\\ud800 \N{GREEK SMALL LETTER ALPHA}')\n"
        )
        child = subprocess.run(
            [sys.executable, "-m", "anyargmax", "check", "of_a_user:f", "--backends", "numpy", "--shapes", "3"],
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(validation.__file__).parents[2]), "PYTHONIOENCODING": "ascii"},
            check=False,
        )
        assert b"ValueError: \\ud800 \\u03b1" in child.stdout
        assert child.returncode == 2

    def test_shows_a_progress_line_on_a_terminal_only(self):
        quiet, terminal = io.StringIO(), io.StringIO()
        terminal.isatty = lambda: True
        for stream in (quiet, terminal):
            progress = Progress(stream)
            progress(1, 2, "a call")
            progress(2, 2, "")
        assert quiet.getvalue() == ""
        assert "1 of 2  a call" in terminal.getvalue()
        assert terminal.getvalue().endswith("\r" + " " * 79 + "\r")


class TestTheCommand:
    @pytest.fixture
    def mine(self, tmp_path, monkeypatch):
        code = (
            "from anyargmax import soft_argmax\n"
            "def good(x): return soft_argmax(x, axis=-1)\n"
            "def two(x, y): return x * y\n"
            "def matrix(x):\n    if x.ndim != 2: raise ValueError('a matrix, please')\n    return x * x\n"
            "def wrong(x): return soft_argmax(x, axis=-1) * (1 if type(x).__module__ == 'numpy' else 1.001)\n"
            "def broken(x): raise RuntimeError('broken on purpose')\n"
            "number = 3\n"
        )
        (tmp_path / "mine_for_check.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        yield "mine_for_check"
        sys.modules.pop("mine_for_check", None)

    def run(self, capsys, *words):
        try:
            code = command.main(["check", *words])
        except SystemExit as error:
            code = error.code
        out, err = capsys.readouterr()
        return code, out, err

    def test_checks_built_in_functions_on_what_is_named(self, capsys):
        code, out, _ = self.run(
            capsys, "--backends", *EAGER[:2], "--dtypes", "float32", "--only", "median", "--jobs", "1"
        )
        assert code == 0
        assert "float32 on" in out
        assert "aoi." in out  # no finite differences in float32
        assert out.rstrip().endswith("Everything agrees.")

    def test_gives_the_same_rows_in_two_processes(self):
        names = ["numpy"]
        one = check(only="minimum", backends=names)
        two = check(only="minimum", backends=names, jobs=2)
        assert [row[:4] for row in one.rows] == [row[:4] for row in two.rows]

    def test_checks_a_function_of_the_users(self, capsys, mine):
        code, out, _ = self.run(capsys, f"{mine}:good", "--backends", *EAGER)
        assert code == 0
        assert f"{mine}:good (2, 3, 4)" in out

    def test_makes_random_calls(self, capsys, tmp_path, monkeypatch):
        monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", str(tmp_path))
        words = ["--fuzz", "24", "--seed", "3", "--backends", "numpy", "autograd", "--only", "permuted positions"]
        code, out, _ = self.run(capsys, *words)
        assert code == 0
        assert re.search(r"^24 random calls on numpy .*; seed 3$", out, re.MULTILINE)
        assert re.search(r"^permuted positions go with their scores +24  ok$", out, re.MULTILINE)
        assert out.rstrip().endswith("Every property holds.")
        assert max(map(len, out.splitlines())) <= 80

    def test_shows_a_random_call_that_fails(self, capsys, tmp_path, monkeypatch):
        monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", str(tmp_path))
        right = catalogue.FUNCTIONS["soft_one_hot"]
        wrong = functools.wraps(right)(lambda x, **options: right(x, **options) * 1.01)
        monkeypatch.setitem(catalogue.FUNCTIONS, "soft_one_hot", wrong)
        words = ["--fuzz", "24", "--backends", "numpy", "--dtypes", "float64", "--only", "of their rows: soft_one_hot"]
        code, out, _ = self.run(capsys, *words)
        assert code == 1
        assert "FAILED: 1 of the properties of functions." in out
        assert re.search(r"^    print\(soft_one_hot\(x", out, re.MULTILINE)
        assert re.search(r"^    python -m anyargmax check --fuzz 24 --seed 0 --only", out, re.MULTILINE)
        assert max(map(len, out.splitlines())) <= 80

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            (["--thorough"], "--fuzz does not go with --thorough: leave it out"),
            (["--junit", "x.xml"], "--fuzz does not go with --junit: leave it out"),
            (["--order", "2"], "--fuzz does not go with --order: leave it out"),
            (["mypackage:f"], "--fuzz makes calls of the built-in functions: leave out mypackage:f"),
            (["--seed", "-1"], "--seed must be at least 0 with --fuzz, got -1"),
            (["--only", "unheard"], "`only` must be part of a property's name or a function's, got 'unheard'."),
            (["--dtypes", "int8"], "`dtypes` must be some of float16, bfloat16, float32, float64, got 'int8'."),
            (["--backends", "nothing"], "`backends` must be some of"),
        ],
    )
    def test_refuses_what_says_nothing_about_random_calls(self, capsys, words, text):
        code, out, err = self.run(capsys, *words, "--fuzz", "10")
        assert (code, out) == (2, "")
        assert text in err
        assert err.count("\n") == 1

    def test_says_what_random_calls_need(self, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "hypothesis", None)
        code, _, err = self.run(capsys, "--fuzz", "10")
        assert code == 2
        assert err == "python -m anyargmax check: --fuzz needs hypothesis: pip install hypothesis\n"

    def test_random_calls_are_imported_only_when_they_are_made(self):
        code = "import sys, anyargmax.validation.command; assert 'hypothesis' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=SOURCE.parent)

    def test_takes_shapes_for_each_array(self, capsys, mine):
        code, out, _ = self.run(capsys, f"{mine}:two", "--shapes", "4,7", "4,7", "3,2,5", "5", "--backends", "numpy")
        assert code == 0
        assert f"{mine}:two (4, 7) (4, 7)" in out
        assert f"{mine}:two (3, 2, 5) (5,)" in out
        code, _, err = self.run(capsys, f"{mine}:two", "--shapes", "4,7", "--backends", "numpy")
        assert (code, err.count("\n")) == (2, 1)
        assert "takes 2 arrays" in err

    def test_notes_the_usual_shapes_that_a_function_does_not_take(self, capsys, mine):
        code, out, _ = self.run(capsys, f"{mine}:matrix", "--backends", "numpy")
        assert code == 0
        assert "not taken" in out
        assert "a matrix, please" in out

    @needs_torch
    def test_exits_with_1_for_a_disagreement_and_writes_it(self, capsys, mine, tmp_path):
        files = [str(tmp_path / name) for name in ("found.json", "found.xml")]
        words = (f"{mine}:wrong", "--backends", "numpy", "torch", "--shapes", "4,7")
        code, out, _ = self.run(capsys, *words, "--json", files[0], "--junit", files[1])
        assert code == 1
        assert f"again: python -m anyargmax check {mine}:wrong --shapes 4,7" in out
        assert json.loads(Path(files[0]).read_text())["rows"][0]["findings"]
        assert ElementTree.parse(files[1]).getroot().get("failures") == "2"

    @pytest.mark.parametrize(
        ("words", "part"),
        [
            (["--backends", "nonsense"], "got 'nonsense'"),
            (["--backends", "numpy", "--dtypes", "float12"], "got 'float12'"),
            (["--backends", "numpy", "--devices", "cuda"], "which none of numpy has"),
            (["--backends", "numpy", "--only", "nonsense"], "got 'nonsense'"),
            (["no_such_module_here:f"], "cannot import no_such_module_here:f: ModuleNotFoundError"),
            (["mine_for_check:absent"], "AttributeError"),
            (["mine_for_check:number"], "must be a function, got int"),
            (["mine_for_check"], "must be given as module:function"),
            (["mine_for_check:broken", "--backends", "numpy"], "RuntimeError: broken on purpose"),
            (["mine_for_check:good", "--shapes", "4x7"], "a shape must be like 4,7"),
            (
                ["mine_for_check:good", "--backends", "numpy", "--json", "/nowhere/at/all.json"],
                "does not exist. Make it",
            ),
            (["--no-such-option"], "unrecognized arguments"),
        ],
    )
    @pytest.mark.usefixtures("mine")
    def test_says_in_one_line_what_cannot_be_done(self, capsys, words, part):
        code, _, err = self.run(capsys, *words)
        assert code == 2
        assert part in err
        assert err.count("\n") == 1
        assert "Traceback" not in err

    @pytest.mark.usefixtures("mine")
    def test_exits_with_2_where_a_function_raises_on_given_shapes(self, capsys):
        code, out, _ = self.run(capsys, "mine_for_check:broken", "--backends", "numpy", "--shapes", "2")
        assert code == 2
        assert "raised on numpy float32: RuntimeError: broken on purpose" in " ".join(out.split())

    def test_names_a_framework_that_is_not_installed(self, capsys, monkeypatch):
        monkeypatch.setattr(places, "installed", lambda: ("numpy",))
        code, _, err = self.run(capsys, "--backends", "torch")
        assert code == 2
        assert "torch is not installed: pip install torch" in err


PROJECT = """
import numpy as np
import pytest
from anyargmax import soft_argmax
from anyargmax.validation import assert_backends_agree

def test_mine(anyargmax_backend):
    x = anyargmax_backend.asarray([[0.0, 1.0, 3.0]], "float32")
    value, pullback = anyargmax_backend.vjp(lambda x: soft_argmax(x, axis=-1), x)
    assert anyargmax_backend.to_numpy(value).dtype == np.float32
    print("ran on", anyargmax_backend.name, anyargmax_backend.xp.__name__)

def test_everywhere():
    assert_backends_agree(lambda x: soft_argmax(x, axis=-1), np.eye(3), backends=["numpy", "autograd"])

def test_that_must_fail():
    assert_backends_agree(soft_argmax, np.eye(3), backends=["numpy"], reference=lambda x: x.sum())
"""


def test_the_plugin_runs_another_projects_test_on_each_framework(tmp_path):
    (tmp_path / "test_of_a_project.py").write_text(PROJECT)
    plugin = "pytest_plugins = ['anyargmax.pytest_plugin']\n"  # as the entry point does where it is installed
    (tmp_path / "conftest.py").write_text(plugin)
    words = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    child = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=env, check=False)
    assert f"1 failed, {len(PRESENT) + 1} passed" in child.stdout, child.stdout + child.stderr
    for name in PRESENT:
        assert f"ran on {name} " in child.stdout
    assert "by oracle, got" in child.stdout


def test_the_plugin_imports_no_framework_before_a_test_asks_for_it():
    code = "import sys, anyargmax.pytest_plugin; print([n for n in ('numpy', 'torch', 'jax') if n in sys.modules])"
    env = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert child.stdout.strip() == "[]"


def test_the_oracle_knows_softmax_and_sparsemax_by_hand():
    p = decimals.rounded(oracle.soft_one_hot(decimals.exact([0.0, np.log(3.0)])))
    np.testing.assert_allclose(p, [0.25, 0.75], rtol=1e-15)
    np.testing.assert_array_equal(
        decimals.rounded(oracle.soft_one_hot(decimals.exact([0.5, 0.0, -2.0]), alpha=2)), [0.75, 0.25, 0]
    )


def test_the_oracle_knows_the_loss_under_a_mask_by_hand():
    x, mask = decimals.exact([[0.0, np.log(3.0), 5.0]] * 3), np.asarray([[True, True, False]])
    temperature = decimals.exact([[1.0], [1.0], [2.0]])
    loss = decimals.rounded(
        oracle.fenchel_young_loss(x, target=np.asarray([0, 2, 1]), mask=mask, temperature=temperature)
    )
    np.testing.assert_allclose(loss, [np.log(4.0), np.inf, 2 * np.log1p(3**-0.5)], rtol=1e-15)


def test_the_oracle_knows_the_loss_of_infinite_scores_by_hand():
    inf = np.inf
    x = decimals.exact([[-inf, 0.0, 0.0], [-inf, 0.0, 0.0], [inf, 0.0, 0.0], [-inf, -inf, -inf]])
    loss = decimals.rounded(oracle.fenchel_young_loss(x, target=np.asarray([0, 1, 1, 0])))
    np.testing.assert_allclose(loss, [inf, np.log(2.0), inf, 0.0], rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "scale"),
    [
        ("position along the last axis", 4),
        ("position in the flattened array", 9),
        ("position in the flattened array with the axes kept", 9),
        ("position in the flattened array at a temperature", 18),
        ("position in the flattened array among bins of each entry", 8),
        ("position at a temperature", 16),
        ("position of one entry", 2),
        ("coordinates in a map", 3),
        ("coordinates from corner to corner", 1),
        ("weights at a temperature a row", 4),
        ("cross-entropy of weights at a temperature", 2),
    ],
)
def test_derivatives_of_a_call_are_held_to_the_size_of_its_positions_over_the_temperature(call, scale):
    assert checking.problem(catalogue.BY_ID[call]).scale == scale


def test_the_oracle_shares_no_code_with_the_library():
    sources = [path.read_text(encoding="utf-8") for path in (SOURCE / "validation" / "oracle").glob("*.py")]
    imports = [
        line for source in sources for line in source.splitlines() if line.lstrip().startswith(("import", "from"))
    ]
    assert len(sources) > 1
    assert len(imports) > 10
    assert not any("from .." in line or "anyargmax" in line for line in imports)


def test_examination_takes_devices_by_name():
    places, notes = places_of(["numpy", *[n for n in ("torch", "jax") if n in PRESENT]], ["cpu"])
    assert str(places[0]) == "numpy on cpu"
    assert notes == []
    row = examination.examine(checking.problem(catalogue.CALLS[0]), places, "float32")
    assert not row.findings
    assert not row.raised

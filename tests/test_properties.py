"""Random calls, the same in every run: what must hold of any holds of each."""

import contextlib
import io
from collections.abc import Callable
from functools import wraps
from typing import Literal

import hypothesis
import numpy as np
import pytest
from conftest import PRESENT

import anyargmax
from anyargmax._calls import annotations as named
from anyargmax.validation import catalogue
from anyargmax.validation.fuzz import drawing, refusals, scores, search
from anyargmax.validation.fuzz.command import described
from anyargmax.validation.fuzz.kinds import KINDS, kind_of
from anyargmax.validation.fuzz.registry import FLOATS, OFTEN, PROPERTIES
from anyargmax.validation.fuzz.snippet import code

NAMES = tuple(name for name in PRESENT if name in OFTEN)
CALLS = 16  # of a property that is quick


@pytest.fixture(autouse=True)
def _no_folder(tmp_path, monkeypatch):
    """Hypothesis leaves nothing in the folder that the tests run in."""
    monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", str(tmp_path))


@pytest.mark.parametrize("name", PROPERTIES)
def test_holds_of_random_calls(name):
    calls = max(PROPERTIES[name].least, int(CALLS * PROPERTIES[name].share))
    found = list(search.fuzzed(calls, 0, NAMES, FLOATS, name))
    assert sum(count for _, count, _ in found) > 0
    failures = [described(failed, "") for _, _, failed in found if failed]
    assert not failures, "\n\n".join(failures)


def drawn(f, wanted=None, calls=60, seed=0):
    """Calls of a function that are drawn from its signature."""
    found = []
    wanted = wanted or drawing.Wanted(("numpy",), {"numpy": ("float64", "float32")})

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=calls, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(drawing.cases({f.__name__: f}, wanted))
    def collect(case):
        found.append(case)

    collect()
    return found


class TestDrawing:
    def test_a_new_option_is_drawn_with_all_of_its_values(self):
        def toy(x: named.Scores, /, *, axis: named.Axis = -1, fast: bool = False, way: Literal["a", "b", "c"] = "a"):
            """Return x."""

        found = drawn(toy, calls=200)
        assert {case.call.options.get("fast", False) for case in found} == {False, True}
        assert {case.call.options.get("way", "a") for case in found} == {"a", "b", "c"}
        assert {case.axes == (case.x.ndim - 1,) for case in found} == {False, True}

    def test_an_option_that_nothing_says_how_to_draw_is_refused(self):
        def toy(x: named.Scores, /, *, axis: named.Axis = -1, strength: complex = 1j):
            """Return x."""

        text = r"`strength` must be annotated with bool, a Literal or a name of `_calls/annotations.py`, got <class 'complex'>"
        with pytest.raises(TypeError, match=text):
            drawn(toy)

    @pytest.mark.parametrize("name", catalogue.FUNCTIONS)
    def test_draws_every_option_of_a_function(self, name):
        f = catalogue.FUNCTIONS[name]
        given = {option for case in drawn(f, calls=150) for option in {**case.call.options, **case.call.arrays}}
        assert given == drawing.parameters(f).keys()

    def test_each_argument_has_values_that_must_be_refused(self):
        for f in catalogue.FUNCTIONS.values():
            assert all(kind.bad for kind, _ in drawing.parameters(f).values())
        assert kind_of(bool, "hard") is KINDS[bool]

    def test_draws_every_kind_of_scores_and_lengths_round_the_thresholds(self):
        wanted = drawing.Wanted(("numpy",), {"numpy": ("float64",)}, longest=600)
        found = drawn(anyargmax.soft_argmax, wanted, calls=600)
        lengths = {n for case in found for n in case.x.shape}
        assert lengths >= {0, 1, 2, 9}
        assert any(n - 1 in lengths or n in lengths for n in scores.THRESHOLDS if 100 < n <= 600)
        content = np.concatenate([case.x.reshape(-1) for case in found])
        assert np.isnan(content).any()
        assert np.isposinf(content).any()
        assert (content == 1e30).any()
        assert {case.x.ndim for case in found} == {0, 1, 2, 3, 4}

    def test_gives_the_same_calls_for_the_same_seed(self):
        first, second = (repr(drawn(anyargmax.soft_one_hot, calls=30, seed=7)) for _ in range(2))
        assert first == second
        assert first != repr(drawn(anyargmax.soft_one_hot, calls=30, seed=8))


def planted(monkeypatch, name: str, wrong: Callable) -> None:
    """Put a wrong function in the place of a right one, with its signature."""
    monkeypatch.setitem(catalogue.FUNCTIONS, name, wraps(catalogue.FUNCTIONS[name])(wrong))


def first_failure(only: str, calls: int = 60):
    failures = [failed for *_, failed in search.fuzzed(calls, 0, ("numpy",), FLOATS, only) if failed]
    assert failures, only
    return failures[0]


class TestPlantedErrors:
    def test_a_forgotten_mask_is_found_and_made_simple(self, monkeypatch):
        planted(monkeypatch, "soft_one_hot", lambda x, mask=None, **o: anyargmax.soft_one_hot(x, **o))
        failed = first_failure("a masked score never matters: soft_one_hot")
        assert failed.case.x.size <= 3
        assert "expected" in failed.text

    def test_a_written_argument_is_found(self, monkeypatch):
        def wrong(x, **options):
            y = anyargmax.soft_argmax(x, **options)
            if type(x).__module__ == "numpy" and x.ndim > 1:
                x *= 1 + 2.0**-20
            return y

        planted(monkeypatch, "soft_argmax", wrong)
        failed = first_failure("arguments are never written to, and no result shares their memory: soft_argmax", 200)
        assert "an argument was written to" in failed.text

    def test_an_error_of_somebody_else_is_found(self, monkeypatch):
        (case,) = drawn(anyargmax.soft_top_k, calls=1)
        case = case._replace(pick=refusals.bad_values(case).index(("temperature", "'1'")))
        refusals.refused(case)
        planted(monkeypatch, "soft_top_k", lambda x, k, temperature=1.0, **o: temperature / 2)
        with pytest.raises(AssertionError, match="expected an error of the library, got one from test_prop"):
            refusals.refused(case)
        planted(monkeypatch, "soft_top_k", lambda x, k, **o: x)
        with pytest.raises(AssertionError, match="expected TypeError or ValueError, got the answer"):
            refusals.refused(case)

    def test_a_failure_shows_a_call_that_runs(self, monkeypatch):
        planted(monkeypatch, "soft_argmin", lambda x, **o: anyargmax.soft_argmin(x + 0 * x[..., :1] ** 2, **o))
        failed = first_failure("a masked score never matters: soft_argmin")
        text = described(failed, "python -m anyargmax check --fuzz 12")
        assert "the call:" in text
        assert max(map(len, text.splitlines())) <= 80
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code(failed.case, "numpy"), "call", "exec"), {})
        assert out.getvalue()

    @pytest.mark.parametrize("framework", NAMES)
    def test_every_call_is_shown_as_python_that_runs(self, framework):
        dtype = "float32"
        wanted = drawing.Wanted((framework,), {framework: (dtype,)}, kinds=("grid",), longest=600)
        for name in ("soft_argmax", "soft_top_k", "fenchel_young_loss"):
            for case in drawn(catalogue.FUNCTIONS[name], wanted, calls=2, seed=3):
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(code(case, framework), "call", "exec"), {})

    def test_bad_values_are_shown_as_python(self):
        (case,) = drawn(anyargmax.soft_argmax, calls=1)
        pairs = refusals.bad_values(case)
        assert {name for name, _ in pairs} == {"x", *drawing.parameters(anyargmax.soft_argmax)}
        with pytest.raises(TypeError, match="`hard` must be True or False"):
            exec(compile(code(case, "numpy", ("hard", "0")), "call", "exec"), {})


def test_calls_are_shared_out_and_a_failure_is_found_again_by_its_own_seed():
    planned = search.tasks(20_000, 5, ("numpy", "autograd", "torch"), FLOATS)
    assert 19_000 < sum(task.calls for task in planned) < 21_000
    assert {task.held.name for task in planned} >= {
        name for name, p in PROPERTIES.items() if p.frameworks != ("jax",) and p.share >= 0.5
    }
    task = planned[0]
    (again,) = search.tasks(task.calls, task.seed, ("numpy", "autograd", "torch"), FLOATS, task.name)
    assert again == task

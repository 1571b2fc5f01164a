"""Arrays that are shards: each call of the catalogue in 1, 2, 4 and 8 processes of torch has the oracle's answers."""

import numpy as np
import pytest
from shards import CALLS, GIVES_WEIGHTS, axis_of

from anyargmax.validation import catalogue
from anyargmax.validation.oracle_answers import expected
from anyargmax.validation.tolerance import EPS, TOLERANCE, assert_close

torch = pytest.importorskip("torch")
ROUNDS = [("float64", 1), ("float64", 2), ("float64", 4), ("float64", 8), ("float32", 4)]


@pytest.fixture(scope="module")
def written(run_once):
    """What each process wrote about each call: value, gradient and second derivative of its shard."""
    folder = run_once("shards_of_torch", 100)
    files = [np.load(folder / f"{member}.npz") for member in range(8)]
    yield files
    for file in files:
        file.close()


def _whole(written, call, key, size, name, sharded):
    parts = [file[f"{key} {name}"] for file in written[:size]]
    if sharded:
        return np.concatenate(parts, axis=axis_of(call))
    for part in parts[1:]:
        np.testing.assert_array_equal(part, parts[0], err_msg="members have different answers")
    return parts[0]


@pytest.mark.parametrize(("number", "call"), [pytest.param(n, c, id=c.id.replace(" ", "_")) for n, c in CALLS])
def test_shards_have_the_oracles_answers(number, call, written):
    for dtype, size in ROUNDS:
        key = f"{dtype} {size} {number}"
        given = catalogue.inputs(call, dtype)
        answers = expected(call, given, order=2)
        for k, value in enumerate(answers.value):
            actual = _whole(written, call, key, size, f"value {k}", call.function in GIVES_WEIGHTS)
            assert_close(actual, value, dtype, "value")
        gradient, second = (_whole(written, call, key, size, name, True) for name in ("gradient", "second"))
        assert_close(gradient, answers.gradient[0], dtype, "derivative")
        slack = TOLERANCE["derivative"] * EPS[dtype] * max(1.0, float(np.sum(np.abs(second))))
        assert abs(float(np.sum(second)) - float(answers.second[0])) <= slack, f"{size} members"

"""Arrays that are shards: the oracle's answers in up to eight processes of torch and on as many devices of JAX, and the traffic."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from conftest import PRESENT, on_linux
from shards import CALLS, GIVES_WEIGHTS, axis_of

from anyargmax import soft_argmax
from anyargmax.validation import catalogue
from anyargmax.validation.oracle_answers import expected
from anyargmax.validation.tolerance import EPS, TOLERANCE, assert_close

ROUNDS = [("float64", 1), ("float64", 2), ("float64", 4), ("float64", 8), ("float32", 4)]


in_torch = pytest.mark.skipif("torch" not in PRESENT, reason="torch is not installed")
in_jax = pytest.mark.skipif("jax" not in PRESENT, reason="jax is not installed")


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


@on_linux
@in_torch
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
        assert _curves(second, answers.second[0], dtype), f"{size} members"


def _curves(entries, expected, dtype):
    """Whether a second derivative, of which these are the terms, is what is expected."""
    slack = TOLERANCE["derivative"] * EPS[dtype] * max(1.0, float(np.sum(np.abs(entries))))
    return abs(float(np.sum(entries)) - float(expected)) <= slack


@in_jax
def test_shards_inside_shard_map_have_the_oracles_answers(run_once):
    with np.load(run_once("shards_of_jax", 150) / "answers.npz") as file:
        found = dict(file)
    numbers = sorted({int(key.partition(" ")[0]) for key in found})
    assert len(numbers) == 19
    for number in numbers:
        call = dict(CALLS)[number]
        answers = expected(call, catalogue.inputs(call, "float64"), order=2)
        for k, value in enumerate(answers.value):
            assert_close(found[f"{number} value {k}"], value, "float64", "value")
        assert_close(found[f"{number} gradient"], answers.gradient[0], "float64", "derivative")
        assert _curves(found[f"{number} second"], answers.second[0], "float64"), call.id


MEMBERS, WINNERS, CANDIDATES = 4, 4, 32
PAGE = (Path(__file__).resolve().parent.parent / "docs" / "devices.md").read_text("utf-8")
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in PAGE.split("| call | exchanges")[1].split("\n\n")[0].splitlines()[2:]
]


@pytest.fixture(scope="module")
def traffic(run_once):
    return json.loads((run_once("traffic_on_torch", 60) / "traffic.json").read_text("utf-8"))


def _number(formula, steps):
    """The value of a formula of the page, such as ``4 k P + 8 S``."""
    values = {"S": steps, "k": WINNERS, "P": MEMBERS, "K": CANDIDATES}
    terms = [[values.get(factor) or int(factor) for factor in term.split()] for term in formula.split("+")]
    return sum(math.prod(factors) for factors in terms)


@on_linux
@in_torch
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].replace(" ", "_"))
def test_what_travels_is_what_the_page_says(row, traffic):
    name, *formulas = row
    found = traffic[name.replace("k winners", "4 winners")]
    steps = found["forward"].count(12 if "capped" in name else 8)
    measured = [number for way in ("forward", "backward") for number in (len(found[way]), sum(found[way]))]
    assert len(formulas) == 4
    for formula, number in zip(formulas, measured, strict=True):
        assert number == pytest.approx(
            _number(formula, steps), abs=0.3
        )  # beside the rows, a median sends first positions
    if "S" in "".join(formulas):
        assert 3 <= steps <= 9


@on_linux
@in_torch
def test_a_dtensor_exchanges_what_shards_of_a_group_do_and_nothing_of_its_own(traffic):
    """Torch's own count of operations, of which those of DTensors have other names, is that of the library."""
    for name, found in traffic.items():
        own = found["DTensor"]
        assert (own["forward"], own["backward"]) == (found["forward"], found["backward"]), name
        assert set(own["seen"]) <= {"c10d.allreduce_", "c10d.allgather_"}, name
        assert sum(own["seen"].values()) == len(own["forward"]) + len(own["backward"]), name


@on_linux
@in_torch
def test_a_process_group_that_is_destroyed_is_let_go(traffic, run_once):
    assert json.loads((run_once("traffic_on_torch", 60) / "let_go.json").read_text("utf-8"))


@on_linux
@in_torch
def test_the_page_has_the_calls_that_are_counted(traffic):
    assert len(ROWS) == 9
    assert {row[0].replace("k winners", "4 winners") for row in ROWS} <= traffic.keys()


@in_jax
def test_a_compiler_combines_what_may_travel_together(run_once):
    """In programs of JAX, a loop's operations stand once. Of its weights, a call keeps what the way back needs."""
    found = json.loads((run_once("shards_of_jax", 150) / "traffic.json").read_text("utf-8"))
    sizes = {name: [[size for _, size in sent[way]] for way in ("forward", "gradient")] for name, sent in found.items()}
    assert sizes["expectation under softmax"] == sizes["loss at alpha 1"] == [[4, 8], [4, 8]]
    assert sizes["weights of softmax"] == [[4, 4], [4, 4, 4]]
    assert sorted(sizes["weights of entmax, many rows"][0]) == [4, 4, 8]
    assert sorted(sizes["weights of entmax, many rows"][1]) == [4, 4, 8, 8]
    assert max(sizes["weights of entmax, few rows"][0]) == 4 * CANDIDATES * MEMBERS
    assert max(sizes["capped weights of 4 winners"][1]) == 4 * WINNERS * MEMBERS
    assert max(sizes["median of given weights"][1]) == pytest.approx(4 * MEMBERS, rel=0.05)


@in_jax
@pytest.mark.parametrize("group", [(), 3, True, ("shards", 1), "rows"], ids=repr)
def test_a_group_that_names_no_mesh_axis_is_refused(group):
    import jax

    mesh, spec = jax.make_mesh((1,), ("shards",), devices=jax.devices()[:1]), jax.sharding.PartitionSpec()
    f = jax.shard_map(lambda x: soft_argmax(x, group=group), mesh=mesh, in_specs=spec, out_specs=spec)
    with pytest.raises(ValueError, match="`group` must be the name of a mesh axis"):
        f(np.zeros(3))

"""Arrays of Dask: how many tasks a call is, how much of a row one of them takes, and what comes out of it."""

import importlib
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import PRESENT

import anyargmax
from anyargmax import (
    expectation,
    soft_argmax,
    soft_argmax_moments,
    soft_argmin,
    soft_one_hot,
    soft_top_k,
    spatial_soft_argmax,
)
from anyargmax._kernels import selection
from anyargmax.losses import fenchel_young_loss
from anyargmax.sampling import conditional_gumbel, sample_one_hot, sample_top_k
from anyargmax.validation.catalogue import CALLS
from anyargmax.validation.checking import assert_call_agrees
from anyargmax.validation.oracle import decimals, functions
from anyargmax.validation.tolerance import EPS, TOLERANCE, assert_close

if "dask" not in PRESENT:
    pytest.skip("dask is not installed", allow_module_level=True)
dask, da = importlib.import_module("dask"), importlib.import_module("dask.array")

ROWS, SIZE = 6, 48
HALVES, UNEVEN = SIZE // 2, (5, 1, 30, 12)
# How a row is cut: in 1, 2, 4 and 8 chunks, and in unequal ones.
CUTS = {
    **{f"{n} chunks": (SIZE // n,) * n for n in (1, 2, 4, 8)},
    "unequal chunks": UNEVEN,
}


def arrays(rng):
    """Scores, and what may go with them: the mask takes the first three of eight chunks away, and the last row."""
    mask = rng.random((ROWS, SIZE)) > 0.2
    mask[:, :18], mask[-1] = False, False
    target = rng.random((ROWS, SIZE))
    return {
        "x": 3 * rng.normal(size=(ROWS, SIZE)),
        "mask": mask,
        "temperature": 0.5 + rng.random((ROWS, 1)),
        "alpha": 1 + 2 * rng.random((ROWS, 1)),
        "positions": rng.normal(size=SIZE),
        "target": target / target.sum(-1, keepdims=True),
        "index": rng.integers(0, SIZE, ROWS),
    }


def winners(x, *, k, **options):
    return soft_top_k(x, k, axis=-1, **options)


def loss(x, *, target, **options):
    return fenchel_young_loss(x, target, axis=-1, **options)


along = {"axis": -1}
# The calls, with the names of the arrays that go with the scores.
REDUCED = {
    "softmax position": (partial(soft_argmax, **along), {}),
    "masked position at a temperature a row": (
        partial(soft_argmax, **along),
        {"mask": "mask", "temperature": "temperature"},
    ),
    "entmax position": (partial(soft_argmax, alpha=1.5, **along), {"mask": "mask"}),
    "position of order 3": (partial(soft_argmax, alpha=3.0, **along), {}),
    "position with an order a row": (partial(soft_argmax, **along), {"alpha": "alpha"}),
    "position among positions": (partial(soft_argmax, **along), {"positions": "positions"}),
    "smallest, axes kept": (partial(soft_argmin, keepdims=True, **along), {}),
    "hard position": (partial(soft_argmax, hard=True, **along), {"mask": "mask"}),
    "median": (partial(soft_argmax, readout="median", **along), {}),
    "moments": (partial(soft_argmax_moments, **along), {"mask": "mask"}),
    "sparse weights": (partial(soft_one_hot, alpha=2.0), {"mask": "mask"}),
    "logarithms": (partial(soft_one_hot, log=True), {}),
    "capped winners": (partial(winners, k=5), {"mask": "mask"}),
    "sigmoid winners": (partial(winners, k=5, kind="sigmoid"), {}),
    "hard winners": (partial(winners, k=5, hard=True), {}),
    "loss of weights": (partial(loss), {"target": "target"}),
    "sparse loss of indices": (partial(loss, alpha=1.5), {"target": "index"}),
}
GATHERED = {"subset winners": (partial(winners, k=5, kind="subset"), {"mask": "mask"})}
CALLED = REDUCED | GATHERED


def case(name, given, dtype="float32"):
    """A call of scores, the scores, and the arrays beside them."""
    f, wanted = CALLED[name]
    cast = {key: value.astype(dtype) if value.dtype == "float64" else value for key, value in given.items()}
    return f, cast["x"], {option: cast[key] for option, key in wanted.items()}


def laid(array, cut=SIZE, rows=3):
    """An array in chunks of so many rows, of which each axis of the length of a row is cut."""
    lengths = [cut if n == SIZE else min(rows, n) for n in array.shape]
    return da.from_array(array, chunks=tuple(lengths))


def tuple_of(y):
    return y if isinstance(y, tuple) else (y,)


def graph(*answers):
    """The tasks of answers after optimisation, by their names."""
    tasks = {}
    for answer in dask.optimize(*answers):
        tasks.update(dict(answer.__dask_graph__()))
    return importlib.import_module("dask._task_spec").convert_legacy_graph(tasks)


def stored(array):
    """An array whose chunks are data of its graph, with which no task that makes them is fused."""
    return array.persist(scheduler="sync")


def number_of_tasks(*answers):
    """How many tasks there are; data and other names of a task are none."""
    return sum(type(task).__name__ == "Task" for task in graph(*answers).values())


def gathered(*answers, size):
    """How many chunks of one array a task takes at most, of those that have so many bytes."""
    sizes = {}

    class Sizes(importlib.import_module("dask.callbacks").Callback):
        def _start_state(self, dsk, state):
            sizes.update({key: value.nbytes for key, value in state["cache"].items() if hasattr(value, "nbytes")})

        def _posttask(self, key, value, dsk, state, worker):
            parts = value if isinstance(value, tuple) else (value,)
            sizes[key] = max(getattr(part, "nbytes", 0) for part in parts)

    tasks = graph(*answers)
    with Sizes():
        dask.persist(*answers, scheduler="sync")
    taken = [
        Counter(key[0] for key in task.dependencies if sizes.get(key, 0) >= size and isinstance(key, tuple))
        for task in tasks.values()
    ]
    return max(max(each.values(), default=0) for each in taken), max(sizes.values())


def refuse(*args, **kwargs):
    raise AssertionError("computed")


def agrees(answers, expected, dtype, kind):
    """Whether answers are as near as the table has it, of results that are scaled to 1 by their largest entry."""
    for answer, wanted in zip(tuple_of(answers), tuple_of(expected), strict=True):
        got = answer.compute(scheduler="sync")
        assert got.shape == answer.shape == wanted.shape
        assert got.dtype == answer.dtype == wanted.dtype
        scale = max(1.0, float(np.nanmax(np.abs(wanted), initial=0.0)))
        np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE[kind] * EPS[dtype] * scale)


@pytest.mark.parametrize("name", CALLED)
def test_whole_rows_are_one_task_a_chunk(rng, name):
    """Of two answers, each takes its own out of what that task returns."""
    f, values, beside = case(name, arrays(rng))
    x = stored(laid(values))
    options = {option: stored(laid(array)) for option, array in beside.items()}
    y = tuple_of(f(x, **options))
    # What is not positive is NaN in a temperature before a chunk has it, which is one task of row size, as for orders.
    extra = x.npartitions * len({"temperature", "alpha"} & set(options)) + len({"positions"} & set(options))
    assert number_of_tasks(y[0]) <= 2 * x.npartitions
    assert number_of_tasks(*y) <= x.npartitions * (1 if len(y) == 1 else 1 + len(y)) + extra
    agrees(y, f(values, **beside), "float32", "value")


ENDS = ("1 chunks", "unequal chunks")
# Searches, whose graphs take long: in 2, 4 and 8 chunks, the oracle has them below.
SEARCHES = [name for name, (f, wanted) in REDUCED.items() if "alpha" in f.keywords | wanted or "k" in f.keywords]


@pytest.mark.parametrize(
    ("name", "cut"), [(name, cut) for cut in CUTS for name in CALLED if name not in SEARCHES or cut in ENDS]
)
def test_values_are_those_of_numpy(rng, name, cut):
    f, values, beside = case(name, arrays(rng))
    with dask.config.set(scheduler=refuse):
        y = f(laid(values, CUTS[cut]), **{option: laid(array, HALVES, 2) for option, array in beside.items()})
    agrees(y, f(values, **beside), "float32", "derivative")


@pytest.mark.parametrize("name", CALLED)
@pytest.mark.parametrize("cut", ENDS)
def test_derivatives_are_those_of_numpy_and_lazy(rng, name, cut):
    given = arrays(rng)
    f, values, beside = case(name, given, "float64")
    expected, pull = anyargmax._frameworks.tape.vjp(partial(f, **beside), values)
    gs = tuple(np.asarray(rng.normal(size=y.shape)) for y in tuple_of(expected))
    t = rng.normal(size=values.shape)
    one = not isinstance(expected, tuple)
    with dask.config.set(scheduler=refuse):
        options = {option: laid(array, HALVES, 2) for option, array in beside.items()}
        x = laid(values, CUTS[cut])
        _, pullback = anyargmax.vjp(f, x, **options)
        lazy = tuple(laid(g, HALVES, 2) for g in gs)
        (dx,) = pullback(lazy[0] if one else lazy)
        tangent = anyargmax.jvp(f, (x,), (laid(t, HALVES, 2),), **options)[1]
    assert dx.chunks == x.chunks
    agrees(dx, pull(gs[0] if one else gs)[0], "float64", "derivative")
    agrees(tangent, anyargmax._frameworks.tape.jvp(partial(f, **beside), (values,), (t,))[1], "float64", "derivative")


@pytest.mark.parametrize("name", CALLED)
def test_gradients_of_whole_rows_are_one_task_a_chunk(rng, name):
    f, values, beside = case(name, arrays(rng))
    x = stored(laid(values))
    options = {option: laid(array) for option, array in beside.items()}
    y, pullback = anyargmax.vjp(f, x, **options)
    g = tuple(stored(da.ones_like(one)) for one in tuple_of(y))
    dx = pullback(g if isinstance(y, tuple) else g[0])[0]
    named = Counter(key[0] for key in graph(dx) if isinstance(key, tuple))
    assert named[dx.name] == x.npartitions
    assert not [name for name in named if name in {one.name for one in tuple_of(y)}]


ORACLE = {
    "soft_argmax": [{"alpha": 1}, {"alpha": 1.5}, {"alpha": 3}, {"alpha": 1, "readout": "median"}],
    "soft_argmax_moments": [{"alpha": 1}],
    "soft_one_hot": [{"alpha": 2}],
    "soft_top_k": [{"k": 3, "kind": "capped"}, {"k": 3, "kind": "sigmoid"}],
}


@pytest.mark.parametrize("cut", [(4, 4), (2, 2, 2, 2), (1, 4, 3), (1,) * 8], ids=["2", "4", "unequal", "8"])
@pytest.mark.parametrize(
    ("name", "options"), [(n, o) for n, each in ORACLE.items() for o in each], ids=lambda v: str(v).replace(" ", "")
)
def test_rows_in_several_chunks_have_the_oracles_values(rng, name, options, cut):
    """A mask leaves a chunk without any score."""
    x, mask = 2 * rng.normal(size=(2, 8)), np.ones((2, 8), dtype=bool)
    mask[:, : cut[0]] = False
    options = dict(options)
    expected = getattr(functions, name)(decimals.exact(x), axis=-1, mask=mask, **options)
    chunks = ((2,), cut)
    first = [options.pop("k")] if "k" in options else []
    f = partial(getattr(anyargmax, name), axis=-1, **options)
    y = f(da.from_array(x, chunks=chunks), *first, mask=da.from_array(mask, chunks=chunks))
    for got, wanted in zip(tuple_of(y), tuple_of(expected), strict=True):
        assert_close(got.compute(scheduler="sync"), decimals.rounded(wanted), "float64", "value")


def whole(values, dtype=None, device=None):
    """Dask's array in chunks that have whole rows, where there is an axis of rows."""
    values = np.asarray(values, dtype=dtype)
    return da.from_array(values, chunks=values.shape)


WHOLE = PRESENT["dask"]._replace(asarray=whole)
FIRST = {(call.function, call.options.get("kind"), call.options.get("readout")): call for call in reversed(CALLS)}


@pytest.mark.parametrize("call", FIRST.values(), ids=lambda call: call.id.replace(" ", "_"))
def test_calls_of_whole_chunks_have_the_oracles_answers(call):
    assert_call_agrees(call, [WHOLE], "float64")


@pytest.mark.parametrize(("alpha", "kernel"), [(1, "blocks"), (1.5, "support")])
def test_kernels_serve_whole_rows(rng, alpha, kernel):
    x = laid(arrays(rng)["x"])
    with selection.only("blocks", "support") as taken:
        soft_argmax(x, axis=-1, alpha=alpha).compute(scheduler="sync")
    assert taken == [kernel] * x.npartitions


LARGE, PIECES = 2**13, 16


@pytest.mark.parametrize("name", REDUCED)
def test_no_task_takes_more_of_a_row_than_a_chunk(rng, name):
    """But for the k largest of each, and numbers of one a row."""
    f, wanted = REDUCED[name]
    x = rng.normal(size=(2, LARGE)).astype("float32")
    beside = {
        "mask": x > 0,
        "temperature": np.full((2, 1), 0.5, dtype="float32"),
        "alpha": np.full((2, 1), 1.5, dtype="float32"),
        "positions": np.arange(LARGE, dtype="float32"),
        "target": np.full((2, LARGE), 1 / LARGE, dtype="float32"),
        "index": np.asarray([3, 5]),
    }
    chunk = LARGE // PIECES

    def cut(array):
        return stored(da.from_array(array, chunks=tuple(chunk if n == LARGE else n for n in array.shape)))

    options = {option: cut(beside[key]) for option, key in wanted.items()}
    y, pullback = anyargmax.vjp(f, cut(x), **options)
    g = tuple(map(da.ones_like, tuple_of(y)))
    dx = pullback(g if isinstance(y, tuple) else g[0])[0]
    most, largest = gathered(*tuple_of(y), dx, size=chunk * 2)
    assert most <= 2  # the end of a chunk, and the beginning of the next
    assert largest <= 2 * chunk * 8


def test_a_map_in_chunks_is_reduced_along_both_axes(rng):
    values = rng.normal(size=(3, 16, 24))
    x = da.from_array(values, chunks=(2, (3, 13), 6))
    for options in ({}, {"alpha": 1.5}, {"readout": "covariance"}, {"readout": "median"}, {"window": 3}):
        agrees(spatial_soft_argmax(x, **options), spatial_soft_argmax(values, **options), "float64", "derivative")


@pytest.mark.parametrize("options", [{}, {"keepdims": True, "alpha": 1.5}, {"hard": True}], ids=str)
def test_an_array_in_chunks_is_not_flattened(rng, options):
    """Which would gather a slab of them."""
    values = rng.normal(size=(32, 32, 32))
    x = stored(da.from_array(values, chunks=8))
    y = soft_argmax(x, **options)
    agrees(y, soft_argmax(values, **options), "float64", "derivative")
    assert gathered(y, size=8**3 * 4) == (1, 8**3 * 8)


def test_weights_in_chunks_are_not_flattened(rng):
    values = rng.random((16, 16))
    positions = rng.normal(size=256)
    p, c = da.from_array(values, chunks=4), da.from_array(positions, chunks=100)
    agrees(expectation(p), expectation(values), "float64", "value")
    agrees(expectation(p, positions=c), expectation(values, positions=positions), "float64", "value")


def test_the_rows_of_subsets_are_gathered(rng):
    """Their weights have no threshold that is found by sums: a task has the whole of its rows, and the scores only once."""
    values = arrays(rng)["x"]
    x = stored(laid(values, HALVES))
    y = soft_top_k(x, 3, kind="subset")
    assert number_of_tasks(y) <= x.npartitions + 2 * (ROWS // 3)
    agrees(y, soft_top_k(values, 3, kind="subset"), "float64", "value")


@pytest.mark.parametrize("draws", [(), (3,)])
def test_choices_at_random_are_one_task_a_chunk(rng, draws):
    given = arrays(rng)
    noise = rng.gumbel(size=(*draws, ROWS, SIZE))
    x, g = stored(laid(given["x"])), stored(da.from_array(noise, chunks=(*draws, 3, SIZE)))
    chosen = given["index"]
    for f, beside in (
        (sample_one_hot, ()),
        (lambda x, noise: sample_top_k(x, 4, noise), ()),
        (lambda x, noise, chosen: conditional_gumbel(x, chosen, noise), (chosen,)),
    ):
        y = f(x, g, *(stored(laid(array)) for array in beside))
        assert number_of_tasks(y) <= 2 * x.npartitions
        agrees(y, f(given["x"], noise, *beside), "float64", "derivative")


def test_a_target_that_is_none_makes_its_row_nan(rng):
    """Nobody has looked at it: the task does."""
    given = arrays(rng)
    index = given["index"].copy()
    index[0] = SIZE
    weights = given["target"].copy()
    weights[1] *= 2
    for target, wrong in ((index, 0), (weights, 1)):
        for cut in (SIZE, HALVES):
            y = loss(laid(given["x"], cut), target=laid(target, cut)).compute(scheduler="sync")
            assert np.flatnonzero(np.isnan(y)).tolist() == [wrong]


def test_chunks_of_unknown_sizes_have_the_values_of_known_ones(rng):
    values = arrays(rng)["x"]
    x = laid(values)
    some = x[x[:, 0] > 0]
    y = soft_one_hot(some, axis=-1)
    assert_close(y.compute(scheduler="sync"), soft_one_hot(values[values[:, 0] > 0], axis=-1), "float64", "value")


CLUSTER = """
import numpy as np
import dask
import dask.array as da
from dask.distributed import Client, LocalCluster
import anyargmax
from anyargmax import soft_argmax, soft_argmax_moments, soft_top_k
from functools import partial


def soft_top_k_of(x, kind):
    return soft_top_k(x, 3, kind=kind)


def main():
    values = np.random.default_rng(0).normal(size=(8, 64))
    local = {"host": "127.0.0.1", "dashboard_address": None, "n_workers": 2, "threads_per_worker": 1}
    with LocalCluster(processes=True, **local) as cluster, Client(cluster) as client:
        assert len(client.scheduler_info()["workers"]) == 2
        position = partial(soft_argmax, axis=-1, alpha=1.5)
        winners = [partial(soft_top_k_of, kind=kind) for kind in ("capped", "sigmoid")]
        for chunks, calls in (((4, 64), (position, *winners)), ((8, 16), (position,))):
            x = da.from_array(values, chunks=chunks)
            for f in calls:
                y, pullback = anyargmax.vjp(f, x)
                expected, pull = anyargmax.vjp(f, values)
                y, dx = dask.compute(y, pullback(da.ones_like(y))[0])
                np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)
                np.testing.assert_allclose(dx, pull(np.ones_like(expected))[0], rtol=0, atol=1e-11)
            mean, variance = soft_argmax_moments(x, axis=-1)
            np.testing.assert_allclose(variance.compute(), soft_argmax_moments(values, axis=-1)[1], rtol=1e-12)
    print("agreed")

if __name__ == "__main__":
    main()
"""


def test_two_processes_of_a_cluster_have_the_values_and_gradients_of_numpy(tmp_path):
    """What a task holds travels to them."""
    pytest.importorskip("distributed")
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER, encoding="utf-8")
    path = [str(Path(anyargmax.__file__).parents[1]), *filter(None, sys.path)]
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**importlib.import_module("os").environ, "PYTHONPATH": ":".join(path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "agreed", done.stderr

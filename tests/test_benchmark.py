"""The benchmark: that it times what it says, in the order it says, and judges it by the targets."""

import importlib.util
import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numpy as np
import pytest
from conftest import broken_python

from anyargmax import __main__ as program
from anyargmax._benchmark import devices, frameworks, judge, measure, memory, pretend, report, run, timing
from anyargmax._benchmark.targets import COPIED, ON_ACCELERATOR, TARGETS, Target
from anyargmax._benchmark.timing import Sample
from anyargmax._benchmark.workloads import (
    BESIDE,
    COMPILED,
    DENSE,
    FLOAT,
    FRAMEWORKS,
    LOADING,
    OURS_COMPILED,
    PASSES,
    WORKLOADS,
)

INSTALLED = [name for name in FRAMEWORKS if importlib.util.find_spec(name)]
# But for their sizes.
DISTINCT = {(w.kind, w.axis, w.alpha, w.eager, w.beside, w.dtype, w.compiled): w for w in WORKLOADS[::-1]}.values()
QUICK = ["--seconds", "0.01", "--scale", "0.1"]


def bench(*arguments):
    return program.main(["bench", *arguments])


def measured(ours, **others):
    """A row in which the peers took so long."""
    times = {
        name: {"median": seconds, "samples": 9, "undisturbed": 9, "peak": None, "apart": "compile" in name}
        for name, seconds in {"anyargmax": ours, **others}.items()
    }
    row = {"framework": "torch", "workload": "w", "pass": "f+b", "shape": [2, 3], "nbytes": 24}
    return row | {"times": times, "failed": {}, "variant": False}


class Stage:
    """A clock that only calls and pauses move, and what has happened by it."""

    def __init__(self):
        self.now, self.played = 0.0, []

    def clock(self):
        return self.now

    def pause(self, seconds):
        self.now += seconds
        self.played.append("-")

    def call(self, name, seconds):
        def perform():
            self.now += seconds
            self.played.append(name)

        return perform

    def interleaved(self, seconds, **durations):
        calls = {name: self.call(name, duration) for name, duration in durations.items()}
        return timing.interleaved(calls, seconds, self.clock, self.pause, lambda: 0)


class TestTiming:
    def test_rounds_rotate_and_every_sample_follows_a_gap_and_an_untimed_call(self):
        stage = Stage()
        samples = stage.interleaved(1.0, a=0.01, b=0.02, c=0.03)
        played = "".join(stage.played)
        assert played.startswith("abc" + "-aa-bb-cc" + "-bb-cc-aa" + "-cc-aa-bb" + "-aa-bb-cc")
        for name, seconds in {"a": 0.01, "b": 0.02, "c": 0.03}.items():
            assert [s.seconds for s in samples[name]] == pytest.approx([seconds] * len(samples["a"]))

    def test_lasts_as_long_as_it_was_told(self):
        stage = Stage()
        stage.interleaved(3.0, a=0.01, b=0.02)
        assert 3.0 <= stage.now < 3.2

    def test_has_some_rounds_even_without_time(self):
        samples = Stage().interleaved(0.5, a=0.2, b=0.2)
        assert [len(taken) for taken in samples.values()] == [timing.ROUNDS] * 2

    def test_short_calls_are_repeated_within_a_sample(self):
        stage = Stage()
        samples = stage.interleaved(0.1, a=1e-5)
        assert "".join(stage.played).startswith(timing.TRIES * "a" + 2 * ("-a" + 100 * "a"))
        assert median(s.seconds for s in samples["a"]) == pytest.approx(1e-5)

    def test_how_often_is_told_by_the_quickest_of_the_first_calls(self):
        stage, warming = Stage(), iter([0.0021, 0.00013, 0.0003])

        def call():
            stage.call("a", 1e-4)()
            stage.pause(next(warming, 0))

        timing.interleaved({"a": call}, 0.01, stage.clock, lambda seconds: stage.played.append("|"))
        assert "".join(stage.played).replace("-", "").startswith("aaa|a" + 5 * "a" + "|")

    def test_a_call_that_takes_half_of_the_time_is_timed_once(self):
        stage = Stage()
        samples = stage.interleaved(1.0, quick=0.01, slow=7.0)
        assert samples["slow"] == [Sample(7.0, 0)]
        assert stage.played.count("slow") == 1
        assert len(samples["quick"]) > 5

    def test_what_is_called_is_waited_for_within_the_sample(self):
        stage, done = Stage(), []

        def wait():
            stage.now += 1.0
            done.append(len(stage.played))

        calls = {"a": stage.call("a", 0.001)}
        samples = timing.interleaved(calls, 4.0, stage.clock, stage.pause, lambda: 0, wait, shortest=2.0)
        assert {round(sample.seconds, 3) for sample in samples["a"]} == {round((0.002 + 1.0) / 2, 3)}
        assert len(done) == timing.TRIES + 2 * len(samples["a"])

    def test_interruptions_are_counted_within_the_sample(self):
        counts = iter(range(1000))
        samples = timing.interleaved({"a": lambda: None}, 0.0, switches=lambda: next(counts))
        assert {s.switches for s in samples["a"]} == {1}

    @pytest.mark.parametrize(
        ("switches", "kept"),
        [((0, 3, 0, 1, 0), [1, 3, 5]), ((4, 3, 0, 1, 9), [3, 4]), ((2,), [1]), ((0, 0), [1, 2]), ((5, 5, 5), [1])],
        ids=["enough", "too few", "one", "two", "none"],
    )
    def test_samples_without_interruption_count_or_else_the_least_interrupted_third(self, switches, kept):
        assert timing.undisturbed([Sample(k + 1.0, count) for k, count in enumerate(switches)]) == kept


counts_memory = pytest.mark.skipif(memory.peak(int) is None, reason="this system counts no memory")


class TestMemory:
    @counts_memory
    def test_the_peak_counts_the_result_and_what_is_gone_before_it(self):
        n = 2**20
        one, several, nothing = (
            memory.peak(call, 8 * n) for call in (lambda: np.ones(n), lambda: np.ones(n) + np.ones(n), int)
        )
        assert one == pytest.approx(1, abs=0.05)
        assert 1.95 < several < 3.05
        assert nothing < 0.05

    @counts_memory
    def test_the_peak_counts_memory_that_was_used_before(self):
        n = 2**20
        with ThreadPoolExecutor(1) as pool:
            for _ in range(3):
                pool.submit(np.ones, 2 * n).result()
            assert memory.peak(lambda: pool.submit(np.ones, n).result(), 8 * n) == pytest.approx(1, abs=0.05)

    @counts_memory
    def test_the_peak_counts_memory_that_was_used_before_in_a_gap(self):
        n = 2**20
        for _ in range(3):
            np.ones(2 * n)
        gap, after = np.ones(n), np.ones(n)
        del gap
        assert memory.peak(lambda: np.ones(n), 8 * n) == pytest.approx(1, abs=0.05)
        assert after.all()

    def test_nothing_is_said_where_the_system_does_not_count(self, tmp_path):
        assert memory.peak(lambda: None, reset=tmp_path / "none" / "clear_refs") is None


HALF = {("w", "torch", "f+b"): Target(0.5)}


class TestTheVerdict:
    @pytest.mark.parametrize(("ours", "met"), [(1.0, True), (1.1, False)])
    def test_is_against_the_fastest_peer(self, ours, met):
        verdict = judge.verdict(measured(ours, slow=3.0, fast=2.0), targets=HALF)
        assert (verdict["best"], verdict["ratio"], verdict["met"]) == ("fast", ours / 2, met)

    @pytest.mark.parametrize(("ours", "met"), [(1.5, True), (1.6, False)])
    def test_is_against_the_peer_that_the_target_names(self, ours, met):
        row = measured(ours, slow=3.0, fast=2.0)
        verdict = judge.verdict(row, targets={("w", "torch", "f+b"): Target(0.5, "slow")})
        assert (verdict["best"], verdict["ratio"], verdict["against"], verdict["met"]) == (
            "fast",
            ours / 2,
            "slow",
            met,
        )
        assert f"target is: {ours / 3:.2f}, 0.50 {'met' if met else 'missed'}" in " ".join(
            " ".join(report.remarks(row | verdict)).split()
        )

    def test_leaves_out_what_is_shown_apart(self):
        row = measured(1.0, eager=2.0, compiled=0.5)
        verdict = judge.verdict(row, targets=HALF)
        assert (verdict["best"], verdict["met"]) == ("eager", True)
        assert "compiled: 500 ms, ratio to it 2.00" in report.remarks(row | verdict)[0]

    def test_what_is_compiled_is_compared_with_what_is_compiled(self):
        row = measured(1.0, eager=2.0, **{COMPILED: 0.5, OURS_COMPILED: 0.4})
        remarks = " ".join(" ".join(report.remarks(row | judge.verdict(row, targets=HALF))).split())
        assert f"{OURS_COMPILED}: 400 ms, ratio to torch.compile of the naive formula 0.80" in remarks

    def test_is_none_without_a_peer_or_a_target_or_at_another_size(self):
        assert judge.verdict(measured(1.0), targets=HALF)["met"] is None
        assert judge.verdict(measured(1.0, a=9.0), targets={})["met"] is None
        assert judge.verdict(measured(1.0, a=9.0), 0.5, HALF)["met"] is None

    def test_on_an_accelerator_is_against_several_and_a_copy(self):
        row = measured(2e-9, eager=5e-9, **{COMPILED: 1e-9, "entmax15 k=16": 9e-9, "entmax15 k=64": 8e-9})
        targets = {("w", "torch", "f+b"): (Target(0.5), Target(1.0, COMPILED), Target(0.2, "entmax"), Target(1, "no"))}
        found = judge.verdict(row, targets=targets, bandwidth=24e9)
        assert (found["best"], found["ratio"], found["met"]) == ("eager", pytest.approx(0.4), True)
        assert [(other["against"], other["met"]) for other in found["further"]] == [
            (COMPILED, False),
            ("entmax15 k=64", False),
            ("no", None),
        ]
        assert (found["passes"], found["passes_met"], found["peak_met"]) == (pytest.approx(2), None, None)
        remarks = " ".join(" ".join(report.remarks(row | found)).split())
        assert f"against {COMPILED}, for which the target is: 2.00, 1.00 missed" in remarks
        assert "2.00 passes at the bandwidth of a copy" in remarks
        assert report.summary([row | found]) == "Targets met: ratio 1 of 3."

    @pytest.mark.parametrize(("seconds", "met"), [(1.1e-3, True), (1.2e-3, False)])
    def test_on_an_accelerator_is_against_a_copy_of_large_scores(self, seconds, met):
        row = measured(seconds) | {"workload": "256x32768", "pass": "fwd", "nbytes": 2**25}
        found = judge.verdict(row, targets={}, bandwidth=2**25 * 1e3)
        assert (found["passes_limit"], found["passes_met"]) == (pytest.approx(1 / 0.9), met)
        assert judge.verdict(row, 0.5, {}, 2**25 * 1e3)["passes_met"] is None

    @pytest.mark.parametrize(("peak", "met"), [(1.05, True), (1.06, False), (None, None)])
    def test_of_the_peak_is_by_the_input_and_one_gradient(self, peak, met):
        row = measured(1.0, a=2.0)
        row["times"]["anyargmax"]["peak"] = peak
        row |= judge.verdict(row)
        assert row["peak_met"] is met
        assert ("target 1.05 missed" in "".join(report.remarks(row))) == (met is False)
        assert judge.verdict({**row, "pass": "fwd"})["peak_met"] is None
        assert judge.verdict({**row, "variant": True})["peak_met"] is None

    def test_targets_are_all_of_rows_that_there_are(self):
        rows = {(name, framework, which) for framework in FRAMEWORKS for name, which in run.rows_of(framework, "")}
        assert set(TARGETS) <= rows
        assert len(TARGETS) == 5 * 5 + 4 + 6 + 2 * len(BESIDE) + 2 * len(DENSE)
        there = {("torch", *row) for row in run.rows_of("torch", "", "gpu")}
        assert {(framework, name, which) for name, framework, which in {*ON_ACCELERATOR, *COPIED}} <= there
        assert len(COPIED) == 2 * 2  # of 32 MiB and 128 MiB

    @pytest.mark.parametrize(
        ("ours", "peer", "shown"),
        [(1.0, 3.0, "1.00/3.00"), (1.0, None, "1.00/-"), (None, 3.0, "-/3.00"), (None, None, "-")],
    )
    def test_is_shown_with_both_peaks(self, ours, peer, shown):
        row = measured(1e-3, a=2e-3)
        row["times"]["anyargmax"]["peak"], row["times"]["a"]["peak"] = ours, peer
        line = report.line(row | judge.verdict(row, targets=HALF))
        assert line.split() == ["w", "f+b", "1.00", "ms", "2.00", "ms", "a", "0.50", "0.50", "met", shown]
        assert len(line) == 80

    def test_is_counted(self):
        rows = [judge.verdict(row, targets=HALF) | row for row in (measured(1.0, a=2.0), measured(1.0, a=1.0))]
        assert report.summary(rows) == "Targets met: ratio 1 of 2."


def as_it_is(f):
    return f


class TestPeers:
    @pytest.mark.parametrize(
        ("name", "workload", "which"),
        [
            pytest.param(name, workload, which, id=f"{name}-{workload.name}-{which}")
            for name in INSTALLED
            for workload in DISTINCT
            for which in PASSES
            if (workload.name, which) in run.rows_of(name, "")
        ],
    )
    def test_compute_what_the_library_computes(self, monkeypatch, name, workload, which):
        monkeypatch.setattr(timing, "interleaved", lambda calls, _: {key: [Sample(1.0, 0)] for key in calls})
        missing = {}
        toolkit = frameworks.load(name, missing, eager=workload.eager)
        row = measure.row(toolkit._replace(compiled=as_it_is), workload.scaled(0.03), which, 0.1, False, missing)
        assert row["failed"] == {}
        assert len(row["times"]) > 1 or (name, which) == ("numpy", "f+b") or missing.keys() >= {"entmax"}

    @pytest.mark.skipif("torch" not in INSTALLED, reason="torch is not installed")
    @pytest.mark.parametrize(
        ("workload", "which"),
        [
            pytest.param(workload, which, id=f"{workload.name}-{which}")
            for workload in DISTINCT
            for which in PASSES
            if (workload.name, which) in run.rows_of("torch", "", "gpu")
        ],
    )
    def test_compute_what_the_library_computes_on_an_accelerator(self, monkeypatch, workload, which):
        """On a pretended one, which refuses arrays of two devices; what is kept is compared with, timed or not."""
        waited = []
        monkeypatch.setattr(timing, "interleaved", lambda calls, _, **how: {key: [Sample(1.0, 0)] for key in calls})
        device = devices.Device("accelerator", "pretended", pretend.accelerator().put, lambda: waited.append(1))
        toolkit = frameworks.of_torch(device)._replace(compiled=as_it_is)
        missing = {}
        row = measure.row(toolkit, workload.scaled(0.03), which, 0.1, False, missing)
        assert row["failed"] == {}
        assert len(row["times"]) > 1 or missing.keys() >= {"entmax"}
        if workload.beside == "tensor":
            assert FLOAT in row["times"]
        if workload.compiled:
            assert set(row["times"]) == {"anyargmax", COMPILED}

    @pytest.mark.skipif("torch" not in INSTALLED, reason="torch is not installed")
    def test_one_compiled_row_is_compiled(self, monkeypatch):
        compiled = []
        monkeypatch.setattr(timing, "interleaved", lambda calls, _: {key: [Sample(1.0, 0)] for key in calls})
        toolkit = frameworks.load("torch", {})._replace(compiled=lambda f: compiled.append(f) or f)
        measure.row(toolkit, next(w for w in WORKLOADS if w.compiled), "fwd", 0.1, False, {})
        assert len(compiled) == 2

    def test_that_disagree_or_fail_are_named_and_not_timed(self):
        y = np.arange(6.0).reshape(3, 2)

        def fails():
            raise ValueError("no such form\nand more")

        nan, other = np.where(y == 3, np.nan, y), y + np.asarray([0, 0.1])
        results = {"anyargmax": y, "same": y + 1e-3, "turned": y[:, ::-1], "other": other, "nan": nan, "flat": y[0]}
        calls = {name: (lambda value=value: value) for name, value in results.items()} | {"fails": fails}
        failed = {}
        measure.agreement(calls, {"turned"}, failed)
        assert list(calls) == ["anyargmax", "same", "turned"]
        assert failed.keys() == {"other", "nan", "flat", "fails"}
        assert failed["other"] == "disagrees with anyargmax by 2.0e-02 of the largest entry: not timed"
        assert failed["fails"] == "failed: ValueError: no such form"

    @pytest.mark.parametrize("module", ["no_such_package", "no_such_package.part"])
    def test_that_are_not_installed_are_named(self, module):
        missing = {}
        assert frameworks.optional(module, missing) is None
        (line,) = report.missing(missing)
        assert " ".join(line.split()) == "without no_such_package, which is not installed: pip install no_such_package"

    def test_that_are_hidden_are_named_by_the_process_of_their_framework(self, monkeypatch, tmp_path, capsys):
        (tmp_path / "scipy.py").write_text("raise ModuleNotFoundError('hidden', name='scipy')")
        monkeypatch.syspath_prepend(tmp_path)
        assert bench("--frameworks", "numpy", "--only", "8x10 fwd", *QUICK) == 0
        assert "  without scipy, which is not installed: pip install scipy\n" in capsys.readouterr().out

    def test_that_cannot_be_imported_are_named_with_the_reason(self, monkeypatch, tmp_path):
        (tmp_path / "broken_peer.py").write_text("import numpy.no_such_part")
        monkeypatch.syspath_prepend(tmp_path)
        missing = {}
        assert frameworks.optional("broken_peer", missing) is None
        assert missing["broken_peer"].startswith("cannot be imported (ModuleNotFoundError: No module named 'numpy.no")


class TestTheCommand:
    @pytest.mark.parametrize("name", INSTALLED)
    def test_prints_and_writes_the_rows_of_each_framework(self, name, tmp_path, capsys):
        path = tmp_path / "result.json"
        assert bench("--frameworks", name, "--only", "4096x1024 f+b", "--json", str(path), *QUICK) == 0
        shown = capsys.readouterr()
        lines = shown.out.splitlines()
        assert max(map(len, lines)) <= 80
        assert shown.err == ""  # no terminal, no progress
        assert any(line.startswith("4096x1024        f+b") for line in lines)
        written = json.loads(path.read_text())
        assert {"version", "command", "machine", "rows", "packages", "missing", "devices"} == written.keys()
        assert written["command"][:6] == ["python", "-m", "anyargmax", "bench", "--frameworks", name]
        assert {"processor", "system", "python"} == written["machine"].keys()
        assert {"numpy", name} <= written["packages"].keys()
        (row,) = written["rows"]
        assert (row["framework"], row["workload"], row["pass"], row["shape"]) == (name, "4096x1024", "f+b", [410, 102])
        assert all(
            time["median"] > 0 and (time["samples"] == 1 or time["samples"] >= timing.ROUNDS)
            for time in row["times"].values()
        )
        ours = row["times"]["anyargmax"]["median"]
        fastest = min((time["median"] for peer, time in row["times"].items() if peer != "anyargmax"), default=None)
        assert row["ratio"] == (pytest.approx(ours / fastest) if fastest else None)
        assert row["target"] is None  # at this size

    def test_times_the_first_call_in_fresh_processes(self, capsys):
        assert bench("--frameworks", "numpy", "--only", LOADING) == 0
        out = capsys.readouterr().out
        assert "first call       fwd" in out
        assert "Targets met: first call" in out

    def test_shows_its_progress_on_a_terminal(self):
        stream = io.StringIO()
        stream.isatty = lambda: True
        progress = report.Progress(stream)
        progress("torch heatmaps fwd (3 of 9)")
        progress()
        assert [text.strip() for text in stream.getvalue().split("\r")] == [
            "",
            "torch heatmaps fwd (3 of 9)",
            "",
            "",
            "",
        ]
        assert max(map(len, stream.getvalue().split("\r"))) < 80

    def test_lists_the_rows_with_their_targets(self, capsys):
        assert bench("--list", "--only", "Torch 64x") == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert lines[:2] == [["torch", "64x1000", f"{p}", "target", "1.00"] for p in PASSES]
        assert ["torch", "64x32768", "1.5", "fwd", "target", "0.40"] in lines
        assert {line[0] for line in lines} == {"torch"}

    def test_lists_the_rows_of_an_accelerator(self, capsys):
        assert bench("--list", "--device", "cuda") == 0
        lines = capsys.readouterr().out.splitlines()
        assert {line.split()[0] for line in lines} == {"torch", "jax"}
        assert "torch     4096x1024 1.5    fwd  target 0.15 of entmax, 0.50 of adasplash" in lines
        assert not any(LOADING in line for line in lines)

    @pytest.mark.skipif("torch" not in INSTALLED, reason="torch is not installed")
    def test_counts_without_a_gpu_beside_naive_code(self, tmp_path, capsys):
        path = tmp_path / "counts.json"
        assert bench("--count", "--only", "mask", "--scale", "0.1", "--json", str(path)) == 0
        shown = capsys.readouterr()
        assert shown.err == ""
        lines = shown.out.splitlines()
        assert max(map(len, lines)) <= 80
        assert [line.split()[:2] for line in lines if line.startswith("mask")] == [["mask", which] for which in PASSES]
        assert lines[-1].startswith("Targets met: ")
        rows = json.loads(path.read_text())["rows"]
        assert [(row["call"], row["pass"]) for row in rows] == [("mask", which) for which in PASSES]
        for row in rows:
            assert row["ours"].keys() == {"kernels", "passes", "reads"}
            assert row["naive"]["reads"] == 0
        assert rows[0]["naive"]["kernels"] == 7  # ~mask, a copy and its fill, softmax, index, product, sum

    @pytest.mark.skipif("torch" not in INSTALLED, reason="torch is not installed")
    def test_counts_the_nodes_of_exported_graphs(self, capsys):
        assert bench("--count", "--only", "export 1.5") == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80
        (line,) = [line for line in lines if line.startswith("1.5-entmax")]
        assert line.split()[-1] in ("met", "missed")

    @pytest.mark.parametrize("name", ["torch", "jax"])
    def test_says_that_there_is_no_such_device(self, name, capsys):
        if name not in INSTALLED:
            pytest.skip(f"{name} is not installed")
        assert bench("--frameworks", name, "--device", "xpu", "--only", "8x10 fwd", *QUICK) == 1
        assert "has no device 'xpu' here" in " ".join(capsys.readouterr().out.split())

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["--frameworks", "numpy", "tensorflow"], "must be some of numpy, autograd, torch, jax, got tensorflow."),
            (["--only", "nonsense"], "must be in the name of a row, got 'nonsense'"),
            (["--threads", "0"], "--threads must be greater than 0, got 0."),
            (["--seconds", "nan"], "--seconds must be greater than 0, got nan."),
            (["--json", "no/such/folder/file"], "The folder of no/such/folder/file does not exist."),
            (["--json", "."], ". cannot be written: Is a directory. Choose another file."),
            (["--json", ""], "A file must have a name, got an empty one."),
            (["--frameworks", "numpy", "--device", "gpu"], "NumPy is timed on the CPU alone, got --device gpu."),
            (["--count", "--only", "nonsense"], "--only must be in the name of a row, got 'nonsense'"),
        ],
    )
    def test_refuses_what_it_cannot_do_in_one_line(self, capsys, arguments, text):
        assert bench(*arguments) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("python -m anyargmax bench: ")
        assert text in shown.err
        assert shown.err.count("\n") == 1

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["--frameworks", "jax"], "JAX is not installed: pip install jax, or leave it out."),
            (["--plot", "f.png"], "--plot needs matplotlib: pip install matplotlib"),
            (["--count"], "--count needs torch: pip install torch"),
        ],
    )
    def test_refuses_what_needs_a_package_that_is_not_there(self, monkeypatch, capsys, arguments, text):
        monkeypatch.setattr(run, "installed", lambda name: False)
        assert bench(*arguments) == 2
        assert text in capsys.readouterr().err

    def test_names_a_framework_that_is_not_there(self, monkeypatch, capsys):
        monkeypatch.setattr(run, "installed", lambda name: False)
        assert bench("--only", "torch 8x10") == 0
        assert "PyTorch\n  is not installed: pip install torch\n" in capsys.readouterr().out

    def test_goes_on_after_a_framework_that_fails_and_returns_1(self, monkeypatch, tmp_path, capsys):
        monkeypatch.setattr(sys, "executable", broken_python(tmp_path))
        assert bench("--frameworks", "numpy", "autograd", "--only", "8x10 f+b", *QUICK) == 1
        out = capsys.readouterr().out
        assert "NumPy\n  failed: " in out
        assert "autograd\n  failed: " in out
        out = " ".join(out.split())
        assert out.count("No module named 'broken'") == 2

    def test_keeps_the_rows_from_before_a_failure_and_names_the_row(self, monkeypatch, tmp_path, capsys):
        rows = [("8x10", "fwd"), ("no such row", "fwd")]
        monkeypatch.setattr(run, "rows_of", lambda framework, only, device="cpu": rows)
        path = tmp_path / "result.json"
        assert bench("--frameworks", "numpy", "--json", str(path), *QUICK) == 1
        assert "failed: no such row fwd KeyError: 'no such row'" in capsys.readouterr().out
        assert [row["workload"] for row in json.loads(path.read_text())["rows"]] == ["8x10"]

    def test_says_what_is_missing_without_numpy(self, monkeypatch, capsys):
        monkeypatch.setattr(program, "find_spec", lambda name: None)
        assert bench() == 1
        assert "The benchmark needs NumPy: pip install numpy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5e-7, "0.50 us"),
        (9.996e-6, "10.0 us"),
        (9.99e-4, "999 us"),
        (9.996e-4, "1.00 ms"),
        (7.66, "7.66 s"),
        (None, "-"),
    ],
)
def test_a_duration_has_three_digits_and_a_unit(seconds, text):
    assert report.duration(seconds) == text

"""Pictures and pages of the command line: that the files are what they are called, and that nothing is missing in them."""

import functools
import importlib.util
import io
import itertools
import json
import re
import subprocess
import sys
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import PRESENT

from anyargmax import __main__ as program
from anyargmax import __version__, _experiment, _figures, _files, soft_argmax, validation
from anyargmax._benchmark import command as bench
from anyargmax._benchmark import judge, report, run
from anyargmax._benchmark import plot as bars
from anyargmax._benchmark.counts.calls import CALLS, GRAPHS
from anyargmax._benchmark.workloads import LOADING
from anyargmax._experiment import frameworks, network, training
from anyargmax._experiment import plot as curves
from anyargmax.validation import catalogue
from anyargmax.validation.findings import Finding, Row

drawing = pytest.mark.skipif(not importlib.util.find_spec("matplotlib"), reason="matplotlib is not installed")
STARTS = {"png": b"\x89PNG\r\n", "svg": b"<?xml", "pdf": b"%PDF-"}
BAD = "<script>alert('x')</script> & \"more\""


def texts(axes):
    """What is written at the rows of axes."""
    return [label.get_text() for label in axes.get_yticklabels()]


@pytest.fixture(scope="module")
def trained():
    train = partial(training.train, frameworks.FRAMEWORKS[0], network.initial_weights(), steps=4)
    return train(soft_argmax, lambda *_: None), train(network.hard_argmax, lambda *_: None)


def test_matplotlib_is_imported_only_to_draw():
    modules = ("__main__", "_benchmark.command", "_benchmark.plot", "_experiment.plot", "validation.command")
    lines = ["import importlib, sys", *(f"importlib.import_module('anyargmax.{name}')" for name in modules)]
    code = "\n".join([*lines, "assert 'matplotlib' not in sys.modules"])
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parent.parent)


class TestThePictureOfTheTraining:
    def test_has_a_record_of_every_step(self, trained):
        soft, hard = trained
        assert len(soft.history) == len(hard.history) == 4
        assert [step.temperature for step in soft.history] == [training._temperature(k) for k in range(4)]
        assert soft.history[-1].loss < soft.history[0].loss
        assert all(norm > 0 for step in soft.history for norm in step.norms)
        assert all(step.norms == (0, 0, 0, 0) and step.loss == hard.history[0].loss for step in hard.history)

    def test_has_the_loss_and_the_tokens_of_the_weights_that_a_step_starts_from(self, trained):
        first = trained[0].history[0]
        p = network.scores(network.initial_weights(), network.one_hot_inputs())
        tokens = soft_argmax(p, axis=-1, temperature=network.TEMPERATURE)
        expected = soft_argmax(p, axis=-1, temperature=training.WARM, positions=network.distances())
        np.testing.assert_array_equal(first.tokens, tokens)
        assert first.loss == pytest.approx(float(np.mean(expected)), rel=1e-12)
        last = network.scores(trained[0].weights, network.one_hot_inputs())
        np.testing.assert_array_equal(trained[0].tokens, soft_argmax(last, axis=-1, temperature=network.TEMPERATURE))

    @drawing
    def test_shows_loss_tokens_norms_and_temperature(self, trained):
        loss, tokens, norms, temperature = curves.figure(*trained).axes
        assert [len(line.get_xdata()) for line in loss.lines] == [4, 4]
        np.testing.assert_array_equal(loss.lines[1].get_ydata(), [step.loss for step in trained[1].history])
        drawn = [line.get_ydata() for line in tokens.lines if len(line.get_xdata()) == 5]
        np.testing.assert_array_equal(np.stack(drawn)[:, -1], np.ravel(trained[0].tokens))
        assert {line.get_label() for line in norms.lines} >= {*network.Weights._fields, "through argmax: 0"}
        assert temperature.lines[0].get_ydata()[0] == training.WARM

    @drawing
    @pytest.mark.parametrize("ending", STARTS)
    def test_is_written_in_the_format_of_the_ending(self, trained, tmp_path, ending):
        path = tmp_path / f"training.{ending}"
        _figures.save(curves.figure(*trained), str(path))
        assert path.read_bytes().startswith(STARTS[ending])

    @drawing
    @pytest.mark.parametrize(
        "words", [["--plot", "t.svg"], ["--plot=t.svg"], ["experiment", "--plot", "t.svg"]], ids=str
    )
    def test_is_asked_for_with_the_verb_and_without(self, words, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(_experiment, "FRAMEWORKS", frameworks.FRAMEWORKS[:1])
        monkeypatch.setattr(_experiment, "evaluate_keras", lambda *_: frameworks.Result("Keras", missing="no Keras"))
        monkeypatch.setattr(training, "STEPS", 3)
        monkeypatch.setitem(training.train.__kwdefaults__, "steps", 3)
        assert program.main(words) == 1  # for three steps do not reach the targets
        assert capsys.readouterr().out.splitlines()[-1] == "The training is drawn in t.svg."
        assert (tmp_path / "t.svg").read_bytes().startswith(STARTS["svg"])

    def test_is_not_drawn_where_nothing_was_trained(self, tmp_path):
        stream = io.StringIO()

        def only_autograd(name):
            return importlib.util.find_spec(name) if name == "autograd" else None

        def without_gradients(p, **options):
            if not isinstance(p, np.ndarray):
                raise ArithmeticError("broken on purpose")
            return soft_argmax(p, **options)

        code = _experiment.run(without_gradients, only_autograd, stream, plot=str(tmp_path / "t.svg"))
        assert code == 1
        assert stream.getvalue().splitlines()[-1] == "Nothing is drawn: there was no training."

    def test_is_not_for_another_verb(self, capsys):
        with pytest.raises(SystemExit, match="2"):
            program.main(["--plot", "t.png", "bench"])
        assert "--plot before bench would draw nothing" in capsys.readouterr().err

    def test_is_no_option_of_a_copy_without_the_experiment(self, monkeypatch, capsys):
        monkeypatch.setattr(program, "VERBS", {name: f for name, f in program.VERBS.items() if name != "experiment"})
        with pytest.raises(SystemExit, match="2"):
            program.main(["--plot", "t.png"])
        assert program.main([]) == 0
        shown = capsys.readouterr()
        assert "--plot" not in shown.out


@pytest.mark.parametrize("verb", ["experiment", "bench"])
class TestAPictureIsRefusedBeforeAnyWork:
    @pytest.fixture(autouse=True)
    def nothing_runs(self, monkeypatch, tmp_path):
        def forbidden(*_, **__):
            raise AssertionError("something was run")

        monkeypatch.setattr(_experiment, "run", forbidden)
        monkeypatch.setattr(bench, "_measured", forbidden)
        monkeypatch.chdir(tmp_path)

    def refused(self, capsys, verb, path):
        assert program.main([verb, "--plot", path]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith(f"python -m anyargmax {verb}: ")
        return err

    @pytest.mark.parametrize("path", ["t.gif", "t", ".png/t", ""])
    def test_with_an_ending_that_is_none_of_three(self, verb, path, capsys):
        assert f"--plot must end in .png, .svg or .pdf, got {path or 'nothing'}." in self.refused(capsys, verb, path)

    def test_in_a_folder_that_is_not_there(self, verb, capsys):
        assert "The folder of no/such/t.png does not exist." in self.refused(capsys, verb, "no/such/t.png")

    def test_in_the_place_of_a_folder(self, verb, capsys, tmp_path):
        (tmp_path / "t.png").mkdir()
        assert "t.png cannot be written: Is a directory." in self.refused(capsys, verb, "t.png")

    def test_where_the_system_refuses_it(self, verb, capsys, tmp_path):
        name = 300 * "n" + ".png"
        assert f"{name} cannot be written: File name too long." in self.refused(capsys, verb, name)

    def test_without_matplotlib(self, verb, capsys, monkeypatch):
        def without(name):
            return None if name == "matplotlib" else importlib.util.find_spec(name)

        monkeypatch.setattr(program, "find_spec", without)
        monkeypatch.setattr(run, "find_spec", without)
        assert "--plot needs matplotlib: pip install matplotlib\n" in self.refused(capsys, verb, "t.png")


def timed(framework, workload, which, ours, **others):
    """A row as the benchmark writes it, with the times of peers."""
    times = {
        name: {"median": seconds, "samples": 9, "undisturbed": 9, "peak": 1.0, "apart": False}
        for name, seconds in {"anyargmax": ours, **others}.items()
    }
    row = {"framework": framework, "workload": workload, "pass": which, "shape": [2, 3], "nbytes": 24, "variant": False}
    row |= {"times": times, "failed": {}}
    return row | judge.verdict(row)


TIMED = [
    timed("numpy", LOADING, "fwd", 0.1),
    timed("numpy", "8x10", "fwd", 2e-6, naive=4e-6),
    timed("numpy", "8x10", "f+b", 3e-6),
    timed("torch", "64x1000", "f+b", 2e-4, **{"softmax @ index": 1e-4, "softmax sum": 3e-4}),
    timed("torch", "64x1000 T[1]", "f+b", 2e-4, **{"softmax @ index": 1e-4, "anyargmax, a float": 1e-4}),
    timed("jax", "8x10", "fwd", 2e-6, naive=2e-6),
]
COUNTED = [
    {"call": call.name, "pass": which, "ours": {"kernels": 9, "passes": 8.0, "reads": 0}, "naive": None, "met": True}
    for call in CALLS
    for which in ("fwd", "f+b")
] + [{"graph": graph.name, "nodes": 50, "seconds": 0.1, "met": True} for graph in GRAPHS]


def described(rows):
    return report.described(report.Result(rows, {"numpy": "2.0"}, {}, {}), ["bench"])


@drawing
class TestThePictureOfTheBenchmark:
    def test_names_every_row_under_its_framework(self):
        figure = bars.figure(described(TIMED))
        named = {axes.get_title(loc="left"): texts(axes) for axes in figure.axes if axes.get_title(loc="left")}
        assert named == {
            "NumPy": ["first call fwd", "8x10 fwd", "8x10 f+b"],
            "PyTorch": ["64x1000 f+b", "64x1000 T[1] f+b"],
            "JAX": ["8x10 fwd"],
        }

    def test_shows_the_time_of_every_row_and_the_ratio_of_those_with_a_peer(self):
        axes = bars.figure(described(TIMED)).axes[1:]
        ratios, times, peaks = axes[:3]
        assert [round(bar.get_width(), 9) for bar in ratios.patches if bar.get_x() == 1] == [-0.5]
        assert sum(text.get_text() == " no peer" for text in ratios.texts) == 2
        ours = next(line for line in times.lines if line.get_color() == bars.COLOUR["numpy"])
        assert list(zip(ours.get_xdata(), ours.get_ydata(), strict=True)) == [(0.1, 0), (2e-6, 1), (3e-6, 2)]
        assert any(list(line.get_xdata()) == [1, 1, 1] for line in peaks.lines)

    def test_shows_the_ratio_to_the_peer_that_a_target_names(self):
        torch = next(axes for axes in bars.figure(described(TIMED)).axes if axes.get_title(loc="left") == "PyTorch")
        named = [line for line in torch.lines if line.get_marker() == "D"]
        assert [(list(line.get_xdata()), list(line.get_ydata())) for line in named] == [([2.0], [1])]

    def test_has_targets_that_are_met_in_another_shape_than_those_that_are_missed(self):
        met, missed = timed("numpy", "64x1000", "fwd", 1.0, naive=9.0), timed("numpy", "64x1000", "fwd", 1.0, naive=1.0)
        ratios = bars.figure(described([met, missed])).axes[1]
        found = {line.get_marker(): list(line.get_ydata()) for line in ratios.lines if line.get_marker() in "|x"}
        assert found == {"|": [0], "x": [1]}

    def test_has_a_legend_that_hides_no_bar(self):
        head, *others = bars.figure(described(TIMED)).axes
        assert head.get_legend() is not None
        assert not head.patches
        assert all(axes.get_legend() is None for axes in others)

    def test_names_every_count(self):
        axes = bars.figure(described(COUNTED)).axes
        named = [name for ax in axes for name in texts(ax) if ax.get_title(loc="left")]
        assert named == [f"{call.name} {which}" for call in CALLS for which in ("fwd", "f+b")] + [
            g.name for g in GRAPHS
        ]
        assert [ax.get_xlabel() for ax in axes[1:4]] == [
            "kernels",
            "bytes moved, in sizes of the scores",
            "reads by the host",
        ]

    def test_is_as_tall_as_its_rows_need(self):
        few, many = (bars.figure(described(TIMED * k)).get_size_inches() for k in (1, 20))
        assert few[0] == many[0]
        assert many[1] - few[1] == pytest.approx(0.17 * 19 * len(TIMED), rel=0.01)


@drawing
class TestASavedRun:
    @pytest.fixture
    def saved(self, tmp_path):
        path = tmp_path / "saved.json"
        path.write_text(json.dumps(described(TIMED)), encoding="utf-8")
        return str(path)

    @pytest.mark.parametrize("ending", STARTS)
    def test_is_drawn_without_measuring(self, saved, tmp_path, monkeypatch, capsys, ending):
        monkeypatch.setattr(bench, "_measured", None)
        path = tmp_path / f"t.{ending}"
        assert program.main(["bench", "--from", saved, "--plot", str(path)]) == 0
        assert capsys.readouterr().out == f"Drawn in {path}: 6 rows.\n"
        assert path.read_bytes().startswith(STARTS[ending])

    def test_is_drawn_in_part(self, saved, tmp_path, capsys):
        words = ["bench", "--from", saved, "--plot", str(tmp_path / "t.png"), "--only", "8x10 fwd"]
        assert program.main(words) == 0
        assert program.main([*words, "--frameworks", "jax"]) == 0
        assert [line.split()[-2] for line in capsys.readouterr().out.splitlines()] == ["2", "1"]

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            ([], "--from needs --plot FILE"),
            (["--plot", "t.png", "--only", "nothing"], "has no row with these --frameworks and --only."),
            (["--plot", "t.png", "--count"], "--from draws what was measured: leave out --count."),
            (["--plot", "t.png", "--seconds", "3"], "--from draws what was measured: leave out --seconds."),
            (
                ["--plot", "t.png", "--frameworks", "foo"],
                "--frameworks must be some of numpy, autograd, torch, jax, got foo.",
            ),
            (["--plot", "t.gif"], "--plot must end in .png, .svg or .pdf, got t.gif."),
        ],
    )
    def test_is_refused_with_what_says_nothing_about_it(self, saved, words, text, capsys):
        assert program.main(["bench", "--from", saved, *words]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert text in err

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"rows": 3}', '{"rows": [{"x": 1}]}', "\0"])
    def test_must_be_what_json_wrote(self, tmp_path, content, capsys):
        (tmp_path / "other").write_text(content, encoding="utf-8")
        assert program.main(["bench", "--from", str(tmp_path / "other"), "--plot", "t.png"]) == 2
        assert "must be a file that --json wrote." in capsys.readouterr().err
        assert program.main(["bench", "--from", str(tmp_path / "absent"), "--plot", "t.png"]) == 2
        assert "cannot be read: No such file or directory." in capsys.readouterr().err

    @pytest.mark.parametrize("lacking", ["version", "packages", "machine", "times", "ratio"])
    def test_must_have_what_this_version_writes(self, saved, tmp_path, lacking, capsys):
        described = json.loads(Path(saved).read_text(encoding="utf-8"))
        for holder in (described, *described["rows"]):
            holder.pop(lacking, None)
        (tmp_path / "other").write_text(json.dumps(described), encoding="utf-8")
        assert program.main(["bench", "--from", str(tmp_path / "other"), "--plot", str(tmp_path / "t.png")]) == 2
        text = f"must be a file that --json of version {__version__} wrote, got KeyError('{lacking}') in it."
        assert text in capsys.readouterr().err
        assert not (tmp_path / "t.png").exists()

    @pytest.mark.skipif("torch" not in PRESENT, reason="torch is not installed")
    def test_is_the_same_picture_as_that_of_the_run(self, tmp_path, capsys):
        paths = [str(tmp_path / name) for name in ("run.json", "run.png", "again.png")]
        words = ["bench", "--count", "--only", "mask", "--scale", "0.1", "--json", paths[0], "--plot", paths[1]]
        assert program.main(words) == 0
        assert capsys.readouterr().out.splitlines()[-1] == f"Drawn in {paths[1]}: 2 rows."
        assert program.main(["bench", "--from", paths[0], "--plot", paths[2]]) == 0
        assert (tmp_path / "run.png").read_bytes() == (tmp_path / "again.png").read_bytes()

    def test_is_not_drawn_where_nothing_was_measured(self, monkeypatch, tmp_path, capsys):
        monkeypatch.setattr(bench, "_measured", lambda *_: False)
        assert program.main(["bench", "--frameworks", "numpy", "--plot", str(tmp_path / "t.png")]) == 1
        assert "Nothing is drawn" in capsys.readouterr().out
        assert not (tmp_path / "t.png").exists()


class Page(HTMLParser):
    """What a browser finds in a page: tags with their attributes, and the text of each."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self, *tags):
        return "".join(text for tag, text in self.texts if not tags or tag in tags)


def found(*findings, errors=None, raised=(), **changes):
    """A report of one row."""
    row = Row("call", "float64", errors or {}, ("agreement",), findings, raised, ())
    fields = {"frameworks": ("numpy 2.0",), "tolerance": {"value": 16, "derivative": 64}, "seed": 5}
    return validation.Report((row._replace(**changes),), **fields)


WRONG = Finding("call", "torch", "float64", "vjp", "agreement", 99.0, 64.0, 1.0, 2.0, (0, 1), "why", 5, (np.eye(2),))


@pytest.fixture(scope="module")
def page():
    def wrong(x):
        return soft_argmax(x, axis=-1) * 1.001

    right = partial(soft_argmax, axis=-1)
    f = {"numpy": wrong, "autograd": right}
    return validation.as_html(validation.compare(f, np.eye(3), reference=right, dtypes=["float64"], name=BAD))


class TestThePageOfACheck:
    def test_needs_no_other_file_and_runs_nothing(self, page):
        parsed = Page(page)
        assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in parsed.tags}
        assert "url(" not in page
        assert "@import" not in page
        assert not any(key.startswith("on") for _, attributes in parsed.tags for key in attributes)
        assert all(attributes["href"].startswith("#") for attributes in parsed.all("a"))

    def test_is_a_whole_document(self, page):
        assert page.startswith("<!doctype html>\n")
        parsed = Page(page)
        assert parsed.open == []
        assert parsed.all("html") == [{"lang": "en"}]
        assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in parsed.all("meta")
        assert {"charset": "utf-8"} in parsed.all("meta")
        assert parsed.text("title").startswith("anyargmax check: FAILED: ")
        assert "prefers-color-scheme: dark" in page
        ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert {attributes["href"][1:] for attributes in parsed.all("a")} <= set(ids)

    def test_has_one_heading_above_the_others_and_a_table_with_its_heads(self, page):
        parsed = Page(page)
        levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        scopes = [attributes["scope"] for attributes in parsed.all("th")]
        assert (scopes.count("row"), scopes.count("col")) == (1, 3)
        assert len(parsed.all("caption")) == len(parsed.all("table")) == 1

    def test_escapes_the_name_of_a_function(self, page):
        assert "<script" not in page
        assert "&lt;script&gt;alert('x')&lt;/script&gt; &amp; " in page
        assert Page(page).text("h3").count(f"{BAD}: value of numpy in float64") == 1

    def test_escapes_what_was_raised_and_shows_no_control_characters(self):
        def raising(x):
            raise ValueError(f"{BAD}\x1b[31m\0\ud800")

        report = validation.compare(raising, [1.0], backends=["numpy"], dtypes=["float64"])
        page = validation.as_html(report)
        assert "<script" not in page
        assert not re.search("[\0-\x08\x0b-\x1f]", page)
        page.encode("utf-8")
        assert f"raising raised on numpy float64: ValueError: {BAD}" in Page(page).text("pre")
        assert "✗ FAILED: raised 1 time." in Page(page).text("p")

    def test_names_each_failure_with_all_of_its_text(self, page):
        parsed = Page(validation.as_html(found(WRONG, WRONG._replace(quantity="dtype"), errors={"vjp": 99.0})))
        assert parsed.text("h3").startswith("call: vjp of torch in float64call: dtype of torch in float64")
        for part in (
            "expected 1 by agreement, got 2 at [0, 1]",
            "99 eps where 64 are allowed (why)",
            "with seed 5",
            "[0., 1.]",
        ):
            assert part in parsed.text("pre")
        assert [a["href"] for a in parsed.all("a")] == ["#failure-1", "#failure-2"]

    def test_shows_every_failure_and_not_the_first_few(self):
        many = [WRONG._replace(place=f"place {k}") for k in range(30)]
        assert len(Page(validation.as_html(found(*many))).all("pre")) == 30

    @pytest.mark.parametrize(
        ("error", "failed", "mark", "colour"),
        [(0.4, False, "ok", "good"), (16.0, False, "ok", "good"), (17.0, False, "high", "high"), (0.4, True, "FAILED", "bad"), (np.nan, True, "FAILED", "bad")],
    )  # fmt: skip
    def test_marks_each_error_in_words_and_in_a_colour(self, error, failed, mark, colour):
        findings = [WRONG._replace(quantity="value")] * failed
        page = validation.as_html(found(*findings, errors={"value": error}))
        cell = re.search(r'<td class="number (\w+)">([^<]*) <small>(\w+)</small>', page)
        assert (cell[1], cell[3]) == (colour, mark)
        assert cell[2] == ("nan" if error != error else f"{error:.1f}")

    def test_fails_where_the_report_does_and_nowhere_else(self):
        for each in (found(errors={"value": 1e9}), found(WRONG), found(raised=("it",)), found(evidence=())):
            outcome = Page(validation.as_html(each)).text("p")
            assert ("✗" in outcome) == (not each.ok)
            assert str(each).splitlines()[-1] in outcome

    def test_says_what_was_compared(self):
        report = found()._replace(frameworks=("numpy on cpu 2.0", "torch on cuda:0 2.13.0+cu130"), notes=("a note",))
        parsed = Page(validation.as_html(report))
        assert parsed.text("li") == "numpy 2.0, on the device cputorch 2.13.0+cu130, on the device cuda:0a note"
        said = parsed.text("dd")
        assert "16 eps for values and 64 for derivatives" in said
        assert "float64" in said
        assert all(kind in parsed.text("dt") for kind in ("agreement", "oracle", "invariants", "differences", "Seed"))

    def test_says_that_nothing_was_compared(self):
        page = validation.as_html(found()._replace(rows=()))
        assert "Nothing was compared." in page
        assert "<table" not in page


class TestTheOptionForThePage:
    @pytest.fixture
    def run(self, tmp_path, capsys, monkeypatch):
        (tmp_path / "of_a_page.py").write_text(
            "from anyargmax import soft_argmax\n"
            "def wrong(x): return soft_argmax(x, axis=-1) * (1 if type(x).__module__ == 'numpy' else 1.001)\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", str(tmp_path / "hypothesis"))

        def checked(*words):
            code = program.main(["check", *words, "--html", str(tmp_path / "page.html")])
            return code, Page((tmp_path / "page.html").read_text(encoding="utf-8")), capsys.readouterr().out

        yield checked
        sys.modules.pop("of_a_page", None)

    def test_writes_the_page_of_built_in_functions(self, run):
        code, page, out = run("--only", "median", "--backends", "numpy", "--jobs", "1")
        assert code == 0
        assert "✓ Everything agrees." in page.text("p")
        assert "Everything agrees." in out
        assert "position by the median" in page.text("th") or "median" in page.text("th")

    def test_writes_the_page_of_a_function_of_the_users(self, run):
        code, page, _ = run("of_a_page:wrong", "--backends", "numpy", "autograd", "--shapes", "4,7")
        assert code == 1
        assert "of_a_page:wrong (4, 7): vjp of autograd in float64" in page.text("h3")
        assert "again: python -m anyargmax check of_a_page:wrong --shapes 4,7" in page.text("pre")

    def test_writes_the_page_of_random_calls(self, run):
        code, page, _ = run("--fuzz", "3", "--seed", "3", "--backends", "numpy", "--only", "permuted positions")
        assert code == 0
        assert "✓ Every property holds." in page.text("p")
        assert "permuted positions go with their scores" in page.text("th")
        assert "6✓ ok" in page.text("td")

    def test_writes_the_page_of_random_calls_that_fail(self, run, monkeypatch):
        right = catalogue.FUNCTIONS["soft_one_hot"]
        wrong = functools.wraps(right)(lambda x, **options: right(x, **options) * 1.01)
        monkeypatch.setitem(catalogue.FUNCTIONS, "soft_one_hot", wrong)
        code, page, out = run(
            "--fuzz", "24", "--backends", "numpy", "--dtypes", "float64", "--only", "of their rows: soft_one_hot"
        )
        assert code == 1
        assert "✗ FAILED: 1 of the properties of functions." in page.text("p")
        assert "soft_one_hot, in numpy, float64" in page.text("h3")
        assert "print(soft_one_hot(x" in page.text("pre")
        assert "✗ FAILED" in page.text("td")
        for line in page.text("pre").splitlines():
            assert line.strip() in out

    @pytest.mark.parametrize("option", ["--html", "--json", "--junit"])
    @pytest.mark.parametrize(
        ("path", "text"),
        [
            ("/nowhere/at/all", "The folder of /nowhere/at/all does not exist. Make it, or choose another."),
            ("folder", "folder cannot be written: Is a directory. Choose another file."),
            ("", "A file must have a name, got an empty one."),
        ],
    )
    def test_is_refused_before_any_work_where_nothing_can_be_written(
        self, option, path, text, monkeypatch, tmp_path, capsys
    ):
        (tmp_path / "folder").mkdir()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("anyargmax.validation.command.check", None)
        assert program.main(["check", option, path]) == 2
        assert capsys.readouterr() == ("", f"python -m anyargmax check: {text}\n")

    def test_prints_what_was_found_where_the_page_can_be_written_no_more(self, monkeypatch, tmp_path, capsys):
        monkeypatch.setattr("anyargmax._files.problem", lambda path: "")
        words = ["check", "--backends", "numpy", "--only", "sparsemax"]
        assert program.main([*words, "--html", str(tmp_path)]) == 2
        out, err = capsys.readouterr()
        assert "Everything agrees." in out
        assert f"cannot write {tmp_path}: Is a directory" in err

    def test_looks_at_the_file_and_leaves_it_as_it_was(self, tmp_path):
        path = tmp_path / "a.html"
        assert _files.problem(str(path)) == ""
        assert not path.exists()
        path.write_text("mine", encoding="utf-8")
        assert _files.problem(str(path)) == ""
        assert path.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("words", "option", "text"),
    [
        ([], "--plot FILE", "draw the training in a file that ends in .png, .svg or .pdf"),
        (["experiment"], "--plot FILE", "draw the training in a file that ends in .png, .svg or .pdf"),
        (["bench"], "--plot FILE", "draw every row, or the counts, in a .png, .svg or .pdf file"),
        (["bench"], "--from FILE", "measure nothing: draw what --json wrote"),
        (["check"], "--html FILE", "write a page for a browser"),
    ],
)
def test_the_help_says_what_each_option_does(capsys, words, option, text):
    with pytest.raises(SystemExit, match="0"):
        program.main([*words, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{option} " in shown
    assert text in shown

"""The picture of README.md is what its example draws."""

import runpy
import struct
from pathlib import Path

import numpy as np
import pytest

plt = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed: no picture can be drawn")

ROOT = Path(__file__).resolve().parent.parent
DRAWING = runpy.run_path(str(ROOT / "docs" / "readme_picture.py"))
COMMITTED, EXAMPLE = DRAWING["PICTURE"], DRAWING["EXAMPLE"]
BLOCK = 10  # pixels: matplotlib 3.10 and 3.11 place letters up to two pixels apart
# By blocks, 3.10 and 3.11 differ by 0.018. A change of 3 percent in the largest score makes 0.038.
TOLERANCE = 0.021


@pytest.fixture(autouse=True)
def _no_windows():
    before = plt.get_backend()
    plt.switch_backend("agg")
    yield
    plt.switch_backend(before)


def distance(one, other):
    """Root mean square of the difference of two pictures in blocks; colours are in [0, 1]."""
    blocks = []
    for path in (one, other):
        height, width, _ = (picture := plt.imread(path)[..., :3].astype(float)).shape
        assert (height % BLOCK, width % BLOCK) == (0, 0)
        blocks.append(picture.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3).mean(axis=(1, 3)))
    assert blocks[0].shape == blocks[1].shape
    return np.sqrt(np.mean((blocks[0] - blocks[1]) ** 2))


def test_the_committed_picture_is_what_the_example_draws(tmp_path):
    DRAWING["write"](tmp_path / "fresh.png")
    assert distance(COMMITTED, tmp_path / "fresh.png") < TOLERANCE


@pytest.mark.parametrize(
    ("line", "other"),
    [
        pytest.param("scores = np.asarray([0.5, 1.6, 3.2,", "scores = np.asarray([0.5, 1.6, 3.1,", id="a_score"),
        pytest.param('(1.5, "--"', '(2, "--"', id="an_alpha"),
        pytest.param("(0.1, 1, 10)", "(0.1, 2, 10)", id="a_temperature"),
    ],
)
def test_a_picture_of_other_data_is_told_apart(line, other, tmp_path):
    source = EXAMPLE.read_text(encoding="utf-8")
    assert source.count(line) == 1
    (tmp_path / "example.py").write_text(source.replace(line, other), encoding="utf-8")
    DRAWING["write"](tmp_path / "other.png", tmp_path / "example.py")
    assert distance(COMMITTED, tmp_path / "other.png") > TOLERANCE


def chunks(path):
    """Yield the names of the chunks of a PNG file."""
    data, start = path.read_bytes(), 8
    while start < len(data):
        (length,) = struct.unpack(">I", data[start : start + 4])
        yield data[start + 4 : start + 8].decode("ascii")
        start += 12 + length


def test_the_file_is_small_and_says_nothing_of_where_it_was_made():
    assert COMMITTED.stat().st_size < 150_000
    assert set(chunks(COMMITTED)) == {"IHDR", "pHYs", "IDAT", "IEND"}


def test_drawing_leaves_the_settings_and_the_figures_as_they_were(tmp_path, capsys):
    before = dict(plt.rcParams)
    DRAWING["write"](tmp_path / "fresh.png")
    assert dict(plt.rcParams) == before
    assert not plt.get_fignums()
    assert capsys.readouterr().out == ""

"""Draw the picture of README.md: ``python docs/readme_picture.py`` writes ``docs/_static/temperature.png``."""

import contextlib
import io
import runpy
import sys
from pathlib import Path
from unittest import mock

import matplotlib.pyplot as plt

DOCS = Path(__file__).resolve().parent
PICTURE = DOCS / "_static" / "temperature.png"
EXAMPLE = DOCS / "gallery" / "plot_temperature.py"


def write(path, example=EXAMPLE) -> None:
    """Write the figure of an example's ``draw`` in the style of the site, without a date or a version."""
    style = runpy.run_path(str(DOCS / "style.py"))
    quiet = contextlib.redirect_stdout(io.StringIO())  # the example prints numbers for its page, and shows figures
    with plt.rc_context(), quiet, mock.patch.object(plt, "show"):
        style["reset"]({}, "")
        figure = runpy.run_path(str(example))["draw"]()
        figure.savefig(path, dpi=200, metadata={"Software": None})
        plt.close("all")


if __name__ == "__main__":
    plt.switch_backend("agg")
    sys.path.insert(0, str(DOCS.parent))  # the library beside the pages, installed or not
    write(PICTURE)

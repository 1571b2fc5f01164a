"""What the pictures of the command line have in common: matplotlib if it is there, the files it writes, and colours."""

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import _files

ENDINGS = (".png", ".svg", ".pdf")
ENDINGS_SHOWN = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
# Okabe and Ito (2008), "Color universal design".
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
GREY = "#777777"
_STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "figure.titlesize": 10,
    "font.size": 8,
    "grid.alpha": 0.3,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "savefig.dpi": 120,
    "savefig.facecolor": "white",
}


def problem(path: str, installed: Callable[[str], Any] = find_spec) -> str:
    """Return why there will be no picture at a path, nothing if there will be one.

    Parameters
    ----------
    path
        What was given as ``--plot``.
    installed
        Says of a module whether it is there.
    """
    if Path(path).suffix.lower() not in ENDINGS:
        return f"--plot must end in {ENDINGS_SHOWN}, got {path or 'nothing'}."
    return _files.problem(path) or (
        "" if installed("matplotlib") else "--plot needs matplotlib: pip install matplotlib"
    )


def styled(draw: Callable[[Any], Any], **options: Any) -> Any:
    """Return an empty figure of matplotlib, made with some options, when `draw` has drawn in it."""
    figures: Any = importlib.import_module("matplotlib.figure")
    with importlib.import_module("matplotlib").rc_context(_STYLE):
        figure = figures.Figure(layout="constrained", **options)
        draw(figure)
    return figure


def save(figure: Any, path: str) -> None:
    """Write a figure in the format of the path's ending."""
    with importlib.import_module("matplotlib").rc_context(_STYLE):
        figure.savefig(path)

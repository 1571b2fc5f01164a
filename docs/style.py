"""What all pictures have in common: colours that the colour-blind can tell apart, and few lines."""

import matplotlib.pyplot as plt
from cycler import cycler

from anyargmax import _figures

BLUE, ORANGE, GREEN, RED, PURPLE, SKY = _figures.COLOURS
GREY = _figures.GREY

STYLE = {
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=_figures.COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.figsize": (7.0, 3.0),
    "font.size": 9,
    "grid.alpha": 0.3,
    "image.interpolation": "nearest",
    "legend.frameon": False,
    "savefig.facecolor": "white",
}


def reset(gallery_conf, fname) -> None:
    """Start each example of the gallery with these settings and no figure."""
    plt.close("all")
    plt.rcdefaults()
    plt.rcParams.update(STYLE)


def scraped(block, block_vars, gallery_conf, **options) -> str:
    """Save the figures of a cell as the gallery does, and let none pass that has no data."""
    from sphinx_gallery.scrapers import matplotlib_scraper  # other pictures are drawn without it

    for figure in map(plt.figure, plt.get_fignums()):
        if not any(ax.has_data() for ax in figure.axes):
            raise ValueError(f"{block_vars['src_file']}: a figure without data, in the cell at line {block.lineno}")
    return matplotlib_scraper(block, block_vars, gallery_conf, **options)


ORDER = (
    "plot_temperature.py",
    "plot_ecg_peaks.py",
    "plot_keypoints.py",
    "plot_stereo.py",
    "plot_learned_temperature.py",
    "plot_token_selection.py",
    "plot_seed_network.py",
    "plot_topk_routing.py",
    "plot_discrete_vae.py",
)


class Easiest:
    """Sort the examples of the gallery from simple to hard; one without a place comes last."""

    def __init__(self, src_dir):
        pass

    def __call__(self, fname) -> int:
        return ORDER.index(fname) if fname in ORDER else len(ORDER)

"""Settings of the site: ``sphinx-build docs OUT`` needs the extra ``docs`` and no network."""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]  # the library beside the pages, installed or not
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
)  # `python` of the page on commands
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

import matplotlib.pyplot as plt
from style import STYLE

import anyargmax

plt.rcParams.update(STYLE)

project = "anyargmax"
author = "The anyargmax developers"
copyright = "2026, The anyargmax developers"  # noqa: A001
version = release = anyargmax.__version__

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "numpydoc",
    "sphinx-mathjax-offline",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.programoutput",
]
exclude_patterns = ["gallery", "figures", "_build"]
default_role = "py:obj"  # a name in single backquotes leads to its page
templates_path = ["_templates"]
suppress_warnings = ["config.cache"]  # the settings hold functions, which no cache keeps

myst_enable_extensions = ["amsmath", "attrs_block", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # numpydoc's sections say what each argument is
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
numpydoc_validation_checks = {"GL01", "GL06", "GL07", "PR01", "PR02", "PR03", "PR10", "RT03", "SS01", "SS03"}

plot_basedir = str(ROOT / "docs" / "figures")
plot_formats = [("png", 200)]
plot_html_show_formats = False
plot_html_show_source_link = False
plot_include_source = False
plot_rcparams = STYLE
plot_apply_rcparams = True

sphinx_gallery_conf = {
    "abort_on_example_error": True,
    "backreferences_dir": "reference/backreferences",
    "doc_module": ("anyargmax",),
    "examples_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "gallery_dirs": "examples",
    "image_scrapers": ("style.scraped",),
    "image_srcset": ["2x"],
    "matplotlib_animations": False,
    "min_reported_time": 0,
    "remove_config_comments": True,
    "reset_modules": ("style.reset",),
    "show_signature": False,
    "write_computation_times": False,
    "within_subsection_order": "style.Easiest",
}

html_theme = "pydata_sphinx_theme"
html_title = "anyargmax"
html_sidebars = {page: [] for page in ("index", "start", "guide", "faq")}  # pages without any below them
html_favicon = html_logo = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "anyargmax", "alt_text": "anyargmax, first page"},
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "auto"}


def lead_to_examples(app, docname, source):
    """Pages link to the sources of examples, which a checkout has; the site has a page in the place of each."""
    text = source[0].replace("](gallery/GALLERY_HEADER.rst", "](examples/index.rst")
    source[0] = re.sub(r"\]\(gallery/(plot_\w+)\.py", r"](examples/\1.rst", text)


def setup(app):
    """Connect what the settings cannot say."""
    app.connect("source-read", lead_to_examples)

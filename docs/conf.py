"""How the site is built: `make docs`, strictly, and with nothing loaded from elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE.parent)]
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])
)

from inventory import write_inventory  # noqa: E402

import tinygrad_rnn  # noqa: E402

project = "tinygrad_rnn"
author = "the tinygrad_rnn authors"
copyright = "2026, the tinygrad_rnn authors"  # noqa: A001
release = version = tinygrad_rnn.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "mathml",
    "docstrings",
    "tables",
]
exclude_patterns = [
    "_build",
    "_extensions",
    "inventories",
    "explanation/benchmark-*.md",
    "explanation/published.md",
    "explanation/parts.md",
    "explanation/mutants.md",
]
nitpicky = True
default_role = "literal"
smartquotes = False  # a quote in prose is often code: checkpoint="auto"

# Pages with code are run when the site is built, so that what they show is what comes out.
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_excludepatterns = []
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True  # dtype=np.float64, as it is written

# The inventories are in the repository: the site builds without a network.
intersphinx_mapping = {
    name: (address, write_inventory(HERE / "inventories" / f"{name}.txt"))
    for name, address in {
        "python": "https://docs.python.org/3/",
        "numpy": "https://numpy.org/doc/stable/",
    }.items()
}

html_theme = "furo"
html_title = f"tinygrad_rnn {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_theme_options = {
    "source_repository": "",
    "light_css_variables": {"color-brand-primary": "#1a5fd0", "color-brand-content": "#1a5fd0"},
    "dark_css_variables": {"color-brand-primary": "#7cb7ff", "color-brand-content": "#7cb7ff"},
}

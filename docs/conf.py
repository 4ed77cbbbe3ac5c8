"""Sphinx's settings; `python -m sphinx -W docs build/docs` builds the pages."""

import sparse_linear

project = "sparse_linear"
author = "The sparse_linear developers"
copyright = f"2026, {author}"
version = release = sparse_linear.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
autodoc_typehints = "none"  # the docstrings say it in words, with shapes and units
myst_heading_anchors = 3
numpydoc_show_class_members = False  # autodoc shows them whole
templates_path = ["_templates"]
default_role = "literal"
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1e9,
}
html_theme = "furo"
html_title = "sparse_linear"
exclude_patterns = ["auto_examples/*.ipynb", "auto_examples/*.py", "auto_examples/*.md5"]

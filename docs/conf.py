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
myst_heading_anchors = 3
numpydoc_show_class_members = True
numpydoc_class_members_toctree = False
numpydoc_show_inherited_class_members = {"sparse_linear.Path": False}
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

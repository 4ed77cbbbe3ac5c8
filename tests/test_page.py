"""Tests of `python -m sparse_linear --report`: the page is whole, says what was found, and needs nothing."""

import base64
import re
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from sparse_linear.__main__ import main
from tests.test_report import Tree

pytest.importorskip("matplotlib")

QUICK = ["--alphas", "2", "--folds", "2", "--no-sklearn"]


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5))
    names = np.array(["a & b", "<script>alert(1)</script>", "$size$_", 'quo"te', "width"])
    path = tmp_path / "things.npz"
    np.savez(path, X=X, y=X[:, 0] - X[:, 1] + rng.normal(size=60), feature_names=names)
    return path


def test_page_is_whole_and_needs_nothing_else(data, tmp_path, capsys):
    path = tmp_path / "out.html"
    assert main(["--data", str(data), "--report", str(path), *QUICK]) == 0
    page = path.read_text(encoding="utf-8")
    tree = Tree(page)
    assert "script" not in tree.tags
    assert "link" not in tree.tags
    assert tree.tags.count("img") == 4
    assert ("name", "viewport") in tree.attributes
    assert not re.search(r"https?:|@import|url\(", page)
    pictures = [value for name, value in tree.attributes if name == "src"]
    for picture in pictures:
        kind, _, content = picture.partition(",")
        assert kind == "data:image/svg+xml;base64"
        svg = ElementTree.fromstring(base64.b64decode(content))
        assert svg.tag == "{http://www.w3.org/2000/svg}svg"
        links = [value for node in svg.iter() for key, value in node.attrib.items() if key.endswith("href")]
        assert all(link.startswith(("#", "data:")) for link in links)
    assert all(value for name, value in tree.attributes if name == "alt")
    for words in ("things.npz", "LassoCV", "<script>alert(1)</script>", "a & b", "held-out R²"):
        assert words in tree.texts
    assert "tables and pictures of the report" in capsys.readouterr().err


def test_page_of_one_feature(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 1))
    np.savez(tmp_path / "one.npz", X=X, y=X[:, 0] + rng.normal(size=40))
    path = tmp_path / "out.html"
    assert main(["--data", str(tmp_path / "one.npz"), "--report", str(path), *QUICK]) == 0
    assert Tree(path.read_text(encoding="utf-8")).tags.count("img") == 3


def test_pages_that_cannot_be_written(data, tmp_path, capsys):
    for path in (tmp_path, tmp_path / "no" / "out.html"):
        assert main(["--data", str(data), "--report", str(path), *QUICK]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        why = f"--report cannot write '{path}': it should name a file in a folder that exists."
        assert err == f"sparse_linear: error: {why}\n"


def test_page_needs_matplotlib(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["--data", str(data), "--report", str(tmp_path / "out.html"), *QUICK]) == 2
    assert 'pip install "sparse_linear[plot]"' in capsys.readouterr().err

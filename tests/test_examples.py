"""The examples that the documentation shows."""

import re
import runpy
from pathlib import Path

import pytest
from sklearn.datasets import load_diabetes

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))
PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if "```python" in page.read_text("utf-8")]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path):
    runpy.run_path(str(path))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.filterwarnings("ignore")  # of skl2onnx
def test_code_without_a_prompt_runs(page):
    """Doctest runs what has one; the code of README.md is run in tests/test_streaming.py, with its files."""
    names = dict(zip("Xy", load_diabetes(return_X_y=True), strict=True))
    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        exec(compile(block, page.name, "exec"), names)

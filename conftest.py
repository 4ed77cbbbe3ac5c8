"""What all tests and examples share."""

import os

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")  # pictures are drawn, never shown


@pytest.fixture(autouse=True)
def close_figures():
    """Let go of the figures that a test has drawn."""
    yield
    try:
        from matplotlib import pyplot
    except ImportError:
        return
    pyplot.close("all")

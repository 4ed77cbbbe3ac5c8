"""What all tests and examples share."""

import os
import signal

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")  # pictures are drawn, never shown
# Some tests interrupt themselves, or a process they start; a shell lets work in the background ignore that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def close_figures():
    """Let go of the figures that a test has drawn."""
    yield
    try:
        from matplotlib import pyplot
    except ImportError:
        return
    pyplot.close("all")

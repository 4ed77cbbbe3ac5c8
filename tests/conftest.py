"""What all tests share."""

import os


def pytest_configure(config):
    """Interpreted kernels (``NUMBA_DISABLE_JIT=1``) warn of divisions by zero, which compiled ones mean."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        config.addinivalue_line("filterwarnings", r"ignore::RuntimeWarning:sparse_linear\._kernels")

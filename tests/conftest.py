"""What all tests share: profiles of Hypothesis, and what interpreted kernels may warn of.

The ordinary profile always tries the same, `fuzz` never the same twice.
"""

import os

from hypothesis import HealthCheck, settings

SLOW_ON_PURPOSE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

settings.register_profile(
    "sparse_linear", deadline=None, derandomize=True, max_examples=40, suppress_health_check=SLOW_ON_PURPOSE
)
settings.register_profile(
    "fuzz", deadline=None, max_examples=2500, print_blob=True, suppress_health_check=SLOW_ON_PURPOSE
)
settings.load_profile("sparse_linear")


def pytest_configure(config):
    """Interpreted kernels (``NUMBA_DISABLE_JIT=1``) warn of divisions by zero, which compiled ones mean."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        config.addinivalue_line("filterwarnings", r"ignore::RuntimeWarning:sparse_linear\._kernels")

"""Profiles of Hypothesis: the ordinary one always tries the same, `fuzz` never the same twice."""

from hypothesis import HealthCheck, settings

SLOW_ON_PURPOSE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

settings.register_profile(
    "sparse_linear", deadline=None, derandomize=True, max_examples=40, suppress_health_check=SLOW_ON_PURPOSE
)
settings.register_profile(
    "fuzz", deadline=None, max_examples=2500, print_blob=True, suppress_health_check=SLOW_ON_PURPOSE
)
settings.load_profile("sparse_linear")

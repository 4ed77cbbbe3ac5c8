"""Time to a certified duality gap: sparse_linear against its peers. Run ``python -m benchmarks --help``."""

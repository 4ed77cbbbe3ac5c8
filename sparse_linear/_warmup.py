"""Small fits that call for all compiled code, so that later ones find it in the cache."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from sparse_linear import _compiled as _kernels
from sparse_linear import _working_sets
from sparse_linear._estimators import Lasso, Ridge
from sparse_linear._path import alpha_grid, enet_path, lasso_path
from sparse_linear._ridge_cv import RidgeCV

if TYPE_CHECKING:
    from collections.abc import Callable


def warm_up(watch: Callable[[str, int, int], object]) -> str | None:
    """Compile what any fit needs, unless it is in the cache.

    Parameters
    ----------
    watch : callable
        Told what comes next: a name, its number and how many there are.

    Returns
    -------
    str or None
        The folder that holds the compiled code; None if there is no place for it.
    """
    kinds: list[tuple[str, Callable[[np.ndarray], object]]] = [
        (f"{words}, {dtype.__name__}", partial(np.array, dtype=dtype, order=order))
        for (words, order), dtype in itertools.product(
            (("dense rows", "C"), ("dense columns", "F")), (np.float64, np.float32)
        )
    ]
    for container, dtype, index in itertools.product(
        (sparse.csc_array, sparse.csr_array), (np.float64, np.float32), (np.int32, np.int64)
    ):
        name = f"{container.__name__[:3].upper()}, {dtype.__name__}, {index.__name__} indices"
        kinds.append((name, _Container(container, dtype, index)))
    for number, (name, hold) in enumerate(kinds, start=1):
        watch(name, number, len(kinds))
        _fit_everything(hold)
    return _kernels.solve_sequence.stats.cache_path


class _Container:
    """A sparse format with its types."""

    def __init__(self, container, dtype, index):
        self.container, self.dtype, self.index = container, dtype, index

    def __call__(self, X):
        held = self.container(X, dtype=self.dtype)
        held.indices, held.indptr = held.indices.astype(self.index), held.indptr.astype(self.index)
        return held


def _fit_everything(hold):
    """Fits to data of one kind, narrow and wide; `hold` maps an array to its container."""
    rng = np.random.default_rng(0)
    narrow, wide = (
        rng.normal(size=shape) * (rng.uniform(size=shape) < 0.4) for shape in ((40, 6), (20, 300))
    )
    y = rng.normal(size=40)
    weights = rng.uniform(0.5, 1.5, size=40)
    for X in (hold(narrow), hold(wide)):
        target = y[: X.shape[0]]
        Lasso(alpha=0.01).fit(X, target)
        Ridge(alpha=0.1).fit(X, target, weights[: X.shape[0]])
        Ridge(alpha=0.1, solver="sparse_cg").fit(X, target)
        lasso_path(X, target, n_alphas=20)
        lasso_path(X, target, n_alphas=20, sample_weight=weights[: X.shape[0]])
    RidgeCV().fit(hold(narrow), y)
    alpha_grid(hold(narrow), y)
    largest = _working_sets.LARGEST_FACTOR
    _working_sets.LARGEST_FACTOR = 5  # as if the data were too large for a factor
    try:
        lasso_path(hold(wide), y[:20], tol=0.1)
    finally:
        _working_sets.LARGEST_FACTOR = largest
    smallest, many = _working_sets.SMALLEST, _working_sets.MANY
    _working_sets.SMALLEST, _working_sets.MANY = 5, 0  # as if there were few rows for the features
    try:
        enet_path(hold(wide), y[:20], n_alphas=5)
    finally:
        _working_sets.SMALLEST, _working_sets.MANY = smallest, many

"""Hypothesis strategies for problems that are nasty in scales, rank, weights and bounds.

The structure is what Hypothesis draws, and shrinks; the digits come from a seed.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from scipy import sparse

from tests import oracles

COLUMNS = (
    "normal",
    "integers",
    "holes",
    "one entry",
    "zero",
    "constant",
    "copy",
    "mirrored",
    "sum",
    "nearly a copy",
    "far from zero",
    "denormal",
)
TARGETS = (
    "noise",
    "explained",
    "nearly explained",
    "orthogonal",
    "constant",
    "nearly constant",
    "zero",
    "one entry",
)
STORAGES = ("C", "F", "strided", "csc", "csr", "long indices", "explicit zeros", "unsorted", "coo")
# Powers of ten: most problems are of an ordinary scale, and a few are not.
POWERS = st.one_of(st.just(0), st.just(0), st.integers(-8, 8), st.integers(-150, 149))
MODERATE = st.one_of(st.just(0), st.integers(-15, 15))


@dataclass
class Data:
    """One problem: the dense numbers, how they are stored, and the rest."""

    X: np.ndarray
    stored: object
    y: np.ndarray
    weights: np.ndarray | None
    labels: tuple = field(repr=False)  # what the columns and the target are

    @property
    def given(self):
        """X as it is stored, y and weights: what `fit` takes."""
        return self.stored, self.y, self.weights


def _column(kind, rng, n, before):
    plain = rng.standard_normal(n)
    earlier = before[:, rng.integers(before.shape[1])] if before.shape[1] else plain
    other = before[:, rng.integers(before.shape[1])] if before.shape[1] else plain
    match kind:
        case "integers":
            return rng.integers(-2, 3, n).astype(float)
        case "holes":
            return np.where(rng.random(n) < 0.3, plain, 0.0)
        case "one entry":
            return np.where(np.arange(n) == rng.integers(n), plain, 0.0)
        case "zero":
            return np.zeros(n)
        case "constant":
            return np.full(n, plain[0])
        case "copy":
            return earlier.copy()
        case "mirrored":
            return -2.0 * earlier
        case "sum":
            return earlier + other
        case "nearly a copy":
            return earlier + 10.0 ** rng.integers(-16, -3) * plain
        case "far from zero":
            return plain + 10.0 ** rng.integers(1, 9)
        case "denormal":
            return plain * 1e-309
    return plain


def _target(kind, rng, X, n):
    noise = rng.standard_normal(n)
    match kind:
        case "explained":
            return X @ (rng.standard_normal(X.shape[1]) * (rng.random(X.shape[1]) < 0.5))
        case "nearly explained":
            return X @ rng.standard_normal(X.shape[1]) + 1e-9 * noise
        case "orthogonal":
            basis = np.linalg.qr(np.column_stack([np.ones(n), X]))[0]
            return noise - basis @ (basis.T @ noise)
        case "constant":
            return np.full(n, noise[0])
        case "nearly constant":
            return noise[0] * (1.0 + 1e-10 * noise)
        case "zero":
            return np.zeros(n)
        case "one entry":
            return np.where(np.arange(n) == rng.integers(n), noise, 0.0)
    return noise + X @ (rng.standard_normal(X.shape[1]) * (rng.random(X.shape[1]) < 0.3))


def _weights(kind, rng, n):
    match kind:
        case "even":
            return np.full(n, 0.3)
        case "wide":
            return 10.0 ** rng.uniform(-12, 12, n)
        case "some zero":
            found = rng.uniform(0.5, 2.0, n) * (rng.random(n) < 0.6)
        case "wide, some zero":
            found = 10.0 ** rng.uniform(-12, 12, n) * (rng.random(n) < 0.6)
        case "one":
            found = np.zeros(n)
        case _:
            return None
    if not found.any():
        found[rng.integers(n)] = 1.0
    return found


def _stored(kind, X):
    match kind:
        case "F":
            return np.asfortranarray(X)
        case "strided":
            return oracles._strided(X).astype(X.dtype, copy=False) if X.dtype == np.float64 else X[::-1][::-1]
        case "csc":
            return sparse.csc_array(X)
        case "csr":
            return sparse.csr_matrix(X)
        case "long indices":
            return oracles._long_indices(sparse.csr_array(X))
        case "explicit zeros":
            return oracles._explicit_zeros(X, sparse.csc_array)
        case "unsorted":
            return oracles._unsorted(sparse.csr_array(X))
        case "coo":
            return sparse.coo_array(X)
    return np.ascontiguousarray(X)


@st.composite
def data(draw, min_rows=1, wide=False):
    """A `Data` with up to a dozen rows: X of any kind of columns, a target that may or may not fit.

    A wide one repeats its kinds of columns until there are more than 64.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="digits"))
    n = draw(st.integers(min_rows, 12), label="rows")
    kinds = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=7), label="columns")
    kinds = (kinds * 70)[:70] if wide else kinds
    X = np.empty((n, 0))
    for kind in kinds:
        X = np.column_stack([X, _column(kind, rng, n, X)])
    target = draw(st.sampled_from(TARGETS), label="target")
    y = _target(target, rng, X, n)
    if draw(st.integers(0, 3), label="offset of y") == 3:
        y = y + 1e6
    single = draw(st.integers(0, 3), label="float32") == 3
    powers = MODERATE if single else POWERS
    if draw(st.booleans(), label="scaled"):
        some = [draw(powers) for _ in kinds[:7]]
        X = X * 10.0 ** np.resize(np.array(some, dtype=float), len(kinds))
        y = y * 10.0 ** float(draw(powers))
        y = y / max(np.abs(y).max() / 1e150, 1.0)  # objectives, and errors, of larger ones are no numbers
    X = X.astype(np.float32) if single else X
    weights = _weights(
        draw(
            st.sampled_from(("none", "none", "even", "some zero", "wide", "wide, some zero", "one")),
            label="weights",
        ),
        rng,
        n,
    )
    storage = draw(st.sampled_from(STORAGES), label="storage")
    return Data(X, _stored(storage, X), y, weights, (*kinds, target))


RATIOS = st.sampled_from([1.0, 1.0, 0.5, 0.99, 0.01, 1e-12, 1.0 - 1e-12, 1e-300, 0.0])
# Of the largest alpha that makes a difference.
STRENGTHS = st.sampled_from([0.3, 0.1, 1e-2, 1e-3, 0.9, 1.0, 1.0 - 1e-12, 10.0, 1e-6, 1e-9, 1e-13, 1e-17])
EXTREMES = st.sampled_from([1e-300, 5e-324, 1e300, 1e-100, 1e100, 0.0, 1.0])


def _typical(problem):
    """The coefficient of each column that would explain all of the target."""
    ratio = problem.scale / np.where(problem.constant, 1, problem.norm)
    return np.asarray(np.minimum(ratio, 1e300), dtype=np.float64)


@st.composite
def limits(draw, given):
    """Keywords that say how the coefficients are penalised and bounded, for some `Data`."""
    p = given.X.shape[1]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="limits"))
    found = {"fit_intercept": draw(st.booleans()), "standardize": draw(st.booleans())}
    kind = draw(st.sampled_from(("none", "none", "varied", "some zero", "wide")), label="penalty_weights")
    if kind != "none":
        factors = 10.0 ** rng.uniform(-8, 8, p) if kind == "wide" else rng.uniform(0.1, 2.0, p)
        if kind == "some zero":
            factors[rng.random(p) < 0.4] = 0.0
        factors[rng.random(p) < 0.15] = np.inf
        found["penalty_weights"] = factors
    kind = draw(st.sampled_from(("none", "none", "positive", "tight", "wide", "one side")), label="bounds")
    if kind == "positive":
        found["positive"] = True
    elif kind != "none":
        typical = _typical(oracles.problem(given.X, given.y, sample_weight=given.weights))
        power = {"tight": (-3, 0), "wide": (-13, 13), "one side": (-2, 0)}[kind]
        lower, upper = (typical * 10.0 ** rng.uniform(*power, p) for _ in range(2))
        lower[rng.random(p) < 0.2] = np.inf if kind == "one side" else 0.0
        upper[rng.random(p) < (0.5 if kind == "one side" else 0.2)] = np.inf
        found["bounds"] = (-lower, upper)
    return found


@st.composite
def alphas(draw, given, keywords, l1_ratio, size=1):
    """Alphas for some `Data`: of a size that matters, or extreme. ``l1_ratio=None`` stands for `Ridge`."""
    if draw(st.integers(0, 5), label="extreme") == 5:
        return np.array([draw(EXTREMES) for _ in range(size)])
    ridge = l1_ratio is None
    unit = oracles.problem(
        given.X,
        given.y,
        l1_ratio=1.0 if ridge else l1_ratio,
        ridge=ridge,
        sample_weight=given.weights,
        **keywords,
    )
    if ridge or l1_ratio == 0.0:
        used = (unit.l2 > 0) & ~unit.constant
        ratios = unit.norm[used] ** 2 / unit.l2[used]
    else:
        used = (unit.l1 > 0) & ~unit.constant
        ratios = np.abs(unit.correlations(np.zeros(len(unit.l1))))[used] / unit.l1[used]
    ratios = ratios[(ratios > 0) & (ratios < 1e300)]
    top = float(ratios.max()) if len(ratios) else 1.0
    return np.array([top * draw(STRENGTHS) for _ in range(size)])


@st.composite
def folds(draw, n_rows):
    """Splits of some rows: K folds, or any rows to fit on and to be judged by, some of them twice."""
    if draw(st.booleans(), label="K folds"):
        labels = np.arange(n_rows) % draw(st.integers(2, max(2, n_rows)), label="folds")
        return [(np.flatnonzero(labels != k), np.flatnonzero(labels == k)) for k in np.unique(labels)]
    rows = st.lists(st.integers(0, n_rows - 1), min_size=1, max_size=n_rows)
    return [
        (np.array(draw(rows)), np.array(draw(rows))) for _ in range(draw(st.integers(1, 3), label="folds"))
    ]


WORDS = st.sampled_from(
    ["", "many", b"0", None, [], {}, (), object(), 1j, np.nan, np.inf, -np.inf, -1, -1e-300, 10**400]
)
ARRAYS = st.sampled_from(
    [
        np.empty(0),
        np.ones(3),
        np.ones((2, 2, 2)),
        np.array(["a"]),
        np.array([None]),
        np.full(5, np.nan),
        [1, [2]],
        [[1], [2, 3]],
        pd.Series([1, 2]),
        pd.NA,
    ]
)
NONSENSE = st.one_of(WORDS, ARRAYS, st.integers(-3, 3), st.floats(), st.booleans())

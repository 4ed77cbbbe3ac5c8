"""Data in pieces: the moments of chunks are those of the whole, and so is every fit to them."""

import io
import re
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import PredefinedSplit

from sparse_linear import (
    ElasticNet,
    ElasticNetCV,
    ElasticNetIC,
    Lasso,
    LassoCV,
    LassoIC,
    Moments,
    Ridge,
    RidgeCV,
    _streaming,
    _validation,
)
from tests.oracles import assert_optimal
from tests.waiting import settled

N, P = 300, 6


def rows(seed=0, offset=0.0, q=None):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, P)) * np.logspace(-2, 2, P) + offset
    shape = (N,) if q is None else (N, q)
    y = (X[:, :1] * 3.0 + rng.normal(size=(N, q or 1))).reshape(shape) + offset
    return X, y, rng.uniform(0.1, 2.0, N) * (rng.random(N) < 0.8)


def chunks(*columns, size=70):
    for top in range(0, N, size):
        yield tuple(column[top : top + size] for column in columns)


def assert_same(a, b, rtol=1e-12):
    assert a.n_samples == b.n_samples
    assert a.weight == pytest.approx(b.weight)
    x, y = np.sqrt(b.sums.xx.diagonal()), np.sqrt(b.sums.yy)
    np.testing.assert_allclose(a.sums.mean_x, b.sums.mean_x, rtol=1e-12, atol=1e-12 * x.max())
    np.testing.assert_array_less(np.abs(a.sums.xx - b.sums.xx), rtol * np.outer(x, x) + 1e-300)
    np.testing.assert_array_less(np.abs(a.sums.xy - b.sums.xy), rtol * np.outer(x, y) + 1e-300)
    np.testing.assert_allclose(a.sums.yy, b.sums.yy, rtol=rtol)


# ---------------------------------------------------------------------------------------------
# The algebra
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("q", [None, 2])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, pd.DataFrame])
def test_chunks_make_the_whole(weighted, q, kind):
    X, y, w = rows(q=q)
    columns = (X, y, w) if weighted else (X, y)
    whole = Moments.from_data(*columns)
    found = Moments.from_chunks(
        (kind(chunk[0]) if kind is not pd.DataFrame else pd.DataFrame(chunk[0]), *chunk[1:])
        for chunk in chunks(*columns)
    )
    assert_same(found, whole)
    assert found.n_targets == q
    assert (found.n_samples, found.n_features) == (np.count_nonzero(w) if weighted else N, P)


@pytest.mark.parametrize("seed", range(20))
def test_sums_in_any_order_and_back(seed):
    """Associative and commutative up to rounding, and what was added can be taken away."""
    rng = np.random.default_rng(seed)
    X, y, w = rows(seed, offset=rng.choice([0.0, 1e3]))
    cuts = np.sort(rng.integers(1, N - 1, 3))
    parts = [
        Moments.from_data(*part)
        for part in zip(np.split(X, cuts), np.split(y, cuts), np.split(w, cuts), strict=True)
        if len(part[0]) and part[2].any()
    ]
    whole = Moments.from_data(X, y, w)
    assert_same(sum(parts), whole, 1e-10)
    assert_same(sum(parts[i] for i in rng.permutation(len(parts))), whole, 1e-10)
    first, *rest = parts
    if rest:
        assert_same(whole - first, sum(rest), 1e-9)
        assert_same(first + (whole - first), whole, 1e-9)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_offsets_cost_no_more_digits_than_two_passes(kind):
    """X and y at 1e8: the spread is known as well as the numbers themselves know it."""
    X, y, _ = rows(offset=1e8)
    if kind is sparse.csr_array:
        X = X - 1e8  # sparse columns far from zero are not sparse
    found = Moments.from_chunks((kind(a), b) for a, b in chunks(X, y)).sums
    exact = X.astype(np.longdouble)
    centred = exact - exact.mean(axis=0)
    expected = (centred.T @ centred).astype(float)
    size = np.sqrt(np.diag(expected))
    # The numbers are multiples of 1.5e-8 each, the means are rounded to that: its square counts N times.
    accuracy = 1e-12 * np.outer(size, size) + 10 * N * (2e-8) ** 2
    np.testing.assert_array_less(np.abs(found.xx - expected), accuracy)


def test_taking_away_refuses_what_was_never_there():
    X, y, _ = rows()
    whole, half = Moments.from_data(X, y), Moments.from_data(X[:150], y[:150])
    for more in (whole, whole + half):
        with pytest.raises(ValueError, match="would leave nothing"):
            _ = whole - more
    with pytest.raises(ValueError, match="not among these"):
        _ = whole - Moments.from_data(100.0 * X[:150], y[:150])
    assert_same(whole - Moments(), whole)
    assert_same(Moments() + whole, whole)


def test_what_does_not_fit_together():
    X, y, _ = rows()
    moments = Moments.from_data(X, y)
    with pytest.raises(ValueError, match="n_features"):
        _ = moments + Moments.from_data(X[:, :3], y)
    with pytest.raises(ValueError, match="n_targets"):
        _ = moments + Moments.from_data(X, y[:, None])
    named = pd.DataFrame(X, columns=list("abcdef"))
    with pytest.raises(ValueError, match="names for some of them only"):
        _ = moments + Moments.from_data(named, y)
    with pytest.raises(ValueError, match="'a' and 'b' for column 0"):
        Moments.from_data(named, y).update(named[list("bacdef")], y)
    with pytest.raises(TypeError):
        _ = moments + 3
    with pytest.raises(ValueError, match="Every chunk must be a tuple"):
        Moments.from_chunks([X])
    with pytest.raises(ValueError, match="contains NaN"):
        Moments().update(np.where(X > 0.0, X, np.nan), y)
    with pytest.raises(ValueError, match="same number of rows"):
        Moments.from_data(X, y[:-1])
    with pytest.raises(ValueError, match=r"take 80000000000 bytes \(75 GiB\)"):
        Moments().update(sparse.csr_array((2, 100_000)), [1.0, 2.0])


def test_a_failed_update_changes_nothing():
    X, y, _ = rows()
    moments = Moments.from_data(X, y)
    before = moments.sums
    with pytest.raises(ValueError, match="n_features"):
        moments.update(X[:, :2], y)
    assert moments.sums is before


def test_empty_chunks_and_rows_without_weight():
    X, y, w = rows()
    found = Moments().update(X[:0], y[:0]).update(X, y, w).update(X, y, np.zeros(N))
    assert_same(found, Moments.from_data(X, y, w))


def test_saved_and_read_again(tmp_path):
    X, y, w = rows(q=2)
    moments = Moments.from_data(pd.DataFrame(X, columns=list("abcdef")), y, w)
    moments.save(tmp_path / "moments.npz")
    found = Moments.load(tmp_path / "moments.npz")
    for name, value in moments.sums._asdict().items():
        np.testing.assert_array_equal(getattr(found.sums, name), value)
    assert list(found.feature_names) == list("abcdef")
    assert found.n_targets == 2
    with pytest.raises(ValueError, match="nothing to save"):
        Moments().save(io.BytesIO())
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(ValueError, match="does not hold moments"):
        Moments.load(tmp_path / "other.npz")
    np.savez(tmp_path / "code.npz", format=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="pickle"):
        Moments.load(tmp_path / "code.npz")


def test_blocks_are_small_and_read_once(tmp_path):
    """A memory map is read a block at a time; nothing else is asked of what only has rows to slice."""

    class Rows:
        def __init__(self, X):
            self.X, self.shape, self.taken = X, X.shape, []

        def __getitem__(self, rows):
            self.taken.append(rows)
            return self.X[rows]

    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float64, (200_000, 40))
    rng = np.random.default_rng(0)
    X[:] = rng.normal(size=X.shape)
    y = X[:, 0] + rng.normal(size=len(X))
    given = Rows(X)
    found = Moments.from_data(given, y)
    assert_same(found, Moments.from_data(np.array(X), y), 1e-10)
    assert sum(rows.stop - rows.start for rows in given.taken) >= len(X)
    assert max(rows.stop - rows.start for rows in given.taken) * 40 * 8 <= 1 << 24
    assert len(given.taken) > 3
    np.testing.assert_array_equal(
        [rows.start for rows in given.taken[1:]], [rows.stop for rows in given.taken[:-1]]
    )


@pytest.mark.parametrize("read", [Moments.from_chunks, Moments.by_fold])
def test_memory_maps_are_read_in_the_thread_that_fetches(read, tmp_path, monkeypatch):
    """Not by the products, which would have to wait for the disk."""
    X, y, _ = rows()
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    seen = []
    checked = _validation.check_path_data

    def look(X, y):
        seen.append(X)
        return checked(X, y)

    monkeypatch.setattr(_validation, "check_path_data", look)
    found = read((mapped[top : top + 100], y[top : top + 100]) for top in range(0, N, 100))
    assert [type(X) for X in seen] == [np.ndarray] * 3
    assert not any(np.shares_memory(X, mapped) for X in seen)
    assert_same(found if isinstance(found, Moments) else sum(found), Moments.from_data(X, y))


def test_sparse_rows_come_in_blocks_as_large_as_the_moments(monkeypatch):
    """The work on a block begins and ends with (p, p) numbers, which sparse rows may be far fewer than."""
    X = sparse.random(30_000, 60, density=0.05, format="csc", random_state=0)
    y = X @ np.arange(60.0) + 1.0
    taken = []
    of_checked = Moments.of_checked.__func__

    def look(cls, X, *rest):
        taken.append(X.nnz)
        return of_checked(cls, X, *rest)

    monkeypatch.setattr(_streaming, "BLOCK", 20_000)
    monkeypatch.setattr(Moments, "of_checked", classmethod(look))
    found = Moments.from_data(X, y)
    assert sum(taken) == X.nnz
    assert len(taken) > 3
    assert max(taken) < 1.2 * 20_000
    monkeypatch.undo()
    assert_same(found, Moments.from_data(X.toarray(), y))
    monkeypatch.setattr(_streaming, "BLOCK", 1000)
    monkeypatch.setattr(Moments, "of_checked", classmethod(look))
    taken.clear()
    Moments.from_data(X, y)
    assert min(taken[:-1]) >= 0.9 * 60 * 60


def test_recipes_of_the_readme(tmp_path, monkeypatch):
    """What the page on data larger than memory says, run as it stands, in smaller pieces."""
    for package in ("pyarrow", "dask.dataframe"):
        pytest.importorskip(package)
    text = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
    section = text.partition("## Data larger than memory")[2].partition("\n## ")[0]
    files, rows_after_rows, collections = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    X, y, _ = rows()
    X, names = X[:, :3], list("abc")
    frame = pd.DataFrame(X, columns=names).assign(y=y)
    frame.to_csv(tmp_path / "data.csv", index=False, float_format="%.17g")
    frame.to_parquet(tmp_path / "data.parquet")
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    monkeypatch.chdir(tmp_path)
    by_hand = LassoCV(cv=PredefinedSplit(np.arange(N) % 5)).fit(frame[names], y)

    found = {}
    exec(files.replace("100_000", "70"), found)
    for folds in (found["csv"], found["parquet"], found["mapped"]):
        for fold, moments in enumerate(folds):
            assert_same(moments, Moments.from_data(X[fold::5], y[fold::5]))
    assert list(sum(found["csv"]).feature_names) == list(sum(found["parquet"]).feature_names) == names
    np.testing.assert_allclose(found["model"].coef_, by_hand.coef_, rtol=1e-9, atol=1e-12)
    assert_same(Moments.load("moments.npz"), Moments.from_data(X, y))

    exec(rows_after_rows.replace("100_000", "70"), found)
    for model, some in ((found["model"], slice(N)), (found["window"], slice(280))):
        expected = Lasso(alpha=0.1).fit(frame[names][some], y[some])
        np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9, atol=1e-12)

    exec(collections, found)
    np.testing.assert_allclose(found["model"].coef_, by_hand.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["predictions"].compute(), by_hand.predict(frame[names]), rtol=1e-9)


def test_an_error_in_a_chunk_leaves_no_thread():
    X, y, _ = rows()
    before = threading.active_count()

    def broken():
        yield X, y
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        Moments.from_chunks(broken())
    assert threading.active_count() == before


# ---------------------------------------------------------------------------------------------
# Fits
# ---------------------------------------------------------------------------------------------

MODELS = [
    Lasso(0.1),
    Lasso(0.1, fit_intercept=False),
    Lasso(0.05, standardize=True, penalty_weights=[0.0, 0.0, 1.0, 1.0, 2.0, np.inf]),
    ElasticNet(0.1, l1_ratio=0.5, bounds=(-1.0, 1.0)),
    ElasticNet(0.1, l1_ratio=0.0),
    Lasso(0.1, relax=1.0),
    Ridge(1.0),
    Ridge(2.0, positive=True),
    Ridge(0.5, penalty_weights=[0.0, 1.0, 1.0, 1.0, 2.0, 1.0], standardize=True),
]
every_model = pytest.mark.parametrize("model", MODELS, ids=repr)


@every_model
@pytest.mark.parametrize("q", [None, 2])
def test_moments_are_enough(model, q):
    """The same coefficients as from the rows, and a certificate."""
    X, y, w = rows(q=q, offset=5.0)
    direct = model.fit(X, y, w)
    coef, intercept = direct.coef_.copy(), np.array(direct.intercept_)
    moments = Moments.from_chunks(chunks(X, y, w))
    products = moments.sums.xx.copy()
    found = model.fit_moments(moments)
    np.testing.assert_array_equal(moments.sums.xx, products)  # a fit works in a copy
    np.testing.assert_allclose(found.coef_, coef, rtol=1e-9, atol=1e-11 * np.abs(coef).max())
    np.testing.assert_allclose(found.intercept_, intercept, rtol=1e-9, atol=1e-9)
    assert found.coef_.shape == coef.shape
    assert np.all(np.asarray(found.dual_gap_) <= 1e-10 * np.asarray(found.objective_))
    assert found.n_features_in_ == P


@every_model
def test_partial_fit_has_seen_it_all(model):
    """After every call the fit is that of all rows so far."""
    X, y, w = rows()
    model = model.__class__(**model.get_params())
    seen = 0
    for a, b, c in chunks(X, y, w):
        model.partial_fit(a, b, c)
        seen += len(a)
        fresh = model.__class__(**model.get_params()).fit(X[:seen], y[:seen], w[:seen])
        np.testing.assert_allclose(
            model.coef_, fresh.coef_, rtol=1e-8, atol=1e-10 * np.abs(fresh.coef_).max()
        )
    model.fit(X[:50], y[:50])
    assert not hasattr(model, "moments_")


def test_certificate_from_moments_is_true():
    X, y, _ = rows()
    model = Lasso(0.1).fit_moments(Moments.from_data(X, y))
    assert_optimal(X, y, model.coef_, model.intercept_, 0.1, dual_gap=model.dual_gap_)


def test_sliding_window():
    X, y, _ = rows()
    window = Moments.from_data(X[:100], y[:100])
    for top in range(0, 200, 50):
        window = window + Moments.from_data(X[top + 100 : top + 150], y[top + 100 : top + 150])
        window = window - Moments.from_data(X[top : top + 50], y[top : top + 50])
        now = slice(top + 50, top + 150)
        fresh = Lasso(0.1).fit(X[now], y[now])
        np.testing.assert_allclose(Lasso(0.1).fit_moments(window).coef_, fresh.coef_, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "model",
    [
        LassoCV(),
        LassoCV(criterion="1se"),
        ElasticNetCV(l1_ratio=[0.5, 1.0], relax=[0.0, 1.0]),
        RidgeCV(alphas=10),
        RidgeCV(alphas=[1.0, 0.0], scoring="neg_mean_squared_error", standardize=True),
        RidgeCV(alphas=[1.0, 10.0, 1e4], positive=True),
        RidgeCV(alphas=[1.0, 10.0, 1e4], bounds=(-0.5, 0.01)),
    ],
)
@pytest.mark.parametrize("labelled", [False, True])
def test_folds_in_one_pass(model, labelled):
    X, y, w = rows(offset=3.0)
    labels = np.random.default_rng(1).integers(0, 4, N) if labelled else np.arange(N) % 4
    given = chunks(X, y, w, labels) if labelled else chunks(X, y, w)
    folds = Moments.by_fold(given, 4)
    products = [fold.sums.xx.copy() for fold in folds]
    model.set_params(cv=PredefinedSplit(labels))
    direct = model.fit(X, y, w)
    alpha, coef, errors = direct.alpha_, direct.coef_.copy(), direct.mse_path_.copy()
    found = model.fit_moments(folds)
    assert found.alpha_ == pytest.approx(alpha, rel=1e-10)
    np.testing.assert_allclose(found.coef_, coef, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.mse_path_, errors, rtol=1e-8)
    for fold, product in zip(folds, products, strict=True):
        np.testing.assert_array_equal(fold.sums.xx, product)


def test_ridge_judges_folds_within_the_bounds():
    """Where the constraint decides which alpha is best; whatever `cv` says, the folds are those given."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, P))
    y = X[:, 0] - X[:, 1] + rng.normal(size=N)
    given = {"alphas": [1.0, 10.0, 100.0], "bounds": (-0.5, 0.5)}
    direct = RidgeCV(**given, cv=PredefinedSplit(np.arange(N) % 4)).fit(X, y)
    for cv in (None, "gcv", 7):
        found = RidgeCV(**given, cv=cv).fit_moments(Moments.by_fold(chunks(X, y), 4))
        assert found.alpha_ == direct.alpha_ == 100.0
        np.testing.assert_allclose(found.mse_path_, direct.mse_path_, rtol=1e-9)
    with pytest.raises(ValueError, match="store_cv_results=True are incompatible"):
        RidgeCV(store_cv_results=True).fit_moments(Moments.by_fold(chunks(X, y), 4))


@pytest.mark.parametrize(
    "model",
    [
        LassoIC("bic"),
        LassoIC("aicc", standardize=True, positive=True),
        LassoIC("ebic", alphas=20, fit_intercept=False),
        ElasticNetIC("aic", l1_ratio=0.7, penalty_weights=[0.0, 1.0, 1.0, 2.0, np.inf, 1.0]),
        ElasticNetIC("aic", noise_variance=2.0),
    ],
    ids=repr,
)
@pytest.mark.parametrize("wide", [False, True])
def test_information_criteria_need_sums_only(model, wide):
    """The same choice, criterion, variance of the noise and fit; also from fewer rows than columns."""
    X, y, w = rows(offset=2.0)
    if wide:
        rng = np.random.default_rng(0)
        X, w = rng.normal(size=(5, P)) + 2.0, np.ones(5)
        y = X[:, 0] + rng.normal(size=5)
    model = clone(model).fit(X, y, w)
    expected = {name: np.copy(getattr(model, name)) for name in vars(model) if name.endswith("_")}
    parts = [(X[:3], y[:3], w[:3]), (X[3:], y[3:], w[3:])]
    ways = [lambda: model.fit_moments(Moments.from_chunks(parts))]
    if not wide:
        first, last = slice(0, 100), slice(100, N)
        ways.append(
            lambda: model.partial_fit(X[first], y[first], w[first]).partial_fit(X[last], y[last], w[last])
        )
    for way in ways:
        vars(model).pop("moments_", None)
        way()
        for name in ("alpha_", "noise_variance_", "alphas_", "degrees_of_freedom_", "criterion_"):
            np.testing.assert_allclose(getattr(model, name), expected[name], rtol=1e-8, err_msg=name)
        np.testing.assert_allclose(model.coef_, expected["coef_"], rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(model.intercept_, expected["intercept_"], rtol=1e-8, atol=1e-8)
        assert model.dual_gap_ <= 1e-9 * model.objective_
        assert model.n_features_in_ == P
    model.fit(X, y)
    assert not hasattr(model, "moments_")


def test_information_criteria_take_one_target():
    X, y, _ = rows(q=2)
    with pytest.raises(ValueError, match="y must have one column for an information criterion, got 2"):
        LassoIC().fit_moments(Moments.from_data(X, y))
    found = LassoIC().fit_moments(Moments.from_data(X, y[:, :1]))
    np.testing.assert_allclose(found.coef_, LassoIC().fit(X, y[:, 0]).coef_, rtol=1e-9)


def test_names_of_columns_are_kept():
    X, y, _ = rows()
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = Lasso(0.1).partial_fit(frame[:100], y[:100]).partial_fit(frame[100:], y[100:])
    assert list(model.feature_names_in_) == list("abcdef")
    assert list(Lasso(0.1).fit_moments(model.moments_).feature_names_in_) == list("abcdef")
    with pytest.raises(ValueError, match="feature names should match"):
        model.partial_fit(frame[list("bacdef")], y)
    with pytest.raises(ValueError, match="expecting 6 features"):
        Lasso().partial_fit(X, y).partial_fit(X[:, :2], y)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, pd.DataFrame])
def test_partial_fit_checks_rows_once(kind, monkeypatch):
    X, y, w = rows()
    looks = []
    for name in ("check_training_data", "check_path_data", "check_sample_weight"):
        check = getattr(_validation, name)

        def counted(*args, check=check, name=name, **options):
            looks.append(name)
            return check(*args, **options)

        monkeypatch.setattr(_validation, name, counted)
    Lasso(0.1).partial_fit(kind(X), y, w)
    assert looks == ["check_training_data", "check_sample_weight"]


def test_wide_rows_are_refused_by_partial_fit():
    with pytest.raises(ValueError, match="3528000000 bytes"):
        Lasso().partial_fit(sparse.csr_array((3, 21_000)), np.arange(3.0))


def test_a_failed_partial_fit_changes_nothing():
    X, y, _ = rows()
    model = Lasso(0.1).partial_fit(X, y)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(X, np.where(y > 0.0, y, np.nan))
    assert vars(model) == before


def test_what_moments_cannot_do():
    X, y, _ = rows()
    folds = Moments.by_fold(chunks(X, y), 3)
    with pytest.raises(ValueError, match="scoring needs rows"):
        LassoCV(scoring="r2").fit_moments(folds)
    with pytest.raises(ValueError, match="at least two"):
        LassoCV().fit_moments(folds[:1])
    with pytest.raises(TypeError, match="must be Moments"):
        Lasso().fit_moments(X)
    with pytest.raises(ValueError, match="no rows"):
        Lasso().fit_moments(Moments())
    with pytest.raises(ValueError, match="fold must hold one number from 0 to 2"):
        Moments.by_fold(chunks(X, y, np.ones(N), np.full(N, 3)), 3)
    for longer in (y, np.append(y, [1.0, 2.0])):
        with pytest.raises(ValueError, match="same number of rows, got 299 and"):
            Moments.by_fold([(X[:-1], longer)])
    with pytest.raises(ValueError, match=r"contains NaN at \(7, 2\)"):
        Moments.by_fold([(np.where(np.arange(N * P).reshape(N, P) == 7 * P + 2, np.nan, X), y)])


@pytest.mark.parametrize("weight", [None, 2.0])
@pytest.mark.parametrize("kind", [np.asarray, np.ndarray.tolist, sparse.csc_array, pd.DataFrame])
def test_folds_of_every_kind_of_rows(weight, kind, monkeypatch):
    """In pieces of a few rows, with an empty chunk; `weight` for all rows alike."""
    X, y, _ = rows()
    monkeypatch.setattr(_streaming, "FEWEST_ROWS", 9)
    monkeypatch.setattr(_streaming, "PIECE", 9 * P)
    given = ((kind(X[top : top + 70]), y[top : top + 70].tolist(), weight) for top in range(0, N, 70))
    found = Moments.by_fold([(X[:0], y[:0]), *given], 4)
    for fold, moments in enumerate(found):
        assert_same(moments, Moments.from_data(X[fold::4], y[fold::4], weight))


def test_wide_chunks_are_refused_before_any_work():
    """Before anything is read, where the shape is known: nothing here could be."""

    class Rows:
        shape = (10**6, 30_000)

    y, sentence = np.zeros(10**6), r"take 7200000000 bytes \(7 GiB\), and a fit about three times that"
    with pytest.raises(ValueError, match=sentence):
        Moments.from_data(Rows(), y)
    for read in (Moments.from_chunks, Moments.by_fold):
        with pytest.raises(ValueError, match=sentence):
            read([(sparse.csr_array((2, 30_000)), y[:2])])


# ---------------------------------------------------------------------------------------------
# Dask
# ---------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_pool_of_threads():
    """Dask keeps the threads of its default scheduler, which other tests would take for ours."""
    dask = pytest.importorskip("dask")
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def collections():
    """X, y and weights as Dask arrays, cut in different ways."""
    array = pytest.importorskip("dask.array")
    X, y, w = rows(offset=2.0)
    return array.from_array(X, chunks=(70, 4)), array.from_array(y, chunks=110), array.from_array(w, chunks=N)


@pytest.mark.parametrize("model", [Lasso(0.1), ElasticNet(0.1), Ridge(1.0), LassoIC("bic")], ids=repr)
def test_dask_arrays(model, collections):
    """One machine's answer; predictions are lazy."""
    X, y, w = rows(offset=2.0)
    coef = model.fit(X, y, w).coef_.copy()
    expected = model.predict(X)
    found = model.fit(collections[0], collections[1], sample_weight=collections[2])
    np.testing.assert_allclose(found.coef_, coef, rtol=1e-9, atol=1e-11)
    lazy = found.predict(collections[0])
    assert hasattr(lazy, "dask")
    np.testing.assert_allclose(lazy.compute(), expected, rtol=1e-9)


def test_dask_with_several_targets(collections):
    array = pytest.importorskip("dask.array")
    X, y, _ = rows(q=2)
    model = Ridge().fit(array.from_array(X, chunks=(100, P)), array.from_array(y, chunks=(60, 1)))
    np.testing.assert_allclose(model.coef_, Ridge().fit(X, y).coef_, rtol=1e-9)
    lazy = model.predict(array.from_array(X, chunks=(100, P)))
    np.testing.assert_allclose(lazy.compute(), model.predict(X), rtol=1e-9)


def test_dask_folds(collections):
    X, y, _ = rows(offset=2.0)
    found = LassoCV(cv=4).fit(*collections[:2])
    expected = LassoCV(cv=PredefinedSplit(np.arange(N) % 4)).fit(X, y)
    assert found.alpha_ == pytest.approx(expected.alpha_, rel=1e-10)
    np.testing.assert_allclose(found.mse_path_, expected.mse_path_, rtol=1e-9)
    found = RidgeCV(cv=4).fit(*collections[:2])
    expected = RidgeCV(cv=PredefinedSplit(np.arange(N) % 4)).fit(X, y)
    assert found.alpha_ == expected.alpha_
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-9)


def test_dask_frames_with_a_fold_column():
    frames = pytest.importorskip("dask.dataframe")
    X, y, _ = rows()
    names = list("abcdef")
    labels = np.random.default_rng(0).integers(0, 3, N)
    frame = pd.DataFrame(X, columns=names).assign(y=y, fold=labels)
    lazy = frames.from_pandas(frame, npartitions=4)
    found = LassoCV(cv=lazy["fold"]).fit(lazy[names], lazy["y"])
    expected = LassoCV(cv=PredefinedSplit(labels)).fit(frame[names], y)
    assert found.alpha_ == pytest.approx(expected.alpha_, rel=1e-10)
    assert list(found.feature_names_in_) == names
    np.testing.assert_allclose(
        found.predict(lazy[names]).compute(), expected.predict(frame[names]), rtol=1e-9
    )


def test_dask_blocks_that_are_sparse_or_of_unknown_size(collections):
    array = pytest.importorskip("dask.array")
    X, y, _ = rows()
    X = np.where(X > 0.0, X, 0.0)
    blocks = array.from_array(X, chunks=(100, P)).map_blocks(sparse.csr_matrix)
    found = Lasso(0.1).fit(blocks, array.from_array(y, chunks=100))
    np.testing.assert_allclose(found.coef_, Lasso(0.1).fit(X, y).coef_, rtol=1e-9, atol=1e-11)
    lazy = array.from_array(np.column_stack([X, y]), chunks=(100, P + 1))
    some = lazy[lazy[:, P] > 0.0]  # how many rows, nobody knows
    found = Lasso(0.1).fit(some[:, :P], some[:, P])
    np.testing.assert_allclose(
        found.coef_, Lasso(0.1).fit(X[y > 0.0], y[y > 0.0]).coef_, rtol=1e-9, atol=1e-11
    )
    with pytest.raises(ValueError, match="unknown sizes"):
        Lasso(0.1).fit(some[:, :P], y)


def test_dask_rows_with_columns_in_memory(collections):
    """They are cut where X is cut; that takes blocks of known sizes."""
    array = pytest.importorskip("dask.array")
    X, y, w = rows(offset=2.0)
    blocks = collections[0]
    found = Lasso(0.1).fit(blocks, y, w)
    np.testing.assert_allclose(found.coef_, Lasso(0.1).fit(X, y, w).coef_, rtol=1e-9, atol=1e-11)
    assert found.dual_gap_ <= 1e-12 * np.var(y)
    with pytest.raises(ValueError, match="same number of rows, got 300 and 299"):
        Lasso(0.1).fit(blocks, y[1:])
    some = blocks[blocks[:, 0] > 0.0]
    with pytest.raises(
        ValueError, match="X has 5 blocks of rows and y or another column 3, of unknown sizes"
    ):
        Lasso(0.1).fit(some, array.from_array(y, chunks=100))


def test_dask_mistakes(collections):
    array = pytest.importorskip("dask.array")
    X, y, _ = collections
    with pytest.raises(ValueError, match="same number of rows, got 300 and 299"):
        Lasso().fit(X, y[:-1])
    with pytest.raises(ValueError, match="cv must be a number of folds for Dask"):
        LassoCV(cv=PredefinedSplit(np.zeros(N))).fit(X, y)
    with pytest.raises(ValueError, match=r"cv must hold whole numbers from 0, .* got float64"):
        LassoCV(cv=y).fit(X, y)
    with pytest.raises(ValueError, match="X must be a 2D Dask array"):
        Lasso().fit(y, y)

    def untouched(_):
        raise AssertionError

    wide = array.zeros((10, 30_000), chunks=(5, 30_000)).map_blocks(untouched, dtype=float)
    for model in (Lasso(), LassoCV(), RidgeCV()):
        with pytest.raises(ValueError, match="7200000000 bytes"):
            model.fit(wide, array.zeros(10, chunks=5))


def test_dask_reads_a_column_of_folds_once():
    """In the same pass as the rows, whose blocks may not hold every fold."""
    array = pytest.importorskip("dask.array")
    X, y, _ = rows()
    labels = np.repeat([0, 2, 1], N // 3)
    reads = []

    def read(block):
        reads.append(len(block))
        return block

    lazy = array.from_array(labels, chunks=60).map_blocks(read, dtype=int, meta=labels[:0])
    found = LassoCV(cv=lazy).fit(array.from_array(X, chunks=(60, P)), array.from_array(y, chunks=60))
    assert reads == [60] * 5
    expected = LassoCV(cv=PredefinedSplit(labels)).fit(X, y)
    assert found.alpha_ == pytest.approx(expected.alpha_, rel=1e-10)
    np.testing.assert_allclose(found.mse_path_, expected.mse_path_, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("model", [Lasso(0.1), LassoCV(cv=3)], ids=repr)
def test_workers_send_moments_only(model):
    """On a cluster of two workers: the answer of one machine; each task's result is as large as its moments.

    Blocks of rows are made on the workers, and thirty times as large as the moments.
    """
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    array = pytest.importorskip("dask.array")
    n_blocks, height, p = 12, 6_000, 40
    folds = 3 if isinstance(model, LassoCV) else 1
    fitted_once = 8 * (p + 4) ** 2 + 4000  # bytes of moments, with means, and what pickling adds
    assert height * p * 8 > 30 * fitted_once

    def make(number, p=p, height=height):
        rng = np.random.default_rng(number)
        X = rng.normal(size=(height, p)) + 3.0
        return np.column_stack([X, X[:, 0] - 2.0 * X[:, 7] + rng.normal(size=height)])

    blocks = [make(number) for number in range(n_blocks)]
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        dask.config.set(scheduler="distributed"),
    ):

        def sent(dask_worker):
            return sum(entry["total"] for entry in dask_worker.transfer_outgoing_log)

        lazy = array.concatenate(
            [
                array.from_delayed(dask.delayed(make)(number), (height, p + 1), dtype=float)
                for number in range(n_blocks)
            ]
        )
        found = clone(model).fit(lazy[:, :p], lazy[:, p])
        traffic = sum(client.run(sent).values())
    # To the other worker or to the client; of the tree of sums, whose nodes are fewer than its leaves.
    assert 0 < traffic <= 2 * n_blocks * folds * fitted_once
    rows = np.concatenate(blocks)
    X, y = rows[:, :p], rows[:, p]
    if folds > 1:
        model = LassoCV(cv=PredefinedSplit(np.arange(len(y)) % folds))
    expected = clone(model).fit(X, y)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-10, atol=1e-12)
    assert found.intercept_ == pytest.approx(expected.intercept_, rel=1e-10)
    if folds > 1:
        assert found.alpha_ == pytest.approx(expected.alpha_, rel=1e-10)
        np.testing.assert_allclose(found.mse_path_, expected.mse_path_, rtol=1e-10)


@pytest.mark.slow
def test_a_lost_worker_costs_a_recomputation():
    """A worker is killed while its blocks are in work: another does them again, the answer is the same."""
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    array = pytest.importorskip("dask.array")
    import os
    import signal

    X, y, _ = rows()

    def slowly(block):
        time.sleep(0.3)
        return block

    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        dask.config.set(scheduler="distributed"),
    ):
        lazy = array.from_array(X, chunks=(10, P)).map_blocks(slowly, dtype=float)
        pids = list(client.run(os.getpid).values())
        killer = threading.Timer(1.5, os.kill, (pids[0], signal.SIGKILL))
        killer.start()
        found = Lasso(0.1).fit(lazy, array.from_array(y, chunks=10))
        killer.join()
        assert pids[0] not in client.run(os.getpid).values()
    np.testing.assert_allclose(found.coef_, Lasso(0.1).fit(X, y).coef_, rtol=1e-10)


@pytest.mark.parametrize("at", range(0, 40, 4))
def test_an_interrupted_stream_leaves_no_thread(at):
    """Not even while the error is looked at, which holds on to whatever was under way."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 20)), rng.normal(size=200)

    def chunks():
        for number in range(40):
            if number == at:
                signal.raise_signal(signal.SIGINT)
            yield X, y

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt) as caught:
        Moments.by_fold(chunks(), 3)
    # A thread that was about to begin needs a moment to end.
    assert settled(threading.active_count, before, 5.0) == before, caught.traceback
    assert sum(fold.n_samples for fold in Moments.by_fold([(X, y)], 3)) == 200


@pytest.mark.parametrize("Estimator", [LassoCV, RidgeCV])
def test_one_set_of_moments_is_no_list_of_folds(Estimator):
    moments = Moments.from_data(np.eye(4), np.arange(4.0))
    with pytest.raises(TypeError, match=r"folds must be a list of Moments, .*; Moments\.by_fold"):
        Estimator().fit_moments(moments)

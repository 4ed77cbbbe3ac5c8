"""Folds, scores, the rules that choose, and work in threads: what all cross-validating classes share."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import (
    KFold,
    LeaveOneOut,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
)
from threadpoolctl import threadpool_info, threadpool_limits

from sparse_linear import _selection, _threads
from sparse_linear._selection import Fold, Watch, choose, make_folds, summarise
from sparse_linear._threads import in_threads

N = 12
X, Y = np.zeros((N, 2)), np.arange(float(N))


def folds_of(cv, sample_weight=None):
    return make_folds(cv, X, Y, sample_weight, {})


# ---------------------------------------------------------------------------------------------
# Folds
# ---------------------------------------------------------------------------------------------

SPLITTERS = {
    "KFold": KFold(3),
    "shuffled": KFold(3, shuffle=True, random_state=0),
    "repeated": RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
    "ShuffleSplit": ShuffleSplit(4, train_size=5, test_size=3, random_state=0),
    "TimeSeriesSplit": TimeSeriesSplit(3),
    "LeaveOneOut": LeaveOneOut(),
    "PredefinedSplit": PredefinedSplit(np.arange(N) % 3 - 1),
}


@pytest.mark.parametrize("name", SPLITTERS)
def test_folds_are_those_of_the_splitter(name):
    """As a splitter, as a list, and as a generator that can be read only once."""
    expected = list(SPLITTERS[name].split(X, Y))
    for cv in (SPLITTERS[name], expected, iter(expected), tuple(map(list, expected))):
        found = folds_of(cv)
        assert len(found) == len(expected)
        for fold, (train, test) in zip(found, expected, strict=True):
            assert_array_equal(fold.train, train)
            assert_array_equal(fold.test, test)


def test_default_folds_are_five():
    assert len(folds_of(None)) == 5
    assert len(folds_of(3)) == 3


def test_masks_and_repeated_rows():
    mask = np.arange(N) < 4
    (fold,) = folds_of([(mask, ~mask)])
    assert_array_equal(fold.train, np.arange(4))
    assert_array_equal(fold.test, np.arange(4, N))
    fold = Fold(np.array([0, 2, 2, 5]), np.array([1]))
    assert_array_equal(fold.weights(None, 6), [1, 0, 2, 0, 0, 1])
    assert_array_equal(fold.weights(np.array([0.5, 9.0, 3.0, 9.0, 9.0, 0.0]), 6), [0.5, 0, 6, 0, 0, 0])


@pytest.mark.parametrize(
    ("cv", "sentence"),
    [
        ([([], [1])], r"Fold 0 of cv has no rows to fit on"),
        ([([1], [2]), ([1], [])], r"Fold 1 of cv has no rows to be judged by"),
        ([(np.zeros(N, dtype=bool), [1])], r"no rows to fit on"),
        ([(np.ones(N - 1, dtype=bool), [1])], r"Fold 0 of cv must hold row numbers from 0 to 11, or a mask"),
        ([([0, N], [1])], r"row numbers from 0 to 11"),
        ([([0, -1], [1])], r"row numbers from 0 to 11"),
        ([([0.5, 1.0], [1])], r"row numbers from 0 to 11"),
        ([([[0, 1]], [1])], r"row numbers from 0 to 11"),
        ([(["a"], [1])], r"row numbers from 0 to 11"),
        ([([0],)], r"Fold 0 of cv must be a pair \(train, test\)"),
        ([0, 1], r"Fold 0 of cv must be a pair \(train, test\)"),
        ([([0], [1], [2])], r"must be a pair"),
        ([], r"cv must give at least one pair"),
        (iter([]), r"cv must give at least one pair"),
        ("abc", r"cv must be a number of folds, a splitter or splits; got 'abc'"),
        (1, r"cv must be at least 2 folds, got cv=1"),
        (N + 1, r"more folds than X has rows, got cv=13, and n_samples=12; give cv=12 at most"),
    ],
)
def test_bad_folds(cv, sentence):
    with pytest.raises(ValueError, match=sentence):
        folds_of(cv)


@pytest.mark.parametrize(("empty", "what"), [(slice(0, 6), "to fit on"), (slice(6, N), "to be judged by")])
def test_weights_that_empty_a_fold(empty, what):
    weights = np.ones(N)
    weights[empty] = 0.0
    with pytest.raises(ValueError, match=f"sample_weight is zero for all rows of fold 0 {what}"):
        folds_of([(np.arange(6), np.arange(6, N))], weights)


# ---------------------------------------------------------------------------------------------
# The table and the rules
# ---------------------------------------------------------------------------------------------


def table(scores, alphas, sizes=None, **more):
    candidates = {"alpha": np.asarray(alphas, dtype=float), **more}
    if sizes is not None:
        candidates["n_nonzero"] = np.asarray(sizes)
    return summarise(candidates, np.asarray(scores, dtype=float))


def test_summary():
    """Mean, spread and ranks by hand; a frame has one row for each candidate."""
    scores = np.array([[1.0, 3.0, 5.0], [2.0, 2.0, 2.0], [4.0, 3.0, 2.0]])
    frame = pd.DataFrame(table(scores, [3, 2, 1]))
    assert len(frame) == 3
    assert_allclose(frame["mean_test_score"], [3.0, 2.0, 3.0])
    assert_allclose(frame["std_test_score"], scores.std(axis=1))
    assert_allclose(frame["se_test_score"], scores.std(axis=1, ddof=1) / np.sqrt(3))
    assert_array_equal(frame["rank_test_score"], [1, 3, 1])
    assert_array_equal(frame[[f"split{k}_test_score" for k in range(3)]], scores)


def test_one_fold_has_no_standard_error():
    results = table([[1.0], [2.0]], [2, 1])
    assert np.isnan(results["se_test_score"]).all()
    assert choose("min", results) == 1
    with pytest.raises(ValueError, match="criterion='1se' needs at least two folds"):
        choose("1se", results)


def test_one_standard_error_by_hand():
    """Mean 10 with standard error 1: 9 and above will do, where alpha is not smaller."""
    scores = [[8.5, 9.0], [9.0, 9.4], [9.5, 9.9], [9.0, 11.0], [9.5, 9.7]]
    alphas = [5, 4, 3, 2, 1]
    assert choose("min", table(scores, alphas)) == 3
    assert choose("1se", table(scores, alphas)) == 1
    # The sparsest counts first, then the largest alpha; a sparser one with a smaller alpha does not.
    assert choose("1se", table(scores, alphas, [0, 3, 2, 4, 1])) == 2
    assert choose("1se", table(scores, alphas, [0, 2, 2, 4, 1])) == 1
    ratios = np.array([1.0, 0.5, 1.0, 1.0, 1.0])
    assert choose("1se", table(scores, alphas, l1_ratio=ratios), ("l1_ratio",)) == 2


@given(seed=st.integers(0, 2**32 - 1), n_folds=st.integers(2, 6), size=st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_one_standard_error_never_picks_a_smaller_alpha(seed, n_folds, size):
    """Against the definition, with ties."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(-3, 4, size=(size, n_folds)).astype(float)
    alphas = np.sort(rng.integers(0, 6, size=size))[::-1]
    results = table(scores, alphas, rng.integers(0, 4, size=size))
    best, chosen = choose("min", results), choose("1se", results)
    mean, sizes = results["mean_test_score"], results["n_nonzero"]
    assert mean[best] == mean.max()
    limit = mean[best] - results["se_test_score"][best]
    assert alphas[chosen] >= alphas[best]
    assert mean[chosen] >= limit
    assert sizes[chosen] == min(sizes[(mean >= limit) & (alphas >= alphas[best])])


def test_callable_criterion():
    results = table([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]], [3, 2, 1])
    assert choose(lambda found: int(np.argmin(found["mean_test_score"])), results) == 2
    assert choose(lambda found: -1, results) == 2
    for bad in (3, -4, 1.0, None, "1"):
        with pytest.raises(ValueError, match="criterion must return the index of one of 3 candidates"):
            choose(lambda found, bad=bad: bad, results)


@pytest.mark.parametrize("criterion", ["best", None, 1, ["min"]])
def test_bad_criterion(criterion):
    with pytest.raises(ValueError, match="criterion must be 'min', '1se' or a callable"):
        _selection.check_criterion(criterion)


# ---------------------------------------------------------------------------------------------
# Threads
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2, 20])
def test_results_in_order(n_threads):
    def work(item):
        time.sleep(0.002 * (5 - item))
        return item * item

    assert in_threads(work, range(5), n_threads, Watch(5, "", False)) == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_one_failure_stops_the_others(n_threads, error):
    """Work that would take for ever ends at its next report."""
    before = threading.active_count()
    watch = Watch(10, "", False)
    started = threading.Event()

    def work(item):
        if item == n_threads - 1:
            started.wait(0.0 if n_threads == 1 else 10.0)
            raise error("item went wrong")
        for _ in range(100_000):
            started.set()
            watch(0)
            time.sleep(0.001)
        raise AssertionError("nobody stopped this")

    begin = time.monotonic()
    with pytest.raises(error, match="item went wrong"):
        in_threads(work, range(6), n_threads, watch)
    assert time.monotonic() - begin < 10.0  # rather than the hundred seconds of one item
    assert threading.active_count() == before


def test_an_interrupt_while_threads_start(monkeypatch):
    """A thread that has begun when its start is interrupted is waited for as well."""
    start, started = threading.Thread.start, []

    def interrupted(thread):
        start(thread)
        started.append(thread)
        if len(started) == 3:  # after the one that holds the limit of BLAS
            raise KeyboardInterrupt

    before = threading.active_count()
    watch = Watch(10, "", False)

    def work(item):
        watch.stopped.wait(10.0)
        time.sleep(0.05)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_threads(work, range(6), 4, watch)
    assert len(started) == 3
    assert threading.active_count() == before


def test_progress_is_printed_only_if_asked_for(capsys, monkeypatch):
    monkeypatch.setattr(_selection, "PAUSE", 0.0)
    quiet, loud = Watch(4, "LassoCV", False), Watch(4, "LassoCV", True)
    for watch in (quiet, loud):
        watch(1)
        watch(3)
        watch(0)  # scores may still be wanted: nothing new is to be said
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2
    assert out[0].startswith("[LassoCV] 1 of 4 fits")
    assert out[1].startswith("[LassoCV] 4 of 4 fits")
    assert out[1].endswith("0.0 s left")


def test_time_left_leaves_compilation_out(capsys, monkeypatch):
    """Once a second, and from the first fits on: what came before them was no fit."""
    clock = iter([0.0, 18.0, 19.0, 19.5, 20.0, 22.0, 23.0])
    monkeypatch.setattr(_selection.time, "monotonic", lambda: next(clock))
    watch = Watch(60, "LassoCV", True)
    for count in (0, 10, 5, 5, 20, 20, 0):
        watch(count)
    assert capsys.readouterr().out.splitlines() == [
        "[LassoCV] 0 of 60 fits, 18.0 s",
        "[LassoCV] 10 of 60 fits, 19.0 s",
        "[LassoCV] 20 of 60 fits, 20.0 s, 4.0 s left",
        "[LassoCV] 40 of 60 fits, 22.0 s, 2.0 s left",
        "[LassoCV] 60 of 60 fits, 23.0 s, 0.0 s left",
    ]


@pytest.fixture
def blas_threads():
    """How many threads every BLAS has; two at first, set by a thread that is gone, so that any may set it."""

    def now():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    def in_passing(limits):
        thread = threading.Thread(target=threadpool_limits, args=(limits,))
        thread.start()
        thread.join()

    before = threadpool_info()
    in_passing(2)
    yield now
    in_passing(before)


@pytest.mark.parametrize("first_out", [0, 1])
def test_overlapping_limits_of_blas_are_lifted(blas_threads, first_out):
    """Whoever begins and whoever ends last, in threads of their own, BLAS has as many threads as before."""
    before = blas_threads()
    limits = [_threads.blas_limit(1), _threads.blas_limit(1)]
    pools = [ThreadPoolExecutor(1), ThreadPoolExecutor(1)]
    for pool, limit in zip(pools, limits, strict=True):
        pool.submit(limit.__enter__).result()
        assert blas_threads() == [1] * len(before)
    for at in (first_out, 1 - first_out):
        assert blas_threads() == [1] * len(before)
        pools[at].submit(limits[at].__exit__, None, None, None).result()
    assert blas_threads() == before
    for pool in pools:
        pool.shutdown()


def test_limits_of_blas_in_many_threads(blas_threads):
    before, threads = blas_threads(), threading.active_count()

    def work(seconds):
        with _threads.blas_limit(1):
            time.sleep(seconds)
            assert blas_threads() == [1] * len(before)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, np.random.default_rng(0).uniform(0.0, 0.003, 100)))
    assert blas_threads() == before
    assert threading.active_count() == threads


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("fails", [False, True])
def test_a_limit_of_blas_ends_with_the_work(blas_threads, fails, n_threads):
    before, threads = blas_threads(), threading.active_count()

    def work(item):
        assert blas_threads() == [1] * len(before)  # the same for all n_jobs, or bits would depend on it
        if fails:
            raise ValueError("went wrong")

    with pytest.raises(ValueError, match="went wrong") if fails else contextlib.nullcontext():
        in_threads(work, range(2), n_threads, Watch(2, "", False))
    assert blas_threads() == before
    assert threading.active_count() == threads


@pytest.mark.parametrize("n_jobs", [0, 1.5, "two", True])
def test_bad_n_jobs(n_jobs):
    with pytest.raises(ValueError, match="n_jobs must be None, a positive number of threads, or -1"):
        _threads.check_jobs(n_jobs)


def test_n_jobs():
    assert _threads.check_jobs(None) == 1
    assert _threads.check_jobs(3) == 3
    assert _threads.check_jobs(-1) >= 1

"""Choosing among fits: folds, scores, and the rule that picks one; what all cross-validating classes share.

A *candidate* is one setting of the parameters under comparison (an alpha, with an l1_ratio and so on). Scores
are scikit-learn's: higher is better, and without `scoring` it is minus the mean squared error.
"""

import numbers
import sys
import threading
import time
from typing import NamedTuple

import numpy as np
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import check_cv

from sparse_linear import _compiled as _kernels
from sparse_linear import _threads, _validation
from sparse_linear._moments import as_slice

CRITERIA = ("min", "1se")
# The number of folds that cv=None stands for.
N_FOLDS = 5
# What is said of R² on a single row; a remedy or two follow.
ONE_ROW = (
    "R^2 is not defined for one row, which is all that a fold of cv holds out; use fewer folds, "
    "scoring='neg_mean_squared_error'"
)
# Seconds between two reports of progress.
PAUSE = 1.0


class Fold(NamedTuple):
    """Rows to fit on and rows to be judged by; a row that is named twice counts twice."""

    train: np.ndarray  # (n_train,) int64
    test: np.ndarray  # (n_test,) int64

    def weights(self, sample_weight, n):
        """Weights of all rows in the fit of this fold, (n,): zero for those left out."""
        counts = np.bincount(self.train, minlength=n).astype(np.float64)
        return counts if sample_weight is None else counts * sample_weight


def make_folds(cv, X, y, sample_weight, params):
    """The folds of anything that scikit-learn takes as `cv`, checked.

    Parameters
    ----------
    cv : int, splitter, iterable of pairs, or None
    X, y, sample_weight
        Checked data; the weights may be None.
    params : dict
        What metadata routing sends to the splitter, such as groups.

    Returns
    -------
    list of Fold

    Raises
    ------
    ValueError
        If a fold has no rows, or no weight, to fit on or to be judged by, or names rows that are not there.
    """
    n = X.shape[0]
    folds = []
    for number, pair in enumerate(_splits(cv, X, y, params)):
        if not isinstance(pair, (tuple, list, np.ndarray)) or len(pair) != 2:
            raise ValueError(f"Fold {number} of cv must be a pair (train, test) of rows, got {pair!r:.60}.")
        train, test = (_rows(part, n, number) for part in pair)
        for rows, what in ((train, "to fit on"), (test, "to be judged by")):
            if len(rows) == 0:
                raise ValueError(f"Fold {number} of cv has no rows {what}; use fewer folds or other splits.")
            if sample_weight is not None and not sample_weight[rows].any():
                raise ValueError(
                    f"sample_weight is zero for all rows of fold {number} {what}; "
                    "use fewer folds, or drop the rows without weight first."
                )
        folds.append(Fold(train, test))
    if not folds:
        raise ValueError(f"cv must give at least one pair of train and test rows, got none from {cv!r:.60}.")
    return folds


def _splits(cv, X, y, params):
    """Pairs of train and test rows, from anything that scikit-learn takes as `cv`."""
    n = X.shape[0]
    whole = isinstance(cv, numbers.Integral)
    if cv is None or whole:
        count = int(cv) if whole else N_FOLDS
        if count < 2:
            raise ValueError(f"cv must be at least 2 folds, got cv={cv!r}; give a larger number, or splits.")
        if count > n:
            given = f"cv={count}" if whole else f"cv=None, which stands for {count}"
            remedy = f"give cv={n} at most, or more rows" if n > 1 else "give more rows"
            raise ValueError(
                f"cv must not be more folds than X has rows, got {given}, and n_samples={n}; {remedy}."
            )
        cv = check_cv(count)
    elif isinstance(cv, (str, bytes)) or not (np.iterable(cv) or hasattr(cv, "split")):
        raise ValueError(f"cv must be a number of folds, a splitter or splits; got {cv!r:.60}.")
    if not hasattr(cv, "split"):
        yield from cv
        return
    try:
        yield from cv.split(X, y, **params)
    except ValueError as error:
        raise ValueError(_complaint(cv, n, params, error)) from error


def _complaint(cv, n, params, error):
    """Why a splitter refuses, in one sentence."""
    name = type(cv).__name__
    if "'groups'" in str(error) and params.get("groups") is None:
        return (
            f"cv, a {name}, needs to know the groups of the rows: give "
            f"cv=list({name}(...).split(X, y, groups)), or call "
            "sklearn.set_config(enable_metadata_routing=True) and pass groups to fit."
        )
    said = str(error).rstrip(".")
    return f"cv, a {name}, cannot split these {n} rows: {said}; give other splits, or more rows."


def _rows(given, n, number):
    """Row numbers from row numbers, or from a mask."""
    rows = np.asarray(given)
    if rows.dtype == bool and rows.shape == (n,):
        rows = np.flatnonzero(rows)
    if rows.size == 0:
        return np.empty(0, dtype=np.int64)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= n:
        raise ValueError(
            f"Fold {number} of cv must hold row numbers from 0 to {n - 1}, or a mask of {n} rows; "
            f"got {given!r:.60}."
        )
    return rows.astype(np.int64)


# ---------------------------------------------------------------------------------------------
# Scores
# ---------------------------------------------------------------------------------------------


class FoldModel(RegressorMixin, BaseEstimator):
    """A fitted candidate, as scorers want it: `predict` is ready for the rows that it is judged by."""

    def __init__(self, coef, intercept, rows, values):
        self.coef_ = coef
        self.intercept_ = intercept
        self._rows = rows
        self._values = values

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        """Predictions for X."""
        return self._values if X is self._rows else X @ self.coef_.T + self.intercept_


class Scoring:
    """Scores of candidates by a scikit-learn scorer, on the rows that a fold leaves out.

    Parameters
    ----------
    scorer : callable
        As `sklearn.metrics.check_scoring` returns it.
    rows : int
        How many it needs.
    params : dict
        What it gets beside X and y; entries with one row for each of X are cut to the rows of the fold.
    X, y : the data, y as it was given
    per_target : bool
        Whether targets are scored one by one, rather than all together.
    """

    def __init__(self, scorer, rows, params, X, y, per_target):
        self.scorer = scorer
        self.rows = rows
        self.params = params
        self.X, self.y = X, y
        self.per_target = per_target
        self.config = get_config()  # that of this thread

    def __call__(self, number, rows, candidates, watch):
        """Scores (g, b) of the candidates of fold `number`.

        A scorer may be slow, so `watch` is asked before each candidate whether the scores are still wanted.

        Parameters
        ----------
        number : int
        rows : ndarray
            That the fold leaves out; where they follow one another, they are not copied.
        candidates : iterable
            Some at a time, so that the predictions of all need not be in memory: coefs (q, p, k), intercepts
            (q, k), predictions (q, n_test, k).
        watch : callable
        """
        n = len(self.y)
        rows = as_slice(rows)
        X, y = self.X[rows], self.y[rows]
        if len(y) < self.rows:
            raise ValueError(f"{ONE_ROW}, or scoring=None.")
        params = {
            name: np.asarray(value)[rows] if np.shape(value)[:1] == (n,) else value
            for name, value in self.params.items()
        }
        scores: list[list[float]] = []
        for coefs, intercepts, predictions in candidates:
            q = len(coefs)
            groups = [[target] for target in range(q)] if self.per_target else [list(range(q))]
            for coef, level, values in zip(
                coefs.transpose(2, 0, 1), intercepts.T, predictions.transpose(2, 0, 1), strict=True
            ):
                watch(0)
                where = f"fold {number}, candidate {len(scores)}"
                found = []
                for targets in groups:
                    # A single target loses its axis, as in y.
                    some = targets[0] if len(targets) == 1 else targets
                    model = FoldModel(coef[some], level[some], X, values[some].T)
                    truth = y if y.ndim == 1 else y[:, some]
                    with config_context(**self.config):
                        found.append(_score(self.scorer, model, X, truth, where, params))
                scores.append(found)
        return np.array(scores).T


def make_scoring(scoring, owner, params, X, y, per_target):
    """`Scoring` by the name of a scorer, or by a callable; None if there is none."""
    if scoring is None:
        return None
    if isinstance(scoring, (dict, list, tuple, set)):
        raise ValueError(
            f"scoring must be one scorer, its name or a callable, got {scoring!r:.60}; choose one of several."
        )
    rows = 2 if isinstance(scoring, str) and scoring == "r2" else 1
    return Scoring(_validation.check_scorer(owner, scoring), rows, params, X, y, per_target)


def _score(scorer, model, X, y, where, params):
    try:
        value = scorer(model, X, y, **params)
    except Exception as error:
        raise ValueError(f"scoring failed for {where}: {error}") from error
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"scoring must return a number, got {value!r:.60} for {where}.") from None
    if not np.isfinite(value):
        said = "NaN" if np.isnan(value) else value
        raise ValueError(f"scoring returned {said} for {where}; every candidate needs a finite score.")
    return value


def summarise(candidates, scores):
    """A table of the candidates, in the names of scikit-learn's searches.

    Parameters
    ----------
    candidates : dict of ndarray of shape (n_candidates,)
        Parameters, and anything else to know of each.
    scores : ndarray of shape (n_candidates, n_folds)

    Returns
    -------
    dict of ndarray of shape (n_candidates,)
        The candidates; mean, standard deviation (over all folds, divisor n_folds) and standard error of the
        mean (from divisor n_folds - 1; NaN for one fold) of their scores; their rank; the score of each fold.
    """
    n_folds = scores.shape[1]
    mean, std, error = found = np.empty((3, len(scores)))
    if not _kernels.mean_and_spread(scores, *found):
        raise ValueError(
            "The errors on rows left out overflow; divide y, or the columns of X that are huge there."
        )
    loss = -mean
    rank = 1 + np.searchsorted(np.sort(loss), loss, side="left")
    return {
        **candidates,
        "mean_test_score": mean,
        "std_test_score": std,
        "se_test_score": error,
        "rank_test_score": rank.astype(np.int32),
        **{f"split{k}_test_score": scores[:, k] for k in range(n_folds)},
    }


def choose(criterion, results, fixed=()):
    """The candidate that a criterion picks.

    Parameters
    ----------
    criterion : {"min", "1se"} or callable
        "min": the best mean score, the first of equals. "1se": among the candidates with an alpha at least as
        large and a mean score within one standard error of that one (Breiman et al. 1984, section 3.4.3), the
        one with the fewest non-zero coefficients, and of these the largest alpha. A callable gets the results
        and returns an index.
    results : dict
        From `summarise`, with "alpha" and, if they differ, "n_nonzero".
    fixed : tuple of str
        Other parameters, which "1se" leaves as they are for "min".

    Returns
    -------
    int
    """
    mean = results["mean_test_score"]
    if callable(criterion):
        index = criterion(results)
        if not isinstance(index, (int, np.integer)) or not -len(mean) <= index < len(mean):
            raise ValueError(
                f"criterion must return the index of one of {len(mean)} candidates, got {index!r:.60}."
            )
        return int(index) % len(mean)
    best = int(np.argmax(mean))
    if criterion == "min":
        return best
    error = results["se_test_score"][best]
    if np.isnan(error):
        raise ValueError("criterion='1se' needs at least two folds; with one there is no standard error.")
    near = (mean >= mean[best] - error) & (results["alpha"] >= results["alpha"][best])
    for name in fixed:
        near &= results[name] == results[name][best]
    found = np.flatnonzero(near)
    sizes = results["n_nonzero"][found] if "n_nonzero" in results else np.zeros(len(found))
    return int(found[np.lexsort((-results["alpha"][found], sizes))[0]])


def check_criterion(criterion):
    """One of the rules of `choose`."""
    if not callable(criterion) and (not isinstance(criterion, str) or criterion not in CRITERIA):
        raise ValueError(
            f"criterion must be 'min', '1se' or a callable that takes cv_results_ and returns an index; "
            f"got {criterion!r:.60}."
        )
    return criterion


# ---------------------------------------------------------------------------------------------
# Work in threads
# ---------------------------------------------------------------------------------------------


class Watch:
    """Counts what is done, says so if it is asked to, and stops threads whose work is no longer wanted.

    Parameters
    ----------
    total : int
        Units of work.
    name : str
        What is being done.
    verbose : bool or int
    """

    def __init__(self, total, name, verbose):
        self.total = total
        self.name = name
        self.verbose = verbose
        self.done = 0
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.begin = self.last = time.monotonic()
        # When the first units were done, and how many: before, code may have been compiled.
        self.first: tuple[float, int] | None = None

    def __call__(self, count):
        """Report that `count` more units are done."""
        if self.stopped.is_set():
            raise _threads.Stopped
        if not self.verbose:
            return
        with self.lock:
            if self.done == self.total:
                return  # this has been said
            self.done += count
            now = time.monotonic()
            if count and self.first is None:
                self.first = now, self.done
            if now - self.last >= PAUSE or self.done == self.total:
                self.last = now
                spent = f"{now - self.begin:.1f} s{self._left(now)}"
                sys.stdout.write(f"[{self.name}] {self.done} of {self.total} fits, {spent}\n")
                sys.stdout.flush()

    def _left(self, now):
        """How long the rest will take, in words, if it can be told from what was done since the first."""
        if self.first is None or self.done == self.first[1]:
            return ""
        begin, before = self.first
        return f", {(now - begin) * (self.total - self.done) / (self.done - before):.1f} s left"

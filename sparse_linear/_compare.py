"""Data for `python -m sparse_linear`, and the comparison with scikit-learn that it shows.

The first half makes a `Problem` of a file: a table, a target, and the scikit-learn transformer that turns the
table into numbers. Whatever cannot be used ends in `DataError`, whose message is one sentence for the user.
The second half cross-validates alpha for three estimators of both libraries and collects a `Comparison`.
"""

import bz2
import csv
import difflib
import gzip
import re
import time
import warnings
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import sklearn.linear_model
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_digits, load_svmlight_file
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, KFold, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, PolynomialFeatures, StandardScaler
from threadpoolctl import threadpool_limits

from sparse_linear import ElasticNet, Lasso, Ridge, alpha_grid

LIBRARIES = ("sparse_linear", "scikit-learn")
ESTIMATORS = {
    "Ridge": (Ridge, sklearn.linear_model.Ridge),
    "Lasso": (Lasso, sklearn.linear_model.Lasso),
    "ElasticNet": (ElasticNet, sklearn.linear_model.ElasticNet),
}
L1_RATIO = {"Lasso": 1.0, "ElasticNet": 0.5}
# What `cells` says of a fit, in two lines.
CELLS = (
    ("", "", "", "held-out", "relative", "seconds,", "seconds,"),
    ("", "alpha", "non-zero", "R²", "gap", "search", "path"),
)
READING = (
    "Relative gap: the objective is above its minimum by at most this share of half the variance of the "
    "target (a duality gap in float64, by the same few lines for either library). Seconds, search: "
    "scikit-learn's GridSearchCV around either estimator, preparation of each fold included. Seconds, path: "
    "the estimator alone, once per alpha on all training rows."
)
HELD_OUT = 0.25
MIN_ROWS = 20
MAX_CATEGORIES = 30
PER_DEVIATION = "for one standard deviation more of the feature"
LARGEST = 1e150  # squares of larger numbers overflow
SMALL = 2_000_000  # entries; below, a second BLAS thread gains little, and costs much on a busy machine

KINDS = {
    ".csv": "CSV",
    ".tsv": "CSV",
    ".parquet": "Parquet",
    ".npz": "NPZ",
    ".svm": "svmlight",
    ".svmlight": "svmlight",
    ".libsvm": "svmlight",
}
OPENERS = {".gz": gzip.open, ".bz2": bz2.open}
DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|\d{1,2}/\d{1,2}/\d{2}\b")


class DataError(ValueError):
    """What was asked for cannot be done with these data; the message says why and what would help."""


class Problem(NamedTuple):
    """A regression on real data.

    Attributes
    ----------
    name : str
        What to call it in a line of progress.
    story : str
        What is predicted, from what.
    X : DataFrame, ndarray or sparse matrix of shape (n, columns)
    y : ndarray of shape (n,)
    columns : list of str
        Names of the columns of X.
    prepare : transformer
        Not fitted; turns X into the numbers that the estimators see.
    unit : str
        What a coefficient of a prepared feature is the effect of.
    notes : list of str
        What was left out or changed on the way here.
    """

    name: str
    story: str
    X: object
    y: np.ndarray
    columns: list[str]
    prepare: object
    unit: str
    notes: list[str]


class Fit(NamedTuple):
    """One estimator of one library: alpha chosen on the training rows, then judged on the rows held out.

    Attributes
    ----------
    model, library : str
    alpha : float
        The one of the grid with the smallest mean squared error over the folds, for `Comparison.y_unit`.
    end_of_grid : bool
        Whether that is the first or the last of the grid, so that a better one may lie beyond.
    non_zero : int
        Coefficients that are not zero.
    held_out_r2 : float
    relative_gap : float
        See `relative_gap`.
    search_seconds : float
        The whole search: every fold and alpha and the last fit, with the preparation of the rows each time.
    fits : int
        How many fits that were.
    path_seconds : float
        The estimator alone: one fit after another on the prepared training rows, for every alpha.
    not_converged : int
        How many of them warned that they stopped before they had converged.
    coef : ndarray
        In the unit of the target.
    """

    model: str
    library: str
    alpha: float
    end_of_grid: bool
    non_zero: int
    held_out_r2: float
    relative_gap: float
    search_seconds: float
    fits: int
    path_seconds: float
    not_converged: int
    coef: np.ndarray


class Split(NamedTuple):
    """Rows to fit and to choose alpha on, the same after preparation (Z), and rows held out."""

    X_train: object
    Z_train: object
    y_train: np.ndarray
    X_test: object
    y_test: np.ndarray


class Comparison(NamedTuple):
    """Everything that is shown about one `Problem`.

    Attributes
    ----------
    problem : Problem
    n_train, n_test : int
        Rows to fit and choose alpha on, and rows held out.
    y_unit : float
        The standard deviation of the target, by which it was divided.
    one_thread : bool
        Whether BLAS was kept to one thread, because the data are small.
    feature_names : list of str
        Names of the prepared features.
    warm_up_seconds : float
        Tiny first fits, in which everything gets compiled.
    fits : list of Fit
    """

    problem: Problem
    n_train: int
    n_test: int
    y_unit: float
    one_thread: bool
    feature_names: list[str]
    warm_up_seconds: float
    fits: list[Fit]


# ------------------------------------------------------------------------------------------------------------
# Data that come with scikit-learn


def diabetes():
    """Return the diabetes data with pairwise interactions: more rows than features."""
    data = load_diabetes()
    prepare = make_pipeline(
        StandardScaler(),
        PolynomialFeatures(2, interaction_only=True, include_bias=False),
        StandardScaler(),
    )
    return Problem(
        name="diabetes",
        story=(
            "Diabetes: how far the disease went in a year (a score from 25 to 346), predicted from 10 "
            "measurements of the patient and the products of each two of them."
        ),
        X=data.data,
        y=data.target,
        columns=list(data.feature_names),
        prepare=prepare,
        unit=PER_DEVIATION,
        notes=[],
    )


def digits():
    """Return one image of the digits data as a sum of the others: far more features than rows.

    The rows are pixels and the features are images. To predict the pixels held out one has to find, among all
    images and without their labels, those that were drawn alike.
    """
    data = load_digits()
    chosen = 22  # a 2 of common shape
    others = np.delete(np.arange(len(data.target)), chosen)
    return Problem(
        name="digits",
        story=(
            f"Digits: a handwritten {data.target[chosen]} of 64 pixels (from 0 to 16), a quarter of them "
            f"hidden, predicted as a weighted sum of {len(others)} other digits; labels are not used."
        ),
        X=np.ascontiguousarray(data.data[others].T),  # like the other data, so that nothing compiles twice
        y=data.data[chosen],
        columns=[f"a {data.target[image]} (image {image})" for image in others],
        prepare=StandardScaler(),
        unit=PER_DEVIATION,
        notes=[],
    )


# ------------------------------------------------------------------------------------------------------------
# The user's data


def load_problem(path, target=None):
    """Read a file and decide how each of its columns becomes numbers.

    Parameters
    ----------
    path : str
        A CSV, Parquet, NPZ or svmlight file; CSV and svmlight may be compressed (.gz, .bz2).
    target : str, optional
        The column to predict. NPZ: the array, "y" if not given. svmlight: not used, as it has a place for it.

    Returns
    -------
    Problem

    Raises
    ------
    DataError
        With one sentence about what is wrong.
    """
    path = Path(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    opener = OPENERS[suffixes.pop()] if suffixes and suffixes[-1] in OPENERS else open
    kind = KINDS.get(suffixes[-1]) if suffixes else None
    if kind is None or (opener is not open and kind not in ("CSV", "svmlight")):
        raise DataError(
            f"The name of '{path}' does not say what is in it: it should end in .csv, .tsv, .svm, .svmlight "
            "or .libsvm (each of them also with .gz or .bz2), .parquet or .npz."
        )
    try:
        if not path.exists():
            raise DataError(f"There is no file '{path}'.")
        if not path.is_file():
            raise DataError(f"'{path}' is not a file.")
        if path.stat().st_size == 0:
            raise DataError(f"'{path}' is empty.")
        if kind == "NPZ":
            return _from_npz(path, "y" if target is None else target)
        if kind == "svmlight":
            return _from_svmlight(path, target)
        pandas = _import_pandas(kind)
        table = _read_csv(path, opener, pandas) if kind == "CSV" else _read_parquet(path, pandas)
    except DataError:
        raise
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' could not be read as {kind}: it is not text in UTF-8.") from error
    except Exception as error:
        # The parsers of damaged files raise whatever they stumble over (struct, zlib, Arrow, key errors); all
        # of it means the same to the user.
        reason = getattr(error, "strerror", None) or str(error).strip().split("\n")[0] or type(error).__name__
        raise DataError(f"'{path}' could not be read as {kind}: {reason.rstrip('.')}.") from error
    return _from_table(table, path, target, pandas)


def _import_pandas(kind):
    try:
        import pandas

        if kind == "Parquet":
            import pyarrow  # noqa: F401 (pandas reads Parquet with it)
    except ImportError as error:
        raise DataError(
            f'{kind} files need {error.name}, which is not installed: pip install "sparse_linear[data]"'
        ) from error
    return pandas


def _read_csv(path, opener, pandas):
    """Return a DataFrame; the separator is the one that splits the first line into most columns."""
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        header = file.readline()
        if not header.strip():
            raise DataError(f"The first line of '{path}' is empty; it should name the columns.")
        separator = max(",;\t|", key=lambda mark: len(next(csv.reader([header], delimiter=mark))))
        file.seek(0)
        return pandas.read_csv(file, sep=separator, na_values=["?"], low_memory=False)


def _read_parquet(path, pandas):
    """Return a DataFrame; an index that was stored under a name is a column again."""
    table = pandas.read_parquet(path, engine="pyarrow")
    return table.reset_index() if any(name is not None for name in table.index.names) else table


def _from_table(table, path, target, pandas):
    """Return the `Problem` of a DataFrame."""
    names = [_one_line(name) for name in table.columns]
    table = table.set_axis(names, axis=1)
    if target is None:
        raise DataError(f"--target is missing: which column of '{path}' to predict, {_listed(names)}.")
    target = _one_line(target)
    if target not in names:
        raise DataError(f"'{path}' has no column '{target}'; {_nearest(target, names)}.")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise DataError(f"'{path}' has {times} columns named '{name}'; rename all but one.")
    if table.empty:
        raise DataError(f"'{path}' has no rows below the names of its columns.")

    y = _as_numbers(table[target], pandas)
    if y is None:
        raise DataError(
            f"The target '{target}' is not numeric, it holds {_examples(table[target])}; "
            "choose another column or write it as numbers."
        )
    notes: list[str] = []
    known = ~np.isnan(y)
    y = _drop_unknown(y, known, target, notes)
    _check_target(y, target)
    numbers, categories = _usable_columns(table.drop(columns=target).loc[known], notes, pandas)
    if not numbers and not categories:
        raise DataError(f"'{path}' has no column to predict '{target}' from. {' '.join(notes)}".rstrip())
    X = pandas.DataFrame({**numbers, **categories})
    holes = X.isna().sum()
    if holes.any():
        filled = _count(np.flatnonzero(holes), "column", "columns")
        notes.append(
            f"Filled in {holes.sum()} missing values in {filled}: the median of numbers, the most frequent "
            "category."
        )

    # `keep_empty_features`: a fold may happen to hold none of the known values of a column.
    number = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    category = make_pipeline(
        SimpleImputer(strategy="most_frequent", keep_empty_features=True),
        OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            max_categories=MAX_CATEGORIES,
            feature_name_combiner=_category_name,
        ),
    )
    story = f"{path.name}: '{target}', predicted from {_count(numbers, 'column', 'columns')} of numbers"
    return Problem(
        name=path.name,
        story=f"{story} and {len(categories)} of categories." if categories else f"{story}.",
        X=X,
        y=y,
        columns=list(X.columns),
        prepare=ColumnTransformer(
            [("number", number, list(numbers)), ("category", category, list(categories))]
        ),
        unit=f"{PER_DEVIATION} (a number), or for belonging to it (a category)"
        if categories
        else PER_DEVIATION,
        notes=notes,
    )


def _usable_columns(table, notes, pandas):
    """Return the columns of numbers and those of categories, by name; the others get a note."""
    numbers, categories = {}, {}
    useless: dict[str, list[str]] = {}
    for name in table.columns:
        values = _as_numbers(table[name], pandas)
        if values is not None:
            _check_finite(values, f"Column '{name}'")
            numbers[name] = values
            reason = _useless_numbers(name, values)
        else:
            categories[name], reason = _as_texts(table[name], pandas)
        if reason:
            useless.setdefault(reason, []).append(name)
    for reason, names in useless.items():
        notes.append(f"Left out as {reason}: {_listed(names)}.")
        for name in names:
            numbers.pop(name, None)
            categories.pop(name, None)
    return numbers, categories


def _from_npz(path, target):
    """Return the `Problem` of arrays: dense `X`, or a CSR matrix: `data`, `indices`, `indptr`, `shape`."""
    with np.load(path, allow_pickle=False) as file:
        names = list(file.files)
        if target not in names:
            raise DataError(f"'{path}' has no array '{target}' to predict; {_nearest(target, names)}.")
        y = file[target]
        if "X" in names:
            X = file["X"]
        elif {"data", "indices", "indptr", "shape"} <= set(names):
            X = sp.csr_matrix((file["data"], file["indices"], file["indptr"]), shape=tuple(file["shape"]))
            X.check_format(full_check=True)
        else:
            raise DataError(
                f"'{path}' should hold an array X, or a CSR matrix as data, indices, indptr and shape; "
                f"its arrays are {_listed(names)}."
            )
        columns = _stored_names(file["feature_names"]) if "feature_names" in names else None

    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    for what, array, axes in (("X", X, ["rows", "features"]), (target, y, ["rows"])):
        if array.dtype.kind not in "fiub":
            raise DataError(
                f"Array '{what}' of '{path}' is of type {array.dtype}; it should hold real numbers."
            )
        if array.ndim != len(axes):
            raise DataError(
                f"Array '{what}' of '{path}' has shape {array.shape}; it should be ({', '.join(axes)})."
            )
    if X.shape[0] != len(y):
        raise DataError(f"'{path}' has {X.shape[0]} rows in X but {len(y)} values in '{target}'.")
    notes = []
    if columns is not None and len(columns) != X.shape[1]:
        notes.append(f"feature_names is not used: it has {len(columns)} names for {X.shape[1]} features.")
        columns = None
    return _from_matrix(X, y.astype(np.float64), columns, path, target, notes)


def _from_svmlight(path, target):
    """Return the `Problem` of a sparse text file; features keep the numbers that they have in the file."""
    X, y = load_svmlight_file(str(path), zero_based=True)
    first = int(X.shape[1] > 1 and X[:, [0]].nnz == 0)  # most files count from 1
    notes = [] if target is None else ["--target is not used: in svmlight each line begins with its target."]
    columns = [f"feature {k}" for k in range(first, X.shape[1])]
    return _from_matrix(X[:, first:], y, columns, path, "the first number of each line", notes)


def _from_matrix(X, y, columns, path, target, notes):
    """Return the `Problem` of a matrix of numbers."""
    if X.shape[1] == 0:
        raise DataError(f"'{path}' has no features to predict the target from.")
    columns = columns or [f"x{j}" for j in range(X.shape[1])]
    if X.dtype not in (np.float64, np.float32):
        X = X.astype(np.float64)
    known = ~np.isnan(y)
    y = _drop_unknown(y, known, target, notes)
    X = X if known.all() else X[known]
    _check_target(y, target)
    if sp.issparse(X):
        _check_finite(X.data, "The sparse X")
        if np.isnan(X.data).any():
            raise DataError(
                "The sparse X has missing values (NaN); fill them in or leave them out, which means 0."
            )
        prepare, unit = MaxAbsScaler(), "for a feature at its largest absolute value"
    else:
        for name, column in zip(columns, X.T, strict=True):
            _check_finite(column, f"Column '{name}'")
        holes = np.isnan(X).sum(axis=0)
        prepare, unit = StandardScaler(), PER_DEVIATION
        if holes.any():
            prepare = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), prepare)
            filled = _count(np.flatnonzero(holes), "column", "columns")
            notes.append(f"Filled in {holes.sum()} missing values in {filled}: the median.")
    return Problem(
        name=path.name,
        story=f"{path.name}: {target}, predicted from {_count(columns, 'column', 'columns')} of numbers.",
        X=X,
        y=y,
        columns=columns,
        prepare=prepare,
        unit=unit,
        notes=notes,
    )


def _as_numbers(column, pandas):
    """Return the column as float64 with NaN for missing values, or None if it holds anything but numbers."""
    types = pandas.api.types
    if types.is_bool_dtype(column) or types.is_numeric_dtype(column):
        if not types.is_complex_dtype(column) and not isinstance(column.dtype, pandas.CategoricalDtype):
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
    elif types.is_object_dtype(column):  # exact decimals of Parquet; True and False with gaps
        present = column.notna().to_numpy()
        known = list(column[present])
        if known and all(isinstance(value, (Real, Decimal)) for value in known):
            values = np.full(len(column), np.nan)
            values[present] = known
            return values
    return None


def _useless_numbers(name, values):
    """Return why a column of numbers is of no use, or an empty string."""
    known = values[~np.isnan(values)]
    if not len(known):
        return "empty"
    if known.min() == known.max():
        return "constant"
    if name.startswith("Unnamed: ") and np.all(
        np.diff(values) >= 1
    ):  # what pandas calls a column without name
        return "row numbers"
    return ""


def _as_texts(column, pandas):
    """Return the column as strings with NaN for missing values, and why it is of no use, if it is."""
    present = column.notna().to_numpy()
    values = np.full(len(column), np.nan, dtype=object)
    values[present] = [_one_line(value) for value in column[present]]
    known = values[present]
    distinct = len(set(known))
    if not len(known):
        return values, "empty"
    if distinct == 1:
        return values, "constant"
    times = column.dtype.kind in "mM" or isinstance(column.dtype, pandas.PeriodDtype)
    if times or all(DATE.match(value) for value in known[:1000]):
        return values, "dates or times"
    if distinct > len(known) / 2:
        if sum(map(_is_number, known)) > len(known) / 2:
            return values, "numbers with text among them"
        return values, "text that differs from row to row"
    return values, ""


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _stored_names(array):
    """Return the names in an array of strings, or in bytes with a newline between names."""
    if array.dtype.kind == "U":
        text = "\n".join(array.ravel().tolist())
    else:
        text = b"\n".join(array.ravel().tolist()) if array.dtype.kind == "S" else array.tobytes()
        text = text.decode()
    return [_one_line(name) for name in text.split("\n")]


def _drop_unknown(y, known, target, notes):
    """Return y where it is known, with a note if that is not everywhere."""
    if not known.all():
        notes.append(
            f"Left out {np.sum(~known)} of {len(y)} rows, in which the target '{target}' is missing."
        )
    return y[known]


def _check_target(y, target):
    if len(y) < MIN_ROWS:
        raise DataError(
            f"There are {len(y)} rows in which the target is known; at least {MIN_ROWS} are needed "
            "to fit, choose alpha and hold some out."
        )
    _check_finite(y, f"The target '{target}'")
    if y.min() == y.max():
        raise DataError(
            f"The target '{target}' is {y[0]:g} in all {len(y)} rows, so there is nothing to predict."
        )


def _check_finite(values, what):
    n_bad = int(np.sum(np.abs(values.astype(np.float64, copy=False)) > LARGEST))
    if n_bad:
        raise DataError(
            f"{what} holds {n_bad} infinite or absurdly large values (beyond {LARGEST:g}); "
            "correct them or leave them empty."
        )


def _category_name(feature, category):
    return f"{feature} = {'(rare)' if category == 'infrequent_sklearn' else category}"


def _one_line(name):
    return " ".join(str(name).split())


def _count(things, one, many):
    return f"{len(things)} {one if len(things) == 1 else many}"


def _listed(names, at_most=6):
    """Return names in quotes, separated by commas; the rest of a long list is only counted."""
    text = ", ".join(f"'{name}'" for name in names[:at_most])
    return text + (f" and {len(names) - at_most} more" if len(names) > at_most else "")


def _nearest(name, names):
    """Return what there is instead of a name that is not there: those like it, or else the list."""
    lower = {other.lower(): other for other in names}
    like = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, n=3)]
    return f"did you mean {' or '.join(map(repr, like))}?" if like else f"there are {_listed(names)}"


def _examples(column):
    """Return up to three values of a column in words, those that are not numbers first."""
    known = [_one_line(value) for value in column.dropna()]
    distinct = list(dict.fromkeys([value for value in known if not _is_number(value)] or known))
    return f"values such as {_listed(distinct[:3])}" if distinct else "no values"


# ------------------------------------------------------------------------------------------------------------
# The comparison


def compare(problem, *, n_alphas=12, folds=5, seed=0, with_sklearn=True, say=print):
    """Choose alpha by cross-validation for Ridge, Lasso and ElasticNet of this package and of scikit-learn.

    Both libraries get the same rows, folds and alphas, and their defaults for everything else. The target is
    divided by its standard deviation, since its unit decides which part of an ElasticNet's penalty prevails.

    Parameters
    ----------
    problem : Problem
    n_alphas, folds : int
    seed : int
        Of the split into training and held-out rows, and of the folds.
    with_sklearn : bool
        Without, only this package is run.
    say : callable
        Gets one line of text at a time about what is being done.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        If what remains for fitting is too little.
    """
    prepare = clone(problem.prepare)
    split, y_unit = _split(problem, prepare, folds, seed)
    grids = alphas(split.Z_train, split.y_train, n_alphas)
    one_thread = split.Z_train.shape[0] * split.Z_train.shape[1] < SMALL
    with threadpool_limits(1 if one_thread else None, user_api="blas"):
        say(f"{problem.name}: warm-up, which compiles in a fresh install")
        warm_up_seconds = warm_up(split.Z_train, split.y_train)
        fits = []
        for model, estimators in ESTIMATORS.items():
            for library, estimator in zip(LIBRARIES, estimators, strict=True):
                if library == LIBRARIES[0] or with_sklearn:
                    what = f"{problem.name}: {model}, {library}"
                    say(f"{what}, {n_alphas} alphas x {folds} folds")
                    search = GridSearchCV(
                        Pipeline([("prepare", problem.prepare), ("model", estimator())]),
                        {"model__alpha": grids[model]},
                        cv=KFold(folds, shuffle=True, random_state=seed),
                        scoring="neg_mean_squared_error",
                    )
                    fit, messages = _judge(search, split, model, library)
                    fits.append(fit._replace(coef=fit.coef * y_unit))
                    for message in messages:
                        say(f"{what}: {message}")
    names = prepared_names(problem, prepare)
    return Comparison(
        problem, len(split.y_train), len(split.y_test), y_unit, one_thread, names, warm_up_seconds, fits
    )


def prepared_names(problem, prepare):
    """Return the names of the features that a fitted `prepare` makes of the columns of a problem."""
    names = prepare.get_feature_names_out(problem.columns)
    if isinstance(prepare, ColumnTransformer):  # which writes the name of each transformer before them
        names = [name.split("__", 1)[1] for name in names]
    return list(names)


def cells(fit):
    """Return the row of a table that shows a fit, without its model: one text for each of `CELLS`."""
    return (
        fit.library,
        f"{fit.alpha:.4g}" + ("!" if fit.end_of_grid else ""),
        str(fit.non_zero),
        f"{fit.held_out_r2:.4f}" if fit.held_out_r2 > -10 else f"{fit.held_out_r2:.1e}",
        f"{fit.relative_gap:.0e}" + ("*" if fit.not_converged else ""),
        f"{fit.search_seconds:.2f}",
        f"{fit.path_seconds:.3f}",
    )


def footnotes(fits):
    """Return sentences on what a table of fits marks, and on what may surprise in it."""
    notes = []
    stopped = [
        f"{fit.library}'s {fit.model} {fit.not_converged} of {fit.fits}" for fit in fits if fit.not_converged
    ]
    if stopped:
        notes.append(f"* fits of the search that had not converged: {', '.join(stopped)}.")
    if any(ours.alpha != theirs.alpha for ours, theirs in pairwise(fits) if ours.model == theirs.model):
        notes.append("Alphas differ where fits that are not exact change the order of nearly equal errors.")
    if any(fit.end_of_grid for fit in fits):
        notes.append("! the first or last alpha of those tried; a better one may lie beyond.")
    return notes


def _split(problem, prepare, folds, seed):
    """Return the `Split` of a problem, its target divided by its standard deviation, and that."""
    X_train, X_test, y_train, y_test = train_test_split(
        problem.X, problem.y, test_size=HELD_OUT, random_state=seed
    )
    n = len(y_train)
    if n < 2 * folds:
        raise DataError(f"{n} rows are too few to choose alpha with {folds} folds; use fewer --folds.")
    if y_train.min() == y_train.max():
        raise DataError(f"The target is {y_train[0]:g} in all rows used for fitting; try another --seed.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the searches prepare the same rows again, and report
        Z_train = prepare.fit_transform(X_train)
    if not StandardScaler(with_mean=False).fit(Z_train).var_.any():
        raise DataError("Every feature is constant in the rows used for fitting; try another --seed.")
    unit = float(y_train.std())
    return Split(X_train, Z_train, y_train / unit, X_test, y_test / unit), unit


def _judge(search, split, model, library):
    """Run a search; return its `Fit` and the warnings other than those about convergence."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search_seconds = _seconds(search.fit, split.X_train, split.y_train)
        not_converged = sum(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        best = search.best_estimator_["model"]
        grid = search.param_grid["model__alpha"]
        path_seconds = sum(
            _seconds(clone(best).set_params(alpha=alpha).fit, split.Z_train, split.y_train) for alpha in grid
        )
        held_out_r2 = search.best_estimator_.score(split.X_test, split.y_test)
    if model == "Ridge":  # its alpha belongs to the sum of squares, the others' to the mean
        l1, l2 = 0.0, best.alpha / len(split.y_train)
    else:
        l1, l2 = best.alpha * L1_RATIO[model], best.alpha * (1 - L1_RATIO[model])
    fit = Fit(
        model=model,
        library=library,
        alpha=float(best.alpha),
        end_of_grid=bool(best.alpha in (grid[0], grid[-1])),
        non_zero=int(np.count_nonzero(best.coef_)),
        held_out_r2=float(held_out_r2),
        relative_gap=relative_gap(split.Z_train, split.y_train, best.coef_, best.intercept_, l1, l2),
        search_seconds=search_seconds,
        fits=search.n_splits_ * len(grid) + 1,
        path_seconds=path_seconds,
        not_converged=not_converged,
        coef=best.coef_,
    )
    others = [str(w.message) for w in caught if not issubclass(w.category, ConvergenceWarning)]
    return fit, list(dict.fromkeys(map(_one_line, others)))


def alphas(X, y, n_alphas):
    """Return a grid of alphas for each model, decreasing.

    For Lasso and ElasticNet they begin where the first coefficient becomes non-zero. Ridge has no such point;
    there they surround the mean of the non-zero eigenvalues of X'X, with X centred.
    """
    n, p = X.shape
    eps = 1e-3 if n > p else 1e-2
    grids = {
        model: alpha_grid(X, y, l1_ratio=l1_ratio, eps=eps, n_alphas=n_alphas)
        for model, l1_ratio in L1_RATIO.items()
    }
    eigenvalue = n * StandardScaler(with_mean=False).fit(X).var_.sum() / min(n, p)
    return {"Ridge": eigenvalue * np.geomspace(1e2, 1e-4, n_alphas), **grids}


def warm_up(X, y):
    """Fit a few rows and columns with every estimator; return the seconds that this package took for it."""
    seconds = 0.0
    for ours, theirs in ESTIMATORS.values():
        for part in (X[:8], X[:, :4]):  # wide and tall data may be solved by different code
            theirs().fit(part, y[: part.shape[0]])
            seconds += _seconds(ours().fit, part, y[: part.shape[0]])
    return seconds


def _seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def relative_gap(X, y, coef, intercept, l1, l2):
    """Bound how far a fit is above the smallest possible value of its objective, from nothing but the fit.

    The objective is ``|y - X w - b|^2 / (2 n) + l1 |w|_1 + l2/2 |w|^2``. The bound is a duality gap: it holds
    whatever produced the fit. Its unit is ``var(y) / 2``, the objective of ``w = 0`` with the best intercept.

    With ``r`` the centred residual and ``v = X'r / n - l2 w``, both gaps below are sums of terms that are
    never negative, so that nothing cancels:

    - ``l1 > 0``: the dual point is ``s (r, -l2 w)``, the residual of the Lasso with the rows ``sqrt(n l2) I``
      added, scaled by the largest ``s <= 1`` that makes it feasible, ``s |v_j| <= l1``.
    - ``l1 = 0``: the dual point is ``r``, and the gap ``|v|^2 / (2 l2)``.

    An intercept that is off adds ``mean(y - X w - b)^2 / 2``.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n, p)
    y : ndarray of shape (n,)
    coef : ndarray of shape (p,)
    intercept : float
    l1, l2 : float
        Not both 0.

    Returns
    -------
    float
    """
    X = X.astype(np.float64, copy=False)
    w = np.asarray(coef, dtype=np.float64)
    n = len(y)
    residual = y - X @ w - float(intercept)
    offset = residual.mean()
    r = residual - offset
    v = X.T @ r / n - l2 * w
    gap = offset**2 / 2
    if l1 == 0:
        gap += v @ v / (2 * l2)
    else:
        s = min(1.0, l1 / max(np.abs(v).max(), np.finfo(np.float64).tiny))
        gap += (1 - s) ** 2 * (r @ r / n + l2 * (w @ w)) / 2 + np.sum(
            np.maximum(l1 * np.abs(w) - s * v * w, 0.0)
        )
    return float(gap / (np.var(y) / 2))

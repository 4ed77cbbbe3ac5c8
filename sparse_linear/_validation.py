"""Input checks: bad input gets one sentence that names the argument, what was given and what to do.

The only module that imports `sklearn.utils`, and only its public part.
"""

import contextlib
import functools
import math
import numbers
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from scipy import sparse
from sklearn import get_config
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted, check_X_y, column_or_1d, validate_data

from sparse_linear import _compiled as _kernels
from sparse_linear._design import entries_of

Method = TypeVar("Method", bound=Callable[..., Any])
FLOATS = (np.dtype(np.float64), np.dtype(np.float32))
COMPRESSED = (sparse.csc_array, sparse.csr_array, sparse.csc_matrix, sparse.csr_matrix)
NOTHING = object()  # stands for a y that is not asked for
# Entries of a Gram matrix are the same if they differ by no more than this share of the sizes of the columns.
SAME_ENTRY = 1e-4
SOLVERS = ("auto", "svd", "cholesky", "lsqr", "sparse_cg", "sag", "saga", "lbfgs")


def atomic(fit: Method) -> Method:
    """Make a method leave its object as it was if it raises."""

    @functools.wraps(fit)
    def guarded(self, *args, **kwargs):
        before = self.__dict__.copy()
        try:
            return fit(self, *args, **kwargs)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    return cast(Method, guarded)


# ---------------------------------------------------------------------------------------------
# Parameters
# ---------------------------------------------------------------------------------------------


def n_axes(value):
    """How many axes the array of some value has; -1 for lists of different lengths."""
    try:
        return np.asarray(value).ndim
    except ValueError:
        return -1


def _nearest_float(value):
    """A real number as a float; infinity for integers that are too large."""
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def check_real(value, name, *, low=None, high=None):
    """A finite real number in [low, high], as a float."""
    if type(value) is not float:  # which is asked for first: an abstract class takes its time
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
            raise TypeError(f"{name} must be a number, got {value!r}.")
        value = _nearest_float(value)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}.")
    if low is not None and value < low:
        raise ValueError(f"{name} must be at least {low}, got {value}.")
    if high is not None and value > high:
        raise ValueError(f"{name} must be at most {high}, got {value}.")
    return value


def check_reals(values, name, *, low=None, high=None):
    """A number, or a non-empty list of them, each as `check_real`; as an array."""
    if isinstance(values, (str, bytes)) or not np.iterable(values):
        return np.array([check_real(values, name, low=low, high=high)])
    entries = list(values)
    if not entries or any(np.iterable(value) and not isinstance(value, str) for value in entries):
        raise ValueError(f"{name} must be a number or a non-empty list of numbers, got {values!r:.60}.")
    return np.array([check_real(value, name, low=low, high=high) for value in entries])


def check_count(value, name):
    """A positive integer."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a positive integer, got {value!r}.")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")
    if int(value) > sys.maxsize:
        raise ValueError(f"{name} must be at most {sys.maxsize}, got {value!r:.60}.")
    return int(value)


def check_verbose(value):
    """True, False or a whole number."""
    if not isinstance(value, (numbers.Integral, np.bool_)) or int(value) < 0:
        raise ValueError(f"verbose must be True, False or a whole number, got {value!r:.60}.")


def check_flags(**flags):
    """Every value must be True or False."""
    for name, value in flags.items():
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name} must be True or False, got {value!r}.")


def check_choice(value, name, choices):
    """One of some words."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}.")
    return value


def check_vector(values, name, length, per, finite=False):
    """A float64 array of shape (length,); NaN is an error, infinity only if it must be `finite`."""
    try:
        array = np.asarray(values)
        if array.dtype.kind == "c":
            raise TypeError
        array = np.array(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must hold real numbers, got {values!r:.60}.") from None
    if array.shape != (length,):
        raise ValueError(f"{name} must have shape ({length},), one entry per {per}; got shape {array.shape}.")
    if np.isnan(array).any():
        raise ValueError(
            f"{name} contains NaN (entry {int(np.argmax(np.isnan(array)))}); give a number for it."
        )
    if finite and not np.isfinite(array).all():
        at = int(np.argmax(~np.isfinite(array)))
        raise ValueError(f"{name} must be finite, got {array[at]} for {per} {at}.")
    return array


def check_alphas(alphas, positive=False):
    """A one-dimensional array of finite alphas, in the order given: not negative, or even `positive`."""
    if n_axes(alphas) != 1 or isinstance(alphas, (str, bytes)) or len(alphas) == 0:
        raise ValueError(
            f"alphas must be a number of alphas or a non-empty list of them, got {alphas!r:.60}."
        )
    if isinstance(alphas, np.ndarray) and alphas.dtype == FLOATS[0]:
        low, high = alphas.min(), alphas.max()  # NaN if there is one
        if (low > 0.0 or (low == 0.0 and not positive)) and high < np.inf:
            return alphas.copy()
    for index, alpha in enumerate(alphas):
        if isinstance(alpha, (bool, np.bool_)) or not isinstance(alpha, numbers.Real):
            kind = type(alpha).__name__
            raise TypeError(f"alphas[{index}] must be an instance of float, not {kind}; got {alpha!r:.60}.")
        if alpha < 0.0 or (positive and alpha == 0.0):
            # scikit-learn's words
            raise ValueError(f"alphas[{index}] == {alpha}, must be {'>' if positive else '>='} 0.0.")
        if not np.isfinite(_nearest_float(alpha)):
            raise ValueError(f"alphas[{index}] must be finite, got {alpha}.")
    return np.array(alphas, dtype=np.float64)


def decreasing(alphas):
    """Checked alphas, the largest first."""
    return np.ascontiguousarray(np.sort(check_alphas(alphas))[::-1])


def check_grid(eps, l1_ratio):
    """The `eps` of an automatic grid of alphas, which is there for an l1 penalty only."""
    eps = check_real(eps, "eps", low=0.0, high=1.0)
    if eps == 0.0:
        raise ValueError("eps must be positive, got 0: it is the ratio of the smallest to the largest alpha.")
    if l1_ratio == 0.0:
        raise ValueError("There is no largest alpha for l1_ratio=0 (ridge); give the alphas yourself.")
    return eps


def check_penalty_weights(values, n_features):
    """Penalty factors in [0, inf], shape (n_features,), or None."""
    if values is None:
        return None
    array = check_vector(values, "penalty_weights", n_features, "feature")
    if (array < 0.0).any():
        at = int(np.argmax(array < 0.0))
        raise ValueError(
            f"penalty_weights must not be negative, got {array[at]:g} for feature {at}; "
            "0 leaves a feature unpenalised, infinity excludes it."
        )
    return array


def check_bounds(bounds, positive, n_features):
    """Lower and upper bounds as arrays of shape (n_features,), or as numbers if they are alike for all."""
    if bounds is None:
        return 0.0 if positive else -np.inf, np.inf
    lower, upper = np.full(n_features, -np.inf), np.full(n_features, np.inf)
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise ValueError(f"bounds must be a pair (lower, upper), got {bounds!r:.60}.") from None
    for name, given, target in (("lower", low, lower), ("upper", high, upper)):
        if given is None:
            continue
        single = n_axes(given) == 0
        some, length = ([given], 1) if single else (given, n_features)
        target[:] = check_vector(some, f"the {name} bound", length, "feature")
    crossed = lower > upper
    if crossed.any():
        at = int(np.argmax(crossed))
        raise ValueError(
            f"bounds cross for feature {at}: lower {lower[at]:g} > upper {upper[at]:g}; "
            "give lower <= 0 <= upper."
        )
    outside = (lower > 0.0) | (upper < 0.0)
    if outside.any():
        at = int(np.argmax(outside))
        raise ValueError(
            f"bounds must include 0, got ({lower[at]:g}, {upper[at]:g}) for feature {at}; "
            "shift y by the feature times its bound to fit away from 0."
        )
    if positive:
        contrary = np.isfinite(lower) & (lower < 0.0)
        if contrary.any():
            at = int(np.argmax(contrary))
            raise ValueError(
                f"positive=True contradicts the lower bound {lower[at]:g} of feature {at}; drop one of them."
            )
        lower = np.maximum(lower, 0.0)
    return lower, upper


def check_precompute(precompute, X, weights, fit_intercept):
    """True, False, "auto" or the Gram matrix of X; it makes no difference to the result.

    One entry of a Gram matrix is compared with that of X (its rows scaled by the roots of their `weights`),
    as scikit-learn does: who passes another matrix expects another answer. Where X is to be centred and is
    not, any matrix of the right shape will do, since scikit-learn computes it anew.
    """
    if isinstance(precompute, (bool, np.bool_)) or (isinstance(precompute, str) and precompute == "auto"):
        return
    n_features = X.shape[1]
    try:
        got = f"shape {np.shape(precompute)}" if np.ndim(precompute) else repr(precompute)
    except ValueError:  # rows that differ in length
        got = f"{precompute!r:.60}"
    if got != f"shape {(n_features, n_features)}":
        raise ValueError(
            f"precompute must be True, False, 'auto' or a Gram matrix of shape ({n_features}, {n_features}); "
            f"got {got}."
        )
    pair = [n_features // 2, min(n_features // 2 + 1, n_features - 1)]
    columns = X[:, pair].toarray() if sparse.issparse(X) else X[:, pair]
    columns = columns.astype(np.float64)
    share = np.ones(len(columns)) if weights is None else weights * (len(columns) / weights.sum())
    mean, size = share @ columns / len(columns), np.sqrt(share @ (columns * columns))
    if fit_intercept and (np.abs(mean) * np.sqrt(len(columns)) > SAME_ENTRY * size).any():
        return
    expected, given = share @ columns.prod(axis=1), np.asarray(precompute)[tuple(pair)]
    if not abs(given - expected) <= max(SAME_ENTRY * size.prod(), 1e-5):  # the latter as in scikit-learn
        raise ValueError(
            f"The Gram matrix passed as precompute did not pass validation: its entry {tuple(pair)} is "
            f"{given:.6g} but that of X is {expected:.6g}; give the Gram matrix of X, or precompute=False."
        )


# ---------------------------------------------------------------------------------------------
# Data
# ---------------------------------------------------------------------------------------------

_X_RULES = dict(  # noqa: C408
    accept_sparse=("csc", "csr"), accept_large_sparse=True, dtype=[np.float64, np.float32]
)


def check_training_data(estimator, X, y, single=False, reset=True):
    """X and y of a fit: X as float64/float32 ndarray or CSC/CSR container, y as it came (1-D or 2-D).

    Sets ``n_features_in_`` and ``feature_names_in_`` on `estimator`. With `single`, y must be one column;
    without `reset`, X must have the columns of the fit before.
    """
    if not reset or not _is_ready(X, y) or (single and y.ndim != 1):
        with _plain_words(X, y, type(estimator).__name__, single):
            X, y = validate_data(
                estimator, X, y, reset=reset, multi_output=not single, y_numeric=True, **_X_RULES
            )
            return canonical(X), check_target(y)
    estimator.n_features_in_ = X.shape[1]
    if hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_
    return canonical(X), y


def is_plain(X, y=None):
    """Whether X is a finite two-dimensional float array, and y too: there is nothing to convert or refuse.

    The general checks take longer than a small fit. A sum that overflows sends finite data to them, no harm
    done.
    """
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype not in FLOATS or X.size == 0:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        total = X.sum(dtype=np.float64)
        return math.isfinite(total if y is None else total + y.sum())


def _is_ready(X, y):
    """Whether X and y are finite arrays of the right kind, or X a container of them."""
    if type(y) is not np.ndarray or y.ndim not in (1, 2) or y.dtype != FLOATS[0] or y.size == 0:
        return False
    if type(X) in COMPRESSED:  # its entries are in one array, which is as finite as they are
        fits = X.shape[:1] == y.shape[:1] and X.ndim == 2 and X.shape[1] > 0
        fits &= X.dtype in FLOATS and (X.nnz == 0 or is_plain(X.data[None]))
        return fits and is_plain(y.reshape(len(y), -1))
    return isinstance(X, np.ndarray) and X.shape[:1] == y.shape[:1] and is_plain(X, y)


def check_path_data(X, y):
    """X and one column y for a function, without an estimator."""
    if _is_ready(X, y):
        return canonical(X), y
    with _plain_words(X, y, "this function"):
        X, y = check_X_y(X, y, multi_output=True, y_numeric=True, **_X_RULES)
        return canonical(X), check_target(y)


@contextlib.contextmanager
def _plain_words(X, y=NOTHING, caller="", single=False):
    """Say what scikit-learn's checks find in one sentence, with where it is and what to do."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        sentence = _complaint("X", X)
        if sentence is None and y is not NOTHING:
            sentence = _missing_y(caller) if y is None else _complaint("y", y)
        if sentence is None and y is not NOTHING and np.ndim(y) and np.shape(X)[0] != np.shape(y)[0]:
            sentence = (
                f"X and y must have the same number of rows, got inconsistent numbers {np.shape(X)[0]} and "
                f"{np.shape(y)[0]}."
            )
        if sentence is None and single and np.ndim(y) == 2 and np.shape(y)[1] > 1:
            sentence = f"y must have one column for {caller}, got shape {np.shape(y)}; fit a model to each."
        if sentence is None:
            raise
        raise ValueError(sentence) from error


def _missing_y(caller):
    return f"{caller} requires y to be passed, but the target y is None; give one value for each row of X."


def _complaint(name, given):
    """What is wrong with X or y taken alone, or None."""
    try:
        entries = given.data if sparse.issparse(given) else np.asarray(given)
    except ValueError:
        return f"{name} must be a rectangular array, but its rows differ in length; give all the same."
    if np.iscomplexobj(entries):
        return f"Complex data not supported: {name} is {entries.dtype}; give its parts as real columns."
    if name == "X" and not sparse.issparse(given) and entries.ndim != 2:
        return (
            f"X must be a 2D array, got a {entries.ndim}D array of shape {entries.shape}. Reshape your data: "
            "X.reshape(-1, 1) for one feature, X.reshape(1, -1) for one sample."
        )
    if entries.dtype.kind in "OSU":
        for at, entry in np.ndenumerate(entries):
            try:
                float(entry)
            except OverflowError:
                return _not_finite(name, given, np.array(at), "a number above 1e308")
            except TypeError:
                missing = type(entry).__name__ == "NAType"  # pandas' own
                # Of everything else the conversion says it best.
                return _not_finite(name, given, np.array(at), "NaN") if missing else None
            except ValueError:
                plain = entry.item() if isinstance(entry, np.generic) else entry
                found = f"{plain!r}{_column(given, at)}"
                return f"{name} must hold numbers, but holds {found}: encode text as numbers, or drop it."
        entries = entries.astype(np.float64)
    if entries.dtype.kind == "f" and not np.isfinite(entries).all():
        at = np.argwhere(~np.isfinite(entries))[0]
        value = "NaN" if np.isnan(entries[tuple(at)]) else "infinity (inf)"
        return _not_finite(name, given, at, value)
    return None


def _not_finite(name, given, at, value):
    where = "" if sparse.issparse(given) or not len(at) else f" at {tuple(at.tolist())}{_column(given, at)}"
    return f"Input {name} contains {value}{where}; impute it or drop its row."


def _column(given, at):
    """The name of the column of an entry, in words; of arrays, nothing."""
    names = getattr(given, "columns", None)
    return "" if names is None or len(at) != 2 else f" in column {names[at[1]]!r}"


def check_target(y):
    """Y as float64, dense."""
    if sparse.issparse(y):
        y = y.toarray()
    if y.ndim == 2 and y.shape[1] == 0:
        raise ValueError(f"y has no columns (shape {y.shape}); give at least one target.")
    return np.asarray(y, dtype=np.float64)


def without_axis(y):
    """Y, of one dimension if it has one column: with scikit-learn's warning where that takes an axis away."""
    return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y


def canonical(X):
    """A sparse X with sorted entries and no duplicates, in a copy if need be; X itself is never changed.

    Its indices are looked at: compiled code would follow them anywhere.
    """
    if not sparse.issparse(X):
        return X
    # A new container around the same arrays, so that the flags which are set stay with us.
    view = type(X)((X.data, X.indices, X.indptr), shape=X.shape, copy=False)
    if _kernels.are_increasing(entries_of(view)):
        view.has_canonical_format = True
    else:
        view = view.copy()
        view.sum_duplicates()
    minor, what = (X.shape[0], "rows") if X.format == "csc" else (X.shape[1], "columns")
    if not _kernels.are_below(entries_of(view), minor):
        raise ValueError(
            f"X is not a valid {X.format.upper()} container: it has {minor} {what}, and an index outside of "
            "these; make it again from its entries."
        )
    return view


def check_sample_weight(sample_weight, n_samples, some=True):
    """Weights as a float64 array of shape (n_samples,), or None; a number weighs every row alike.

    With `some`, one of them must be positive.
    """
    if sample_weight is None:
        return None
    if isinstance(sample_weight, numbers.Real):
        sample_weight = np.full(n_samples, _nearest_float(sample_weight))
    if n_axes(sample_weight) > 1:
        shape = np.asarray(sample_weight).shape
        raise ValueError(
            f"Sample weights must be 1D array or scalar; sample_weight has shape {shape}, "
            "give one entry per row of X."
        )
    weights = check_vector(sample_weight, "sample_weight", n_samples, "row of X", finite=True)
    if (weights < 0.0).any():
        at = int(np.argmax(weights < 0.0))
        raise ValueError(
            f"sample_weight must not be negative, got {weights[at]:g} in row {at}; 0 leaves a row out."
        )
    if some and not weights.any():
        raise ValueError("sample_weight is zero for every row; give at least one row a positive weight.")
    return weights


def sparse_rows(array):
    """A dense array as CSR: an array or a matrix, as scikit-learn (from 1.9 on) is configured."""
    container = sparse.csr_array if get_config().get("sparse_interface") == "sparray" else sparse.csr_matrix
    return container(np.atleast_2d(array))


def check_linear_model(model, caller):
    """A fitted linear model, of this package or another; not what contains one."""
    check_is_fitted(model)
    if not hasattr(model, "coef_"):
        inside = {"steps": "pipeline[-1]", "best_estimator_": "search.best_estimator_"}
        remedy = next((words for name, words in inside.items() if hasattr(model, name)), None)
        raise TypeError(
            f"{caller} takes a fitted linear model, got {type(model).__name__}, which has no coef_"
            + (f"; give the model inside, {remedy}." if remedy else "; give a model such as LassoCV.")
        )


def check_prediction_data(estimator, X):
    """X of a predict call: as at the fit."""
    named = hasattr(estimator, "feature_names_in_")
    if not named and is_plain(X) and X.shape[1] == getattr(estimator, "n_features_in_", None):
        return X
    check_is_fitted(estimator)
    with _plain_words(X):
        return validate_data(
            estimator, X, reset=False, accept_sparse=("csr", "csc", "coo"), dtype=[np.float64, np.float32]
        )


# ---------------------------------------------------------------------------------------------
# Metadata routing
# ---------------------------------------------------------------------------------------------


def check_scorer(owner, scoring):
    """The scorer of a name, or a callable, as scikit-learn makes it."""
    if not callable(scoring) and not (isinstance(scoring, str) and scoring in get_scorer_names()):
        raise ValueError(
            f"scoring must be a callable or the name of one of scikit-learn's scorers, got {scoring!r:.60}; "
            "sklearn.metrics.get_scorer_names() lists them."
        )
    return check_scoring(owner, scoring=scoring)


def make_router(owner, cv, scoring):
    """Who gets what of the metadata passed to ``owner.fit``."""
    router = MetadataRouter(owner=owner).add_self_request(owner)
    # Neither a number of folds nor splits themselves take metadata; and a generator can be read only once.
    splitter = cv if hasattr(cv, "split") else check_cv(None)
    router.add(splitter=splitter, method_mapping=MethodMapping().add(caller="fit", callee="split"))
    if scoring is not None:
        scorer = check_scorer(owner, scoring)
        router.add(scorer=scorer, method_mapping=MethodMapping().add(caller="fit", callee="score"))
    return router


def route(owner, params, sample_weight, weights):
    """What the splitter and the scorer get: ``.splitter.split`` and ``.scorer.score``, both dicts.

    Parameters
    ----------
    params : dict
        Metadata given to ``owner.fit`` beside the weights.
    sample_weight : object
        As it was given.
    weights : ndarray of shape (n,) or None
        The same, checked.
    """
    if get_config()["enable_metadata_routing"]:
        routed = process_routing(owner, "fit", sample_weight=sample_weight, **params)
        score = routed.scorer.score if "scorer" in routed else {}
        return Bunch(splitter=Bunch(split=routed.splitter.split), scorer=Bunch(score=score))
    if params:
        raise ValueError(
            f"Passing {', '.join(params)} to fit is only supported if enable_metadata_routing=True; call "
            "sklearn.set_config(enable_metadata_routing=True) first, or give the splits themselves as cv."
        )
    score = {} if weights is None else {"sample_weight": weights}
    return Bunch(splitter=Bunch(split={}), scorer=Bunch(score=score))

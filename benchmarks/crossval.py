"""Cross-validation: an adapter per library, the certificates of all its fits, and what they compare to.

An adapter is a plain function ``(problem, tol, record) -> Chosen``. It calls the library's own
cross-validation the way its users do: 5 folds, the same for all, an intercept, no standardisation, the grid
of the problem, and no early exit but the tolerance. Two kinds of problem come here:

- "cv": the estimator that chooses alpha (and l1_ratio), with one job per thread where the library has jobs;
- "grid": scikit-learn's `GridSearchCV` over the library's Lasso.

With ``record`` the coefficients of all fits of all folds are handed out, to be certified. Libraries that do
not offer them are listened to while they work; recorded runs are not timed unless they are long.
"""

import contextlib
import time
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import scipy.sparse as sp

from . import certificate
from .libraries import MANY, OURS, R_LOOP, R_START, Library, Timed, Unsupported, ask_r

N_FOLDS = 5
SEED = 0
LARGEST_GRAM = 2000  # columns up to which one X'X is timed


class Chosen(NamedTuple):
    """What a cross-validation found."""

    alpha: float
    l1_ratio: float
    mse: np.ndarray  # (n_ratios, n_alphas, n_folds), errors on the rows left out
    coef: np.ndarray  # (p,), of the fit to all rows
    fits: list | None  # of every ratio, for every fold, coefficients (p, n_alphas); only if recorded

    @property
    def nbytes(self):
        """Memory of the coefficients."""
        return self.coef.nbytes + sum(coefs.nbytes for folds in self.fits or () for coefs in folds)


def splits(n):
    """Return the folds, (train, test) row numbers: those that adelie draws, which takes no others."""
    order = np.random.RandomState(SEED).choice(n, n, replace=False)
    parts = np.array_split(order, N_FOLDS)
    return [(np.setdiff1d(order, part), np.sort(part)) for part in parts]


def _ratios(problem):
    return np.atleast_1d(problem.l1_ratio)


def _grid(problem):
    """Return how many alphas, and the smallest over the largest."""
    return problem.alphas.shape[1], float(problem.alphas[0, -1] / problem.alphas[0, 0])


def _several(problem):
    return len(_ratios(problem)) > 1


# ------------------------------------------------------------------------------------------ libraries


def sparse_linear(problem, tol, record):
    """Run this package."""
    import sparse_linear

    if problem.kind == "grid":
        return _search(sparse_linear.Lasso(tol=tol), problem, record)
    count, eps = _grid(problem)
    how = {"alphas": count, "eps": eps, "cv": splits(len(problem.y)), "n_jobs": problem.threads, "tol": tol}
    how["store_fold_coefs"] = record
    if _several(problem):
        model = sparse_linear.ElasticNetCV(l1_ratio=list(_ratios(problem)), **how)
    else:
        model = sparse_linear.LassoCV(**how)
    model.fit(problem.X, problem.y)
    fits = [list(model.fold_coefs_[:, k, 0]) for k in range(len(_ratios(problem)))] if record else None
    return _chosen(model, problem, fits)


def scikit_learn(problem, tol, record):
    """Run scikit-learn."""
    from sklearn import linear_model

    if problem.kind == "grid":
        return _search(linear_model.Lasso(tol=tol, max_iter=MANY), problem, record)
    count, eps = _grid(problem)
    # Until scikit-learn 1.6 the number of alphas had a parameter of its own.
    number = "n_alphas" if getattr(linear_model.LassoCV(), "n_alphas", None) == 100 else "alphas"
    how = {number: count, "eps": eps, "cv": splits(len(problem.y)), "n_jobs": problem.threads}
    how |= {"tol": tol, "max_iter": MANY}
    if _several(problem):
        return _recorded(linear_model.ElasticNetCV, problem, record, l1_ratio=list(_ratios(problem)), **how)
    return _recorded(linear_model.LassoCV, problem, record, **how)


def celer(problem, tol, record):
    """Run celer; its class leans on private parts of scikit-learn, and fails where these have changed."""
    import celer

    if _several(problem) or problem.kind == "grid":
        raise Unsupported("nothing to compare")
    try:
        celer.LassoCV()
    except TypeError as error:
        raise Unsupported(f"fails with this scikit-learn: {error}") from error
    count, eps = _grid(problem)
    how = {"n_alphas": count, "eps": eps, "cv": splits(len(problem.y)), "n_jobs": problem.threads}
    return _recorded(celer.LassoCV, problem, record, tol=tol, max_iter=1000, max_epochs=MANY, **how)


def _recorded(kind, problem, record, **how):
    """Fit a class in the manner of scikit-learn, whose method `path` is called once per fold and l1_ratio."""
    heard = []

    class Recording(kind):
        def path(self, X, y, **settings):
            y = y.copy()
            found = super().path(X, y, **settings)
            heard.append((y, settings.get("l1_ratio", 1.0), found[1]))
            return found

    model = (Recording if record else kind)(**how).fit(problem.X, problem.y)
    if not record:
        return _chosen(model, problem, None)
    targets = [problem.y[train] - problem.y[train].mean() for train, _ in splits(len(problem.y))]
    scale = np.abs(problem.y).max()

    def of(ratio, target):  # folds are fitted side by side: known by their (centred) targets
        for y, its_ratio, coefs in heard:
            same = its_ratio == ratio and len(y) == len(target)
            if same and np.allclose(y - y.mean(), target, rtol=0, atol=1e-8 * scale):
                return coefs
        raise RuntimeError(f"{kind.__name__} did not call its path function for some fold")

    return _chosen(model, problem, [[of(ratio, target) for target in targets] for ratio in _ratios(problem)])


def _chosen(model, problem, fits):
    mse = np.reshape(model.mse_path_, (*problem.alphas.shape, N_FOLDS))
    return Chosen(float(model.alpha_), float(getattr(model, "l1_ratio_", 1.0)), mse, model.coef_, fits)


def _search(estimator, problem, record):
    """Run scikit-learn's grid search over an estimator, by its own score; a scorer listens to the fits."""
    from sklearn.model_selection import GridSearchCV

    heard = []

    def listening(model, X, y):
        heard.append(model.coef_)
        return model.score(X, y)

    alphas, folds = problem.alphas[0], splits(len(problem.y))
    search = GridSearchCV(estimator, {"alpha": alphas}, cv=folds, scoring=listening if record else None)
    search.fit(problem.X, problem.y)
    unexplained = [1.0 - search.cv_results_[f"split{k}_test_score"] for k in range(N_FOLDS)]
    mse = [share * problem.y[test].var() for share, (_, test) in zip(unexplained, folds, strict=True)]
    fits = [[np.column_stack(heard[k::N_FOLDS]) for k in range(N_FOLDS)]] if record else None
    best = search.best_estimator_
    return Chosen(float(best.alpha), 1.0, np.transpose(mse)[None], best.coef_, fits)


def adelie(problem, tol, record):
    """Run adelie's `cv_grpnet`, and the fit to all rows that its result offers."""
    import adelie as ad

    if _several(problem) or problem.kind == "grid":
        raise Unsupported("its grid of lambdas is always that of the Lasso, and cannot be given")
    X, y, threads = problem.X, problem.y, problem.threads
    count, eps = _grid(problem)
    matrix = (ad.matrix.sparse if sp.issparse(X) else ad.matrix.dense)(X, method="naive", n_threads=threads)
    target = ad.glm.gaussian(y, dtype=X.dtype.type)
    how = {"alpha": 1.0, "tol": tol, "max_iters": MANY, "intercept": True, "adev_tol": 1.0}
    how |= {"progress_bar": False, "n_threads": threads}
    heard = []
    grpnet = ad.cv.grpnet

    def recording(*args, **settings):
        heard.append(grpnet(*args, **settings))
        return heard[-1]

    with mock.patch.object(ad.cv, "grpnet", recording) if record else contextlib.nullcontext():
        found = ad.cv_grpnet(
            matrix, target, n_folds=N_FOLDS, seed=SEED, min_ratio=eps, lmda_path_size=count, **how
        )
    fits = None
    if record:  # each fold begins with larger lambdas of its own
        fits = [[state.betas.toarray()[-count:].T for state in heard if state.betas.shape[0] >= count]]
    coef = found.fit(matrix, target, lmda_path_size=count, **how).betas.toarray()[-1]
    # Its loss is half the squared error without the constant half of y squared.
    constants = np.array([np.mean(y[test] ** 2) for _, test in splits(len(y))])
    mse = 2 * np.asarray(found.losses).T + constants
    return Chosen(float(found.lmdas[found.best_idx]), 1.0, mse[None], coef, fits)


R_CV = r"""
foldid <- integers("foldid", n)
folds <- sort(unique(foldid))
how <- list(family = "gaussian", lambda = lambda, standardize = FALSE, intercept = TRUE, maxit = 1e9)
fit <- function(thresh) {
  do.call(cv.glmnet, c(list(X, y, foldid = foldid, type.measure = "mse", keep = TRUE, thresh = thresh), how))
}
keep <- function(found, thresh, record) {
  squares <- (y - found$fit.preval)^2
  errors <- sapply(folds, function(k) colMeans(squares[foldid == k, , drop = FALSE]))
  best <- which(found$lambda == found$lambda.min)
  writeBin(as.vector(errors), file.path(folder, "errors"))
  writeBin(as.vector(found$glmnet.fit$beta[, best]), file.path(folder, "coef"))
  writeBin(as.double(best), file.path(folder, "best"))
  if (record) for (k in folds) {  # what cv.glmnet does for a fold, and does not keep
    part <- do.call(glmnet, c(list(X[foldid != k, , drop = FALSE], y[foldid != k], thresh = thresh), how))
    writeBin(as.vector(as.matrix(part$beta)), file.path(folder, paste0("fold", k)))
  }
  ncol(found$glmnet.fit$beta)
}
"""


def glmnet(problem, tol, record):
    """Run R's `cv.glmnet`, timed inside R, on y of unit deviation; see `libraries.glmnet`."""
    if _several(problem) or problem.kind == "grid":
        raise Unsupported("one alpha of its penalty at a time, and the ridge part follows y of each fold")
    n, p = problem.X.shape
    sd = problem.y.std()
    foldid = np.empty(n, np.int32)
    for k, (_, test) in enumerate(splits(n)):
        foldid[test] = k + 1
    flat = problem._replace(alphas=problem.alphas[0])
    wall, cpu, peak, folder = ask_r(problem, flat, tol, R_START + R_CV + R_LOOP, record, foldid=foldid)
    count = len(flat.alphas)
    mse = sd**2 * np.fromfile(folder / "errors").reshape(N_FOLDS, count).T
    best = int(np.fromfile(folder / "best")[0]) - 1
    fits = None
    if record:
        fits = [[sd * np.fromfile(folder / f"fold{k + 1}").reshape(count, p).T for k in range(N_FOLDS)]]
    coef = sd * np.fromfile(folder / "coef")
    return Timed(Chosen(float(flat.alphas[best]), 1.0, mse[None], coef, fits), wall, cpu, peak)


# scikit-learn at its default tolerance, and where its errors have a few correct digits.
LIBRARIES = {
    OURS: Library(sparse_linear, "sparse_linear"),
    "scikit-learn": Library(scikit_learn, "scikit-learn", ladder=(1e-4,)),
    "scikit-learn-1e-7": Library(scikit_learn, "scikit-learn", ladder=(1e-7,)),
    "celer": Library(celer, "celer"),
    "adelie": Library(adelie, "adelie", finest=20),
    "glmnet": Library(glmnet, "glmnet", remote=True, finest=20),
}


# ------------------------------------------------------------------------------------------ judging


def worst_gap(problem, chosen):
    """Return the largest relative duality gap of all fits of all folds, and of the last fit to all rows."""
    X, y, n = problem.X, problem.y, len(problem.y)
    last = certificate.relative_gap(X, y, chosen.coef[:, None], [chosen.alpha], chosen.l1_ratio)
    worst = [last]
    for ratio, alphas, folds in zip(_ratios(problem), problem.alphas, chosen.fits, strict=True):
        for (train, _), coefs in zip(splits(n), folds, strict=True):
            if coefs.shape[1] != len(alphas):
                raise RuntimeError(f"{coefs.shape[1]} of {len(alphas)} alphas were fitted in some fold")
            weights = np.bincount(train, minlength=n)
            worst.append(certificate.relative_gap(X, y, coefs, alphas, ratio, weights))
    return max(worst)


def judge(problem, chosen, library, folder):
    """Return the facts of a recorded run: gap, choice, and how far its errors are from ours.

    Ours come first, and leave their errors in the folder; without them there is no comparison.
    """
    gap = worst_gap(problem, chosen)
    facts = {"gap": gap, "alpha": chosen.alpha, "l1_ratio": chosen.l1_ratio, "mse_error": None, "same": None}
    facts["support"] = int(np.count_nonzero(chosen.coef))
    ours = Path(folder) / "mse.npz"
    if library == OURS:
        np.savez(ours, mse=chosen.mse, alpha=chosen.alpha, l1_ratio=chosen.l1_ratio)
    elif ours.exists():
        with np.load(ours) as exact:
            facts["mse_error"] = float(np.max(np.abs(chosen.mse - exact["mse"]) / exact["mse"]))
            near = np.isclose(chosen.alpha, float(exact["alpha"]), rtol=1e-6)
            facts["same"] = bool(near and chosen.l1_ratio == float(exact["l1_ratio"]))
    return facts


def costs(problem, clock="wall", repeats=5):
    """Time what our cross-validation is compared with: our single path on all rows, and one X'X.

    The path is that of the grid, once for each l1_ratio; X'X only of tall dense X with few columns.
    """
    import sparse_linear

    X, y = problem.X, problem.y
    now = time.perf_counter if clock == "wall" else time.process_time

    def path():
        for ratio, alphas in zip(_ratios(problem), problem.alphas, strict=True):
            sparse_linear.enet_path(X, y, l1_ratio=float(ratio), alphas=alphas, fit_intercept=True)

    def least(call):
        times = []
        while len(times) < repeats and sum(times) < 10:
            start = now()
            call()
            times.append(now() - start)
        return min(times)

    n, p = X.shape
    tall = not sp.issparse(X) and n > p and p <= LARGEST_GRAM
    path()
    return {"path": least(path), "gram": least(lambda: X.T @ X) if tall else None}

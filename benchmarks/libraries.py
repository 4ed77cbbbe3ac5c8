"""One small adapter per library, in a table.

An adapter is a plain function ``(problem, tol) -> coefficients``, of shape (p, n_alphas). It calls the
library the way its users do, with an intercept and without standardisation, and switches off every early exit
that is not the tolerance. What a library needs before it can start (a Gram matrix, centring, a copy) is part
of the measured call. ``problem.kind`` says which call:

- "path": all alphas, through the library's path function;
- "single": one alpha from scratch, through its estimator;
- "fit": one `fit` call of its estimator with default settings, whatever its tolerance.

Dense columns are standardised beforehand, hence centred: there, a library without an intercept in its path
function gets y minus its mean. Tolerances that are absolute in a library are made relative here, so that one
ladder suits every problem.
"""

import atexit
import contextlib
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

MANY = 10**7  # iterations: the tolerance decides, or the time limit


class Unsupported(Exception):
    """The library cannot solve this problem."""


class Timed(NamedTuple):
    """The answer of a run that happened, and was measured, in another process."""

    answer: object  # what the adapter would return
    wall: float
    cpu: float
    peak: int | None  # bytes


class Library(NamedTuple):
    """A row of the table."""

    run: Callable
    package: str  # the distribution whose version is reported
    float32: bool = True
    remote: bool = False  # the work happens in another process (R)
    finest: int = 14  # its ladder of tolerances: 1e-3, 1e-4 ... 1e-finest
    ladder: tuple = ()  # or these, whatever the gap

    def tolerances(self):
        """Return the ladder, the loosest first."""
        return self.ladder or tuple(10.0**-k for k in range(3, self.finest + 1))


# ------------------------------------------------------------------------------------------ ours


def sparse_linear(problem, tol):
    """Run this package."""
    import sparse_linear

    X, y, alphas, l1_ratio = problem.X, problem.y, problem.alphas, problem.l1_ratio
    if problem.kind == "fit":
        return sparse_linear.Lasso().fit(X, y).coef_
    if problem.kind == "single":
        return sparse_linear.ElasticNet(alphas[0], l1_ratio=l1_ratio, tol=tol).fit(X, y).coef_
    return sparse_linear.enet_path(X, y, l1_ratio=l1_ratio, alphas=alphas, fit_intercept=True, tol=tol)[1]


# ------------------------------------------------------------------------------------------ peers


def scikit_learn(problem, tol, precompute="auto"):
    """Run scikit-learn; its path function chooses the Gram matrix for tall dense data."""
    from sklearn.linear_model import ElasticNet, Lasso, enet_path

    X, y, alphas, l1_ratio = problem.X, problem.y, problem.alphas, problem.l1_ratio
    if problem.kind == "fit":
        return Lasso().fit(X, y).coef_
    if problem.kind == "single":
        return ElasticNet(alphas[0], l1_ratio=l1_ratio, tol=tol, max_iter=MANY).fit(X, y).coef_
    how = {
        "l1_ratio": l1_ratio,
        "alphas": alphas,
        "tol": tol,
        "max_iter": MANY,
        "precompute": precompute,
        "copy_X": False,
    }
    if sp.issparse(X):  # as LassoCV does it: centred in passing
        how |= {"X_offset": np.asarray(X.mean(axis=0)).ravel(), "X_scale": np.ones(X.shape[1])}
    return enet_path(X, y - y.mean(), **how)[1]


def scikit_learn_direct(problem, tol):
    """Run scikit-learn without the Gram matrix where it would use it: slower, and often more exact."""
    if problem.kind != "path" or sp.issparse(problem.X) or problem.X.shape[0] <= problem.X.shape[1]:
        raise Unsupported("the same as scikit-learn")
    return scikit_learn(problem, tol, precompute=False)


def celer(problem, tol):
    """Run celer (its CV classes fail on scikit-learn 1.9; its paths and estimators do not)."""
    import celer

    X, y, alphas, l1_ratio = problem.X, problem.y, problem.alphas, problem.l1_ratio
    if problem.kind == "fit":
        return celer.Lasso().fit(X, y).coef_
    how = {"tol": tol, "max_iter": 1000, "max_epochs": MANY}
    if problem.kind == "single":
        model = (
            celer.Lasso(alphas[0], **how)
            if l1_ratio == 1
            else celer.ElasticNet(alphas[0], l1_ratio=l1_ratio, **how)
        )
        return model.fit(X, y).coef_
    if sp.issparse(X):
        how |= {"X_offset": np.asarray(X.mean(axis=0)).ravel(), "X_scale": np.ones(X.shape[1])}
    return celer.celer_path(X, y - y.mean(), "lasso", l1_ratio=l1_ratio, alphas=alphas, prune=1, **how)[1]


def skglm(problem, tol):
    """Run skglm; its tolerance is on the violation of the optimality conditions."""
    import skglm

    X, y, alphas, l1_ratio = problem.X, problem.y, problem.alphas, problem.l1_ratio
    if problem.kind == "fit":
        return skglm.Lasso().fit(X, y).coef_
    how = {"tol": tol * _top(problem), "max_iter": 1000, "max_epochs": MANY}
    model = skglm.Lasso(alphas[0], **how) if l1_ratio == 1 else skglm.ElasticNet(alphas[0], l1_ratio, **how)
    if problem.kind == "single":
        return model.fit(X, y).coef_
    return model.path(X, y, alphas)[1][: X.shape[1]]


def adelie(problem, tol):
    """Run adelie's naive method."""
    import adelie as ad

    X, y, threads = problem.X, problem.y, problem.threads
    _no_fit(problem)
    matrix = (ad.matrix.sparse if sp.issparse(X) else ad.matrix.dense)(X, method="naive", n_threads=threads)
    how = _adelie_path(problem, tol) | {"intercept": True, "adev_tol": 1.0, "ddev_tol": 0.0}
    return _adelie_coefs(problem, ad.grpnet(matrix, ad.glm.gaussian(y, dtype=X.dtype.type), **how))


def adelie_covariance(problem, tol):
    """Run adelie's covariance method, meant for tall data: the whole Gram matrix first."""
    import adelie as ad

    X, y = problem.X, problem.y
    _no_fit(problem)
    if sp.issparse(X) or X.shape[0] <= X.shape[1]:
        raise Unsupported("only for tall dense data")
    gram = np.asfortranarray(X.T @ X / np.asarray(len(y), dtype=X.dtype))
    centred = y - y.mean()
    how = _adelie_path(problem, tol) | {"rdev_tol": 0.0}
    matrix = ad.matrix.dense(gram, method="cov", n_threads=problem.threads)
    return _adelie_coefs(
        problem, ad.gaussian_cov(matrix, np.asarray(X.T @ centred / len(y), dtype=X.dtype), **how)
    )


def _adelie_path(problem, tol):
    how = {"alpha": problem.l1_ratio, "tol": tol, "n_threads": problem.threads, "max_iters": MANY}
    return how | {
        "lmda_path": problem.alphas.astype(problem.X.dtype),
        "early_exit": False,
        "progress_bar": False,
    }


def _adelie_coefs(problem, state):
    coefs = state.betas.toarray().T if sp.issparse(state.betas) else np.asarray(state.betas).T
    if coefs.shape[1] != len(problem.alphas):
        raise RuntimeError(f"adelie stopped after {coefs.shape[1]} of {len(problem.alphas)} alphas")
    return coefs


def glum(problem, tol):
    """Run glum; its tolerance is on the gradient."""
    from glum import GeneralizedLinearRegressor

    X, y, alphas, l1_ratio = problem.X, problem.y, problem.alphas, problem.l1_ratio
    if problem.kind == "fit":
        return GeneralizedLinearRegressor(alpha=1.0, l1_ratio=1.0).fit(X, y).coef_
    how = {
        "l1_ratio": l1_ratio,
        "gradient_tol": tol * _top(problem),
        "max_iter": 1000,
        "max_inner_iter": MANY,
        "copy_X": False,
    }
    if problem.kind == "single":
        return GeneralizedLinearRegressor(alpha=alphas[0], **how).fit(X, y).coef_
    return GeneralizedLinearRegressor(alpha_search=True, alphas=alphas, **how).fit(X, y).coef_path_.T


def skein(problem, tol):
    """Run skein-glm; its tolerance is on the change of coefficients, which have the scale of y."""
    import skein_glm

    X, y, alphas, l1_ratio = problem.X, problem.y, problem.alphas, problem.l1_ratio
    if problem.kind == "fit":
        return skein_glm.ElasticNetRegressor(1.0, 1.0).fit(X, y).coef_
    how = {"tol": tol * float(y.std(dtype=np.float64)), "max_iter": MANY}
    if problem.kind == "single":
        return skein_glm.ElasticNetRegressor(alphas[0], l1_ratio, **how).fit(X, y).coef_
    return skein_glm.ElasticNetPathRegressor(l1_ratio, lambdas=alphas, **how).fit(X, y).coefs_.T


def _top(problem):
    """Return the scale of a gradient: the largest correlation with y."""
    residual = problem.y - problem.y.mean(dtype=np.float64)
    return float(np.max(np.abs(problem.X.T @ residual.astype(problem.X.dtype)))) / len(problem.y)


def _no_fit(problem):
    if problem.kind == "fit":
        raise Unsupported("no estimator with scikit-learn's defaults")


# ------------------------------------------------------------------------------------------ R

R_START = r"""
folder <- commandArgs(trailingOnly = TRUE)[1]
suppressMessages(library(glmnet))
words <- function(name) scan(file.path(folder, name), quiet = TRUE)
doubles <- function(name, count) readBin(file.path(folder, name), "double", count)
integers <- function(name, count) readBin(file.path(folder, name), "integer", count)
shape <- words("shape")
n <- shape[1]; p <- shape[2]; count <- shape[3]; mixing <- shape[4]; sparse <- shape[5] > 0
if (sparse) {
  X <- new("dgCMatrix", x = doubles("data", shape[5]), Dim = c(as.integer(n), as.integer(p)),
           i = integers("indices", shape[5]), p = integers("indptr", p + 1))
} else X <- matrix(doubles("data", n * p), n, p)
y <- doubles("y", n); lambda <- doubles("lambda", count)
glmnet.control(fdev = 0, devmax = 1)
clocks <- function() c(as.numeric(Sys.time()), sum(proc.time()[c("user.self", "sys.self")]))
peak <- function() {
  lines <- tryCatch(readLines("/proc/self/status"), error = function(e) character(0))
  field <- function(name) as.numeric(sub("\\D*(\\d+).*", "\\1", grep(name, lines, value = TRUE)))
  c(field("VmHWM"), field("VmRSS"))
}
"""
R_PATH = r"""
fit <- function(thresh) {
  glmnet(X, y, family = "gaussian", alpha = mixing, lambda = lambda, standardize = FALSE, intercept = TRUE,
         thresh = thresh, maxit = 1e9)
}
keep <- function(found, thresh, record) {
  for (part in c("x", "i", "p")) writeBin(slot(found$beta, part), file.path(folder, paste0("coefs_", part)))
  ncol(found$beta)
}
"""
R_LOOP = r"""
input <- file("stdin", "r")
while (length(line <- readLines(input, 1)) > 0) {
  asked <- as.numeric(strsplit(line, " ")[[1]])
  invisible(gc())
  tryCatch(cat("5", file = "/proc/self/clear_refs"), error = function(e) NULL)
  before <- peak()[2]
  start <- clocks()
  fitted <- suppressWarnings(fit(asked[1]))
  seconds <- clocks() - start
  used <- peak()[1] - before
  if (length(used) == 0) used <- -1
  fitted_count <- suppressWarnings(keep(fitted, asked[1], asked[2] > 0))
  cat(sprintf("%.9g %.9g %.0f %d\n", seconds[1], seconds[2], 1024 * used, fitted_count))
}
"""
_R = []  # the R process of the problem at hand: (problem, folder, process)


def glmnet(problem, tol):
    """Run R's glmnet through Rscript, timed inside R.

    glmnet scales y to unit deviation and lambda with it, but not the ridge part: y is scaled here, and
    (lambda, alpha) are chosen such that both parts of its penalty are those of the problem.
    """
    _no_fit(problem)
    wall, cpu, peak, folder = ask_r(problem, problem, tol, R_START + R_PATH + R_LOOP)
    types = {"x": np.float64, "i": np.int32, "p": np.int32}
    parts = [np.fromfile(folder / f"coefs_{part}", dtype) for part, dtype in types.items()]
    shape = problem.X.shape[1], len(problem.alphas)
    coefs = problem.y.std(dtype=np.float64) * sp.csc_matrix(tuple(parts), shape=shape).toarray()
    return Timed(coefs, wall, cpu, peak)


def ask_r(key, problem, tol, script, record=True, **more):
    """Let R run a script at one tolerance; it lives until it is asked about another problem.

    Parameters
    ----------
    key : object
        What identifies the problem.
    problem : Problem
        With alphas of shape (n_alphas,); y is handed to R with unit deviation.
    tol : float
    script : str
        `R_START`, `R_LOOP` and, between them, the functions ``fit(thresh)`` and ``keep(found, thresh,
        record)``, which writes what was found and returns how many lambdas there are.
    record : bool
        For ``keep``.
    **more : ndarray
        Further files.

    Returns
    -------
    tuple
        Wall and CPU seconds, bytes of memory (or None), the folder of the files.
    """
    if not _R or _R[0][0] is not key:
        _start_r(key, problem, script, more)
    _, folder, process = _R[0]
    process.stdin.write(f"{tol!r} {int(record)}\n")
    process.stdin.flush()
    answer = process.stdout.readline().split()
    if len(answer) != 4:
        said = process.stderr.read()[-500:]
        raise ImportError("R has no package glmnet") if "no package called" in said else RuntimeError(said)
    wall, cpu = map(float, answer[:2])
    peak, count = map(int, answer[2:])
    if count != len(problem.alphas):
        raise RuntimeError(f"glmnet stopped after {count} of {len(problem.alphas)} lambdas")
    return wall, cpu, peak if peak >= 0 else None, folder


def _start_r(key, problem, script, more):
    _stop_r()
    folder = Path(tempfile.mkdtemp(prefix="glmnet"))
    X, sd = problem.X, problem.y.std(dtype=np.float64)
    l1, l2 = problem.alphas * problem.l1_ratio / sd, problem.alphas * (1 - problem.l1_ratio)
    nnz = X.nnz if sp.issparse(X) else 0
    (folder / "shape").write_text(
        f"{X.shape[0]} {X.shape[1]} {len(l1)} {float(l1[0] / (l1[0] + l2[0]))!r} {nnz}"
    )
    if nnz:
        X.indices.astype(np.int32).tofile(folder / "indices")
        X.indptr.astype(np.int32).tofile(folder / "indptr")
    (X.data if nnz else X.ravel(order="F")).astype(np.float64).tofile(folder / "data")
    (problem.y / sd).astype(np.float64).tofile(folder / "y")
    (l1 + l2).tofile(folder / "lambda")
    for name, array in more.items():
        array.tofile(folder / name)
    (folder / "run.R").write_text(script)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    try:
        process = subprocess.Popen(["Rscript", str(folder / "run.R"), str(folder)], text=True, **pipes)
    except FileNotFoundError:
        raise ImportError("no Rscript on the path") from None
    _R.append((key, folder, process))


@atexit.register
def _stop_r():
    while _R:
        _, folder, process = _R.pop()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def _version_r():
    asked = subprocess.run(
        ["Rscript", "-e", 'cat(as.character(packageVersion("glmnet")))'], capture_output=True, text=True
    )
    return asked.stdout.strip() or "?"


# ------------------------------------------------------------------------------------------ the table

OURS = "sparse_linear"
LIBRARIES = {
    OURS: Library(sparse_linear, "sparse_linear"),
    "scikit-learn": Library(scikit_learn, "scikit-learn"),
    "scikit-learn-direct": Library(scikit_learn_direct, "scikit-learn"),
    "celer": Library(celer, "celer"),
    "skglm": Library(skglm, "skglm"),
    "adelie": Library(adelie, "adelie", finest=20),
    "adelie-covariance": Library(adelie_covariance, "adelie", finest=20),
    "glum": Library(glum, "glum"),
    "skein-glm": Library(skein, "skein-glm", float32=False),
    "glmnet": Library(glmnet, "glmnet", float32=False, remote=True, finest=20),
}


def version(library):
    """Return the version of a `Library`, or "?"."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    if library.remote:
        return _version_r()
    try:
        return installed(library.package)
    except PackageNotFoundError:
        try:
            return __import__(library.package).__version__
        except (ImportError, AttributeError):
            return "?"

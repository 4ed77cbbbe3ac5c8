"""The named problems: where X and y come from, what is done to them, and which alphas are asked for.

Dense columns are centred and scaled to unit population standard deviation (constant ones are dropped), in
Fortran order; sparse columns (CSC) are left as they are. Every problem has an intercept. Alphas fall
geometrically from the smallest one at which all coefficients are zero. A problem is a recipe (`Spec`) until
`build` makes it; `save` and `load` carry it to a fresh process.
"""

import fnmatch
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp


class Problem(NamedTuple):
    """One problem, ready for any library."""

    name: str
    # "path": all alphas; "single": one alpha, from scratch; "fit": one `fit` call, default settings;
    # "cv", "grid": choosing among alphas, see `crossval`.
    kind: str
    X: object  # ndarray (Fortran order) or scipy CSC matrix
    y: np.ndarray
    alphas: np.ndarray  # (n_alphas,); for choosing, a row for each l1_ratio
    l1_ratio: float | tuple = 1.0
    threads: int = 1


class Spec(NamedTuple):
    """A recipe of a problem."""

    name: str
    read: Callable  # () -> X, y
    kind: str = "path"
    ratio: float = 0.01  # the smallest alpha over alpha_max
    l1_ratio: float | tuple = 1.0
    dtype: str = "float64"
    tags: tuple = ()
    patience: float = 1.0  # multiplies the time limit
    n_alphas: int = 100


class Unavailable(Exception):
    """Why a problem cannot be built here, in a sentence."""


# ------------------------------------------------------------------------------------------ reading


def read_npz(path):
    """Return X and y of an NPZ file: X or a CSR matrix's data, indices, indptr, shape; the first target."""
    with np.load(path, allow_pickle=False) as stored:
        y = stored["y"].astype(np.float64)
        if "X" in stored.files:
            X = stored["X"].astype(np.float64)
        else:
            parts = stored["data"].astype(np.float64), stored["indices"], stored["indptr"]
            X = sp.csr_matrix(parts, shape=tuple(stored["shape"]))
    if y.ndim == 2:
        y = y[:, 0]
    known = np.isfinite(y)
    return (X, y) if known.all() else (X[np.flatnonzero(known)], y[known])


def read_svmlight(path):
    """Return X and y of a file in svmlight (LIBSVM) format."""
    from sklearn.datasets import load_svmlight_file

    return load_svmlight_file(str(path))


def read_openml(name):
    """Return X and y of an OpenML data set, ``name`` or ``name:version``; categories become dummies."""
    from sklearn.datasets import fetch_openml

    name, _, version = name.partition(":")
    try:
        version = int(version) if version else "active"
        frame, target = fetch_openml(name, version=version, as_frame=True, return_X_y=True)
    except Exception as error:  # no network, name, version or pandas: each with a message of its own
        raise Unavailable(
            f"OpenML's {name} could not be fetched ({type(error).__name__}: {error})"
        ) from error
    import pandas

    X = pandas.get_dummies(frame, drop_first=False).astype(np.float64).fillna(0.0).to_numpy()
    y = (
        target.astype(np.float64)
        if pandas.api.types.is_numeric_dtype(target)
        else target.astype("category").cat.codes
    )
    return X, np.asarray(y, dtype=np.float64)


def read_libsvm(name):
    """Return X and y of one of LIBSVM's data sets by its name there, through the package libsvmdata."""
    try:
        from libsvmdata import fetch_libsvm

        X, y = fetch_libsvm(name)
    except Exception as error:
        raise Unavailable(
            f"LIBSVM's {name} could not be fetched ({type(error).__name__}: {error})"
        ) from error
    return X, np.asarray(y, dtype=np.float64)


def read_sklearn(name):
    """Return X and y of a data set that comes with scikit-learn."""
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return X, np.asarray(y, dtype=np.float64)


# ------------------------------------------------------------------------------------------ changing


def expression(X, y):
    """Regress the most variable gene on the others."""
    gene = np.argmax(X.var(axis=0))
    return np.delete(X, gene, axis=1), X[:, gene].copy()


def log1p_target(X, y):
    """Replace a skewed count by its logarithm."""
    return X, np.log1p(y)


def log10_target(X, y):
    """Replace a price by its logarithm."""
    return X, np.log10(y)


def cubic(X, y):
    """Expand to all monomials of degree 1 to 3: as ill-conditioned as real designs become."""
    from sklearn.preprocessing import PolynomialFeatures

    return PolynomialFeatures(3, include_bias=False).fit_transform(X), y


def unit_rows(X, y):
    """Turn counts into log(1 + count), every row of unit length."""
    X = X.log1p()
    norms = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
    return sp.diags(1 / np.where(norms > 0, norms, 1)) @ X, y


def one_class(X, y):
    """Tell the most frequent class from the rest."""
    labels, counts = np.unique(y, return_counts=True)
    return X, (y == labels[np.argmax(counts)]).astype(np.float64)


# ------------------------------------------------------------------------------------------ simulating


def simulate_dense(n, p, support=None, rho=0.5, snr=5.0, seed=0):
    """Return Gaussian columns, neighbours correlated by rho, and y from some of them with noise."""
    rng = np.random.default_rng(seed)
    X = np.asfortranarray(rng.standard_normal((p, n)).T)
    for j in range(1, p if rho else 0):
        X[:, j] *= np.sqrt(1 - rho**2)
        X[:, j] += rho * X[:, j - 1]
    support = n // 10 if support is None else support
    w = np.zeros(p)
    w[rng.choice(p, support, replace=False)] = rng.choice([-1, 1], support) * (
        1 + np.abs(rng.standard_normal(support))
    )
    signal = X @ w
    return X, signal + signal.std() / np.sqrt(snr) * rng.standard_normal(n)


def simulate_sparse(n, p, density=None, support=100, snr=5.0, seed=0):
    """Return rows of unit length and y; columns as frequent as words (Zipf's law), or all of one density."""
    rng = np.random.default_rng(seed)
    per_row = 50 if density is None else max(int(density * p), 1)
    columns = (rng.zipf(1.3, n * per_row) - 1) % p if density is None else rng.integers(p, size=n * per_row)
    rows = np.repeat(np.arange(n), per_row)
    X = sp.csr_matrix((0.1 + np.abs(rng.standard_normal(n * per_row)), (rows, columns)), shape=(n, p))
    X, _ = unit_rows(X, None)
    w = np.zeros(p)
    w[rng.choice(max(p // 10, support), support, replace=False)] = 3 * rng.standard_normal(support)
    signal = X @ w
    return X, signal + signal.std() / np.sqrt(snr) * rng.standard_normal(n)


# ------------------------------------------------------------------------------------------ the table

FILES = {  # problem -> (file stem, change); what is not named here is taken as it is
    "golub": ("golub", expression),
    "blogfeedback": ("blogfeedback", log1p_target),
    "uci_protein_cubic": ("uci_protein", cubic),
    "imdb_unigram": ("imdb_unigram", unit_rows),
    "news20_multiclass": ("news20_multiclass", one_class),
    "ames_onehot": ("ames_onehot", log10_target),
    "prostate": ("prostate_esl", None),
}

SIMULATED = {
    "simulated_500x10000": functools.partial(simulate_dense, 500, 10_000),
    "simulated_1000x10000": functools.partial(simulate_dense, 1000, 10_000),
    "simulated_200x20000": functools.partial(simulate_dense, 200, 20_000),
    "simulated_zipf": functools.partial(simulate_sparse, 20_000, 50_000),
}

TEXTS = ("imdb_unigram", "news20_multiclass", "rcv1_small", "hflights_onehot")
DUMMIES = ("bike_onehot", "ames_onehot", "a9a", "w8a")
TABLE = [  # (source, kind, smallest alpha, more): the problems on which the package's claims rest
    ("riboflavin", "path", 0.01, {}),
    ("golub", "path", 0.01, {}),
    ("bglr_mice", "path", 0.05, {}),
    ("bglr_mice", "path", 0.01, {"patience": 5.0}),
    ("cps2012_interactions", "path", 0.001, {}),
    ("blogfeedback", "path", 0.001, {}),
    ("simulated_500x10000", "path", 0.01, {}),
    ("simulated_1000x10000", "path", 0.01, {}),
    *((name, "single", ratio, {}) for name in ("riboflavin", "golub", "bglr_mice") for ratio in (0.05, 0.01)),
    *((name, kind, 0.05, {}) for name in TEXTS for kind in ("single", "path")),
    *((name, "path", 0.001, {}) for name in DUMMIES),
    ("diabetes", "fit", None, {}),
    ("prostate", "fit", None, {}),
    ("uci_protein_cubic", "path", 0.001, {}),
    *(
        (name, "path", ratio, {"l1_ratio": l1_ratio})
        for name, ratio in (
            ("riboflavin", 0.01),
            ("golub", 0.01),
            ("cps2012_interactions", 0.001),
            ("simulated_500x10000", 0.01),
            ("a9a", 0.001),
        )
        for l1_ratio in (0.5, 0.95)
    ),
    *(
        (name, kind, ratio, {"dtype": "float32"})
        for name, kind, ratio in (
            ("riboflavin", "path", 0.01),
            ("cps2012_interactions", "path", 0.001),
            ("simulated_500x10000", "path", 0.01),
            ("bglr_mice", "single", 0.05),
            ("a9a", "path", 0.001),
            ("news20_multiclass", "path", 0.05),
        )
    ),
]
MORE = [  # no file needed, and not in the table
    ("simulated_200x20000", "path", 0.01, {}),
    ("simulated_zipf", "single", 0.05, {}),
    ("simulated_zipf", "path", 0.05, {}),
    ("diabetes", "path", 0.001, {}),
    ("breast_cancer", "path", 0.001, {}),
]
RATIOS = (0.1, 0.5, 0.7, 0.9, 0.95, 0.99, 1.0)  # scikit-learn's advice for ElasticNetCV
CHOOSING = [  # for `python -m benchmarks cv`
    ("riboflavin", "cv", 0.01, {}),
    ("golub", "cv", 0.01, {}),
    ("bglr_mice", "cv", 0.05, {"patience": 10.0}),
    ("cps2012_interactions", "cv", 0.001, {}),
    ("blogfeedback", "cv", 0.001, {}),
    ("imdb_unigram", "cv", 0.05, {}),
    ("diabetes", "cv", 0.001, {}),
    ("riboflavin", "cv", 0.01, {"l1_ratio": RATIOS, "patience": 3.0}),
    ("cps2012_interactions", "cv", 0.001, {"l1_ratio": RATIOS, "patience": 3.0}),
    ("diabetes", "grid", 0.001, {"n_alphas": 50}),
    ("riboflavin", "grid", 0.01, {"n_alphas": 50}),
]
CHOICES = ("cv", "grid")  # kinds of problem
FROM_SKLEARN = ("diabetes", "breast_cancer")


def specs(folder=None, openml=(), libsvm=()):
    """Return the recipes of all problems by name; those whose file is missing say so when built.

    Parameters
    ----------
    folder : path, optional
        A folder of NPZ and svmlight files. What the table does not know is tagged ``other``.
    openml, libsvm : sequence of str
        Names of data sets to fetch.
    """
    found = {}
    if folder is not None:
        if not Path(folder).is_dir():
            raise SystemExit(f"--data: {folder} is no folder; name one that holds .npz or .svm files")
        found = {path.stem.split(".")[0]: path for path in sorted(Path(folder).iterdir()) if _reader(path)}
    recipes = {}

    def add(source, kind, ratio, tag, read, **more):
        recipe = Spec(
            _name(source, kind, ratio, **more), read, kind, ratio or 1.0, tags=(tag, source), **more
        )
        recipes[recipe.name] = recipe

    for rows, tag in ((TABLE, "table"), (MORE, "more"), (CHOOSING, "cv")):
        for source, kind, ratio, more in rows:
            add(source, kind, ratio, tag, _reader_of(source, found), **more)
    used = {FILES.get(source, (source,))[0] for source, *_ in TABLE}
    for stem, path in found.items():
        if stem not in used:
            add(stem, "path", None, "other", functools.partial(_reader(path), path))
    for name in openml:
        add(name.replace(":", "_"), "path", None, "openml", functools.partial(read_openml, name))
    for name in libsvm:
        source = f"{name}_libsvm" if name in openml else name
        add(source, "path", None, "libsvm", functools.partial(read_libsvm, name))
    return recipes


def choose(recipes, patterns):
    """Return the recipes whose name, or one of whose tags, matches one of the patterns."""
    return [
        recipe
        for recipe in recipes.values()
        if any(fnmatch.fnmatch(word, pattern) for word in (recipe.name, *recipe.tags) for pattern in patterns)
    ]


def _name(source, kind, ratio, l1_ratio=1.0, dtype="float64", **_):
    size = {
        "path": "" if ratio is None else f"path{ratio:g}",
        "single": f"single{ratio or 1:g}",
        "fit": "fit",
        "cv": f"cv{ratio:g}" if ratio else "cv",
        "grid": f"grid{ratio:g}" if ratio else "grid",
    }[kind]
    parts = (
        source,
        size or "path",
        ""
        if l1_ratio == 1
        else f"enet{len(l1_ratio)}"
        if isinstance(l1_ratio, tuple)
        else f"enet{l1_ratio:g}",
        "" if dtype == "float64" else dtype,
    )
    return "-".join(part for part in parts if part)


def _reader(path):
    if path.suffix == ".npz":
        return read_npz
    return read_svmlight if {".svm", ".svmlight", ".libsvm"} & set(path.suffixes) else None


def _reader_of(source, found):
    if source in SIMULATED:
        return SIMULATED[source]
    if source in FROM_SKLEARN:
        return functools.partial(read_sklearn, source)
    stem, change = FILES.get(source, (source, None))
    return functools.partial(_read_file, stem, found.get(stem), change)


def _read_file(stem, path, change):
    if path is None:
        raise Unavailable(f"no file {stem}.npz (or .svm): name its folder with --data")
    X, y = _reader(path)(path)
    return (X, y) if change is None else change(X, y)


# ------------------------------------------------------------------------------------------ building


def build(spec):
    """Make the problem of a recipe."""
    X, y = spec.read()
    if sp.issparse(X):
        X = sp.csc_matrix(X, dtype=np.float64)
        X.sum_duplicates()
        X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    elif spec.kind == "fit":
        X = np.asfortranarray(X)
    else:
        X = standardise(X)
    X, y = X.astype(spec.dtype), np.ascontiguousarray(y, dtype=spec.dtype)
    if spec.kind == "fit":
        alphas = np.ones(1)  # scikit-learn's default
    elif spec.kind in CHOICES:
        tops = [alpha_max(X, y, l1_ratio) for l1_ratio in np.atleast_1d(spec.l1_ratio)]
        alphas = np.outer(tops, np.geomspace(1, spec.ratio, spec.n_alphas))
    else:
        top = alpha_max(X, y, spec.l1_ratio)
        ratio = spec.ratio if spec.ratio < 1 else (0.05 if sp.issparse(X) else 0.01)
        alphas = top * (np.geomspace(1, ratio, spec.n_alphas) if spec.kind == "path" else np.array([ratio]))
    return Problem(spec.name, spec.kind, X, y, alphas, spec.l1_ratio)


def standardise(X):
    """Return the columns that vary, centred, of unit population standard deviation, in Fortran order."""
    X = np.array(X, dtype=np.float64, order="F")
    size = np.abs(X).max(axis=0, initial=0)
    X -= X.mean(axis=0)
    X -= X.mean(axis=0)  # what rounding left of the mean
    sd = np.sqrt(np.einsum("ij,ij->j", X, X) / len(X))
    varies = sd > 1e-13 * size
    return np.asfortranarray(X[:, varies] / sd[varies] if not varies.all() else X / sd)


def alpha_max(X, y, l1_ratio=1.0):
    """Return the smallest alpha at which all coefficients are zero."""
    residual = y.astype(np.float64) - np.mean(y, dtype=np.float64)
    residual -= residual.mean()
    wide = X if X.dtype == np.float64 else X.astype(np.float64)
    return np.max(np.abs(wide.T @ residual)) / len(y) / l1_ratio


def miniature(problem):
    """Return a small random problem of the same kind, storage, type and orientation, to warm a library up."""
    # Wide enough for libraries that treat small problems in a way of their own.
    n, p = (60, 20) if problem.X.shape[0] > problem.X.shape[1] else (30, 300)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    if sp.issparse(problem.X):
        X = sp.csc_matrix(np.where(rng.random((n, p)) < 0.3, X, 0.0), dtype=problem.X.dtype)
        X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    else:
        X = standardise(X).astype(problem.X.dtype)
    y = np.asarray(X @ np.arange(p) + 10 * rng.standard_normal(n)).astype(problem.y.dtype)
    if problem.kind == "fit":
        return problem._replace(X=X, y=y)
    if problem.kind in CHOICES:
        tops = [alpha_max(X, y, l1_ratio) for l1_ratio in np.atleast_1d(problem.l1_ratio)]
        return problem._replace(X=X, y=y, alphas=np.outer(tops, np.geomspace(1, 0.1, 10)))
    alphas = alpha_max(X, y, problem.l1_ratio) * np.geomspace(1, 0.1, len(problem.alphas) + 1)[1:]
    return problem._replace(X=X, y=y, alphas=alphas)


# ------------------------------------------------------------------------------------------ carrying


def save(problem, folder):
    """Write a problem into a folder, for `load`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    X = problem.X
    arrays = {"data": X.data, "indices": X.indices, "indptr": X.indptr} if sp.issparse(X) else {"X": X}
    arrays |= {"y": problem.y, "alphas": problem.alphas}
    for key, value in arrays.items():
        np.save(folder / f"{key}.npy", value)
    words = [problem.name, problem.kind, json.dumps(problem.l1_ratio), *map(str, X.shape)]
    (folder / "problem.txt").write_text("\n".join(words), encoding="utf-8")


def load(folder, threads=1):
    """Read a problem that `save` wrote."""
    folder = Path(folder)
    name, kind, l1_ratio, n, p = (folder / "problem.txt").read_text(encoding="utf-8").split("\n")
    arrays = {path.stem: np.load(path, allow_pickle=False) for path in folder.glob("*.npy")}
    if "X" in arrays:
        X = arrays["X"]
    else:
        X = sp.csc_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(int(n), int(p)))
        X.has_sorted_indices = X.has_canonical_format = True
    l1_ratio = json.loads(l1_ratio)
    l1_ratio = tuple(l1_ratio) if isinstance(l1_ratio, list) else l1_ratio
    return Problem(name, kind, X, arrays["y"], arrays["alphas"], l1_ratio, threads)

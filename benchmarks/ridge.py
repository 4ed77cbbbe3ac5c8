"""Ridge: one fit, leave-one-out, five folds and many targets, ours against scikit-learn and himalaya.

Every library answers every problem in a fresh process with a fixed number of threads, after a warm-up on a
few rows. What is shown is the least time of several runs and how far the answer is from ours: the largest
difference of a coefficient over the largest coefficient, and whether the same alphas were chosen. The floor
is one Gram product of the smaller side, ``X'X`` or ``XX'``.
"""

import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from . import measure, problems, report

ALPHAS = np.geomspace(1e-1, 1e5, 30)
REPEATS = 5
ENOUGH = 3.0  # seconds: no more repeats once they add up to this


class Spec(NamedTuple):
    """A problem: data, and what is asked of them."""

    read: Callable  # () -> X, y
    task: (
        str  # "fit": one alpha; "loo", "cv5": an alpha of thirty; "targets": one for each target, five folds
    )


class Library(NamedTuple):
    """A row of the table."""

    module: str
    solve: Callable  # X, y, task -> a fitted model


def simulate(n, p, targets=0, seed=0):
    """Return Gaussian columns, and targets that all of them explain in part."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    Y = X @ rng.standard_normal((p, max(targets, 1))) / np.sqrt(p) + rng.standard_normal((n, max(targets, 1)))
    return X, Y if targets else Y[:, 0]


def _every_target(path):
    """X and all targets of an NPZ file."""
    X, y = problems.read_npz(path)
    with np.load(path, allow_pickle=False) as stored:
        return X, stored["y"].astype(np.float64) if len(stored["y"]) == len(y) else y


FILES = {
    "blogfeedback": (problems.read_npz, problems.log1p_target),
    "cps2012_interactions": (problems.read_npz, None),
    "bglr_mice": (problems.read_npz, None),
    "meats_tecator": (_every_target, None),
    "growth_barro_lee": (problems.read_npz, None),
    "rcv1_small": (problems.read_npz, None),
    "imdb_unigram": (problems.read_npz, problems.unit_rows),
    "hflights_onehot": (problems.read_npz, None),
}
SPARSE = ("rcv1_small", "imdb_unigram", "hflights_onehot")
SIZES = {"20000x500": (20_000, 500), "500x10000": (500, 10_000), "100000x100": (100_000, 100)}


def specs(folder=None):
    """Return all problems by name; those whose file is missing are left out."""
    found = {
        f"{size}-{task}": Spec(functools.partial(simulate, *shape), task)
        for size, shape in SIZES.items()
        for task in ("fit", "loo", "cv5")
    }
    found["5000x500x100-targets"] = Spec(functools.partial(simulate, 5000, 500, 100), "targets")
    for task in ("fit", "loo", "cv5"):
        found[f"diabetes-{task}"] = Spec(functools.partial(problems.read_sklearn, "diabetes"), task)
    for name, (read, change) in FILES.items():
        path = None if folder is None else Path(folder) / f"{name}.npz"
        if path is None or not path.exists():
            continue
        for task in ("fit",) if name in SPARSE else ("fit", "loo", "cv5"):
            found[f"{name}-{task}"] = Spec(functools.partial(_read, read, path, change), task)
    return found


def _read(read, path, change):
    X, y = read(path)
    X, y = (X, y) if change is None else change(X, y)
    return (sp.csc_matrix(X) if sp.issparse(X) else X), y


def _ours(X, y, task):
    from sparse_linear import Ridge, RidgeCV

    if task == "fit":
        return Ridge(alpha=1.0).fit(X, y)
    return RidgeCV(ALPHAS, cv=None if task == "loo" else 5, alpha_per_target=task == "targets").fit(X, y)


def _scikit_learn(solver, tol, X, y, task):
    from sklearn.linear_model import Ridge, RidgeCV

    if task == "fit":
        return Ridge(alpha=1.0, solver=solver, tol=tol).fit(X, y)
    if solver != "auto":
        raise NotImplementedError("its RidgeCV chooses the solver")
    if task != "targets":
        return RidgeCV(ALPHAS, cv=None if task == "loo" else 5).fit(X, y)
    models = [RidgeCV(ALPHAS, cv=5).fit(X, target) for target in y.T]  # it has no alpha per target with folds
    models[0].alpha_ = np.array([model.alpha_ for model in models])
    models[0].coef_ = np.array([model.coef_ for model in models])
    return models[0]


def _himalaya(X, y, task):
    from himalaya.ridge import Ridge, RidgeCV
    from sklearn.model_selection import KFold

    if sp.issparse(X) or task == "loo":
        raise NotImplementedError("neither sparse X nor leave-one-out without n fits")
    targets = y.reshape(len(y), -1)
    if task == "fit":
        model = Ridge(alpha=1.0, fit_intercept=True).fit(X, targets)
    else:
        model = RidgeCV(ALPHAS, fit_intercept=True, cv=KFold(5)).fit(X, targets)
        model.alpha_ = np.asarray(model.best_alphas_)
    model.coef_ = np.asarray(model.coef_).T
    return model


OURS = "sparse_linear"
LIBRARIES = {
    OURS: Library("sparse_linear", _ours),
    **{
        f"scikit-learn {solver}": Library("sklearn", functools.partial(_scikit_learn, solver, 1e-10))
        for solver in ("auto", "svd", "cholesky", "lsqr", "sparse_cg")
    },
    "himalaya": Library("himalaya", _himalaya),
}


def run(chosen, libraries, settings):
    """Measure all libraries on the chosen problems; prints a table of each and returns them.

    Parameters
    ----------
    chosen : dict of Spec
    libraries : list of str
    settings : callable
        Maps a library to the settings of `measure.measure`; of these, threads, limit, python and clock are
        used.
    """
    tables = {}
    for name, spec in chosen.items():
        X, y = spec.read()
        rows, answers = [], {}
        with tempfile.TemporaryDirectory(prefix="benchmarks") as folder:
            _save(X, y, Path(folder))
            for library in libraries:
                found = _start(folder, library, spec.task, **settings(library))
                if "seconds" in found:
                    with np.load(Path(folder) / "answer.npz") as answer:
                        answers[library] = {key: answer[key] for key in answer.files}
                rows.append({"library": library} | found)
            floor = _start(folder, None, spec.task, **settings(OURS)).get("seconds")
        own = answers.get(OURS)
        for row in rows:
            if row["library"] in answers and own is not None:
                row |= _compare(answers[row["library"]], own)
        tables[name] = {"shape": list(X.shape), "task": spec.task, "floor": floor, "rows": rows}
        print(_block(name, tables[name]) + "\n", flush=True)
    return tables


def _compare(answer, own):
    coef, ours = np.ravel(answer["coef"]), np.ravel(own["coef"])
    same = np.shape(answer["alpha"]) == () or np.array_equal(
        np.ravel(answer["alpha"]), np.ravel(own["alpha"])
    )
    return {"apart": float(np.abs(coef - ours).max() / np.abs(ours).max()), "same_alpha": bool(same)}


def _block(name, table):
    n, p = table["shape"]
    floor = "" if table["floor"] is None else f"; one Gram product {report.seconds(table['floor'])}"
    lines = [f"{name}: {n} x {p}{floor}"]
    own = next((row.get("seconds") for row in table["rows"] if row["library"] == OURS), None)
    for row in sorted(table["rows"], key=lambda row: row.get("seconds", np.inf)):
        if "seconds" not in row:
            lines.append(f"  {row['library']:<24}{'-':>12}  {row['note']}")
            continue
        ratio = "" if own is None else f"{row['seconds'] / own:.2f} x"
        apart = f"{row['apart']:.0e}" if "apart" in row else ""
        memory = "" if row["peak"] is None else f"{row['peak'] / 2**20:.1f} MB"
        choice = "" if row.get("same_alpha", True) else "another alpha"
        seconds = report.seconds(row["seconds"])
        lines.append(f"  {row['library']:<24}{seconds:>12}{ratio:>12}{apart:>8}{memory:>12}  {choice}")
    return "\n".join(line.rstrip() for line in lines)


def _save(X, y, folder):
    arrays = {"data": X.data, "indices": X.indices, "indptr": X.indptr} if sp.issparse(X) else {"X": X}
    for key, value in (arrays | {"y": y, "shape": np.array(X.shape)}).items():
        np.save(folder / f"{key}.npy", value)


def _load(folder):
    parts = {path.stem: np.load(path) for path in Path(folder).glob("*.npy")}
    if "X" in parts:
        return parts["X"], parts["y"]
    entries = parts["data"], parts["indices"], parts["indptr"]
    return sp.csc_matrix(entries, shape=tuple(parts["shape"])), parts["y"]


def _start(folder, library, task, threads=1, limit=60.0, python=sys.executable, clock="wall", **_):
    """Run one library in a process of its own; returns its report, or a note on why there is none."""
    job = json.dumps({"folder": str(folder), "library": library, "task": task, "clock": clock})
    variables = dict.fromkeys(measure.THREAD_VARIABLES, str(threads))
    paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | variables | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [python, "-m", "benchmarks.ridge", job]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=limit + 30.0, check=False
        )
    except subprocess.TimeoutExpired:
        return {"note": f"stopped after {limit:g} s"}
    if done.returncode:
        return {"note": done.stderr.strip().rpartition("\n")[2][:200]}
    return json.loads(done.stdout.strip().rpartition("\n")[2])


def _work(job):
    """Do one job in this process, and print the report."""
    X, y = _load(job["folder"])
    clock = time.process_time if job["clock"] == "cpu" else time.perf_counter
    if job["library"] is None:
        product = (lambda: X.T @ X) if X.shape[0] >= X.shape[1] else (lambda: X @ X.T)
        print(json.dumps({"seconds": None if sp.issparse(X) else measure._least(product, REPEATS, clock)}))
        return
    library = LIBRARIES[job["library"]]
    warnings.simplefilter("ignore")
    try:
        importlib.import_module(library.module)
        library.solve(X[:60], y[:60], job["task"])
        times, peak = [], None
        while len(times) < REPEATS and sum(times) < ENOUGH:
            measure._return_freed_memory()
            measure._reset_peak()
            before = measure._memory("VmRSS")
            start = clock()
            model = library.solve(X, y, job["task"])
            times.append(clock() - start)
            if before is not None:
                used = max(measure._memory("VmHWM") - before, 0)
                peak = used if peak is None else min(peak, used)
    except (ImportError, NotImplementedError, ValueError) as reason:
        print(json.dumps({"note": str(reason)[:200]}))
        return
    alpha = getattr(model, "alpha_", np.zeros(()))
    np.savez(Path(job["folder"]) / "answer.npz", coef=np.asarray(model.coef_), alpha=np.asarray(alpha))
    print(json.dumps({"seconds": min(times), "peak": peak}))


if __name__ == "__main__":
    _work(json.loads(sys.argv[1]))

"""Data larger than memory: `LassoCV` and `RidgeCV`, five folds each, in one pass and a hard limit of memory.

A child process may not allocate more than the limit (RLIMIT_DATA: heap, private maps and stacks, touched or
not; the pages of files, which the kernel drops when it needs them, are no allocations). It begins with asking
for all of X, which must be refused if X is larger. Then it goes through the rows several times, in turn to
produce them, to multiply each block of X with itself and with y (the floor), and to reduce them to the
`Moments` of five folds; on these, cross-validation takes no time to speak of. The least time of each counts.
The rows come out of a pool of random blocks, each a sum of two that begin elsewhere every time, or from files
that are mapped into memory.

On a prefix, the answers are compared with those of the same classes to the rows in memory, and all fits of
the path certified. scikit-learn's `SGDRegressor.partial_fit` sees the same stream once, with the alpha that
cross-validation has found and columns as it likes them, centred and of unit variance. Its error: how far the
coefficients are from the exact ones, in the Euclidean norm over theirs, and the objective above the minimum,
over the minimum.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import certificate, measure, report

WIDTH = 128  # columns
HEIGHT = 1 << 14  # rows of a block: 16 MB
FOLDS = 5
ALPHAS = np.geomspace(1e-1, 1e6, 30)  # of RidgeCV
CLOCKS = ("wall", "cpu")
GB = 10**9
PREFIX = 200_000  # rows on which answers are compared


class Pool(NamedTuple):
    """What a stream of any length is made of; two processes make the same."""

    X: np.ndarray  # (2, 2 HEIGHT, WIDTH) rows of correlated columns; two of them add up to unit variance
    noise: np.ndarray  # (2 HEIGHT,)
    coef: np.ndarray  # (WIDTH,)

    @classmethod
    def make(cls):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((2, 2 * HEIGHT, WIDTH))
        for column in range(1, WIDTH):
            X[..., column] = 0.5 * X[..., column - 1] + np.sqrt(0.75) * X[..., column]
        X /= np.sqrt(2.0)
        coef = np.zeros(WIDTH)
        coef[::13] = np.geomspace(1.0, 0.01, len(coef[::13]))
        return cls(X, rng.standard_normal(2 * HEIGHT), coef)

    def blocks(self, rows):
        """Blocks (X, y) of a stream; no pair of rows is added up twice in 2e8 rows."""
        for number, top in enumerate(range(0, rows, HEIGHT)):
            height = min(HEIGHT, rows - top)
            first, second, third = (
                slice(start, start + height)
                for start in (37 * number % HEIGHT, (100 * number + 13) % HEIGHT, 53 * number % HEIGHT)
            )
            X = self.X[0, first] + self.X[1, second]
            yield X, X @ self.coef + self.noise[third]


def mapped_blocks(folder):
    """Blocks (X, y) of files that are mapped into memory."""
    X, y = (np.load(Path(folder) / f"{name}.npy", mmap_mode="r") for name in "Xy")
    for top in range(0, len(y), HEIGHT):
        yield X[top : top + HEIGHT], y[top : top + HEIGHT]


def write(rows, folder):
    """Write the rows of a stream to files, a block at a time."""
    shapes = {"X": (rows, WIDTH), "y": (rows,)}
    files = [open(Path(folder) / f"{name}.npy", "wb") for name in shapes]  # noqa: SIM115
    try:
        for file, shape in zip(files, shapes.values(), strict=True):
            header = {"descr": "<f8", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        for block in Pool.make().blocks(rows):
            for file, part in zip(files, block, strict=True):
                part.tofile(file)
    finally:
        for file in files:
            file.close()


# ------------------------------------------------------------------------------------------ the parent


def run(rows, limit, mapped, threads=1, repeats=3, clock="wall"):
    """Measure in a process of its own, and print the report.

    Parameters
    ----------
    rows : int
    limit : float
        GB (1e9 bytes) that the process may allocate.
    mapped : bool
        Whether the rows are written to a temporary folder and mapped into memory.
    threads, repeats : int
    clock : {"wall", "cpu"}
        Which time is shown.

    Returns
    -------
    dict
        Sizes in bytes, times in seconds by each clock; only "note" if it cannot be done.
    """
    with tempfile.TemporaryDirectory(prefix="benchmarks") as folder:
        size = 8 * rows * (WIDTH + 1)
        if mapped and shutil.disk_usage(folder).free < 1.1 * size:
            found = {"note": f"{size / GB:.1f} GB do not fit into {tempfile.gettempdir()}"}
        else:
            if mapped:
                write(rows, folder)
            found = _start(rows, int(limit * GB), folder if mapped else None, threads, repeats)
    print(block(found, clock) + "\n", flush=True)
    return found


def _start(rows, limit, folder, threads, repeats):
    job = json.dumps({"rows": rows, "limit": limit, "folder": folder, "repeats": repeats})
    paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | dict.fromkeys(measure.THREAD_VARIABLES, str(threads))
    environment |= {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.stream", job],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"note": done.stderr.strip().rpartition("\n")[2][:200]}
    return {"threads": threads} | json.loads(done.stdout.strip().rpartition("\n")[2])


def block(found, clock="wall"):
    """The report as text, with times by one clock."""
    if "note" in found:
        return f"stream: skipped, {found['note']}"

    def seconds(times):
        return report.seconds(times[CLOCKS.index(clock)])

    times = found["times"]
    ours = sum(times[key][CLOCKS.index(clock)] for key in ("moments", "LassoCV", "RidgeCV"))
    ratio = ours / times["floor"][CLOCKS.index(clock)]
    size = 8 * found["rows"] * WIDTH
    refused = "refused" if found["refused"] else "granted"
    exact = found["exact"]
    source, clocked = ("files mapped into memory", "read") if found["mapped"] else ("generated", "generated")
    passed = "time that passed" if clock == "wall" else "time of the processor"
    errors = "; ".join(
        f"{name} coefficients {exact[f'{name} coef']:.0e}, errors {exact[f'{name} mse']:.0e}"
        for name in ("LassoCV", "RidgeCV")
    )
    alphas = "the same alphas" if exact["same_alphas"] else "other alphas"
    shown = {name: seconds(taken) for name, taken in times.items()}
    lines = [
        (
            f"stream: {found['rows']} x {WIDTH} float64 = {size / GB:.2f} GB, {source}; {passed}, "
            f"threads: {found['threads']}"
        ),
        (
            f"  memory: limit {found['limit'] / GB:.2f} GB (all of X at once: {refused}); most in use "
            f"{found['private'] / GB:.2f} GB, with pages of files {found['resident'] / GB:.2f} GB"
        ),
        f"  rows: {clocked} in {shown['rows']}, and multiplied (the floor) in {shown['floor']}",
        (
            f"  ours: moments of {FOLDS} folds {shown['moments']}, LassoCV {shown['LassoCV']}, "
            f"RidgeCV {shown['RidgeCV']}: {ratio:.2f} x the floor"
        ),
        (
            f"  the first {exact['rows']} rows against the answers in memory, largest relative difference: "
            f"{errors}; {alphas}; worst certified gap of the path {exact['gap']:.0e}"
        ),
    ]
    for name, row in found["sgd"].items():
        lines.append(
            f"  {name:<28}{seconds(row['seconds']):>8}  coefficients off by {row['coef']:.0e}, "
            f"objective {row['objective']:.0e} above the minimum"
        )
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------ the child


class _Watched:
    """A stream that can be gone through again and again, and the most memory seen on the way."""

    def __init__(self, make):
        self.make, self.private = make, 0

    def __iter__(self):
        for part in self.make():
            self.private = max(self.private, measure._memory("RssAnon"))
            yield part


def _work(job):
    """Do one job in this process, and print its report."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (job["limit"], job["limit"]))
    rows, mapped = job["rows"], job["folder"] is not None
    try:
        np.empty((rows, WIDTH))
        refused = False
    except MemoryError:
        refused = True
    pool = None if mapped else Pool.make()

    stream = _Watched(lambda: mapped_blocks(job["folder"]) if mapped else pool.blocks(rows))
    _ours([next(iter(stream))])
    times = {}
    for _ in range(job["repeats"]):
        found, models = _passes(stream)
        times = {key: np.minimum(taken, times.get(key, taken)) for key, taken in found.items()}
    facts = {
        "rows": rows,
        "limit": job["limit"],
        "mapped": mapped,
        "refused": refused,
        "times": {key: taken.tolist() for key, taken in times.items()},
        "private": stream.private,
        "resident": measure._memory("VmHWM"),
        "exact": _compare(stream, min(rows, PREFIX)),
        "sgd": _descend(stream, *models),
    }
    print(json.dumps(facts))


def _now():
    """Seconds by each of the `CLOCKS`."""
    return np.array([time.perf_counter(), time.process_time()])


def _passes(stream):
    """Seconds of each pass over the rows, and what ours found."""
    start = _now()
    for X, y in stream:
        np.add.reduce(X[:, 0])  # of mapped rows, this and the next line read what lies in each page
        np.add.reduce(y)
    rows = _now()
    xx, xy = np.zeros((WIDTH, WIDTH)), np.zeros(WIDTH)
    for X, y in stream:
        xx += X.T @ X
        xy += X.T @ y
    floor = _now()
    folds, models, marks = _ours(stream)
    taken = np.diff([floor, *marks], axis=0)
    times = dict(zip(("moments", "LassoCV", "RidgeCV"), taken, strict=True))
    return {"rows": rows - start, "floor": floor - rows} | times, (folds, models[0])


def _ours(stream):
    """Moments of the folds, models, and when each was there."""
    from sparse_linear import LassoCV, Moments, RidgeCV

    folds = Moments.by_fold(stream, FOLDS)
    marks = [_now()]
    models = []
    for model in (LassoCV(), RidgeCV(ALPHAS)):
        models.append(model.fit_moments(folds))
        marks.append(_now())
    return folds, models, marks


def _compare(stream, rows):
    """Answers to the first rows, from blocks and from memory."""
    from sklearn.model_selection import PredefinedSplit

    X, y, blocks = np.empty((rows, WIDTH)), np.empty(rows), []
    top = 0
    for part_x, part_y in stream:
        some = slice(top, min(top + len(part_y), rows))
        X[some], y[some] = part_x[: rows - top], part_y[: rows - top]
        blocks.append((X[some], y[some]))
        top = some.stop
        if top == rows:
            break
    _, models, _ = _ours(blocks)
    facts = {"rows": rows, "same_alphas": True}
    for ours in models:
        name = type(ours).__name__
        whole = type(ours)(alphas=ours.alphas, cv=PredefinedSplit(np.arange(rows) % FOLDS)).fit(X, y)
        facts[f"{name} coef"] = float(np.abs(ours.coef_ - whole.coef_).max() / np.abs(whole.coef_).max())
        facts[f"{name} mse"] = float(np.max(np.abs(ours.mse_path_ / whole.mse_path_ - 1.0)))
        facts["same_alphas"] &= bool(np.isclose(ours.alpha_, whole.alpha_, rtol=1e-9))
    lasso = models[0]
    facts["gap"] = certificate.relative_gap(X, y, lasso.coef_path_, lasso.alphas_)
    return facts


def _descend(stream, folds, exact):
    """scikit-learn's answers to the same stream, once through."""
    from sklearn.linear_model import SGDRegressor

    sums = sum(folds).sums

    def objective(coef, intercept):
        square = sums.yy[0] - 2.0 * coef @ sums.xy[:, 0] + coef @ sums.xx @ coef
        bias = sums.mean_y[0] - coef @ sums.mean_x - intercept
        return 0.5 * (square / sums.weight + bias**2) + exact.alpha_ * np.abs(coef).sum()

    least = objective(exact.coef_, exact.intercept_)
    found = {}
    for average in (False, True):
        model = SGDRegressor(penalty="l1", alpha=exact.alpha_, average=average, random_state=0)
        start = _now()
        for X, y in stream:
            model.partial_fit(X, y)
        seconds = (_now() - start).tolist()
        apart = np.linalg.norm(model.coef_ - exact.coef_) / np.linalg.norm(exact.coef_)
        excess = objective(model.coef_, model.intercept_[0]) / least - 1.0
        name = "SGDRegressor, averaged" if average else "SGDRegressor"
        found[name] = {"seconds": seconds, "coef": float(apart), "objective": float(excess)}
    return found


if __name__ == "__main__":
    _work(json.loads(sys.argv[1]))

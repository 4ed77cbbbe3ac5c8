"""Compiled code is kept on disk: after a warm-up, a process finds every kernel there and compiles nothing."""

import inspect
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import sparse_linear
from sparse_linear import _kernels, _warmup, _working_sets

HEAD = """
import json, sys, time
import numba, numpy as np, scipy.linalg, scipy.sparse.linalg, sklearn.linear_model
from numba.core import event
from scipy import sparse
start = time.perf_counter()
import sparse_linear
from sparse_linear import *
from sparse_linear import _kernels
seconds = {"import": time.perf_counter() - start}

def dispatchers():
    found = {}
    for room in [room for room in vars(_kernels).values() if hasattr(room, "__file__")]:
        for name, value in vars(room).items():
            if not isinstance(value, numba.core.dispatcher.Dispatcher):
                continue
            if value.targetoptions.get("inline") != "always":  # those are compiled inside their callers
                found[name] = value
    return found

def timed(name, work):
    start = time.perf_counter()
    work()
    seconds[name] = time.perf_counter() - start

compiled = event.RecordingListener()
event.register("numba:compile", compiled)
"""

WARM_UP = """
from sparse_linear._warmup import warm_up
timed("warm-up", lambda: warm_up(lambda name, number, count: None))
"""

# Every storage, dtype and option that is a specialisation of its own.
FITS = """
CHOOSING = [LassoCV(alphas=5, cv=2), LassoCV(alphas=5, relax=[0.0, 1.0]), RidgeCV(), RidgeCV(cv=2)]
CHOOSING += [LassoIC(), ElasticNetIC(alphas=5)]
rng = np.random.default_rng(0)
X = rng.normal(size=(40, 6))
y = X @ np.array([3.0, -2.0, 0.0, 0.0, 1.0, 0.5]) + rng.normal(size=40)
weights = np.linspace(0.5, 1.5, 40)
spread = np.where(np.abs(X) > 0.8, X, 0.0)
wide = rng.normal(size=(20, 300))  # too wide to enter the working set at once
wide_spread = np.where(np.abs(wide) > 1.0, wide, 0.0)
read_only = X.copy()
read_only.flags.writeable = False
twins = np.column_stack([X, X[:, :3], X[:, 0] + X[:, 1]])  # dependent columns: the null direction

def as_long(matrix):
    matrix.indices = matrix.indices.astype(np.int64)
    matrix.indptr = matrix.indptr.astype(np.int64)
    return matrix

timed("Lasso, dense float64", lambda: Lasso(alpha=0.1).fit(X, y))
timed("Lasso, the same again", lambda: Lasso(alpha=0.1).fit(X, y))
timed("ElasticNet", lambda: ElasticNet(alpha=0.1).fit(X, y, weights))
timed("Ridge", lambda: Ridge(alpha=0.1).fit(X, y))
timed("Lasso, wide", lambda: Lasso(alpha=0.1).fit(wide, y[:20]))
timed("Lasso, float32", lambda: Lasso(alpha=0.1).fit(X.astype(np.float32), y))
timed("Lasso, CSC", lambda: Lasso(alpha=0.1).fit(sparse.csc_array(spread), y))
timed("Lasso, CSR", lambda: Lasso(alpha=0.1).fit(sparse.csr_matrix(spread), y, weights))
timed("Lasso, CSC, wide", lambda: Lasso(alpha=0.1).fit(sparse.csc_array(wide_spread), y[:20]))
timed("Ridge, CSR, wide", lambda: Ridge(alpha=0.1).fit(sparse.csr_array(wide_spread), y[:20]))
timed("Lasso, CSC, int64 indices", lambda: Lasso(alpha=0.1).fit(as_long(sparse.csc_array(spread)), y))
timed("Lasso, CSC, float32", lambda: Lasso(alpha=0.1).fit(sparse.csc_array(spread, dtype=np.float32), y))
timed("Lasso, read-only Fortran order", lambda: Lasso(alpha=0.1).fit(np.asfortranarray(read_only), y))
timed("Lasso, positive", lambda: Lasso(alpha=0.1, positive=True, standardize=True).fit(read_only, y))
timed("Lasso, dependent columns", lambda: Lasso(alpha=1e-3).fit(twins, y))
timed("ElasticNet, bounds", lambda: ElasticNet(alpha=0.1, bounds=(-1.0, 1.0)).fit(X, y))
timed("Lasso, penalty weights", lambda: Lasso(alpha=0.1, penalty_weights=[0, 1, 1, 2, np.inf, 1]).fit(X, y))
timed("Lasso, two targets", lambda: Lasso(alpha=0.1).fit(X, np.column_stack([y, -y])))
timed("paths", lambda: (lasso_path(wide, y[:20]), enet_path(X, y, n_alphas=9), ridge_path(X, y, [1.0, 0.1])))
sparse_linear._working_sets.LARGEST_FACTOR = 5
for container in (np.asarray, sparse.csc_array):
    timed("descent", lambda: lasso_path(container(wide), y[:20], tol=0.1))
sparse_linear._working_sets.LARGEST_FACTOR = 8192
usual = sparse_linear._working_sets.SMALLEST, sparse_linear._working_sets.MANY
sparse_linear._working_sets.SMALLEST, sparse_linear._working_sets.MANY = 5, 0
for container in (np.asarray, sparse.csc_array, sparse.csr_array):
    timed("equations between the rows", lambda: enet_path(container(wide), y[:20], n_alphas=5))
sparse_linear._working_sets.SMALLEST, sparse_linear._working_sets.MANY = usual
timed("path, warm start", lambda: enet_path(X, y, alphas=[0.5, 0.1], coef_init=np.ones(6)))
timed("grid", lambda: alpha_grid(sparse.csc_array(spread), y))
for hold in (np.asarray, sparse.csc_array, sparse.csr_array):
    timed("choosing alpha", lambda: [model.fit(hold(spread), y) for model in CHOOSING])
    timed("alpha for a size", lambda: alpha_for(hold(wide_spread), y[:20], n_nonzero=3))
"""

TAIL = """
json.dump(
    {
        "seconds": seconds,
        "compiled": len(compiled.buffer),
        "hits": {name: sum(d.stats.cache_hits.values()) for name, d in dispatchers().items()},
        "misses": {name: sum(d.stats.cache_misses.values()) for name, d in dispatchers().items()},
        "signatures": {name: [str(s) for s in d.signatures] for name, d in dispatchers().items()},
    },
    sys.stdout,
)
"""

COMMAND = """
import runpy, sys
sys.argv = ["sparse_linear", "warmup"]
try:
    runpy.run_module("sparse_linear", run_name="__main__")
except SystemExit as end:
    assert end.code == 0
"""

COMPILING = """
import numpy as np
from sparse_linear import _compiled
_compiled.PATIENCE = {}
for _ in range(3):
    _compiled.first_threshold(np.ones(2), np.ones((2, 4)))
"""

# Columns and rows are two structs of the same fields, which compiled code must never take for one another.
# Numba tells arguments apart by a fingerprint. Up to release 0.60 it holds stale memory where the names of a
# struct and its fields belong: after some calls two structs with names of the same lengths look the same.
ALTERNATING = """
import numpy as np
from scipy import sparse
from sparse_linear import Ridge

rng = np.random.default_rng(0)
X = rng.uniform(size=(40, 3)) * (rng.uniform(size=(40, 3)) < 0.4)
y = rng.uniform(size=40)
wanted = Ridge().fit(X, y).coef_
for repetition in range(60):
    for storage in (sparse.csc_array, sparse.csc_matrix, sparse.csr_array, sparse.csr_matrix):
        coef = Ridge().fit(storage(X), y).coef_
        assert np.abs(coef - wanted).max() < 1e-12, (repetition, storage.__name__, coef, wanted)
print("done")
"""


# A step of descent, (3 - l1) / 1, and a bound of 1 in units of 5, which a constant cuts off: the code of each
# is in two rooms.
STEPS = """
import json, sys
import numpy as np
from sparse_linear import _kernels

rules, history = np.array([[1.0, 0.0, -1.0, 1.0]]), np.empty((1, 1))
columns, wide = _kernels.Rows(np.ones((1, 1))), rules * [1.0, 1.0, np.inf, np.inf]
_kernels.descend(columns, np.arange(1), wide, 1.0, np.zeros(1), np.full(1, 3.0), 0.0, history)
found = _kernels.penalty_in_units(rules, np.full(1, 5.0), np.zeros(1, bool), 1.0, False)
misses = [sum(f.stats.cache_misses.values()) for f in (_kernels.descend, _kernels.penalty_in_units)]
json.dump({"answers": [history[0, 0], found[0, 3]], "compiled": sum(misses)}, sys.stdout)
"""


ROOT = Path(sparse_linear.__file__).parents[1]


def environment(cache, folder=ROOT):
    """That of this process, for others that keep their compiled code in `cache`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    return kept | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(folder)}


def run(code, cache, folder=ROOT):
    """Run code in a new process that keeps its compiled code in `cache`; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env=environment(cache, folder),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """What two processes one after the other say; and the cache they leave."""
    cache = tmp_path_factory.mktemp("numba")
    first = json.loads(run(HEAD + WARM_UP + TAIL, cache))
    files = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}
    second = json.loads(run(HEAD + FITS + TAIL, cache))
    return first, second, files, cache


def test_the_first_process_compiles_every_kernel(processes):
    """Else the second would find nothing to miss."""
    first, _, files, _ = processes
    assert first["compiled"] > 0
    assert files
    # Under NUMBA_DISABLE_JIT the kernels are plain functions here; the processes always compile.
    rooms = [room for room in vars(_kernels).values() if inspect.ismodule(room)]
    found = {name: value for room in rooms for name, value in vars(room).items() if hasattr(value, "py_func")}
    names = {name for name, value in found.items() if value.targetoptions.get("inline") != "always"}
    assert names <= set(first["misses"])
    assert {name for name, count in first["misses"].items() if count == 0} == set()
    assert len(first["misses"]) >= 15


def test_the_second_process_compiles_nothing(processes):
    first, second, files, cache = processes
    assert second["compiled"] == 0
    assert {name: count for name, count in second["misses"].items() if count} == {}
    # A kernel that is called by other kernels only is loaded inside those; all that Python calls are hits.
    hits = {name for name, count in second["hits"].items() if count}
    called = {name for name, signatures in second["signatures"].items() if signatures}
    assert hits == called
    assert {"solve_sequence", "duality_gaps", "entry_product"} <= hits
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")} == files
    # Not asserted: machines differ. `pytest -s` shows it.
    sys.stdout.write(f"\nwarm-up {first['seconds']['warm-up']:.3f} s; then:\n")
    for name, seconds in second["seconds"].items():
        sys.stdout.write(f"{name:32}{seconds:16.3f}\n")


def test_an_edit_in_one_room_is_noticed_in_all(tmp_path):
    """A compiled function contains those that it calls: kept, it would go on giving the answers of old."""
    package, cache = tmp_path / "sparse_linear", tmp_path / "cache"
    shutil.copytree(ROOT / "sparse_linear", package, ignore=shutil.ignore_patterns("__pycache__"))

    def found():
        return json.loads(run(STEPS, cache, tmp_path))

    def edit(room, was, becomes):
        path = package / "_kernels" / room
        source = path.read_text(encoding="utf-8")
        assert source.count(was) == 1
        path.write_text(source.replace(was, becomes), encoding="utf-8")

    assert found() == {"answers": [2.0, 5.0], "compiled": 2}
    assert found() == {"answers": [2.0, 5.0], "compiled": 0}
    edit("optimality.py", "new = (z - l1) / (curvature + l2)", "new = (z - 2.0 * l1) / (curvature + l2)")
    assert found() == {"answers": [1.0, 5.0], "compiled": 2}
    edit("leaves.py", "LARGEST = np.finfo(np.float64).max", "LARGEST = 4.0")
    assert found() == {"answers": [1.0, 4.0], "compiled": 2}
    assert found() == {"answers": [1.0, 4.0], "compiled": 0}


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_a_warm_up_knows_all_kinds_of_data(monkeypatch):
    """Every order of dense X, every sparse storage with every type of indices; each is announced."""
    fitted, told = [], []
    monkeypatch.setattr(_warmup, "_fit_everything", lambda hold: fitted.append(hold(np.eye(3))))
    folder = _warmup.warm_up(lambda *what: told.append(what))
    assert Path(folder).is_dir()
    assert [what[1:] for what in told] == [(number, 12) for number in range(1, 13)]
    assert len({name for name, *_ in told}) == 12
    dense, others = fitted[:4], fitted[4:]
    layouts = {(X.dtype.name, X.flags.c_contiguous) for X in dense}
    assert layouts == set(itertools.product(("float32", "float64"), (True, False)))
    found = {(X.format, X.dtype.name, X.indices.dtype.name, X.indptr.dtype.name) for X in others}
    storages = itertools.product(("csc", "csr"), ("float32", "float64"), ("int32", "int64"))
    assert found == {(storage, entries, index, index) for storage, entries, index in storages}


def test_a_warm_up_leaves_the_solvers_as_they_were(monkeypatch):
    """Also where it fails: the limit above which descent takes over is a constant again."""
    before = _working_sets.LARGEST_FACTOR
    limits = []
    path = _warmup.lasso_path

    def spied(*args, **keywords):
        limits.append(_working_sets.LARGEST_FACTOR)
        return path(*args, **keywords)

    monkeypatch.setattr(_warmup, "lasso_path", spied)
    _warmup._fit_everything(np.asarray)
    assert limits == [before] * 4 + [5]
    assert before == _working_sets.LARGEST_FACTOR

    def failing(X, y, **keywords):
        if before != _working_sets.LARGEST_FACTOR:
            raise MemoryError

    monkeypatch.setattr(_warmup, "lasso_path", failing)
    with pytest.raises(MemoryError):
        _warmup._fit_everything(np.asarray)
    assert before == _working_sets.LARGEST_FACTOR


def test_warm_up_on_the_command_line(processes):
    """It says where the code is; all that it does is in `warm_up`, which the first process has called."""
    *_, files, cache = processes
    printed = run(COMMAND, cache)
    folder = Path(printed.removeprefix("The compiled code is in ").removesuffix(".\n"))
    assert {path.parent for path in files} == {folder}
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")} == files


@pytest.mark.parametrize(
    ("terminal", "patience", "words"),
    [(True, 0.0, "sparse_linear: compiling for the first time"), (True, 1000.0, ""), (False, 0.0, "")],
)
def test_a_word_on_a_terminal_while_it_compiles(terminal, patience, words, tmp_path):
    """Once, if it takes more than some seconds; and never where stderr goes to a file or a log."""
    pty = pytest.importorskip("pty", reason="no terminals here")
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", COMPILING.format(patience)],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=slave if terminal else subprocess.PIPE,
        timeout=300,
    )
    os.write(slave, b"END")
    heard = done.stderr or b""
    while not heard.endswith(b"END"):
        heard += os.read(master, 1000)
    os.close(master)
    os.close(slave)
    heard = heard.decode().removesuffix("END")
    assert (done.returncode, done.stdout) == (0, b""), heard
    assert heard.count("sparse_linear: ") == (words != "")
    assert heard.startswith(words)


def test_no_kernel_is_specialised_more_often_than_its_callers_need(processes):
    """A specialisation costs up to a second at the first fit; dense X needs one of each that Python calls."""
    _, second, _, _ = processes
    # The struct of a matrix: its arrays.
    storage = re.compile(r"(CSC|CSR|Columns|Rows|Centred)\(((readonly )?array\([^)]*\)( x \d)?(, )?)+\)")
    for name, signatures in second["signatures"].items():
        found = ["".join(match[0] for match in storage.finditer(signature)) for signature in signatures]
        assert len(found) == len(set(found)), f"{name}: {signatures}"


def test_sparse_storages_are_never_mixed_up(processes):
    """Taking one for the other writes outside of arrays: wrong answers, then a crash."""
    *_, cache = processes
    assert run(ALTERNATING, cache) == "done\n"

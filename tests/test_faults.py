"""Faults at any moment: the estimator is as it was, nothing is left behind, and the next fit is right.

A fault sweep raises an exception at the k-th call of a function of the package, for k = 1, 2, … until the
work completes without one. So no place is left out, and none is named here that a later change might move.
"""

import inspect
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from threadpoolctl import threadpool_info, threadpool_limits

import sparse_linear
from sparse_linear import (
    ElasticNet,
    ElasticNetCV,
    Lasso,
    LassoCV,
    LassoIC,
    Moments,
    Ridge,
    RidgeCV,
    _threads,
    lasso_path,
    ridge_path,
)
from sparse_linear._selection import Watch
from sparse_linear._threads import in_order, in_threads, listen
from tests import oracles
from tests.waiting import settled

FOLDER = str(Path(sparse_linear.__file__).parent)
ROOT = Path(sparse_linear.__file__).parents[1]

X, Y = oracles.numbers(40, 6, seed=1)
WIDE, SHORT = oracles.numbers(15, 40, seed=2)


class Fault:
    """Raise an exception at the k-th call of a function of the package, in whichever thread that is.

    Generators are left alone but for their first step: a profile function that raises where one goes on would
    end it without its ``finally``, which no real exception does.
    """

    def __init__(self, error, at):
        self.error, self.at = error, at
        self.calls = 0
        self.lock = threading.Lock()

    def __call__(self, frame, event, argument):
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(FOLDER):
            return
        if code.co_flags & inspect.CO_GENERATOR:
            return
        with self.lock:
            self.calls += 1
            now = self.calls == self.at
        if now:
            raise self.error(f"call {self.at}, {code.co_qualname}")

    def __enter__(self):
        threading.setprofile(self)
        sys.setprofile(self)
        return self

    def __exit__(self, *exception):
        sys.setprofile(None)
        threading.setprofile(None)


def surroundings():
    """What a fit that ended may not have changed, beside its estimator."""
    return {
        "threads": threading.active_count(),
        "BLAS threads": [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"],
        "errstate": np.geterr(),
        "warnings": list(warnings.filters),
    }


def sweep(work, error, state, stride):
    """Call `work` again and again, with a fault at an ever later call; returns how many faults there were.

    After each, `state()` must be as before; the last call, without a fault, is for the caller to judge.
    """
    work()  # whatever is made once per process is there
    before, around = state(), surroundings()
    faults, at = 0, 1
    while True:
        fault = Fault(error, at)
        caught = None
        with fault:
            try:
                work()
            except BaseException as raised:
                caught = raised
        if fault.calls < at:
            assert caught is None
            return faults
        # A scorer that fails is reported as a ValueError, with the cause.
        assert isinstance(caught, error) or isinstance(caught.__cause__, error), (at, caught)
        place = str(caught)
        assert state() == before, place
        assert settled(surroundings, around, 2.0) == around, place
        faults += 1
        at += stride


def small_moments():
    return Moments().update(X[:20], Y[:20])


# Name: an estimator, and what is done to it.
WORK = {
    "Lasso": lambda: (m := Lasso(alpha=0.1), lambda: m.fit(X, Y)),
    "Lasso, wide": lambda: (m := Lasso(alpha=0.1), lambda: m.fit(WIDE, SHORT)),
    "ElasticNet, CSC": lambda: (m := ElasticNet(alpha=0.1), lambda: m.fit(sparse.csc_array(X), Y)),
    "Lasso, relaxed": lambda: (m := Lasso(alpha=0.1, relax=0.5), lambda: m.fit(X, Y)),
    "Ridge": lambda: (m := Ridge(), lambda: m.fit(X, Y)),
    "Ridge, two targets, wide": lambda: (m := Ridge(), lambda: m.fit(WIDE, np.c_[SHORT, -SHORT])),
    "Lasso.fit_moments": lambda: (m := Lasso(alpha=0.1), lambda: m.fit_moments(small_moments())),
    "LassoIC": lambda: (m := LassoIC(), lambda: m.fit(X, Y)),
    "LassoCV, tall": lambda: (m := LassoCV(cv=2, alphas=5), lambda: m.fit(X, Y)),
    "LassoCV, wide": lambda: (m := LassoCV(cv=2, alphas=5), lambda: m.fit(WIDE, SHORT)),
    "LassoCV, wide, threads": lambda: (m := LassoCV(cv=2, alphas=5, n_jobs=2), lambda: m.fit(WIDE, SHORT)),
    "LassoCV, scorer": lambda: (m := LassoCV(cv=2, alphas=3, scoring="r2"), lambda: m.fit(X, Y)),
    "RidgeCV": lambda: (m := RidgeCV(), lambda: m.fit(X, Y)),
    "RidgeCV, folds, threads": lambda: (m := RidgeCV(cv=3, n_jobs=2), lambda: m.fit(X, Y)),
}


def swept(name, error, stride):
    model, work = WORK[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sweep(work, error, lambda: pickle.dumps(vars(model)), stride) > 5
        fresh, again = WORK[name]()
        again()
    for attribute in ("coef_", "intercept_", "dual_gap_"):
        assert_array_equal(getattr(model, attribute), getattr(fresh, attribute))


@pytest.mark.parametrize("name", WORK)
def test_interrupted_anywhere(name):
    """Ctrl-C, at every seventh call."""
    swept(name, KeyboardInterrupt, 7)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_threads_that_fail_before_they_begin(error):
    """Neither ours nor the one that keeps BLAS to one thread are waited for in vain."""
    faults = sweep(lambda: in_threads(abs, range(3), 2, Watch(3, "", False)), error, lambda: None, 1)
    assert faults > 5


def listening(_):
    """Work that takes long, and then some."""
    for _ in range(10_000):
        listen()
        time.sleep(0.01)


def test_threads_whose_work_is_not_wanted_any_more(monkeypatch):
    """The rest of an order, once nobody waits for it; and all of it, if what has ordered it was stopped."""
    monkeypatch.setattr(_threads, "available", lambda: 2)
    before, begun = threading.active_count(), threading.Event()

    def work(number):
        return listening(number) if number else "soon"

    order = in_order(work, range(6))
    assert next(order) == "soon"
    order.close()
    assert threading.active_count() == before

    def fold(number):
        if number:
            begun.wait(10.0)
            raise ValueError("number 1")
        begun.set()
        return list(in_order(listening, range(6)))

    with pytest.raises(ValueError, match="number 1"):
        in_threads(fold, range(2), 2, Watch(2, "", False))
    assert threading.active_count() == before
    assert list(in_order(abs, [-1, 2, -3, 4])) == [1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("name", WORK)
def test_a_fault_at_every_call(name, error):
    swept(name, error, 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("Estimator", [Lasso, Ridge])
def test_rows_of_a_failed_partial_fit_do_not_count(Estimator, error):
    """Nor in part: the same rows may be given again."""
    model = Estimator(alpha=0.1).partial_fit(X[:20], Y[:20])
    before = pickle.dumps(vars(model))
    for at in range(1, 1000, 3):
        with Fault(error, at) as fault:
            try:
                model.partial_fit(X[20:], Y[20:])
                break
            except error:
                pass
        assert fault.calls >= at
        assert pickle.dumps(vars(model)) == before
    assert at > 20
    assert_array_equal(
        model.coef_, Estimator(alpha=0.1).partial_fit(X[:20], Y[:20]).partial_fit(X[20:], Y[20:]).coef_
    )
    assert_allclose(model.coef_, Estimator(alpha=0.1).fit(X, Y).coef_, rtol=1e-10)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_sum_of_rows(error):
    """`Moments` that chunks are added to in place: all of a chunk, or nothing of it."""
    moments = small_moments()
    before = pickle.dumps(vars(moments))
    for at in range(1, 1000):
        with Fault(error, at) as fault:
            try:
                moments.update(X[20:], Y[20:])
                break
            except error:
                pass
        assert fault.calls >= at
        assert pickle.dumps(vars(moments)) == before
    assert at > 5
    assert pickle.dumps(vars(moments)) == pickle.dumps(vars(small_moments().update(X[20:], Y[20:])))


@pytest.mark.parametrize(
    "path", [lambda: lasso_path(WIDE, SHORT, n_alphas=5), lambda: ridge_path(X, Y, [1.0, 0.1])]
)
def test_an_interrupted_path(path):
    """A path function has no state; the next path is the same."""
    expected = path().coefs
    assert sweep(path, MemoryError, lambda: None, 5) > 5
    assert_array_equal(path().coefs, expected)


class Failing:
    """A splitter that raises at its k-th fold."""

    def __init__(self, error, at):
        self.error, self.at = error, at

    def get_n_splits(self, *args, **kwargs):
        return 4

    def split(self, X, y=None, groups=None):
        for k in range(4):
            if k == self.at:
                raise self.error("the splitter's own")
            yield np.flatnonzero(np.arange(len(X)) % 4 != k), np.flatnonzero(np.arange(len(X)) % 4 == k)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, RuntimeError])
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("Estimator", [LassoCV, ElasticNetCV, RidgeCV])
def test_a_failing_splitter_or_scorer(Estimator, n_jobs, error):
    model = Estimator(alphas=[1.0, 0.1], n_jobs=n_jobs, cv=Failing(error, 9)).fit(X, Y)
    before, around = pickle.dumps(model.coef_), surroundings()
    calls = []

    def scorer(model, X, y):
        calls.append(None)
        if len(calls) == due:
            raise error("the scorer's own")
        return 0.0

    kept = dict(vars(model))
    for fold in range(4):
        model.set_params(cv=Failing(error, fold))
        with pytest.raises(error, match="the splitter's own"):
            model.fit(X, Y)
    model.set_params(cv=Failing(error, 9), scoring=scorer)
    for at in range(1, 9):
        due = at
        calls.clear()
        with pytest.raises((error, ValueError), match="the scorer's own") as caught:
            model.fit(X, Y)
        assert isinstance(caught.value, error) or isinstance(caught.value.__cause__, error)
    assert {name: value for name, value in vars(model).items() if name.endswith("_")}.keys() == {
        name for name in kept if name.endswith("_")
    }
    assert all(vars(model)[name] is value for name, value in kept.items() if name.endswith("_"))
    assert pickle.dumps(model.coef_) == before
    assert settled(surroundings, around, 2.0) == around
    model.set_params(scoring=None).fit(X, Y)
    assert pickle.dumps(model.coef_) == before


# ---------------------------------------------------------------------------------------------
# Determinism
# ---------------------------------------------------------------------------------------------


def bits(model):
    """All that was learnt, to the bit."""
    learnt = (
        "coef_",
        "intercept_",
        "dual_gap_",
        "objective_",
        "alpha_",
        "alphas_",
        "mse_path_",
        "coef_path_",
    )
    return {name: np.asarray(getattr(model, name)).tobytes() for name in learnt if hasattr(model, name)}


@pytest.mark.parametrize("blas", [1, 2])
@pytest.mark.parametrize("shape", [(400, 600), (100, 1500), (3000, 40)])
@pytest.mark.parametrize(
    "model",
    [LassoCV(alphas=15, eps=0.05), RidgeCV(alphas=[10.0, 1.0, 0.1], cv=5)],
    ids=lambda model: type(model).__name__,
)
def test_the_number_of_jobs_changes_no_bit(model, shape, blas):
    """For data so large that BLAS does use its threads: its sums depend on how many it has."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=shape)
    target = data[:, :10].sum(axis=1) + rng.normal(size=shape[0])
    with threadpool_limits(blas, user_api="blas"):
        found = [bits(model.set_params(n_jobs=n_jobs).fit(data, target)) for n_jobs in (1, 1, 2, 4)]
    assert all(other == found[0] for other in found[1:])


# ---------------------------------------------------------------------------------------------
# Company
# ---------------------------------------------------------------------------------------------

# Right answers, in time, from pools beside a thread of this process that multiplies matrices. Python
# warns of forking a process that has threads: a lock that is held then is held for ever in the child.
POOLS = """
import multiprocessing, sys, threading, warnings
import numpy as np

warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", message="Loky-backed parallel loops cannot")


def fit(seed):
    from sparse_linear import LassoCV

    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 80))
    return LassoCV(alphas=8, cv=3, n_jobs=2).fit(X, X[:, 0] + rng.normal(size=60)).coef_


def main(method):
    from sparse_linear import _threads

    alone = [fit(seed) for seed in range(6)]
    large = np.ones((300, 300))
    stop = threading.Event()

    def multiply():
        while not stop.is_set():
            large @ large

    threads = [threading.Thread(target=multiply)]
    if method == "threads":
        from concurrent.futures import ThreadPoolExecutor

        pool = ThreadPoolExecutor(8)
    elif method == "loky":
        from joblib.externals.loky import get_reusable_executor

        pool = get_reusable_executor(2)
    else:
        pool = multiprocessing.get_context(method).Pool
    try:
        # The products begin when all processes have: a fork in the middle of one may lock up BLAS for ever.
        if method in ("threads", "loky"):
            with pool:
                list(pool.map(int, range(8)))
                threads[0].start()
                found = list(pool.map(fit, range(6)))
        else:
            # As if a fit in another thread held the limit of BLAS threads at the moment of the fork.
            with _threads.blas_limit(1), _threads.blas_limit.lock, pool(2) as workers:
                threads[0].start()
                found = workers.map_async(fit, range(6)).get(120)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for one, other in zip(alone, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-10, atol=1e-12)
    assert threading.active_count() <= 3, threading.enumerate()
    print("done")


if __name__ == "__main__":
    main(sys.argv[1])
"""


@pytest.mark.parametrize("method", ["threads", "fork", "spawn", "loky"])
def test_pools_beside_blas_threads_end_and_are_right(method, tmp_path):
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("this platform does not fork")
    script = tmp_path / "pools.py"
    script.write_text(POOLS)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script), method], env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"


AT_ONCE = """
import numpy as np
from concurrent.futures import ThreadPoolExecutor
from sparse_linear import Lasso, LassoCV, RidgeCV

X = np.random.default_rng(1).normal(size=(60, 8))
y = X[:, 0]
with ThreadPoolExecutor(8) as threads:
    list(threads.map(lambda model: model.fit(X, y), {models}))
"""


@pytest.mark.parametrize(
    "models",
    [
        "[Lasso(0.1) for _ in range(16)]",
        "[LassoCV(alphas=[0.3, 0.1], n_jobs=2)]",
        "[RidgeCV(cv=4, n_jobs=2, positive=True), Lasso(0.2), LassoCV(alphas=[0.2, 0.1], n_jobs=2)]",
    ],
)
def test_the_first_fits_of_a_process_may_be_in_several_threads(models):
    """Numba is imported by one of them only: two at once have waited for one another for ever."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", AT_ONCE.format(models=models)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_a_process_forked_during_the_import_does_not_wait_for_it():
    """Nobody in the child would let the lock go."""
    code = """
    import os, threading
    from sparse_linear import Lasso, _compiled

    held, over = threading.Event(), threading.Event()

    def hold():
        with _compiled.importing.lock:
            held.set()
            over.wait()

    threading.Thread(target=hold).start()
    held.wait()
    child = os.fork()
    if child == 0:
        Lasso(0.1).fit([[0.0], [1.0], [3.0]], [0.0, 1.0, 2.0])
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    over.set()
    raise SystemExit(os.waitstatus_to_exitcode(status))
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted as Linux lists them")
@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_no_more_threads_than_jobs(n_jobs):
    """Besides the caller: one for each job, and one that holds the limit of BLAS, which has one thread."""
    LassoCV(alphas=3).fit(X, Y)
    before, seen, blas = len(os.listdir("/proc/self/task")), [], []

    def scorer(model, X, y):
        seen.append(len(os.listdir("/proc/self/task")))
        blas.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return 0.0

    LassoCV(alphas=3, cv=4, n_jobs=n_jobs, scoring=scorer).fit(X, Y)
    assert max(seen) <= before + (n_jobs if n_jobs > 1 else 0) + 1
    assert set(blas) == {1}


INTERRUPTED = """
import signal
import numpy as np
from scipy import sparse
from sparse_linear import Lasso, lasso_path

rng = np.random.default_rng(0)
X = rng.standard_normal((150, 3000)) * (rng.random((150, 3000)) < 0.3)
y = X[:, :20].sum(axis=1) + rng.standard_normal(150)

def stop(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, stop)
for Z in (X, sparse.csc_array(X), sparse.csr_array(X)):
    for fit in (lambda: lasso_path(Z, y, n_alphas=40), lambda: Lasso(alpha=0.02).fit(Z, y)):
        fit()
        stopped = 0
        for delay in np.geomspace(1e-4, 0.03, 40):
            try:
                signal.setitimer(signal.ITIMER_REAL, delay)
                fit()
                signal.setitimer(signal.ITIMER_REAL, 0.0)
            except KeyboardInterrupt:
                stopped += 1
        print(stopped)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer of the system")
def test_an_interrupt_while_compiled_code_runs():
    """It ends the fit, and not the process."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert min(map(int, done.stdout.split())) > 5


# ---------------------------------------------------------------------------------------------
# The folder of compiled code
# ---------------------------------------------------------------------------------------------

CALL = """
import sys
import numpy as np
from sparse_linear import _compiled, _kernels

rules = np.array([[1.0, 0.0, -np.inf, np.inf], [0.5, 0.0, -np.inf, np.inf]])
for dtype in sys.argv[1:]:
    corrs = np.array([3.0, -2.0], dtype)
    X, columns = np.array([[3.0, 4.0]], dtype), np.empty((2, 1))
    _compiled.take_columns(X, np.arange(2), np.zeros(2), np.ones(2), np.ones(1), columns)
    print(columns[:, 0], _compiled.first_threshold(corrs, rules))
rooms = [room for room in vars(_kernels).values() if hasattr(room, "__file__")]
found = {d for room in rooms for d in vars(room).values() if hasattr(d, "stats")}
counts = [d.stats.cache_misses for d in found]
print(sum(sum(count.values()) for count in counts), "compiled")
"""
RIGHT = "[3. 4.] 4.0\n"
UNKEPT = "RuntimeWarning: Compiled code cannot be kept: "


def start(cache, *dtypes, code=CALL, **more):
    """A process that calls two kernels, and keeps its compiled code in `cache`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment |= {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)} | more.pop("env", {})
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", code, *(dtypes or ["float64"])]
    return subprocess.Popen(command, env=environment, **pipes, **more)


def ended(process, warns=False):
    """How many functions it compiled; its answers are right, and it warns as it should, or not at all."""
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    *answers, compiled = out.splitlines(keepends=True)
    assert answers
    assert set(answers) == {RIGHT}
    if warns:
        assert UNKEPT in err
        assert "NUMBA_CACHE_DIR" in err
    else:
        assert err == ""
    return int(compiled.split()[0])


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A folder that holds all that `CALL` needs, for two types of entries."""
    cache = tmp_path_factory.mktemp("warm")
    assert ended(start(cache, "float64", "float32")) > 0
    assert ended(start(cache, "float64", "float32")) == 0
    return cache


def test_a_folder_that_cannot_be_made(tmp_path):
    """Compiled code is kept elsewhere; also for root, whom permissions do not bind."""
    (tmp_path / "file").write_text("in the way")
    ended(start(tmp_path / "file" / "folder"))


def test_no_folder_at_all(tmp_path):
    """A read-only install, by a user without a home, as in a container: it compiles, and says why."""
    file = tmp_path / "file"
    file.write_text("in the way")
    package = tmp_path / "install" / "sparse_linear"
    shutil.copytree(FOLDER, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "_kernels" / "__pycache__").write_text("in the way")
    homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "PYTHONPYCACHEPREFIX"), str(file))
    elsewhere = homes | {"PYTHONPATH": str(package.parent)}
    assert ended(start(file, env=elsewhere, cwd=tmp_path), warns=True) > 0
    command = (
        "import runpy, sys; sys.argv[1:] = ['warmup']; runpy.run_module('sparse_linear', None, '__main__')"
    )
    command = f"from sparse_linear import _warmup; _warmup._fit_everything = lambda hold: None; {command}"
    out, err = start(file, code=command, env=elsewhere, cwd=tmp_path).communicate(timeout=200)
    assert out == "The compiled code could not be kept.\n", err


@pytest.mark.skipif(os.name != "posix", reason="files are limited as POSIX does it")
def test_a_full_folder(tmp_path):
    """No file may grow beyond 5 kB: answers are right, no half of a file stays, the next process mends it."""
    import resource

    limited = start(tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)))
    assert ended(limited, warns=True) > 0
    assert not list(tmp_path.rglob("*.tmp.*"))
    assert ended(start(tmp_path)) > 0
    assert ended(start(tmp_path)) == 0


def test_a_folder_that_goes_away(tmp_path):
    """It is there when the kernels are imported, and cannot be written when they are compiled."""
    cache = tmp_path / "cache"
    swap = f"import shutil; shutil.rmtree({str(cache)!r}); open({str(cache)!r}, 'w').close()\n"
    code = CALL.replace("\nrules", f"\n{swap}rules")
    assert code != CALL
    assert ended(start(cache, code=code), warns=True) > 0


DAMAGES = [
    lambda content: b"",
    lambda content: content[: len(content) // 2],
    lambda content: bytes(len(content)),
    lambda content: b"<html>Quota exceeded</html>",
]


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_damaged_files_are_compiled_anew(kind, warm, tmp_path):
    """Once: what was damaged is repaired."""
    cache = tmp_path / "cache"
    shutil.copytree(warm, cache)
    files = sorted(cache.rglob(f"*.{kind}"))
    assert len(files) >= 2
    for damage in DAMAGES:
        for file in files:
            file.write_bytes(damage(file.read_bytes()))
        assert ended(start(cache, "float64", "float32")) > 0
        assert ended(start(cache, "float64", "float32")) == 0


def test_code_for_other_arguments_is_not_run(warm, tmp_path):
    """The index names the wrong file, as after two processes have written it at the same moment."""
    cache = tmp_path / "cache"
    shutil.copytree(warm, cache)
    swapped = 0
    for one in sorted(cache.rglob("*.1.nbc")):
        other = one.with_name(one.name.replace(".1.nbc", ".2.nbc"))
        if other.exists():
            content = one.read_bytes()
            one.write_bytes(other.read_bytes())
            other.write_bytes(content)
            swapped += 1
    assert swapped > 0
    assert ended(start(cache, "float64", "float32")) >= 2 * swapped
    assert ended(start(cache, "float64", "float32")) == 0


def test_two_processes_compile_into_one_folder(tmp_path):
    processes = [start(tmp_path, "float64"), start(tmp_path, "float32")]
    for process in processes:
        ended(process)
    ended(start(tmp_path, "float32", "float64"))

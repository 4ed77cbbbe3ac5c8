"""Measure one library on one problem, in a fresh process: time, gap and memory along a ladder of tolerances.

The parent (`measure`, `measure_floor`) starts ``python -m benchmarks.measure`` with a fixed number of
threads, reads one JSON line per event, and ends the process, and those it started, at the time limit; what
was reported until then counts. The worker (`_work`) loads the problem, warms the library up on a miniature of
it, and climbs the ladder until the certified gap reaches the target. Each library may have a Python of its
own, since some pin old versions of NumPy: the worker needs no more than NumPy, SciPy and the library.
"""

import contextlib
import gc
import json
import os
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from . import certificate, crossval, libraries, problems

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
START_LIMIT = 300.0  # seconds for imports, compilation and the miniature
SHORT = 0.3  # seconds: shorter runs are repeated until they add up to this
SETTLED = 10.0  # seconds: no more repeats once they add up to this


# ------------------------------------------------------------------------------------------ the parent


def measure(folder, library, target, threads=1, limit=60.0, repeats=3, python=sys.executable, clock="wall"):
    """Climb the ladder of one library on a saved problem.

    Parameters
    ----------
    folder : path
        Where `problems.save` put the problem. The support of the most exact answer is left there, for
        `measure_floor`.
    library : str
        A key of `libraries.LIBRARIES`, or of `crossval.LIBRARIES` for problems of choosing.
    target : float
        The relative gap to reach.
    threads, repeats : int
        Threads of BLAS, OpenMP, Numba and Rayon; the least number of timings of a run that reached the
        target, unless it is long.
    limit : float
        Seconds for the whole ladder, the certificates not counted.
    python : str
        The interpreter that has the library.
    clock : {"wall", "cpu"}
        What counts: the time that passed, or that of the processor, for one thread on a busy machine.

    Returns
    -------
    dict
        ``runs``: one dict per tolerance (tol, gap, wall, cpu, peak, seconds, fastest); ``best``: the index of
        the one that counts, or None; ``reached``: whether the target was; ``start``: seconds of import and
        first call; ``version``; ``note``: why there is no (better) result; ``unsupported``, ``missing``.
    """
    job = {
        "folder": str(folder),
        "library": library,
        "target": target,
        "threads": threads,
        "repeats": repeats,
    }
    result = {"library": library, "runs": [], "start": None, "version": None, "note": ""}
    for event in _events(job, limit, python):
        kind = event.pop("event")
        if kind == "run":
            result["runs"].append(event)
        elif kind == "repeat":
            run = result["runs"][-1]
            if event.pop("replaces"):
                run["wall"], run["cpu"] = [], []
            run["wall"].append(event["wall"])
            run["cpu"].append(event["cpu"])
            if event["peak"] is not None:  # the first run may have compiled something
                run["peak"] = min(run["peak"], event["peak"])
        else:
            result |= event
    return judge(result, target, clock)


def judge(result, target, clock="wall"):
    """Add to a result which run counts: the first that reached the target, or the one nearest to it."""
    runs = result["runs"]
    for run in runs:
        run["seconds"], run["fastest"] = statistics.median(run[clock]), min(run[clock])
    reached = [k for k, run in enumerate(runs) if run["gap"] <= target]
    best = reached[0] if reached else min(range(len(runs)), key=lambda k: runs[k]["gap"], default=None)
    return result | {"best": best, "reached": bool(reached), "target": target}


def measure_floor(folder, threads=1):
    """Return the seconds no exact method can save, on a saved and measured problem; see `floor`."""
    answers = []
    for path in Path(folder).glob("*.npz"):  # left by the workers, one per library
        if path.stem in libraries.LIBRARIES:
            with np.load(path) as answer:
                answers.append((float(answer["gap"]), answer["support"]))
    if not answers:
        return None
    np.save(Path(folder) / "support.npy", min(answers, key=lambda answer: answer[0])[1])
    job = {"folder": str(folder), "library": None, "threads": threads}
    return _aside(job)


def measure_costs(folder, threads=1, clock="wall"):
    """Return what cross-validation on a saved problem is compared with; see `crossval.costs`."""
    return _aside({"folder": str(folder), "library": None, "threads": threads, "clock": clock})


def _aside(job):
    """Return the answer to a job about no library."""
    for event in _events(job, START_LIMIT, sys.executable):
        if event.pop("event") == "floor":
            return event
    return None


def _events(job, limit, python):
    """Yield what a worker reports; a last event tells of a worker that ended badly or late."""
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(job["threads"]))
    environment["TMPDIR"] = job["folder"]  # the parent's to clear, should the worker be stopped
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    )
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [python, "-m", "benchmarks.measure", json.dumps(job)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            start_new_session=True,
        )
        lines = queue.SimpleQueue()
        threading.Thread(target=_pass_on, args=(process.stdout, lines), daemon=True).start()
        allowed, deadline = START_LIMIT, time.monotonic() + START_LIMIT
        try:
            while (line := lines.get(timeout=max(deadline - time.monotonic(), 0.01))) is not None:
                event = json.loads(line)
                if event["event"] == "ready":
                    allowed, deadline = limit, time.monotonic() + limit
                deadline += event.pop("aside", 0.0)
                yield event
            if process.wait() != 0:
                errors.seek(0)
                last = errors.read().strip().rpartition("\n")[2][:300]
                yield {"event": "end", "note": f"ended with code {process.returncode}: {last}"}
        except queue.Empty:
            yield {"event": "end", "note": f"stopped after {allowed:g} s"}
        finally:
            _end(process)


def _pass_on(stream, lines):
    """Queue the lines of a stream, then None."""
    with contextlib.suppress(ValueError):  # closed by `_end`
        for line in stream:
            lines.put(line)
    lines.put(None)


def _end(process):
    """End a process and what it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    process.stdout.close()


# ------------------------------------------------------------------------------------------ the worker


def _work(job):
    """Do one job and report."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes to the standard error

    def report(event, **facts):
        print(json.dumps({"event": event} | facts), file=out)

    folder = Path(job["folder"])
    problem = problems.load(folder, job["threads"])
    choosing = problem.kind in problems.CHOICES
    if job["library"] is None:
        if choosing:
            return report("floor", **crossval.costs(problem, job["clock"]))
        return report("floor", **floor(problem, np.load(folder / "support.npy")))
    library = (crossval if choosing else libraries).LIBRARIES[job["library"]]
    if problem.X.dtype == np.float32 and not library.float32:
        return report("end", note="no float32", unsupported=True)
    start = time.perf_counter()
    more = (True,) if choosing else ()
    try:
        library.run(problems.miniature(problem), 1e-3, *more)
        report("ready", start=time.perf_counter() - start, version=libraries.version(library))
        job["replace"] = choosing  # the first run was recorded
        (_climb_choosing if choosing else _climb)(library, problem, job, report)
    except libraries.Unsupported as reason:
        report("end", note=str(reason), unsupported=True)
    except ImportError as reason:
        report("end", note=str(reason), missing=True)
    return None


def _climb(library, problem, job, report):
    """Try one tolerance after another, the loosest first, and repeat the one that reached the target."""
    smallest = np.inf

    def run(tol, memory=True):
        coefs, times = _run(lambda: library.run(problem, tol), memory)
        return np.asarray(coefs).reshape(problem.X.shape[1], len(problem.alphas)), times

    for tol in library.tolerances() if problem.kind != "fit" else [None]:
        start = time.perf_counter()
        coefs, times = run(tol)
        gap = certificate.relative_gap(problem.X, problem.y, coefs, problem.alphas, problem.l1_ratio)
        support = np.flatnonzero(coefs[:, -1])
        if gap < smallest:
            smallest = gap
            answer = Path(job["folder"]) / f"{job['library']}.npz"
            np.savez(answer.with_suffix(".new.npz"), gap=gap, support=support)
            os.replace(answer.with_suffix(".new.npz"), answer)  # never half of it, whenever this is stopped
        del coefs
        _report_run(report, tol, start, times, gap=gap, support=len(support))
        if gap <= job["target"]:
            break
    else:
        return report("end", note="not reached by the finest tolerance")
    return _repeat(lambda count: run(tol, memory=count == 1)[1], times["wall"], job, report)


def _climb_choosing(library, problem, job, report):
    """Do the same with cross-validation: every run that is certified is repeated without being recorded."""
    reached = False
    for tol in library.tolerances():
        start = time.perf_counter()
        chosen, times = _run(lambda tol=tol: library.run(problem, tol, True))
        facts = crossval.judge(problem, chosen, job["library"], job["folder"])
        del chosen
        _report_run(report, tol, start, times, **facts)
        reached = facts["gap"] <= job["target"]
        if reached:
            break
    if reached or library.ladder:
        _repeat(
            lambda _, tol=tol: _run(lambda: library.run(problem, tol, False))[1], times["wall"], job, report
        )
    if not reached:
        report("end", note="the gap of this tolerance" if library.ladder else "not reached by the finest")


def _report_run(report, tol, start, times, **facts):
    aside = time.perf_counter() - start - times["wall"]  # certifying is not the library's time
    times = {"peak": times["peak"], "wall": [times["wall"]], "cpu": [times["cpu"]]}
    report("run", tol=tol, aside=aside, **times, **facts)


def _repeat(run, first, job, report):
    """Repeat a run of a known length, unless it is long; ``run`` gets the number of runs before it."""
    total, count, last = first, 1, first
    while (count < job["repeats"] or total < SHORT) and total + last < SETTLED:
        times = run(count)
        report("repeat", replaces=count == 1 and job["replace"], **times)
        total, count, last = total + times["wall"], count + 1, times["wall"]


def _run(call, memory=True):
    """Return an answer; wall and cpu seconds, and peak: bytes beyond what was in use and the answer's."""
    before = None
    if memory:
        gc.collect()
        _return_freed_memory()
        _reset_peak()
        before = _memory("VmRSS")
    start, start_cpu = time.perf_counter(), time.process_time()
    answer = call()
    wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    peak = None
    if isinstance(answer, libraries.Timed):
        answer, wall, cpu, peak = answer
    elif before is not None:
        peak = max(_memory("VmHWM") - before - answer.nbytes, 0)
    return answer, {"wall": wall, "cpu": cpu, "peak": peak}


def floor(problem, support, repeats=3):
    """Time what any exact method has to do: verify every alpha, and solve on the last support.

    One product X'R per ten alphas, the Gram matrix of the columns of the last support (of the smaller side if
    there are more columns than rows), and one Cholesky factorisation of it. Fetching those columns is not
    counted.
    """
    import scipy.linalg as la

    X, n = problem.X, problem.X.shape[0]
    width = min(10, len(problem.alphas))
    R = np.asfortranarray(np.random.default_rng(0).standard_normal((n, width)).astype(X.dtype))
    columns = X[:, support]
    columns = columns if sp.issparse(X) else np.asfortranarray(columns)
    if len(support) > n:
        columns = columns.T
    passes = -(-len(problem.alphas) // width) * _least(lambda: X.T @ R, repeats)
    gram = _least(lambda: columns.T @ columns, repeats)
    factor = 0.0
    if len(support):
        G = (columns.T @ columns).toarray() if sp.issparse(X) else columns.T @ columns
        G = np.asfortranarray(
            G + np.trace(G) * np.eye(len(G), dtype=G.dtype)
        )  # definite, whatever the columns
        factor = _least(lambda: la.cholesky(G, lower=True, check_finite=False), repeats)
    return {
        "passes": passes,
        "gram": gram,
        "cholesky": factor,
        "seconds": passes + gram + factor,
        "support": len(support),
    }


def _least(call, repeats, clock=time.perf_counter):
    times = []
    for _ in range(repeats):
        start = clock()
        call()
        times.append(clock() - start)
    return min(times)


def _memory(field):
    """Return a field of Linux's account of this process, in bytes; elsewhere the highest size so far."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith(field))
    except OSError:
        try:
            import resource
        except ImportError:
            return None
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _reset_peak():
    """Set VmHWM to the present size, on Linux."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as clear:
        clear.write("5")


def _return_freed_memory():
    """Ask the C library to return freed memory, where it can: it would hide in the present size."""
    import ctypes

    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    _work(json.loads(sys.argv[1]))

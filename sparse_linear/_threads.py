"""Threads: ours, and those of BLAS while ours are at work."""

import collections
import contextlib
import numbers
import os
import threading
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import cached_property, partial
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from threadpoolctl import ThreadpoolController

from sparse_linear import _compiled

# Seconds after which the thread that waits for others looks for an interrupt.
LISTEN = 0.1
# Threads that work side by side at most, since what they work on takes memory.
MOST = 8
# Sizes of matrices that are factored by one thread of BLAS; it has no more for smaller ones.
SMALLEST, LARGEST = 128, 1024

# What the present thread works for: `stopped` are the events that say it is no longer wanted.
task = threading.local()


class Stopped(BaseException):
    """Raised inside a thread whose work is no longer wanted."""


class BlasLimit:
    """A limit of BLAS threads that any number of callers may hold at a time.

    Most BLAS libraries have one for the whole process. The first caller sets it, the last restores what was
    before; if each did so for itself, callers that overlap would restore one another's limit, for good. A
    thread that lives as long as the limit does both: threadpoolctl (since 3.8) lets only the thread that has
    set a limit lift it, and the first caller may be gone by then.
    """

    def __init__(self):
        self.forget()

    def forget(self):
        """Be as new: held by nobody."""
        self.lock = threading.Lock()
        self.holders = 0
        self.keeper = None  # that thread, and what it will undo

    @cached_property
    def controller(self):
        """What finds the BLAS libraries, once: that takes longer than a small fit.

        Not while another thread imports Numba: this holds the lock of the linker and waits for the
        interpreter's, an import of compiled code has the one and waits for the other.
        """
        with _compiled.importing.lock:
            return ThreadpoolController()

    def threads(self):
        """How many threads BLAS has now; 1 where that is not known."""
        pools = self.controller.select(user_api="blas").info()
        return max((pool["num_threads"] for pool in pools), default=1)

    @contextlib.contextmanager
    def __call__(self, n_threads):
        """Hold the limit inside a ``with`` statement.

        Its value is a function to be called in every thread that works under the limit: with some libraries
        a limit holds for the thread that sets it.
        """
        here = partial(self.controller.limit, limits=n_threads, user_api="blas")
        with self.lock:
            self.holders += 1
        try:
            with self.lock:
                if self.keeper is None:
                    thread, undo = self.keeper = ThreadPoolExecutor(1), contextlib.ExitStack()
                    thread.submit(lambda: undo.enter_context(here())).result()
            yield here
        finally:
            with self.lock:
                self.holders -= 1
                if self.holders == 0 and self.keeper is not None:
                    # Forgotten first: an interrupt while it ends may not leave the next caller without one.
                    (thread, undo), self.keeper = self.keeper, None
                    thread.submit(undo.close)
                    thread.shutdown()

    @contextlib.contextmanager
    def in_this_thread(self, n_threads):
        """Hold the limit for work of the caller alone."""
        with self(n_threads) as limit, limit():
            yield


blas_limit = BlasLimit()
if hasattr(os, "register_at_fork"):
    # A forked process has neither the keeper nor whoever held the lock, and would wait for them for ever.
    os.register_at_fork(after_in_child=blas_limit.forget)


def check_jobs(n_jobs):
    """The number of threads that `n_jobs` stands for."""
    whole = isinstance(n_jobs, numbers.Integral) and not isinstance(n_jobs, (bool, np.bool_))
    if n_jobs is not None and (not whole or n_jobs == 0):
        raise ValueError(
            f"n_jobs must be None, a positive number of threads, or -1 for all cores; got {n_jobs!r}."
        )
    return effective_n_jobs(n_jobs)


def in_threads(work, items, n_threads, watch):
    """Call `work` for every item, several at a time; returns the results in order.

    BLAS gets one thread, also if there is only one of ours: its sums depend on how many it has, and results
    shall be the same bits for any `n_threads`. If one call fails, or the user interrupts, the others are
    stopped at their next report to `watch`, and no thread is left behind.
    """
    n_threads = min(n_threads, len(items))
    results = [None] * len(items)
    places = iter(range(len(items)))  # each goes to one thread only

    def run(limit):
        limit()
        task.stopped = [watch.stopped]
        for at in places:
            if watch.stopped.is_set():
                break
            results[at] = work(items[at])

    # The caller sets it too: if it holds a limit of its own, threadpoolctl (since 3.8) heeds no other thread.
    with blas_limit(1) as limit, limit():
        if n_threads <= 1:
            return [work(item) for item in items]
        name = f"in_threads-{id(results)}"
        try:
            with ThreadPoolExecutor(n_threads, name) as threads:
                try:
                    waiting = {threads.submit(run, limit) for _ in range(n_threads)}
                    while waiting:
                        # Not for ever: a signal that another thread has received is handled all the same.
                        ended, waiting = wait(waiting, LISTEN, FIRST_EXCEPTION)
                        for one in ended:
                            one.result()  # or the error that has ended it
                except BaseException:
                    watch.stopped.set()  # which ends all work
                    raise
        except BaseException:
            for thread in threading.enumerate():
                if thread.name.startswith(name):  # the pool does not know one whose start was interrupted
                    thread.join()
            raise
    return results


def available():
    """How many threads of ours may work now: as many as BLAS would have, up to `MOST`."""
    return min(MOST, blas_limit.threads())


def one_by_one(size):
    """A context in which BLAS has one thread, if it would have more for matrices of this size for no gain.

    Where other work wants the cores, they wait for one another: a factor takes a hundred times as long.
    """
    return one_thread() if SMALLEST < size <= LARGEST else contextlib.nullcontext()


def one_thread():
    """A context in which BLAS has one thread: for many products, each of which is too small for more."""
    return contextlib.nullcontext() if available() == 1 else blas_limit.in_this_thread(1)


@contextlib.contextmanager
def side_by_side(n_threads):
    """A ``map`` that several threads share, inside a ``with`` statement; for compiled work without BLAS."""
    if n_threads <= 1:
        yield map
        return
    with ThreadPoolExecutor(n_threads) as threads:
        yield threads.map


def listen():
    """Raise `Stopped` if the work of this thread is no longer wanted; for loops that take long."""
    if any(event.is_set() for event in getattr(task, "stopped", ())):
        raise Stopped


def in_order(work, items):
    """Yield what `work` returns for every item, in order, several items ahead.

    BLAS gets one thread meanwhile: many small products are faster in threads of ours, and its own, waiting
    for work, would take the core of a thread that reads. If that comes to an end before the last item, the
    others are stopped where they `listen`.
    """
    n_threads = available()
    with blas_limit(1) as limit, limit():
        if n_threads == 1:
            yield from map(work, items)
            return
        over = threading.Event()
        stopped = [*getattr(task, "stopped", ()), over]

        def heard(item):
            task.stopped = stopped
            return work(item)

        with ThreadPoolExecutor(n_threads, initializer=limit) as threads:
            begun: collections.deque[Future[Any]] = collections.deque()
            try:
                for item in items:
                    begun.append(threads.submit(heard, item))
                    if len(begun) > n_threads:
                        yield begun.popleft().result()
                while begun:
                    yield begun.popleft().result()
            finally:
                over.set()

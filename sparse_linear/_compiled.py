"""`_kernels`, imported when something of it is first used, and a word to the user while it compiles.

Numba takes as long to import as half of what scikit-learn needs, and `import sparse_linear` does not need it.
"""

import functools
import os
import sys
import threading
import time

# Compilation up to this many seconds passes without a word.
PATIENCE = 2.0
NOTICE = (
    "sparse_linear: compiling for the first time; later processes load the compiled code from a cache.\n"
    "(`python -m sparse_linear warmup` compiles everything at once.)"
)


def __getattr__(name):
    """What `_kernels` holds under this name, kept here for the next time."""
    if name.startswith("__"):  # asked for by whoever looks at modules, such as doctest
        raise AttributeError(name)
    value = globals()[name] = getattr(_kernels(), name)
    return value


class _Lock:
    """Held while Numba is imported: two threads that do so at once may wait for one another for ever."""

    def __init__(self):
        self.renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.renew)  # whoever held it is not there

    def renew(self):
        """Be held by nobody."""
        self.lock = threading.RLock()


importing = _Lock()


def _kernels():
    with importing.lock:
        return _imported()


@functools.cache
def _imported():
    from numba.core import event, serialize

    from sparse_linear import _kernels

    # To make the arrays that a kernel returns Numba calls this Python function. An interrupt that has come
    # meanwhile would be raised in it, and Numba goes on with a null pointer: a crash. What is in a cache is
    # found without Python code.
    if hasattr(serialize, "_numba_unpickle"):
        serialize._numba_unpickle = functools.cache(serialize._numba_unpickle)

    rooms = f"{_kernels.__name__}."

    class Listener(event.Listener):
        """Hears of every function that is compiled, and not of those that are loaded from the cache."""

        def on_start(self, happening):
            if happening.data["dispatcher"].py_func.__module__.startswith(rooms):
                stopwatch.start()

        def on_end(self, happening):
            if happening.data["dispatcher"].py_func.__module__.startswith(rooms):
                stopwatch.stop()

    stopwatch = _Stopwatch()
    event.register("numba:compile", Listener())
    return _kernels


class _Stopwatch:
    """Adds up the time of compilations, which may contain one another, and speaks up once."""

    def __init__(self):
        self.depth = 0
        self.spent = self.begun = 0.0
        self.said = False

    def start(self):
        """A compilation begins."""
        now = time.perf_counter()
        if self.depth == 0:
            self.begun = now
        self.depth += 1
        if not self.said and self.spent + now - self.begun > PATIENCE:
            self.said = True
            if sys.stderr is not None and sys.stderr.isatty():
                print(NOTICE, file=sys.stderr, flush=True)  # noqa: T201  # where nobody reads a log

    def stop(self):
        """A compilation ends."""
        self.depth -= 1
        if self.depth == 0:
            self.spent += time.perf_counter() - self.begun

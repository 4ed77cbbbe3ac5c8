"""The folder of compiled code: one that is full, damaged or missing costs time, and never a fit.

Numba looks for a place when a function is decorated: the folder that ``NUMBA_CACHE_DIR`` names, else
``__pycache__`` beside the source, else one in the home of the user. Where none of them can be written it
refuses to decorate; errors of reading and writing it lets through to whoever calls the function.
"""

import warnings

from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

REMEDY = (
    "Until this is mended, every process compiles for itself, which takes seconds. Let the environment "
    "variable NUMBA_CACHE_DIR name a folder that can be written, with 100 MB free."
)


def keep(values):
    """Keep the code of compiled functions from one process to the next, if there is a place for it.

    Parameters
    ----------
    values : iterable
        All that a module holds; what is no function for Numba to compile is left alone.
    """
    for function in values:
        if not isinstance(function, Dispatcher):
            continue
        try:
            function._cache = Cache(function.py_func)  # type: ignore[attr-defined]
        except RuntimeError as error:  # no folder: the same for all, since all are in one file
            warn(error)
            return


def warn(error):
    """Say, once for each reason, that compiled code is not kept."""
    warnings.warn(f"Compiled code cannot be kept: {error}. {REMEDY}", RuntimeWarning, stacklevel=2)


class Cache(FunctionCache):
    """The compiled code of one function, for all types of its arguments."""

    def load_overload(self, sig, target_context):
        """The code for some types of arguments, or None where there is none that can be used."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # damaged files raise anything
            self._forget()
            return None
        # Two processes that compile for different types at the same moment give both the same file.
        if found is not None and tuple(found.signature.args) != tuple(sig):
            self._forget()
            return None
        return found

    def _forget(self):
        """Begin with an empty index, or else the next one to be written would be added to this one."""
        try:
            self.flush()
        except OSError as error:
            warn(error)

    def save_overload(self, sig, data):
        """Keep the code for some types of arguments, if possible."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warn(error)

"""The folder of compiled code: one that is full, damaged or missing costs time, and never a fit.

Numba looks for a place when a function is decorated: the folder that ``NUMBA_CACHE_DIR`` names, else
``__pycache__`` beside the source, else one in the home of the user. Where none of them can be written it
refuses to decorate; errors of reading and writing it lets through to whoever calls the function.

It takes kept code for fresh as long as the file of that function is what it was. But a compiled function
contains those that it calls, and theirs may be other files: here kept code is fresh as long as all files of
its package are.
"""

import hashlib
import sys
import warnings

from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.dispatcher import Dispatcher

REMEDY = (
    "Until this is mended, every process compiles for itself, which takes seconds. Let the environment "
    "variable NUMBA_CACHE_DIR name a folder that can be written, with 100 MB free."
)


def keep(package):
    """Keep the code of compiled functions from one process to the next, if there is a place for it.

    Parameters
    ----------
    package : str
        Its modules must have been imported: all code that the functions in them contain is there.
    """
    modules = [sys.modules[name] for name in sorted(sys.modules) if f"{name}.".startswith(f"{package}.")]
    stamp = stamp_of(modules)
    for module in modules:
        for function in vars(module).values():
            if not isinstance(function, Dispatcher) or function.py_func.__module__ != module.__name__:
                continue
            try:
                function._cache = Cache(function.py_func, stamp)  # type: ignore[attr-defined]
            except RuntimeError as error:  # no folder: the same for all, since all are in one package
                warn(error)
                return


def stamp_of(modules):
    """A hash of the source of some modules, which differs as soon as one of them is edited.

    Their loaders read it, so that a package in an archive will do. Where there is none, in a program that is
    frozen into one file, Numba's own stamp is of that file.
    """
    digest = hashlib.sha256()
    for module in modules:
        try:
            source = module.__spec__.loader.get_data(module.__file__)
        except OSError:
            source = b""
        digest.update(hashlib.sha256(source).digest())
    return digest.digest()


def warn(error):
    """Say, once for each reason, that compiled code is not kept."""
    warnings.warn(f"Compiled code cannot be kept: {error}. {REMEDY}", RuntimeWarning, stacklevel=2)


class Cache(FunctionCache):
    """The compiled code of one function, for all types of its arguments.

    Parameters
    ----------
    py_func : function
    stamp : bytes
        Of all the source that its code may come from. It is kept with the code, and other code is not fresh.
    """

    def __init__(self, py_func, stamp):
        super().__init__(py_func)
        both = self._impl.locator.get_source_stamp(), stamp
        self._cache_file = IndexDataCacheFile(self.cache_path, self._impl.filename_base, both)

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

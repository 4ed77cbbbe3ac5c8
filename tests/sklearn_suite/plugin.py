"""A pytest plugin that puts our classes and functions in the place of scikit-learn's of the same name.

Loaded with ``-p tests.sklearn_suite.plugin``, before any module of tests is imported: what these import from
`sklearn.linear_model`, and what scikit-learn's other modules import from it, is then ours. It runs the tests
that have to do with the replaced names; those in `left_out.toml` are expected to fail, and the run fails if
one of them passes, or if the list names a test that is not there.
"""

import functools
import inspect
import re
import tomllib
from pathlib import Path

import pytest
import sklearn
import sklearn.linear_model
from packaging.specifiers import SpecifierSet

import sparse_linear
from sparse_linear import _solve

CLASSES = ("ElasticNet", "ElasticNetCV", "Lasso", "LassoCV", "Ridge", "RidgeCV")
FUNCTIONS = ("enet_path", "lasso_path")
OURS = {name: getattr(sparse_linear, name) for name in CLASSES + FUNCTIONS}
MENTION = re.compile(rf"\b({'|'.join(OURS)})\b")
LIST = Path(__file__).with_name("left_out.toml")


def groups():
    """The groups of tests left out with the installed scikit-learn, each with `reason` and `tests`."""
    listed = tomllib.loads(LIST.read_text(encoding="utf-8"))["group"]
    return [one for one in listed if sklearn.__version__ in SpecifierSet(one.get("scikit-learn", ""))]


def matches(entry, nodeid):
    """Whether an entry names a test: exactly, with any parameters, or with ``*`` for any text."""
    pattern = re.escape(entry).replace(r"\*", ".*")
    return re.fullmatch(rf"sklearn/{pattern}(\[.*\])?", nodeid, re.DOTALL) is not None


class Suite:
    """One run: what was replaced, and which tests came to our solvers."""

    def __init__(self):
        self.solves = 0
        self.reached = 0
        self.passed = 0

    def replace(self):
        """Put ours in; the originals refuse to be fitted, so that no test can pass with them by mistake."""
        for name in CLASSES:
            self._refuse(getattr(sklearn.linear_model, name))
        for name, ours in OURS.items():
            setattr(sklearn.linear_model, name, ours)
        solve = _solve.fit

        @functools.wraps(solve)
        def counted(*args, **kwargs):
            self.solves += 1
            return solve(*args, **kwargs)

        _solve.fit = counted

    @staticmethod
    def _refuse(original):
        fit = original.fit

        @functools.wraps(fit)
        def refused(self, *args, **kwargs):
            assert type(self) is not original, f"this is scikit-learn's own {original.__name__}"
            return fit(self, *args, **kwargs)

        original.fit = refused

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config, items):
        """Keep the tests about the replaced names, and mark those that are left out."""
        for module in {item.module for item in items}:
            for name, ours in OURS.items():
                found = getattr(module, name, ours)
                assert found is ours, f"{module.__name__} has scikit-learn's own {name}"
        listed = {entry: one["reason"] for one in groups() for entry in one["tests"]}
        here = {item.nodeid.partition("::")[0] for item in items}
        missing = {entry for entry in listed if f"sklearn/{entry.partition('::')[0]}" in here}
        kept = []
        for item in items:
            entries = [entry for entry in listed if matches(entry, item.nodeid)]
            missing.difference_update(entries)
            if entries or concerns(item):
                kept.append(item)
            for entry in entries:
                item.add_marker(pytest.mark.xfail(reason=listed[entry], strict=True))
        if missing:
            raise pytest.UsageError(
                f"{LIST.name} names tests that scikit-learn {sklearn.__version__} does not have: "
                f"{', '.join(sorted(missing))}; remove them, or give their versions."
            )
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        """Count the tests that passed, and those of them that came to our solvers."""
        report = yield
        if call.when == "call":
            self.passed += report.passed
            self.reached += report.passed and self.solves > 0
        if call.when == "teardown":
            self.solves = 0
        return report

    def pytest_terminal_summary(self, terminalreporter):
        """One line that the caller reads."""
        terminalreporter.write_line(f"sparse_linear solved in {self.reached} of {self.passed} passed tests")


def concerns(item):
    """Whether a test, or a function or estimator among its parameters, mentions a replaced name."""
    values = list(item.callspec.params.values()) if hasattr(item, "callspec") else []
    for value in [item.function, *values]:
        if inspect.isfunction(value) and MENTION.search(inspect.getsource(value)):
            return True
        if not inspect.isfunction(value) and MENTION.search(f"{value!r}"):
            return True
    return False


def pytest_configure(config):
    """Replace before scikit-learn's tests, and most of scikit-learn, are imported."""
    suite = Suite()
    suite.replace()
    config.pluginmanager.register(suite, "sparse_linear suite")

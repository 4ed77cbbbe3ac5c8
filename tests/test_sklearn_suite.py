"""scikit-learn's own tests, run with our classes and functions in the place of its own.

Each module of tests runs in a process of its own, under the plugin `tests/sklearn_suite/plugin.py`;
`tests/sklearn_suite/left_out.toml` lists what fails, and why.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sklearn

from tests.sklearn_suite import plugin

ROOT = Path(__file__).parents[1]
INSTALLED = Path(sklearn.__file__).parent
# The modules that use our names, and how many of their tests must come to our solvers, at least.
MODULES = {
    "linear_model/tests/test_coordinate_descent.py": 100,
    "linear_model/tests/test_sparse_coordinate_descent.py": 50,
    "linear_model/tests/test_ridge.py": 400,
    "linear_model/tests/test_common.py": 20,
    "linear_model/tests/test_least_angle.py": 5,
    "linear_model/tests/test_sag.py": 3,
    "linear_model/tests/test_huber.py": 1,
    "linear_model/tests/test_bayes.py": 2,
    "linear_model/_glm/tests/test_glm.py": 1,
    "feature_selection/tests/test_from_model.py": 5,
    "impute/tests/test_impute.py": 1,
    "model_selection/tests/test_search.py": 1,
    "model_selection/tests/test_validation.py": 1,
    "tests/test_kernel_ridge.py": 1,
    "tests/test_multiclass.py": 1,
    "tests/test_multioutput.py": 1,
    "tests/test_public_functions.py": 0,
}


def run(module):
    """The finished process of one module."""
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, f"--rootdir={INSTALLED.parent}"]
    command += ["-p", "no:cacheprovider", "-p", plugin.__name__, "-q", "-rfE", "--tb=short"]
    # One thread for each: as many modules run at a time as there are cores.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    return subprocess.run(
        [*command, str(INSTALLED / module)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.fixture(scope="module")
def runs(request):
    """Runs of all modules that are asked for, by name, side by side."""
    here = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {
            item.callspec.params["module"]: pool.submit(run, item.callspec.params["module"]) for item in here
        }


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_scikit_learns_tests_pass_with_ours(module, runs):
    done = runs[module].result()
    assert done.returncode == 0, done.stdout + done.stderr
    reached = re.search(r"sparse_linear solved in (\d+) of (\d+) passed tests", done.stdout)
    assert int(reached[1]) >= MODULES[module], done.stdout


def test_every_entry_of_the_list_has_a_reason_and_a_module():
    groups = plugin.groups()
    assert all(one["reason"] and one["tests"] for one in groups)
    entries = [entry for one in groups for entry in one["tests"]]
    assert len(entries) == len(set(entries))
    assert {entry.partition("::")[0] for entry in entries} <= set(MODULES)
    assert all((INSTALLED / module).exists() for module in MODULES)


def test_entries_match_as_they_are_read():
    assert plugin.matches("a.py::test", "sklearn/a.py::test")
    assert plugin.matches("a.py::test", "sklearn/a.py::test[1-x]")
    assert plugin.matches("a.py::test[1-*", "sklearn/a.py::test[1-x[y]]")
    assert not plugin.matches("a.py::test[1-*", "sklearn/a.py::test[2-x]")
    assert not plugin.matches("a.py::test", "sklearn/a.py::test_more")

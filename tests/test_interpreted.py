"""The kernels as plain Python (``NUMBA_DISABLE_JIT=1``): the same answers, and every line of them runs.

Both processes run this file as a script: ``python -m tests.test_interpreted OUTPUT [--coverage]``.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

ROOT = Path(__file__).parents[1]
# Percentage of the lines and branches of all rooms of `_kernels` that run at least.
COVERED = 95.0


# ---------------------------------------------------------------------------------------------
# The script
# ---------------------------------------------------------------------------------------------


def by_descent(fit):
    """Fit as if hardly a feature fitted into a factor."""
    from sparse_linear import _working_sets

    largest, _working_sets.LARGEST_FACTOR = _working_sets.LARGEST_FACTOR, 2
    try:
        return fit()
    finally:
        _working_sets.LARGEST_FACTOR = largest


def on_the_rows(fit):
    """Fit as if hardly a feature were not far more than there are rows."""
    from sparse_linear import _working_sets

    smallest, many = _working_sets.SMALLEST, _working_sets.MANY
    _working_sets.SMALLEST, _working_sets.MANY = 5, 0
    try:
        return fit()
    finally:
        _working_sets.SMALLEST, _working_sets.MANY = smallest, many


def by_blas(fit):
    """Fit as if no product were small; compiled code has made up its mind about that."""
    import numba

    from sparse_linear._kernels import dense

    if not numba.config.DISABLE_JIT:
        return fit()
    much, dense.MUCH = dense.MUCH, 0
    try:
        return fit()
    finally:
        dense.MUCH = much


def problems():
    """Small problems that go through every branch of the solvers; yields (name, function)."""
    from sparse_linear import (
        ElasticNet,
        Lasso,
        Ridge,
        RidgeCV,
        alpha_grid,
        enet_path,
        lasso_path,
        ridge_path,
    )

    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 7))
    y = X @ [3.0, -2.0, 0.0, 0.0, 1.0, 0.5, 0.0] + 2.0 + rng.normal(size=30)
    weights = rng.integers(0, 4, size=30).astype(float)
    spread = np.where(np.abs(X) > 0.8, X, 0.0)
    wide = rng.normal(size=(15, 70))
    short = y[:15]
    # Equal, opposite and dependent columns, and nearly dependent ones.
    twins = np.column_stack([X, X[:, :3], -X[:, 1], X[:, 0] + X[:, 1], X[:, 4] + 1e-7 * X[:, 5]])
    dummies = np.eye(4)[rng.integers(0, 4, size=30)]  # together they are the intercept
    alike = rng.normal(size=(30, 1)) + 0.05 * rng.normal(size=(30, 12))  # signs change along the path
    factors = [0.0, 1.0, 2.0, 0.5, np.inf, 1.0, 0.0]
    box = (np.full(7, -1.0), [0.5, np.inf, 1.0, 0.0, 0.2, 3.0, 0.1])
    storages = {"dense": X, "Fortran": np.asfortranarray(X), "float32": X.astype(np.float32)}
    storages |= {"CSC": sparse.csc_array(spread), "CSR": sparse.csr_matrix(spread), "zeros": spread}

    broad = rng.normal(size=(20, 300))  # features are screened
    target = broad[:, :3].sum(axis=1) + 0.1 * rng.normal(size=20)
    sparser = np.where(np.abs(broad) > 1.0, broad, 0.0)
    for name, Z in {
        "dense": broad,
        "Fortran": np.asfortranarray(broad),
        "CSC": sparse.csc_array(sparser),
        "CSR": sparse.csr_array(sparser),
    }.items():
        yield f"screened path, {name}", lambda Z=Z: lasso_path(Z, target, n_alphas=40, eps=0.05)
        yield (
            f"screened path, {name}, weights",
            lambda Z=Z: lasso_path(
                Z, target, n_alphas=40, eps=0.05, sample_weight=weights[:20], fit_intercept=True
            ),
        )
        yield f"one alpha, {name}", lambda Z=Z: Lasso(alpha=0.02).fit(Z, target)
        yield f"large products, {name}", lambda Z=Z: by_blas(lambda: Lasso(alpha=0.05).fit(Z, target))
        yield (
            f"descent, {name}",
            lambda Z=Z: by_descent(lambda: enet_path(Z, target, l1_ratio=0.5, alphas=[1.0, 0.3], tol=0.0)),
        )

        yield (
            f"equations between the rows, {name}",
            lambda Z=Z: on_the_rows(
                lambda: enet_path(
                    Z, target, l1_ratio=0.9, alphas=[0.5, 0.4, 0.001], sample_weight=weights[:20]
                )
            ),
        )

    yield "long path", lambda: lasso_path(broad, target, n_alphas=100, eps=1e-3)
    single = np.asfortranarray(broad, dtype=np.float32)
    yield "large products, float32", lambda: by_blas(lambda: Lasso(alpha=0.05).fit(single, target))
    loose = np.where(np.arange(300) % 3, 1.0, 1e-3)
    yield "many features near zero", lambda: Lasso(alpha=0.05, penalty_weights=loose).fit(broad, target)

    for name, Z in storages.items():
        for model in (Lasso(alpha=0.1), ElasticNet(alpha=0.2), Ridge(alpha=2.0)):
            kind = type(model).__name__
            yield f"{kind}, {name}", lambda m=model, Z=Z: m.fit(Z, y)
            yield f"{kind}, {name}, weights", lambda m=model, Z=Z: m.fit(Z, y, weights)
    for container in (sparse.csc_array, sparse.csr_array):
        yield (
            f"conjugate gradients, {container.__name__}",
            lambda c=container: Ridge(alpha=0.1, solver="sparse_cg").fit(c(sparser), target),
        )
    for Estimator in (Lasso, ElasticNet, Ridge):
        kind = Estimator.__name__
        for option in (
            {"fit_intercept": False},
            {"positive": True},
            {"standardize": True},
            {"penalty_weights": factors},
            {"bounds": box},
            {"bounds": (-0.4, 0.4), "penalty_weights": factors, "standardize": True},
            {"alpha": 1e-4},
            {"alpha": 100.0},
        ):
            label = ", ".join(f"{key}={value!r:.20}" for key, value in option.items())
            yield f"{kind}, {label}", lambda E=Estimator, o=option: E(**{"alpha": 0.1, **o}).fit(X, y)
        yield (
            f"{kind}, two targets",
            lambda E=Estimator: E(alpha=0.1).fit(X, np.column_stack([y, X[:, 2] - y])),
        )
        yield f"{kind}, wide", lambda E=Estimator: E(alpha=0.1).fit(wide, short)
        yield f"{kind}, wide CSC", lambda E=Estimator: E(alpha=0.1).fit(sparse.csc_array(wide), short)
        yield f"{kind}, wide, bounds", lambda E=Estimator: E(alpha=0.1, bounds=(-0.2, 0.3)).fit(wide, short)
        yield f"{kind}, duplicates", lambda E=Estimator: E(alpha=1e-3).fit(twins, y)
        yield f"{kind}, dummies", lambda E=Estimator: E(alpha=1e-3).fit(dummies, y)
        yield f"{kind}, alike", lambda E=Estimator: E(alpha=1e-3).fit(alike, y)
    paths = {
        "duplicates": twins,
        "dummies": np.column_stack([dummies, X]),
        "alike": alike,
        "wide": np.column_stack([wide, wide[:, :5]])[:15],
    }
    for name, Z in paths.items():
        target = y[: len(Z)]
        for options in ({}, {"positive": True}, {"bounds": (-0.5, 0.5)}, {"standardize": True}):
            label = f"{name} {options}"
            yield (
                f"lasso_path, {label}",
                lambda Z=Z, t=target, o=options: lasso_path(Z, t, n_alphas=12, fit_intercept=True, **o),
            )
            yield (
                f"enet_path, {label}",
                lambda Z=Z, t=target, o=options: enet_path(
                    Z, t, n_alphas=12, eps=1e-4, l1_ratio=0.7, fit_intercept=True, **o
                ),
            )
    free = np.ones(twins.shape[1])
    free[[0, 7, 11]] = 0.0  # two equal columns without a penalty, and one that is the sum of two others
    yield "free duplicates", lambda: lasso_path(twins, y, n_alphas=8, penalty_weights=free)
    yield (
        "free duplicates in a box",
        lambda: lasso_path(twins, y, n_alphas=8, penalty_weights=free, bounds=(-0.3, 1)),
    )
    yield "warm start", lambda: enet_path(X, y, alphas=[0.5, 0.1], coef_init=np.ones(7))
    yield "warm start, far off", lambda: lasso_path(twins, y, alphas=[2.0], coef_init=np.full(13, -30.0))
    yield "ridge_path", lambda: ridge_path(X, y, [10.0, 1.0, 0.1], fit_intercept=True, sample_weight=weights)
    yield "ridge_path, positive", lambda: ridge_path(twins, y, [10.0, 0.1], positive=True)
    yield "leave-one-out", lambda: RidgeCV().fit(X, np.column_stack([y, X[:, 2]]), weights)
    yield "alpha_grid", lambda: alpha_grid(sparse.csr_array(spread), y, sample_weight=weights, n_alphas=5)
    yield "alpha zero", lambda: Lasso(alpha=0.0, positive=True).fit(X, y)


def answers():
    """Name -> flat array of everything numeric that a problem's solution holds (and of what is unique)."""
    found = {}
    for name, solve in problems():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "With alpha=0")
            solution = solve()
        if hasattr(solution, "coef_"):
            parts = {
                "coef": solution.coef_,
                "intercept": solution.intercept_,
                "objective": solution.objective_,
            }
            parts["gap"] = solution.dual_gap_
        elif hasattr(solution, "coefs"):
            parts = {"alphas": solution.alphas, "coef": solution.coefs, "intercept": solution.intercepts}
            parts |= {"objective": solution.objectives, "gap": solution.dual_gaps}
        else:
            parts = {"alphas": solution}
        for part, value in parts.items():
            found[f"{name}: {part}"] = np.asarray(value, dtype=np.float64)
    return found


def main(output, *flags):
    """Solve all problems and write the answers; with ``--coverage``, also which lines of the kernels ran."""
    if "--coverage" in flags:
        import coverage

        source = str(ROOT / "sparse_linear" / "_kernels" / "*.py")
        measure = coverage.Coverage(config_file=False, data_file=None, include=[source], branch=True)
        measure.exclude("^@overload")  # only the compiler runs these
        measure.start()
    found = answers()
    if "--coverage" in flags:
        measure.stop()
        with Path(output).with_suffix(".txt").open("w") as report:
            share = measure.report(file=report, show_missing=True)
        Path(output).with_suffix(".json").write_text(json.dumps(share))
    np.savez(output, **found)


# ---------------------------------------------------------------------------------------------
# The tests
# ---------------------------------------------------------------------------------------------


def start(output, *flags, interpreted):
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_DISABLE_JIT"}
    environment["NUMBA_DISABLE_JIT"] = str(int(interpreted))
    command = [sys.executable, "-W", "error", "-m", "tests.test_interpreted", str(output), *flags]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """The answers of a process that compiles and of one that interprets, and what the latter has run."""
    folder = tmp_path_factory.mktemp("interpreted")
    flags = ["--coverage"] if importlib.util.find_spec("coverage") else []
    both = {
        "compiled": start(folder / "compiled.npz", interpreted=False),
        "interpreted": start(folder / "interpreted.npz", *flags, interpreted=True),
    }
    errors = {name: process.communicate(timeout=300)[1] for name, process in both.items()}
    for name, process in both.items():
        assert process.returncode == 0, f"{name}: exit status {process.returncode}\n{errors[name]}"
    return (
        dict(np.load(folder / "compiled.npz")),
        dict(np.load(folder / "interpreted.npz")),
        folder / "interpreted.json" if flags else None,
    )


def test_interpreted_answers_are_the_compiled_ones(solved):
    compiled, interpreted, _ = solved
    assert list(compiled) == list(interpreted)
    assert len(compiled) > 300
    far = {}
    for name, value in compiled.items():
        other = interpreted[name]
        scale = max(1.0, np.abs(value).max())
        # float32 coefficients are rounded once, at the end; half a unit either way. Descent converges.
        tolerance = 2e-7 if "float32" in name or "descent" in name else 1e-10
        if value.shape != other.shape or not np.abs(value - other).max() <= tolerance * scale:
            far[name] = float(np.abs(value - other).max() / scale)
    assert far == {}


def test_both_are_right(solved):
    """Agreement alone would be met by two wrong answers: both carry a gap near rounding error."""
    for answers_of in solved[:2]:
        for name, gap in answers_of.items():
            if name.endswith(": gap"):
                objective = answers_of[name.removesuffix("gap") + "objective"]
                assert np.all(gap >= 0.0), name
                assert np.all(gap <= 1e-9 * np.maximum(objective, 1e-3)), (name, gap, objective)


def test_every_line_of_the_kernels_runs(solved):
    """And every way out of every branch, but for a few."""
    if solved[2] is None:
        pytest.skip("coverage is not installed")
    report = solved[2].with_suffix(".txt").read_text()
    sys.stdout.write(f"\n{report}")
    measured = {path: int(lines) for path, lines in re.findall(r"(\w+)\.py +(\d+)", report)}
    rooms = {path.stem for path in (ROOT / "sparse_linear" / "_kernels").glob("*.py")}
    assert set(measured) == rooms
    assert sum(measured.values()) > 1000
    assert json.loads(solved[2].read_text()) >= COVERED, report


def test_the_interpreter_really_interprets():
    """Else the comparison is of the compiled code with itself."""
    code = "from sparse_linear import _kernels; print(hasattr(_kernels.solve_sequence, 'py_func'))"
    for interpreted in (True, False):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": str(int(interpreted))}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.stdout.strip() == str(not interpreted), done.stderr


def test_tolerances_can_fail():
    """The comparison sees a change of one part in 10^9."""
    with pytest.raises(AssertionError):
        test_interpreted_answers_are_the_compiled_ones(
            (
                {f"{k}: coef": np.ones(2) for k in range(400)},
                {f"{k}: coef": np.ones(2) + 1e-9 for k in range(400)},
                None,
            )
        )
    assert_allclose(1.0, 1.0 + 1e-12, rtol=1e-10)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Tests of `convert_penalty`: every convention's own objective, minimised as its documentation states it."""

import json
import math
import re
import shutil
import subprocess

import numpy as np
import pytest
import sklearn.linear_model
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import minimize

from sparse_linear import ElasticNet, Lasso, Ridge, convert_penalty
from sparse_linear._convert import CONVENTIONS, Canonical, Facts

NOISE_VARIANCE = 1.7
N, P = 30, 4
# Penalties with both parts, and with one.
PENALTIES = {("l1", "l2"): Canonical(0.3, 0.2), ("l1",): Canonical(0.3, 0.0), ("l2",): Canonical(0.0, 0.2)}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, P)) * [1.0, 2.0, 0.5, 1.0]
    X[:, 3] += X[:, 0]
    return X, X @ [2.0, -1.0, 0.0, 0.5] + 3.0 + rng.normal(size=N)


@pytest.fixture(scope="module")
def told(data):
    """All that a conversion may need to know."""
    X, y = data
    return {"X": X, "y": y, "noise_variance": NOISE_VARIANCE}


def our_coefs(penalty, data):
    """Of the objective that everything is converted through, by the estimator made for it."""
    l1, l2 = penalty
    if l1 == 0.0:
        return Ridge(alpha=N * l2).fit(*data).coef_
    return ElasticNet(alpha=l1 + l2, l1_ratio=l1 / (l1 + l2)).fit(*data).coef_


def value_of(name, penalty, told):
    """A penalty in a convention: through the table, not the function under test."""
    facts = Facts(N, told["noise_variance"], float(np.std(told["y"])), told["X"], told["y"], True)
    found = CONVENTIONS[name].from_canonical(penalty, facts)
    return tuple(found) if len(found) > 1 else found[0]


def minimised(objective, shape, y):
    """Coefficients at the minimum of an objective of (|w|₁, ‖w‖₂², residual), smooth in the parts of w."""

    def of_parts(parts):
        up, down, intercept = parts[:shape], parts[shape : 2 * shape], parts[-1]
        return objective(up - down, up.sum() + down.sum(), intercept)

    start = np.append(np.full(2 * shape, 0.1), np.mean(y))
    bounds = [(0.0, None)] * (2 * shape) + [(None, None)]
    options = {"maxiter": 100_000, "maxfun": 10**7, "ftol": 1e-16, "gtol": 1e-11}
    for _ in range(5):  # begun anew, it gets over the poor curvature it remembers
        start = minimize(of_parts, start, method="L-BFGS-B", jac="3-point", bounds=bounds, options=options).x
    return start[:shape] - start[shape : 2 * shape]


# What a library minimises over (w, ‖w‖₁, residuals), word for word as it documents it.
def keras(value, w, norm, residual):
    """``loss="mean_squared_error"``; L1L2: ``l1 * reduce_sum(abs(x)) + l2 * reduce_sum(square(x))``."""
    l1, l2 = value
    return np.mean(residual**2) + l1 * norm + l2 * np.sum(w**2)


def torch(value, w, norm, residual):
    """``MSELoss()(Xw + b, y) + l1 * w.abs().sum()``; SGD: ``g = g + weight_decay * w``."""
    weight_decay, l1 = value
    return np.mean(residual**2) + l1 * norm + weight_decay * np.sum(w**2) / 2.0


def statsmodels(value, w, norm, residual):
    """``0.5*RSS/n + alpha*((1-L1_wt)*|params|_2^2/2 + L1_wt*|params|_1)``."""
    alpha, share = value
    rss = np.sum(residual**2)
    return 0.5 * rss / len(residual) + alpha * ((1.0 - share) * np.sum(w**2) / 2.0 + share * norm)


def laplace(value, w, norm, residual):
    """Minus the logarithm of the posterior density, up to a constant."""
    return np.sum(residual**2) / (2.0 * NOISE_VARIANCE) + norm / value


def gaussian(value, w, norm, residual):
    return np.sum(residual**2) / (2.0 * NOISE_VARIANCE) + np.sum(w**2) / (2.0 * value)


WRITTEN_DOWN = [keras, torch, statsmodels, laplace, gaussian]


@pytest.mark.parametrize("objective", WRITTEN_DOWN, ids=lambda objective: objective.__name__)
def test_objectives_as_they_are_documented(objective, data, told):
    X, y = data
    name = objective.__name__
    for penalty in PENALTIES.values():
        if any(value and part not in CONVENTIONS[name].parts for part, value in penalty._asdict().items()):
            continue
        value = value_of(name, penalty, told)
        coefs = minimised(lambda w, norm, b, value=value: objective(value, w, norm, y - X @ w - b), P, y)
        assert_allclose(coefs, our_coefs(penalty, data), atol=2e-6, err_msg=f"{name} {value}")


@pytest.mark.parametrize("name", ["Lasso", "ElasticNet", "Ridge"])
def test_scikit_learn(name, data, told):
    parts = CONVENTIONS[f"sklearn.{name}"].parts
    theirs = getattr(sklearn.linear_model, name)
    value = value_of(f"sklearn.{name}", PENALTIES[parts], told)
    model = theirs(*value[:1], l1_ratio=value[1]) if name == "ElasticNet" else theirs(value)
    if name != "Ridge":
        model.set_params(tol=1e-14, max_iter=10**6)
    assert_allclose(model.fit(*data).coef_, our_coefs(PENALTIES[parts], data), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("norm", "order"), [("l1_norm", 1), ("l2_norm", 2)])
def test_constrained_form(norm, order, data, told):
    """Minimising RSS in the ball, by a solver for constrained problems, gives the penalised solution."""
    X, y = data
    parts = CONVENTIONS[norm].parts
    coefs = our_coefs(PENALTIES[parts], data)
    budget = value_of(norm, PENALTIES[parts], told)
    assert budget == pytest.approx(np.linalg.norm(coefs, order), rel=1e-12)
    centred, target = X - X.mean(axis=0), y - y.mean()

    def rss(parts):
        return 0.5 * np.sum((target - centred @ (parts[:P] - parts[P:])) ** 2)

    def room(parts):
        return budget - parts.sum() if order == 1 else budget**2 - np.sum((parts[:P] - parts[P:]) ** 2)

    found = minimize(
        rss,
        np.full(2 * P, 0.1),
        method="SLSQP",
        bounds=[(0.0, None)] * (2 * P),
        constraints={"type": "ineq", "fun": room},
        options={"ftol": 1e-15, "maxiter": 1000},
    ).x
    assert_allclose(found[:P] - found[P:], coefs, atol=1e-5)


@pytest.mark.parametrize("to", CONVENTIONS)
@pytest.mark.parametrize("from_", CONVENTIONS)
def test_every_pair(from_, to, told):
    """The way through any other convention ends where the direct one does."""
    common = tuple(part for part in CONVENTIONS[from_].parts if part in CONVENTIONS[to].parts)
    if not common:
        value = value_of(from_, PENALTIES[CONVENTIONS[from_].parts], told)
        with pytest.raises(ValueError, match=rf"to='{to}' has no L[12] part"):
            convert_penalty(value, from_=from_, to=to, **told)
        return
    penalty = PENALTIES[common]
    found = convert_penalty(value_of(from_, penalty, told), from_=from_, to=to, **told)
    assert_allclose(found, value_of(to, penalty, told), rtol=1e-9)
    kind = CONVENTIONS[to].values
    assert type(found) is (kind if len(kind._fields) > 1 else float)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_without_an_intercept(fit_intercept, told):
    """The budget and the scale of y are those of the model without one."""
    X, y = told["X"], told["y"]
    common = {"X": X, "y": y, "fit_intercept": fit_intercept}
    budget = convert_penalty(0.2, from_="sklearn.Lasso", to="l1_norm", **common)
    assert budget == pytest.approx(abs(Lasso(0.2, fit_intercept=fit_intercept).fit(X, y).coef_).sum())
    assert convert_penalty(budget, from_="l1_norm", to="sklearn.Lasso", **common) == pytest.approx(0.2)
    scale = np.std(y) if fit_intercept else np.sqrt(np.mean(y**2))
    found = convert_penalty(2.0 * N, from_="sklearn.Ridge", to="glmnet", **common)
    assert found == (pytest.approx(2.0 * scale), 0.0)
    n_samples = convert_penalty(2.0 * N, from_="sklearn.Ridge", to="glmnet", n_samples=N, y_std=scale)
    assert n_samples == found


GLMNET = """
suppressMessages(library(glmnet))
problem <- as.matrix(read.csv(file.path(commandArgs(TRUE), "problem.csv"), header = FALSE))
settings <- as.matrix(read.csv(file.path(commandArgs(TRUE), "settings.csv"), header = FALSE))
p <- ncol(problem) - 1
for (i in seq_len(nrow(settings))) {
  s <- settings[i, ]
  fit <- glmnet(problem[, 1:p], problem[, p + 1], lambda = s[1], alpha = s[2], standardize = s[3] == 1,
                intercept = s[4] == 1, thresh = 1e-20, maxit = 1e7)
  cat(format(as.numeric(fit$beta), digits = 17), "\\n")
}
"""


def test_glmnet_itself(tmp_path, data):
    """R's glmnet, with both of its scalings, gets the coefficients of our estimators."""
    if shutil.which("Rscript") is None:
        pytest.skip("no Rscript on the path")
    X, y = data
    settings, wanted = [], []
    for penalty in PENALTIES.values():
        for standardize, intercept in ((0, 1), (1, 1), (0, 0)):
            told = {"X": X, "y": y, "fit_intercept": bool(intercept)}
            keywords = {"standardize": bool(standardize), "fit_intercept": bool(intercept)}
            if penalty.l1 == 0.0:
                alpha = N * penalty.l2
                value = convert_penalty(alpha, from_="sklearn.Ridge", to="glmnet", **told)
                model = Ridge(alpha, **keywords)
            else:
                pair = (penalty.l1 + penalty.l2, penalty.l1 / (penalty.l1 + penalty.l2))
                value = convert_penalty(pair, from_="sklearn.ElasticNet", to="glmnet", **told)
                model = ElasticNet(pair[0], l1_ratio=pair[1], **keywords)
            settings.append((*value, standardize, intercept))
            wanted.append(model.fit(X, y).coef_)
    np.savetxt(tmp_path / "problem.csv", np.column_stack([X, y]), delimiter=",")
    np.savetxt(tmp_path / "settings.csv", settings, delimiter=",")
    (tmp_path / "run.R").write_text(GLMNET, encoding="utf-8")
    done = subprocess.run(
        ["Rscript", str(tmp_path / "run.R"), str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    if "there is no package called" in done.stderr:
        pytest.skip("R has no glmnet")
    assert done.returncode == 0, done.stderr
    found = np.array([[float(number) for number in line.split()] for line in done.stdout.splitlines()])
    assert_allclose(found, wanted, atol=1e-7)


# ---------------------------------------------------------------------------------------------
# Ends and errors
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", CONVENTIONS)
def test_no_penalty(to, told):
    """It is zero, or infinity where less is more; and comes back."""
    found = convert_penalty(0.0, from_="keras", to=to, **told)
    first = found if isinstance(found, float) else found[0]
    assert first == (math.inf if to in ("l1_norm", "l2_norm", "laplace", "gaussian") else 0.0)
    assert convert_penalty(found, from_=to, to="keras", **told) == (0.0, 0.0)


@pytest.mark.parametrize("norm", ["l1_norm", "l2_norm"])
def test_constraint_that_does_not_bind(norm, told):
    assert convert_penalty(1e6, from_=norm, to="keras", **told) == (0.0, 0.0)


@pytest.mark.parametrize("share", [1e-6, 0.01, 0.999, 1.0 - 1e-9])
def test_search_for_a_budget_finds_it(share, told):
    """Far from least squares and near it, on sparse X too."""
    X, y = told["X"], told["y"]
    budget = share * np.linalg.norm(np.linalg.lstsq(X - X.mean(axis=0), y - y.mean(), rcond=None)[0])
    for storage in (np.asarray, sparse.csr_array):
        alpha = convert_penalty(budget, from_="l2_norm", to="sklearn.Ridge", X=storage(X), y=y)
        assert np.linalg.norm(Ridge(alpha).fit(X, y).coef_) == pytest.approx(budget, rel=1e-9)


@pytest.mark.parametrize(
    "value", [(0.4, 0.25), [0.4, 0.25], {"alpha": 0.4, "l1_ratio": 0.25}, np.array([0.4, 0.25])]
)
def test_ways_to_write_two_numbers(value):
    found = convert_penalty(value, from_="sklearn.ElasticNet", to="statsmodels")
    assert found == (pytest.approx(0.4), pytest.approx(0.25))
    assert found._fields == ("alpha", "L1_wt")


def test_second_number_is_the_library_s_default():
    """`Ridge(alpha)`, `glmnet(lambda=)` and so on, with nothing else given."""
    assert convert_penalty(0.3, from_="glmnet", to="sklearn.Lasso") == 0.3
    assert convert_penalty(0.3, from_="statsmodels", to="sklearn.Lasso") == 0.3
    assert convert_penalty(0.3, from_="sklearn.ElasticNet", to="keras") == (0.3, 0.15)
    assert sklearn.linear_model.ElasticNet().l1_ratio == 0.5


@pytest.mark.parametrize(
    ("value", "keywords", "error", "message"),
    [
        (
            1.0,
            {"from_": "sklearn", "to": "keras"},
            ValueError,
            "from_ must be one of 'sklearn.Lasso', ",
        ),
        (1.0, {"from_": "keras", "to": "tf"}, ValueError, r"to must be one of 'sklearn.Lasso', .*got 'tf'"),
        (1.0, {"from_": "sklearn.Ridge", "to": "torch"}, ValueError, "n_samples is missing: 'sklearn.Ridge'"),
        (1.0, {"from_": "laplace", "to": "torch", "n_samples": 9}, ValueError, "noise_variance is missing"),
        ((1.0, 0.5), {"from_": "glmnet", "to": "torch"}, ValueError, "y_std is missing: glmnet scales y"),
        (1.0, {"from_": "l1_norm", "to": "torch"}, ValueError, r"X is missing: .*the data \(X and y\)"),
        (
            (1.0, 0.5),
            {"from_": "keras", "to": "sklearn.Lasso"},
            ValueError,
            "no L2 part, but .* choose one",
        ),
        (1.0, {"from_": "sklearn.Lasso", "to": "l2_norm"}, ValueError, "no L1 part"),
        (-1.0, {"from_": "sklearn.Lasso", "to": "keras"}, ValueError, "alpha must be at least 0.0, got -1"),
        (math.inf, {"from_": "sklearn.Lasso", "to": "keras"}, ValueError, "alpha must be finite"),
        (
            (1.0, 1.5),
            {"from_": "statsmodels", "to": "keras"},
            ValueError,
            "L1_wt must be at most 1.0, got",
        ),
        (
            "much",
            {"from_": "sklearn.Lasso", "to": "keras"},
            TypeError,
            "of 'sklearn.Lasso' must be alpha",
        ),
        ((1, 2, 3), {"from_": "keras", "to": "torch"}, TypeError, r"must be l1 and l2, got \(1, 2, 3\)"),
        ({"l3": 1.0}, {"from_": "keras", "to": "torch"}, TypeError, "must be l1 and l2"),
        (None, {"from_": "keras", "to": "torch"}, TypeError, "must be l1 and l2, got None"),
        (
            0.0,
            {"from_": "gaussian", "to": "torch", "n_samples": 9, "noise_variance": 1.0},
            ValueError,
            "positive",
        ),
        (0.0, {"from_": "l2_norm", "to": "torch"}, ValueError, "C must be positive for 'l2_norm'"),
        (
            1.0,
            {"from_": "keras", "to": "torch", "noise_variance": 0.0},
            ValueError,
            "noise_variance must",
        ),
        (1.0, {"from_": "keras", "to": "torch", "n_samples": 0}, ValueError, "n_samples must be at least 1"),
        (1.0, {"from_": "keras", "to": "torch", "n_samples": 3, "y": [1.0, 2.0]}, ValueError, "y has 2 rows"),
    ],
)
def test_errors(value, keywords, error, message):
    with pytest.raises(error, match=message):
        convert_penalty(value, **keywords)


def test_table_of_the_docstring_is_that_of_the_code():
    rows = re.findall(r'^    "(\S+)"\s{2,}(.*?)\s{2,}(.*)$', convert_penalty.__doc__, flags=re.MULTILINE)
    written = {name: (fields.replace("\\", ""), objective) for name, fields, objective in rows}
    assert written == {
        name: (", ".join(entry.values._fields), entry.objective) for name, entry in CONVENTIONS.items()
    }


def test_results_are_plain_numbers(told):
    """That JSON and other libraries take."""
    for name in CONVENTIONS:
        penalty = PENALTIES[CONVENTIONS[name].parts]
        json.dumps(convert_penalty(value_of(name, penalty, told), from_=name, to="keras", **told))
        assert type(convert_penalty(np.float32(0.5), from_="sklearn.Lasso", to="keras").l1) is float

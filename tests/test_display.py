"""Tests of the pictures, by what is drawn: lines, marks, labels and where they stand."""

import builtins
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model
from sklearn.datasets import load_diabetes, make_regression
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparse_linear import (
    CoefficientDisplay,
    CVDisplay,
    ElasticNet,
    ElasticNetCV,
    GeometryDisplay,
    Lasso,
    LassoCV,
    LassoIC,
    PathDisplay,
    Ridge,
    RidgeCV,
    lasso_path,
    ridge_path,
)
from sparse_linear._display import _instructive, chosen_table, shorten, spread

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True)


@pytest.fixture(scope="module")
def names():
    return load_diabetes().feature_names


@pytest.fixture(scope="module")
def lasso(diabetes):
    return LassoCV(criterion="1se").fit(*diabetes)


@pytest.fixture(scope="module")
def wide():
    return make_regression(n_samples=30, n_features=2000, n_informative=5, noise=1.0, random_state=0)


def overlaps(texts, figure):
    """Pairs of texts of which one stands on the other."""
    from matplotlib.text import Text

    figure.canvas.draw()
    # The box of an annotation holds its line too, that of its text does not.
    boxes = [Text.get_window_extent(text) for text in texts]
    return [
        (one.get_text(), other.get_text())
        for k, (one, box) in enumerate(zip(texts, boxes, strict=True))
        for other, rest in list(zip(texts, boxes, strict=True))[:k]
        if box.x0 < rest.x1 - 1 and rest.x0 < box.x1 - 1 and box.y0 < rest.y1 - 1 and rest.y0 < box.y1 - 1
    ]


# ---------------------------------------------------------------------------------------------
# What the displays share
# ---------------------------------------------------------------------------------------------


def test_importing_the_package_does_not_import_matplotlib():
    code = "import sys, sparse_linear; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_without_matplotlib_the_error_says_what_to_install(lasso, monkeypatch):
    def missing(name, *arguments, **keywords):
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", missing)
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    for draw in (PathDisplay, CVDisplay, CoefficientDisplay):
        with pytest.raises(ImportError, match=r'pip install "sparse_linear\[plot\]"'):
            draw.from_estimator(lasso)


@pytest.mark.parametrize("seed", range(20))
def test_spread_is_least_squares_under_its_constraints(seed):
    from scipy.optimize import minimize

    rng = np.random.default_rng(seed)
    wanted, gap = np.sort(rng.uniform(0.3, 0.6, size=6)), 0.06
    placed = spread(wanted, gap)
    assert (np.diff(placed) >= gap - 1e-12).all()
    assert placed.min() >= 0.0
    assert placed.max() <= 1.0
    best = minimize(
        lambda x: ((x - wanted) ** 2).sum(),
        np.linspace(0.1, 0.9, 6),
        constraints=[{"type": "ineq", "fun": lambda x: np.diff(x) - gap}],
        method="SLSQP",
        options={"ftol": 1e-14},
    )
    np.testing.assert_allclose(placed, best.x, atol=1e-5)
    mixed = rng.permutation(6)
    np.testing.assert_array_equal(spread(wanted[mixed], gap), placed[mixed])


def test_overlaps_are_found():
    figure, ax = pyplot.subplots()
    texts = [ax.text(0.5, 0.5, "one"), ax.annotate("two", (0.51, 0.5)), ax.text(0.1, 0.1, "three")]
    assert overlaps(texts, figure) == [("two", "one")]


def test_spread_stays_inside_and_gives_way_where_there_is_no_room():
    np.testing.assert_allclose(spread(np.array([1.0, 1.0, 1.0]), 0.1), [0.8, 0.9, 1.0])
    np.testing.assert_allclose(spread(np.full(5, 0.5), 10.0), np.linspace(0, 1, 5))
    assert len(spread(np.empty(0), 0.1)) == 0


def test_names_are_no_formulas_and_move_no_cursor(diabetes):
    X, y = diabetes
    names = ["$\\frac{$", "a\nb", *(f"${j}$" for j in range(8))]
    display = PathDisplay.from_estimator(Ridge().fit(X, y), X, y, feature_names=names)
    display.figure_.canvas.draw()
    texts = [label.get_text() for label in display.labels_]
    assert "a?b" in texts
    assert r"\$0\$" in texts
    display = CoefficientDisplay.from_estimator(Ridge().fit(X, y), feature_names=names)
    display.figure_.canvas.draw()
    display = GeometryDisplay.from_data(X, y, features=(0, 2), feature_names=names)
    display.figure_.canvas.draw()


def test_long_names_keep_both_ends():
    assert shorten("short") == "short"
    name = "a" * 30 + "b" * 30
    assert len(shorten(name)) == 24
    assert shorten(name)[0] == "a"
    assert shorten(name)[-1] == "b"


@pytest.mark.parametrize("draw", [PathDisplay, CVDisplay, CoefficientDisplay])
def test_estimators_must_be_fitted(draw):
    with pytest.raises(NotFittedError):
        draw.from_estimator(LassoCV())


@pytest.mark.parametrize("draw", [PathDisplay, CVDisplay, CoefficientDisplay, GeometryDisplay])
def test_models_are_taken_out_of_what_contains_them(draw, diabetes):
    X, y = diabetes
    data = (X, y) if draw is GeometryDisplay else ()
    for outer, inner in (
        (make_pipeline(StandardScaler(), LassoCV(cv=3)), r"pipeline\[-1\]"),
        (GridSearchCV(Lasso(), {"alpha": [0.1]}, cv=2), r"search\.best_estimator_"),
        (DummyRegressor(), "a model such as LassoCV"),
    ):
        found = (
            rf"{draw.__name__} takes a fitted linear model, got {type(outer).__name__}, .*give.* {inner}\."
        )
        with pytest.raises(TypeError, match=found):
            draw.from_estimator(outer.fit(X, y), *data)


def test_axes_are_those_given(lasso, diabetes, names):
    for draw in (PathDisplay, CVDisplay, CoefficientDisplay):
        figure, ax = pyplot.subplots()
        display = draw.from_estimator(lasso, ax=ax)
        assert display.ax_ is ax
        assert display.figure_ is figure
        assert display.plot() is display
        assert display.ax_ is not ax
    _, axes = pyplot.subplots(1, 3)
    assert list(GeometryDisplay.from_data(*diabetes, ax=axes).ax_) == list(axes)
    with pytest.raises(ValueError, match="ax must be 3 axes, one for each panel; got 1"):
        GeometryDisplay.from_data(*diabetes, ax=axes[0])


# ---------------------------------------------------------------------------------------------
# Paths
# ---------------------------------------------------------------------------------------------


def test_path_shows_coefficients_and_marks_alpha(lasso, names):
    display = PathDisplay.from_estimator(lasso, feature_names=names)
    assert len(display.lines_) == 10
    assert len(display.others_.get_segments()) == 0
    order = [label.get_text() for label in display.labels_]
    assert order[:4] == ["bmi", "s5", "bp", "s3"]
    assert sorted(order) == sorted(names)
    for line, name in zip(display.lines_, order, strict=True):
        coefs = lasso.coef_path_[names.index(name)]
        begin = np.flatnonzero(coefs)[0] - 1
        np.testing.assert_array_equal(line.get_xdata(), lasso.alphas_[begin:])
        np.testing.assert_array_equal(line.get_ydata(), coefs[begin:])
    assert display.chosen_.get_xdata()[0] == lasso.alpha_
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_xlim() == (lasso.alphas_[0], lasso.alphas_[-1])
    [text] = display.ax_.get_legend().get_texts()
    assert text.get_text() == f"λ = {lasso.alpha_:.3g}, {np.count_nonzero(lasso.coef_)} non-zero"


def test_path_labels_stand_where_features_enter(lasso, names):
    display = PathDisplay.from_estimator(lasso, feature_names=names)
    [dots] = [artist for artist in display.ax_.collections if artist.get_offsets().any()]
    for (x, y), label in zip(dots.get_offsets(), display.labels_, strict=True):
        first = np.flatnonzero(lasso.coef_path_[names.index(label.get_text())])[0]
        assert (x, y) == (lasso.alphas_[first - 1], 0.0)
        at = np.log(lasso.alphas_[0] / x) / np.log(lasso.alphas_[0] / lasso.alphas_[-1])
        np.testing.assert_allclose(label.xy, (at, 1.0), atol=1e-9)
    assert overlaps(display.labels_, display.figure_) == []


@pytest.mark.parametrize("eps", [0.5, 0.1, 0.03, 1e-3, 1e-6])
def test_alphas_are_legible_whatever_their_range(eps):
    alphas = 0.7 * np.geomspace(1.0, eps, 20)
    display = PathDisplay(alphas, np.outer([1.0, 2.0], 1.0 - alphas)).plot()
    display.figure_.canvas.draw()
    inside = [
        label
        for at, label in zip(display.ax_.get_xticks(), display.ax_.get_xticklabels(), strict=True)
        if alphas[-1] <= at <= alphas[0]
    ]
    assert 2 <= len(inside) <= 8
    assert overlaps(inside, display.figure_) == []


def test_one_alpha():
    assert len(PathDisplay([1.0], [[1.0], [2.0]]).plot().lines_) == 2


def test_path_against_the_norm(lasso):
    display = PathDisplay.from_estimator(lasso, x="l1_norm")
    norms = np.abs(lasso.coef_path_).sum(axis=0)
    np.testing.assert_allclose(
        display.lines_[0].get_xdata(), norms
    )  # the first line is there from the beginning
    np.testing.assert_allclose(display.chosen_.get_xdata()[0], np.abs(lasso.coef_).sum())
    with pytest.raises(ValueError, match="x must be one of"):
        display.plot(x="l2_norm")


def test_path_of_many_features_labels_the_first_to_enter(wide):
    X, y = wide
    path = lasso_path(X, y, alphas=30, fit_intercept=True)
    display = PathDisplay.from_path(path, n_labels=5, alpha=path.alphas[7])
    used = np.flatnonzero(path.coefs.any(axis=1))
    assert len(display.lines_) == 5
    assert len(display.others_.get_segments()) == len(used) - 5
    entries = {j: np.flatnonzero(path.coefs[j])[0] for j in used}
    shown = [int(label.get_text().removeprefix("x")) for label in display.labels_]
    assert max(entries[j] for j in shown) <= min(entries[j] for j in used if j not in shown)
    assert display.chosen_.get_xdata()[0] == path.alphas[7]
    assert overlaps(display.labels_, display.figure_) == []


def test_ridge_path_has_its_labels_at_the_end(diabetes, wide):
    for X, y in (diabetes, wide):
        model = RidgeCV(alphas=np.geomspace(0.1, 100.0, 9)).fit(X, y)  # increasing
        display = PathDisplay.from_estimator(model, n_labels=6)
        np.testing.assert_array_equal(display.lines_[0].get_xdata(), model.alphas_[::-1])
        largest = np.argsort(-np.abs(model.coef_path_[:, 0]), kind="stable")[:6]
        assert [label.get_text() for label in display.labels_] == [f"x{j}" for j in largest]
        assert all(label.xy[0] == 1.0 for label in display.labels_)
        assert overlaps(display.labels_, display.figure_) == []


@pytest.mark.parametrize(
    "model",
    [
        Lasso(alpha=0.3),
        Lasso(alpha=1e-5, standardize=True),
        Lasso(alpha=1e4),
        ElasticNet(alpha=0.01, l1_ratio=0.7, positive=True),
        ElasticNet(alpha=0.01, l1_ratio=0.0),
        LassoIC("bic"),
        Ridge(alpha=0.1),
        Ridge(alpha=0.1, fit_intercept=False),
    ],
    ids=str,
)
def test_path_through_a_model_that_keeps_none(model, diabetes):
    X, y = diabetes
    model.fit(X, y)
    with pytest.raises(ValueError, match="keeps no path; give the X and y"):
        PathDisplay.from_estimator(model)
    display = PathDisplay.from_estimator(model, X, y)
    alpha = display.chosen_.get_xdata()[0]
    assert alpha == getattr(model, "alpha_", model.get_params().get("alpha"))
    at = np.abs(display.alphas - alpha).argmin()
    np.testing.assert_allclose(display.alphas[at], alpha)
    np.testing.assert_allclose(
        display.coefs[:, at], model.coef_, atol=1e-8 * max(1.0, abs(model.coef_).max())
    )


def test_path_of_the_chosen_l1_ratio_and_target(diabetes):
    X, y = diabetes
    model = ElasticNetCV(l1_ratio=[0.3, 0.9], relax=[0.0, 1.0], alphas=20).fit(X, y)
    display = PathDisplay.from_estimator(model)
    grid = model.alphas_[[0.3, 0.9].index(model.l1_ratio_)]
    np.testing.assert_array_equal(display.alphas, grid)
    Y = np.column_stack([y, y[::-1]])
    model = LassoCV(alphas=20, alpha_per_target=True).fit(X, Y)
    display = PathDisplay.from_estimator(model, target=1)
    np.testing.assert_array_equal(display.coefs, model.coef_path_[1])
    assert display.alpha == model.alpha_[1]
    with pytest.raises(ValueError, match="target must be from 0 to 1"):
        PathDisplay.from_estimator(model, target=2)
    display = PathDisplay.from_path(ridge_path(X, Y, [1.0, 0.1]), target=1)
    assert display.coefs.shape == (10, 2)
    assert display.chosen_ is None


def test_path_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"coefs must have shape \(n_features, 3\)"):
        PathDisplay([3, 2, 1], np.zeros((2, 2)))
    with pytest.raises(ValueError, match="feature_names must hold 2 names, one per feature; got 3"):
        PathDisplay([2, 1], np.zeros((2, 2)), feature_names=["a", "b", "c"])


def test_path_without_features():
    display = PathDisplay([2.0, 1.0], np.zeros((3, 2))).plot()
    assert display.lines_ == display.labels_ == []


# ---------------------------------------------------------------------------------------------
# Cross-validation
# ---------------------------------------------------------------------------------------------


def test_cv_shows_errors_choices_and_sizes(lasso):
    display = CVDisplay.from_estimator(lasso)
    points, _, (bars,) = display.errorbar_
    mean = lasso.mse_path_.mean(axis=1)
    error = lasso.mse_path_.std(axis=1, ddof=1) / np.sqrt(5)
    np.testing.assert_allclose(points.get_xdata(), lasso.alphas_)
    np.testing.assert_allclose(points.get_ydata(), mean)
    ends = np.array(bars.get_segments())[:, :, 1]
    np.testing.assert_allclose(ends, np.column_stack([mean - error, mean + error]))
    assert display.min_.get_xdata()[0] == lasso.alphas_[mean.argmin()]
    assert display.one_se_.get_xdata()[0] == lasso.alpha_
    assert display.chosen_ is None
    assert "(chosen)" in display.one_se_.get_label()
    assert "(chosen)" not in display.min_.get_label()
    ticks = display.top_.get_xticks()
    sizes = np.count_nonzero(lasso.coef_path_, axis=0)
    for at, label in zip(ticks, display.top_.get_xticklabels(), strict=True):
        assert label.get_text() == str(sizes[lasso.alphas_ == at][0])
    assert overlaps(display.top_.get_xticklabels(), display.figure_) == []
    assert display.ax_.get_ylabel() == "mean squared error"


@pytest.mark.parametrize(
    ("model", "y_label", "top"),
    [
        (RidgeCV(alphas=20), "mean squared error", "degrees of freedom"),
        (RidgeCV(alphas=20, cv=3, criterion="1se"), "mean score (R²)", "degrees of freedom"),
        (RidgeCV(alphas=20, cv="gcv"), "generalised cross-validation error", "degrees of freedom"),
        (LassoCV(alphas=20, scoring="r2"), "mean score (R²)", "non-zero coefficients"),
        (
            LassoCV(alphas=20, scoring="neg_mean_absolute_error"),
            "mean absolute error",
            "non-zero coefficients",
        ),
        (LassoCV(alphas=20, scoring=lambda m, X, y: -1.0), "mean score (scoring)", "non-zero coefficients"),
        (ElasticNetCV(l1_ratio=[0.5, 1], alphas=20), "mean squared error", "non-zero coefficients"),
    ],
)
def test_cv_of_all_kinds(model, y_label, top, diabetes):
    model.fit(*diabetes)
    display = CVDisplay.from_estimator(model)
    assert display.ax_.get_ylabel() == y_label
    assert display.top_.xaxis.label.get_text() == top
    table = chosen_table(model)
    marks = [line.get_xdata()[0] for line in (display.min_, display.one_se_) if line is not None]
    assert model.alpha_ in marks
    assert (display.one_se_ is None) == np.isnan(table["se_test_score"]).all()
    values = display.errorbar_[0].get_ydata()
    sign = 1.0 if y_label.startswith("mean score") else -1.0
    np.testing.assert_allclose(values, sign * table["mean_test_score"])


def test_cv_marks_a_choice_of_the_users(diabetes):
    model = LassoCV(alphas=20, criterion=lambda results: 5).fit(*diabetes)
    display = CVDisplay.from_estimator(model)
    assert display.chosen_.get_xdata()[0] == model.alphas_[5]
    assert display.chosen_.get_label().endswith("(chosen)")


def test_cv_needs_a_table(diabetes):
    with pytest.raises(ValueError, match="Lasso holds no table of mean scores"):
        CVDisplay.from_estimator(Lasso().fit(*diabetes))
    with pytest.raises(ValueError, match="fit it without store_cv_results"):
        CVDisplay.from_estimator(RidgeCV(store_cv_results=True).fit(*diabetes))


# ---------------------------------------------------------------------------------------------
# Coefficients
# ---------------------------------------------------------------------------------------------


def test_coefficients_are_sorted_and_compared(lasso, diabetes, names):
    X, y = diabetes
    theirs = sklearn.linear_model.LassoCV().fit(X, y)
    display = CoefficientDisplay.from_estimator(lasso, theirs, feature_names=names, n_features=8)
    shown = [label.get_text() for label in display.ax_.get_yticklabels()]
    at = [names.index(name) for name in shown]
    assert len(display.bars_) == 2
    for bars, model in zip(display.bars_, (lasso, theirs), strict=True):
        np.testing.assert_allclose([bar.get_width() for bar in bars], model.coef_[at])
    used = np.count_nonzero(lasso.coef_)
    assert (np.diff(np.abs(lasso.coef_[at])[:used]) <= 0).all()
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts[0] == f"LassoCV (sparse_linear), {used} of 10 non-zero"
    assert texts[1].startswith("LassoCV (sklearn), ")
    assert overlaps(display.ax_.get_yticklabels(), display.figure_) == []


def test_coefficients_for_a_standard_deviation(diabetes):
    X, y = diabetes
    X = X * np.arange(1.0, 11.0)
    model = Lasso(alpha=0.1).fit(X, y)
    for given in (X, sp.csr_matrix(X)):
        display = CoefficientDisplay.from_estimator(model, X=given)
        np.testing.assert_allclose(display.coefs[0], model.coef_ * X.std(axis=0))


def test_coefficients_of_many_features_and_of_none(wide):
    X, y = wide
    display = CoefficientDisplay.from_estimator(Ridge().fit(X, y))
    assert len(display.bars_[0]) == 20
    assert [text.get_text() for text in display.ax_.texts] == ["and 1980 smaller "]
    display = CoefficientDisplay.from_estimator(Lasso(alpha=1e6).fit(X, y))
    assert len(display.bars_[0]) == 0


def test_coefficients_must_belong_to_the_same_features(diabetes):
    X, y = diabetes
    with pytest.raises(ValueError, match="fitted to the same features; they have 10 and 9"):
        CoefficientDisplay.from_estimator(Lasso().fit(X, y), Lasso().fit(X[:, 1:], y))


# ---------------------------------------------------------------------------------------------
# Geometry
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [("bmi", "s3"), ("s1", "s2"), ("age", "s5"), ("sex", "bp")])
def test_geometry_balls_touch_the_same_contour_where_the_solution_is(features):
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    display = GeometryDisplay.from_data(X, y, features=features)
    G, c = display.gram, display.corrs
    Z = X[list(features)].to_numpy()
    np.testing.assert_allclose(G, np.corrcoef(Z.T), atol=1e-12)

    def loss(w):
        return 0.5 * np.einsum("ji,jk,ki->i", w, G, w) - c @ w

    levels = []
    for panel, ball in zip(display.panels, display.balls_, strict=True):
        rho = panel.l1_ratio
        edge = ball.get_xy().T
        penalty = rho * np.abs(edge).sum(axis=0) + 0.5 * (1 - rho) * (edge**2).sum(axis=0)
        point = panel.solution[:, None]
        budget = rho * np.abs(point).sum() + 0.5 * (1 - rho) * (point**2).sum()
        np.testing.assert_allclose(penalty, budget, rtol=1e-12)
        # Nothing in the ball is better than the point: the picture is true.
        assert (loss(edge) >= loss(point) - 1e-9).all()
        levels.append(float(loss(point)[0]))
        np.testing.assert_allclose(panel.path[:, -1], np.linalg.solve(G, c), atol=1e-4)
        np.testing.assert_allclose(panel.path[:, 0], 0.0, atol=1e-2)
    np.testing.assert_allclose(levels, levels[0], rtol=0.03)
    assert (display.panels[0].solution == 0.0).sum() == 1
    assert not (display.panels[2].solution == 0.0).any()


def test_geometry_chooses_features_whose_corner_shows(diabetes, lasso, names):
    X, y = diabetes
    display = GeometryDisplay.from_estimator(lasso, X, y, feature_names=names)
    assert set(display.feature_names) <= {name for name, w in zip(names, lasso.coef_, strict=True) if w}
    lasso_panel = display.panels[0]
    assert [line.get_xdata()[0] for line in display.solutions_] == [p.solution[0] for p in display.panels]
    # The corner is far out: not a speck beside least squares.
    assert np.abs(lasso_panel.solution).max() > 0.3 * np.abs(lasso_panel.path[:, -1]).max()
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    first, second = _instructive(Z, (y - y.mean()) / y.std())
    path = lasso_path(Z[:, [first, second]], y - y.mean(), alphas=500)
    alone = path.coefs[1] == 0.0
    ratio = path.alphas[alone][-1] / path.alphas[0]
    assert 0.3 < ratio < 0.7


def test_geometry_takes_sparse_and_several_targets(diabetes):
    X, y = diabetes
    model = Lasso(alpha=0.1).fit(X, np.column_stack([y, -y]))
    plain = GeometryDisplay.from_data(X, -y, features=(2, 8))
    other = GeometryDisplay.from_estimator(
        model, sp.csc_matrix(X), np.column_stack([y, -y]), features=(2, 8), target=1
    )
    np.testing.assert_allclose(other.panels[1].solution, plain.panels[1].solution, atol=1e-10)
    assert list(other.feature_names) == ["x2", "x8"]
    listed = GeometryDisplay.from_data(X.tolist(), (-y).tolist(), features=(2, 8))
    np.testing.assert_array_equal(listed.panels[1].solution, plain.panels[1].solution)


def test_geometry_of_duplicate_columns(diabetes):
    X, y = diabetes
    display = GeometryDisplay.from_data(np.column_stack([X[:, 2], X[:, 2]]), y)
    ridge = display.panels[2].solution
    np.testing.assert_allclose(ridge[0], ridge[1])


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ((2, 2), "two different columns"),
        ((0, 10), "features must be from 0 to 9, got 10"),
        (("bmi", "smoker"), "features names 'smoker', which is not a column"),
    ],
)
def test_geometry_refuses_columns(features, words):
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    with pytest.raises(ValueError, match=words):
        GeometryDisplay.from_data(X, y, features=features)


def test_geometry_needs_two_features_and_some_correlation(diabetes):
    X, y = diabetes
    with pytest.raises(ValueError, match="shows two features; X has 1"):
        GeometryDisplay.from_estimator(Lasso().fit(X[:, :1], y), X[:, :1], y)
    X = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    with pytest.raises(ValueError, match="Neither of the two features is correlated"):
        GeometryDisplay.from_data(X, X[:, 0] * X[:, 1])
